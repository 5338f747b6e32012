//! The rows of the tables.

use common::Case;

/// The least that a case costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Least {
    /// The bytes of memory that are read or written.
    Bytes(f64),
    /// The number of additions and multiplications.
    Operations(f64),
    /// Something else limits it.
    Unknown,
}

pub struct Row {
    pub title: String,
    pub case: Case,
    pub least: Least,
}

/// The number of elements of pointwise work.
pub const ELEMENTS: usize = 1 << 22;

const F32: f64 = size_of::<f32>() as f64;

/// The cost of reading or writing this many f32.
fn bytes(numbers: usize) -> Least {
    Least::Bytes(numbers as f64 * F32)
}

fn operations(multiply_adds: usize) -> Least {
    Least::Operations(2.0 * multiply_adds as f64)
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |title: String, case, least| rows.push(Row { title, case, least });
    for name in ["sigmoid", "tanh", "relu", "gelu", "gelu_tanh"] {
        row(format!("{name} forward"), Case::Forward(name.into(), ELEMENTS), bytes(2 * ELEMENTS));
    }
    for name in ["sigmoid", "tanh", "gelu"] {
        // z and y; then z or y again, dy and dz.
        let title = format!("{name} forward + backward");
        row(title, Case::Both(name.into(), ELEMENTS), bytes(5 * ELEMENTS));
    }
    let (count, width) = (4096, 1024);
    row(
        format!("softmax {count} × {width} forward"),
        Case::Softmax(count, width),
        bytes(2 * count * width),
    );
    row(
        format!("softmax {count} × {width} forward + backward"),
        Case::SoftmaxBoth(count, width),
        bytes(5 * count * width),
    );
    for n in [512, 1024] {
        row(format!("matrix product {n}³"), Case::Product(n), operations(n * n * n));
    }
    for (batch, inputs, outputs) in [(1024, 784, 10), (1024, 784, 1000), (32, 784, 10)] {
        // x·w, xᵀ·dz and dz·wᵀ.
        let least = match outputs {
            10 => Least::Unknown,
            _ => operations(3 * batch * inputs * outputs),
        };
        let title = format!("output layer B {batch}, M {inputs}, K {outputs}");
        row(title, Case::OutputLayer(batch, inputs, outputs), least);
    }
    rows
}

/// The cases that run in a fresh process.
pub fn first() -> [(&'static str, Case); 2] {
    [
        ("sigmoid of 1024 elements", Case::Forward("sigmoid".into(), 1024)),
        ("output layer B 32, M 784, K 10", Case::OutputLayer(32, 784, 10)),
    ]
}

/// The sizes of the picture, in elements.
pub fn sizes() -> impl Iterator<Item = usize> {
    (10..=28).step_by(2).map(|power| 1 << power)
}

/// The length of the rows in the picture.
pub const WIDTH: usize = 1024;
