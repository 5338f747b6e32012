//! candle on the CPU.

use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::{loss, ops};
use common::{ARGUMENTS, Case, Checksum, Layer, Work, numbers};

fn finish(checksum: Option<&mut Checksum>, results: &[&Tensor]) -> Result<()> {
    let Some(checksum) = checksum else { return Ok(()) };
    results.iter().try_for_each(|result| {
        result.flatten_all()?.to_vec1::<f32>().map(|values| checksum.add(&values))
    })
}

fn work(mut run: impl FnMut(Option<&mut Checksum>) -> Result<()> + 'static) -> Work {
    Work::new(move |checksum| run(checksum).expect("candle works"))
}

fn function(name: &str) -> fn(&Tensor) -> Result<Tensor> {
    match name {
        "sigmoid" => ops::sigmoid,
        "tanh" => Tensor::tanh,
        "relu" => Tensor::relu,
        "gelu" => Tensor::gelu_erf,
        "gelu_tanh" => Tensor::gelu,
        _ => panic!("there is no {name}"),
    }
}

fn forward(z: Tensor, g: fn(&Tensor) -> Result<Tensor>) -> Work {
    work(move |checksum| finish(checksum, &[&g(&z)?]))
}

/// The gradient of y starts from ones.
fn both(z: Tensor, g: fn(&Tensor) -> Result<Tensor>) -> Result<Work> {
    let z = Var::from_tensor(&z)?;
    Ok(work(move |checksum| {
        let y = g(&z)?;
        let gradients = y.backward()?;
        finish(checksum, &[&y, gradients.get(&z).expect("z has a gradient")])
    }))
}

fn prepare(case: &Case) -> Result<Option<Work>> {
    let device = &Device::Cpu;
    let vector = |n: usize| Tensor::from_vec(numbers(0, n, ARGUMENTS), n, device);
    let rows = |rows: usize, width: usize| vector(rows * width)?.reshape((rows, width));
    Ok(Some(match case {
        Case::Forward(name, n) => forward(vector(*n)?, function(name)),
        Case::Both(name, n) => both(vector(*n)?, function(name))?,
        &Case::Softmax(count, width) => forward(rows(count, width)?, ops::softmax_last_dim),
        // The softmax above has no gradient.
        &Case::SoftmaxBoth(count, width) => {
            both(rows(count, width)?, |z| ops::softmax(z, D::Minus1))?
        }
        &Case::Product(n) => {
            let a = Tensor::from_vec(numbers(1, n * n, 1.0), (n, n), device)?;
            let b = Tensor::from_vec(numbers(2, n * n, 1.0), (n, n), device)?;
            work(move |checksum| finish(checksum, &[&a.matmul(&b)?]))
        }
        &Case::OutputLayer(batch, inputs, outputs) => {
            let Layer { x, w, b, labels } = Layer::new(batch, inputs, outputs);
            let x = Var::from_vec(x, (batch, inputs), device)?;
            let w = Var::from_vec(w, (inputs, outputs), device)?;
            let b = Var::from_vec(b, outputs, device)?;
            let labels: Vec<u32> = labels.into_iter().map(|label| label as u32).collect();
            let labels = Tensor::from_vec(labels, batch, device)?;
            work(move |checksum| {
                let z = x.matmul(&w)?.broadcast_add(&b)?;
                let loss = loss::cross_entropy(&z, &labels)?;
                let gradients = loss.backward()?;
                let of = |var: &Var| gradients.get(var).expect("it has a gradient").clone();
                finish(checksum, &[&loss, &of(&w), &of(&b), &of(&x)])
            })
        }
        Case::Copy(_) | Case::Fma | Case::Overhead => return Ok(None),
    }))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    common::main(&arguments, |case| prepare(case).expect("candle works"));
}
