//! burn on one of its devices.

use std::any::Any;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use common::{ARGUMENTS, Case, Checksum, Layer, Work, numbers};

/// Waits for the device, and reads the results if they have to be summed up.
struct Finish<'a> {
    device: &'a Device,
    checksum: Option<&'a mut Checksum>,
    /// Kept alive until the device is done: burn does not have to compute results that have been dropped.
    results: Vec<Box<dyn Any>>,
}

impl Finish<'_> {
    fn read<const D: usize>(&mut self, tensor: Tensor<D>) {
        match &mut self.checksum {
            Some(checksum) => checksum.add(&tensor.into_data().try_to_vec::<f32>().expect("f32")),
            None => self.results.push(Box::new(tensor)),
        }
    }

    fn wait(self) {
        if self.checksum.is_none() {
            self.device.sync().expect("burn works");
        }
    }
}

fn work(device: &Device, mut run: impl FnMut(&mut Finish<'_>) + 'static) -> Work {
    let device = device.clone();
    Work::new(move |checksum| {
        let mut finish = Finish { device: &device, checksum, results: Vec::new() };
        run(&mut finish);
        finish.wait();
    })
}

fn function<const D: usize>(name: &str) -> fn(Tensor<D>) -> Tensor<D> {
    match name {
        "sigmoid" => activation::sigmoid,
        "tanh" => activation::tanh,
        "relu" => activation::relu,
        "gelu" => activation::gelu,
        "gelu_tanh" => activation::gelu_approximate,
        _ => panic!("there is no {name}"),
    }
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn forward<const D: usize>(
    device: &Device,
    shape: [usize; D],
    g: fn(Tensor<D>) -> Tensor<D>,
) -> Work {
    let z = tensor(numbers(0, shape.iter().product(), ARGUMENTS), shape, device);
    work(device, move |finish| finish.read(g(z.clone())))
}

/// The gradient of y starts from ones.
fn both<const D: usize>(device: &Device, shape: [usize; D], g: fn(Tensor<D>) -> Tensor<D>) -> Work {
    let device = &device.clone().autodiff();
    let z = tensor(numbers(0, shape.iter().product(), ARGUMENTS), shape, device).require_grad();
    work(device, move |finish| {
        let y = g(z.clone());
        let gradients = y.backward();
        let dz = z.grad(&gradients).expect("z has a gradient");
        finish.read(y);
        finish.read(dz);
    })
}

pub fn prepare(device: &Device, case: &Case) -> Option<Work> {
    let softmax = |z: Tensor<2>| activation::softmax(z, 1);
    Some(match case {
        Case::Forward(name, n) => forward(device, [*n], function(name)),
        Case::Both(name, n) => both(device, [*n], function(name)),
        &Case::Softmax(rows, width) => forward(device, [rows, width], softmax),
        &Case::SoftmaxBoth(rows, width) => both(device, [rows, width], softmax),
        &Case::Product(n) => {
            let a = tensor(numbers(1, n * n, 1.0), [n, n], device);
            let b = tensor(numbers(2, n * n, 1.0), [n, n], device);
            work(device, move |finish| finish.read(a.clone().matmul(b.clone())))
        }
        &Case::OutputLayer(batch, inputs, outputs) => {
            let device = &device.clone().autodiff();
            let Layer { x, w, b, labels } = Layer::new(batch, inputs, outputs);
            let x = tensor(x, [batch, inputs], device).require_grad();
            let w = tensor(w, [inputs, outputs], device).require_grad();
            let b = tensor(b, [1, outputs], device).require_grad();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch]), device);
            let cross_entropy = CrossEntropyLossConfig::new().init(device);
            work(device, move |finish| {
                let z = x.clone().matmul(w.clone()) + b.clone();
                let loss = cross_entropy.forward(z, labels.clone());
                let gradients = loss.backward();
                let missing = "it has a gradient";
                let dw = w.grad(&gradients).expect(missing);
                let db = b.grad(&gradients).expect(missing);
                let dx = x.grad(&gradients).expect(missing);
                finish.read(loss);
                finish.read(dw);
                finish.read(db);
                finish.read(dx);
            })
        }
        Case::Copy(_) | Case::Fma | Case::Overhead => return None,
    })
}
