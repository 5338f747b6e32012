//! wgrad on one of its devices, through its public interface.

use common::{ARGUMENTS, Case, Checksum, Clock, Layer, Work, numbers};
use wgrad::{Activation, Device, Loss, OutputLayer, Outputs, Result, Tensor};

/// Waits for the device, and reads the results if they have to be summed up.
fn finish(device: &Device, checksum: Option<&mut Checksum>, results: &[&Tensor]) -> Result<()> {
    match checksum {
        None => device.synchronize(),
        Some(checksum) => results
            .iter()
            .try_for_each(|result| result.to_vec().map(|values| checksum.add(&values))),
    }
}

fn work(
    device: &Device,
    mut run: impl FnMut(&Device, Option<&mut Checksum>) -> Result<()> + 'static,
) -> Work {
    let device = device.clone();
    Work::new(move |checksum| run(&device, checksum).expect("wgrad works"))
}

fn prepare(device: &Device, case: &Case) -> Result<Option<Work>> {
    let forward = |activation: Activation, shape: Vec<usize>| -> Result<Work> {
        let count = shape.iter().product();
        let z = device.tensor(&numbers(0, count, ARGUMENTS), shape)?;
        Ok(work(device, move |device, checksum| {
            let y = activation.forward(&z)?;
            finish(device, checksum, &[&y])
        }))
    };
    let both = |activation: Activation, shape: Vec<usize>| -> Result<Work> {
        let count = shape.iter().product();
        let z = device.tensor(&numbers(0, count, ARGUMENTS), shape.clone())?;
        let dy = device.tensor(&vec![1.0; count], shape)?;
        Ok(work(device, move |device, checksum| {
            let y = activation.forward(&z)?;
            let dz = if activation.has_derivative_from_output() {
                activation.backward_from_output(&y, &dy)?
            } else {
                activation.backward(&z, &dy)?
            };
            finish(device, checksum, &[&y, &dz])
        }))
    };
    let activation = |name: &str| name.parse::<Activation>();
    Ok(Some(match case {
        Case::Forward(name, n) => forward(activation(name)?, vec![*n])?,
        Case::Both(name, n) => both(activation(name)?, vec![*n])?,
        &Case::Softmax(rows, width) => forward(Activation::Softmax, vec![rows, width])?,
        &Case::SoftmaxBoth(rows, width) => both(Activation::Softmax, vec![rows, width])?,
        &Case::Product(n) => {
            let a = device.tensor(&numbers(1, n * n, 1.0), [n, n])?;
            let b = device.tensor(&numbers(2, n * n, 1.0), [n, n])?;
            let layer = OutputLayer::new(Activation::Identity, Loss::mse());
            work(device, move |device, checksum| {
                let product = layer.forward(&a, &b, None)?;
                finish(device, checksum, &[&product])
            })
        }
        &Case::OutputLayer(batch, inputs, outputs) => {
            let Layer { x, w, b, labels } = Layer::new(batch, inputs, outputs);
            let x = device.tensor(&x, [batch, inputs])?;
            let w = device.tensor(&w, [inputs, outputs])?;
            let b = device.tensor(&b, [outputs])?;
            let labels = device.labels(&labels)?;
            let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
                .outputs(Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX);
            work(device, move |device, checksum| {
                let step = layer.gradients(&x, &w, Some(&b), &labels)?;
                finish(device, checksum, &[&step.loss, &step.dw, &step.db, &step.dx])
            })
        }
        Case::Overhead => {
            const OPERATIONS: usize = 200;
            let z = device.tensor(&numbers(0, 1024, ARGUMENTS), [1024])?;
            let work = work(device, move |device, checksum| {
                let mut y = Activation::Sigmoid.forward(&z)?;
                for _ in 1..OPERATIONS {
                    y = Activation::Sigmoid.forward(&z)?;
                }
                finish(device, checksum, &[&y])
            });
            Work { clock: Clock::Thread, operations: OPERATIONS as f64, ..work }
        }
        Case::Copy(_) | Case::Fma => return Ok(None),
    }))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, arguments) = arguments.split_first().expect("cpu, gpu or name");
    if name == "name" {
        let gpu =
            Device::gpu().map_or_else(|error| error.to_string(), |gpu| gpu.info().to_string());
        println!("{}\n{gpu}", Device::cpu().info());
        return;
    }
    let device = match name.as_str() {
        "cpu" => Device::cpu(),
        "gpu" => Device::gpu().expect("a GPU adapter"),
        _ => panic!("cpu, gpu or name"),
    };
    common::main(arguments, |case| prepare(&device, case).expect("wgrad works"));
}
