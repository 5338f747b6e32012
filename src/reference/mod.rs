//! The formulas in plain Rust, so that anyone can check any result.
//!
//! The functions of this module compute in `f64`, one value after the other, with nothing clever:
//! they are the oracle of the tests. Underneath, each formula is written once, generic over
//! [`Real`]; the CPU backend runs the same formulas in `f32`.
//!
//! ```
//! use wgrad::{Activation, reference};
//! let y = reference::forward(&Activation::Softmax, &[0.0, 0.0, 1.0, 3.0], 2);
//! assert_eq!(y[..2], [0.5, 0.5]);
//! ```

pub mod activations;
mod loss;
pub mod losses;
mod output_layer;
mod pair;
mod real;
mod row;
mod special;

pub use activations::{Pointwise, Rowwise};
pub use loss::{
    LossGradient, LossProblem, TargetValues, Targets, loss, loss_term, loss_term_gradient,
};
pub use losses::{LossOfForms, LossTerm};
pub use output_layer::{Gradients, Problem, output_layer};
pub(crate) use pair::Pair;
pub use real::{Real, Sum};
pub use row::Row;
pub use special::Special;

use crate::activation::{Activation, PointwiseVisitor};

/// `g(z)` for rows of the given length (of any length for pointwise activations).
pub fn forward(activation: &Activation, z: &[f64], row: usize) -> Vec<f64> {
    if activation.is_rowwise() {
        return z.chunks(row.max(1)).flat_map(|z| Row::new(*activation).forward(z)).collect();
    }
    z.iter().map(|&z| value(activation, z)).collect()
}

/// `g(z)` of a pointwise activation; NaN for a row-wise one.
pub(crate) fn value(activation: &Activation, z: f64) -> f64 {
    evaluate(activation, Order::Forward, z)
}

/// `g'(z)` of a pointwise activation; NaN for a row-wise one, which has a Jacobian.
pub fn derivative(activation: &Activation, z: f64) -> f64 {
    evaluate(activation, Order::Derivative, z)
}

/// `g''(z)` of a pointwise activation; NaN for a row-wise one.
pub fn second_derivative(activation: &Activation, z: f64) -> f64 {
    evaluate(activation, Order::Second, z)
}

/// `g'(z)` from `y = g(z)`, where that is possible.
pub fn derivative_from_output(activation: &Activation, y: f64) -> Option<f64> {
    activation
        .has_derivative_from_output()
        .then(|| evaluate(activation, Order::DerivativeFromOutput, y))
}

/// `dE/dz` from z and `dE/dy`, for rows of the given length.
pub fn backward(activation: &Activation, z: &[f64], dy: &[f64], row: usize) -> Vec<f64> {
    if activation.is_rowwise() {
        let rows = z.chunks(row.max(1)).zip(dy.chunks(row.max(1)));
        return rows.flat_map(|(z, dy)| Row::new(*activation).backward(z, dy)).collect();
    }
    z.iter().zip(dy).map(|(&z, &dy)| dy * derivative(activation, z)).collect()
}

/// `∂y_i/∂z_j` of one row, row-major [K, K]; diagonal for pointwise activations.
pub fn jacobian(activation: &Activation, z: &[f64]) -> Vec<f64> {
    if activation.is_rowwise() {
        return Row::new(*activation).jacobian(z);
    }
    let pairs = (0..z.len()).flat_map(|i| (0..z.len()).map(move |j| (i, j)));
    pairs.map(|(i, j)| if i == j { derivative(activation, z[i]) } else { 0.0 }).collect()
}

/// `value·g(gate)`, an output of a gated unit with a pointwise activation.
pub fn gated(activation: &Activation, value: f64, gate: f64) -> f64 {
    value * evaluate(activation, Order::Forward, gate)
}

/// What a gated unit gives back for `dE/dy`: dE/dvalue and dE/dgate.
pub fn gated_backward(activation: &Activation, value: f64, gate: f64, dy: f64) -> (f64, f64) {
    let g = evaluate(activation, Order::Forward, gate);
    (dy * g, dy * value * derivative(activation, gate))
}

/// What prelu gives back for `dE/dy` at one element: dE/dz, and its part of dE/dweight.
pub fn prelu_backward(z: f64, weight: f64, dy: f64) -> (f64, f64) {
    if z.is_nan() || dy.is_nan() {
        return (f64::NAN, f64::NAN);
    }
    let slope = activations::Prelu { weight }.derivative(z);
    let dz = if weight.is_nan() { f64::NAN } else { dy * slope };
    (dz, activations::prelu_weight_term(z, dy))
}

/// `z` where z > 0, else `weight·z`: prelu with a weight of the element's channel.
pub fn prelu(z: f64, weight: f64) -> f64 {
    if z.is_nan() || weight.is_nan() {
        return f64::NAN;
    }
    activations::Prelu { weight }.forward(z)
}

/// `a · b` for a of shape [rows, inner] and b of shape [inner, columns]. An element that is missing
/// counts as NaN.
pub fn matmul(a: &[f64], b: &[f64], rows: usize, inner: usize, columns: usize) -> Vec<f64> {
    let at = |matrix: &[f64], index: usize| matrix.get(index).copied().unwrap_or(f64::NAN);
    let element = |row: usize, column: usize| -> f64 {
        sum((0..inner).map(|k| at(a, row * inner + k) * at(b, k * columns + column)))
    };
    (0..rows)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .map(|(row, column)| element(row, column))
        .collect()
}

/// Of nothing 0, where that of an iterator is −0.
fn sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    terms.into_iter().fold(0.0, |total, term| total + term)
}

#[derive(Clone, Copy)]
enum Order {
    Forward,
    Derivative,
    Second,
    DerivativeFromOutput,
}

struct At {
    order: Order,
    x: f64,
}

impl PointwiseVisitor<f64> for At {
    type Output = f64;

    fn visit<F: Pointwise<f64>>(self, formula: F) -> f64 {
        match self.order {
            Order::Forward => formula.forward(self.x),
            Order::Derivative => formula.derivative(self.x),
            Order::Second => formula.second_derivative(self.x),
            Order::DerivativeFromOutput => formula.derivative_from_output(self.x),
        }
    }
}

fn evaluate(activation: &Activation, order: Order, x: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    activation.visit_pointwise(At { order, x }).unwrap_or(f64::NAN)
}
