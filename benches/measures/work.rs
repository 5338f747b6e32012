//! The work that is measured, and the least that each piece of it costs.

use wgrad::{
    Activation, Adam, DType, Dense, Device, DeviceKind, Gated, Loss, OutputLayer, Outputs,
    Reduction, Result, Sgd, Tensor, clip_gradient_norm,
};

use super::table::Least;

/// A closure that records the work once.
pub type Run = Box<dyn FnMut() -> Result<()>>;

/// Uploads the operands.
pub type Prepare = Box<dyn Fn(&Device) -> Result<Run>>;

pub struct Work {
    pub name: String,
    pub least: Least,
    pub prepare: Prepare,
}

/// The sizes of the work.
#[derive(Clone, Copy)]
struct Sizes {
    /// The number of elements of pointwise work.
    elements: usize,
    /// The number of rows and their length, for row-wise work, gated units and losses.
    rows: [usize; 2],
    /// The numbers of rows and columns of the factors of products, which are square.
    products: &'static [usize],
}

impl Sizes {
    /// Sizes that keep the device busy: a graphics card finishes little work before it has really begun.
    const fn of(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::Cpu | DeviceKind::Software => {
                Self { elements: 1 << 22, rows: [1 << 12, 1 << 10], products: &[512, 1024] }
            }
            _ => Self { elements: 1 << 26, rows: [1 << 16, 1 << 10], products: &[1024, 4096] },
        }
    }
}

/// The cost of reading or writing `count` f32 or labels.
fn numbers(count: usize) -> Least {
    let bytes = (count * size_of::<f32>()) as f64;
    Least { bytes, operations: 0.0, outside: bytes }
}

/// The cost of matrix products of `multiply_adds` multiply-adds. Together with the work around them they read and
/// write `together` numbers, and that work alone `outside` numbers.
fn products(multiply_adds: usize, together: usize, outside: usize) -> Least {
    let operations = 2.0 * multiply_adds as f64;
    Least { operations, outside: numbers(outside).bytes, ..numbers(together) }
}

/// Returns numbers between −4 and 4.
fn values(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..count).map(|_| random.f32() * 8.0 - 4.0).collect()
}

fn tensor(device: &Device, shape: &[usize]) -> Result<Tensor> {
    device.tensor(&values(shape.iter().product()), shape)
}

fn labels(count: usize, classes: usize) -> Vec<i32> {
    (0..count).map(|row| (row * 7919 % classes) as i32).collect()
}

struct Works {
    sizes: Sizes,
    all: Vec<Work>,
}

impl Works {
    fn add(
        &mut self,
        name: impl Into<String>,
        least: Least,
        prepare: impl Fn(&Device) -> Result<Run> + 'static,
    ) {
        self.all.push(Work { name: name.into(), least, prepare: Box::new(prepare) });
    }

    fn activation(&mut self, activation: Activation, shape: &[usize]) {
        let (name, shape) = (activation.name(), shape.to_vec());
        let count: usize = shape.iter().product();
        let operands = move |device: &Device| -> Result<[Tensor; 2]> {
            Ok([tensor(device, &shape)?, tensor(device, &shape)?])
        };
        let of = operands.clone();
        self.add(format!("{name} forward"), numbers(2 * count), move |device| {
            let [z, _] = of(device)?;
            Ok(Box::new(move || activation.forward(&z).map(drop)))
        });
        let of = operands.clone();
        self.add(format!("{name} backward"), numbers(3 * count), move |device| {
            let [z, dy] = of(device)?;
            Ok(Box::new(move || activation.backward(&z, &dy).map(drop)))
        });
        if !activation.has_derivative_from_output() {
            return;
        }
        self.add(format!("{name} backward from output"), numbers(3 * count), move |device| {
            let [z, dy] = operands(device)?;
            let y = activation.forward(&z)?;
            Ok(Box::new(move || activation.backward_from_output(&y, &dy).map(drop)))
        });
    }

    /// Adds work on tensors of f16.
    fn halves(&mut self, activation: Activation, shape: &[usize]) {
        let (name, shape) = (activation.name(), shape.to_vec());
        let count: usize = shape.iter().product();
        // Two halves count as one f32.
        self.add(format!("{name} forward of f16"), numbers(count), move |device| {
            let z = tensor(device, &shape)?.to_dtype(DType::F16)?;
            Ok(Box::new(move || activation.forward(&z).map(drop)))
        });
    }

    fn gated(&mut self) {
        let [rows, width] = self.sizes.rows;
        let operands = move |device: &Device| -> Result<[Tensor; 2]> {
            Ok([tensor(device, &[rows, 2 * width])?, tensor(device, &[rows, width])?])
        };
        self.add("swiglu forward", numbers(3 * rows * width), move |device| {
            let [x, _] = operands(device)?;
            Ok(Box::new(move || Gated::swiglu().forward(&x).map(drop)))
        });
        self.add("swiglu backward", numbers(5 * rows * width), move |device| {
            let [x, dy] = operands(device)?;
            Ok(Box::new(move || Gated::swiglu().backward(&x, &dy).map(drop)))
        });
    }

    fn product(&mut self, [rows, inner, columns]: [usize; 3]) {
        let numbers = rows * inner + inner * columns + rows * columns;
        let least = products(rows * inner * columns, numbers, 0);
        self.add(format!("product {rows} × {inner} × {columns}"), least, move |device| {
            let (a, b) = (tensor(device, &[rows, inner])?, tensor(device, &[inner, columns])?);
            let layer = OutputLayer::new(Activation::Identity, Loss::mse());
            Ok(Box::new(move || layer.forward(&a, &b, None).map(drop)))
        });
    }

    fn dense(&mut self, [batch, inputs, outputs]: [usize; 3]) {
        let layer = Dense::new(Activation::Relu);
        let operands = move |device: &Device| -> Result<[Tensor; 4]> {
            Ok([
                tensor(device, &[batch, inputs])?,
                tensor(device, &[inputs, outputs])?,
                tensor(device, &[outputs])?,
                tensor(device, &[batch, outputs])?,
            ])
        };
        let size = format!("{batch} × {inputs} × {outputs}");
        let (x, w, y) = (batch * inputs, inputs * outputs, batch * outputs);
        let product = batch * inputs * outputs;
        let least = products(product, x + w + outputs + y, 0);
        self.add(format!("dense {size} forward"), least, move |device| {
            let [x, w, b, _] = operands(device)?;
            Ok(Box::new(move || layer.forward(&x, &w, Some(&b)).map(drop)))
        });
        // Outside of the products, y and dy are read, and dz is written.
        let least = products(2 * product, 2 * (x + w + y) + outputs, 3 * y + outputs);
        self.add(format!("dense {size} backward"), least, move |device| {
            let [x, w, b, dy] = operands(device)?;
            let forward = layer.forward(&x, &w, Some(&b))?;
            Ok(Box::new(move || layer.backward(&x, &w, &forward, &dy).map(drop)))
        });
    }

    fn output_layer(&mut self, [batch, inputs, outputs]: [usize; 3]) {
        let (x, w) = (batch * inputs, inputs * outputs);
        // Outside of the products, the logits are read, and dz is written.
        let around = 2 * batch * outputs + batch + outputs + 1;
        let together = 2 * (x + w + outputs) + batch + 1;
        let least = products(3 * batch * inputs * outputs, together, around);
        let name = format!("output layer {batch} × {inputs} × {outputs}");
        self.add(name, least, move |device| {
            let x = tensor(device, &[batch, inputs])?;
            let w = tensor(device, &[inputs, outputs])?;
            let b = tensor(device, &[outputs])?;
            let labels = device.labels(&labels(batch, outputs))?;
            let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
                .outputs(Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX);
            Ok(Box::new(move || layer.gradients(&x, &w, Some(&b), &labels).map(drop)))
        });
    }

    /// Adds a loss of elements, with dense targets.
    fn loss(&mut self, loss: Loss) {
        let [rows, width] = self.sizes.rows;
        let operands = move |device: &Device| -> Result<[Tensor; 2]> {
            let (y, t) = (values(rows * width), vec![0.5; rows * width]);
            Ok([device.tensor(&y, [rows, width])?, device.tensor(&t, [rows, width])?])
        };
        self.add(format!("{} forward", loss.name()), numbers(2 * rows * width), move |device| {
            let [y, t] = operands(device)?;
            Ok(Box::new(move || loss.forward(&y, &t, Reduction::Mean).map(drop)))
        });
        self.add(format!("{} gradient", loss.name()), numbers(3 * rows * width), move |device| {
            let [y, t] = operands(device)?;
            Ok(Box::new(move || loss.gradient(&y, &t, Reduction::Mean).map(drop)))
        });
    }

    /// Adds cross-entropy of logits and labels.
    fn cross_entropy(&mut self) {
        let [rows, width] = self.sizes.rows;
        let loss = Loss::cross_entropy_with_logits();
        let operands = move |device: &Device| -> Result<_> {
            Ok((tensor(device, &[rows, width])?, device.labels(&labels(rows, width))?))
        };
        let name = loss.name();
        self.add(format!("{name} forward"), numbers(rows * width + rows), move |device| {
            let (z, labels) = operands(device)?;
            Ok(Box::new(move || loss.forward(&z, &labels, Reduction::Mean).map(drop)))
        });
        self.add(format!("{name} gradient"), numbers(2 * rows * width + rows), move |device| {
            let (z, labels) = operands(device)?;
            Ok(Box::new(move || loss.gradient(&z, &labels, Reduction::Mean).map(drop)))
        });
    }

    fn optimizers(&mut self) {
        let elements = self.sizes.elements;
        let operands = move |device: &Device| -> Result<[Tensor; 2]> {
            Ok([tensor(device, &[elements])?, device.tensor(&vec![1e-3; elements], [elements])?])
        };
        // The weights and the gradient, and the moments, which are read and written.
        self.add("sgd with momentum", numbers(5 * elements), move |device| {
            let [w, dw] = operands(device)?;
            let mut sgd = Sgd::new(1e-3).momentum(0.9);
            Ok(Box::new(move || sgd.step(&[(&w, &dw)])))
        });
        self.add("adam", numbers(7 * elements), move |device| {
            let [w, dw] = operands(device)?;
            let mut adam = Adam::new(1e-3);
            Ok(Box::new(move || adam.step(&[(&w, &dw)])))
        });
        // The norm is within its limit, so nothing has to change.
        self.add("clip_gradient_norm", numbers(elements), move |device| {
            let [_, dw] = operands(device)?;
            Ok(Box::new(move || clip_gradient_norm(&[&dw], 1e6).map(drop)))
        });
    }
}

/// All the work that is measured on devices of this kind.
pub fn all(kind: DeviceKind) -> Vec<Work> {
    let sizes = Sizes::of(kind);
    let mut works = Works { sizes, all: Vec::new() };
    for name in ["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "mish", "softplus"] {
        if let Ok(activation) = name.parse() {
            works.activation(activation, &[sizes.elements]);
        }
    }
    works.halves(Activation::Relu, &[sizes.elements]);
    works.halves(Activation::Sigmoid, &[sizes.elements]);
    works.halves(Activation::Softmax, &sizes.rows);
    works.gated();
    works.activation(Activation::Softmax, &sizes.rows);
    works.activation(Activation::LogSoftmax, &sizes.rows);
    for &size in sizes.products {
        works.product([size; 3]);
    }
    works.dense([1024, 784, 128]);
    for size in [[1024, 784, 10], [1024, 784, 1000], [32, 784, 10]] {
        works.output_layer(size);
    }
    works.loss(Loss::mse());
    works.loss(Loss::bce_with_logits());
    works.cross_entropy();
    works.optimizers();
    works.all
}
