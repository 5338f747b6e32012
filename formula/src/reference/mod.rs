//! Floor 3: the formulas in plain `f64`, one value after the other and as simple as
//! possible: the oracle of the tests.

mod loss;
mod output_layer;
mod row;
mod simplex;

pub use loss::{LossData, LossGradient, TargetValues, Targets, loss};
pub use output_layer::{Gradients, Problem, output_layer};
pub use row::Row;

use crate::formulas::activations::{Prelu, prelu_weight_term};
use crate::formulas::{Function, Map, Pointwise, PointwiseFunction};

/// `g(z)` for rows of the given length (of any length for pointwise functions).
pub fn forward(function: Function, z: &[f64], row: usize) -> Vec<f64> {
    match function {
        Function::Rows(function) => {
            z.chunks(row.max(1)).flat_map(|z| Row::new(function).forward(z)).collect()
        }
        Function::Pointwise(function) => z.iter().map(|&z| function.at(Map::Forward, z)).collect(),
    }
}

/// `dE/dz` from z and `dE/dy`, for rows of the given length.
pub fn backward(function: Function, z: &[f64], dy: &[f64], row: usize) -> Vec<f64> {
    match function {
        Function::Rows(function) => {
            let rows = z.chunks(row.max(1)).zip(dy.chunks(row.max(1)));
            rows.flat_map(|(z, dy)| Row::new(function).backward(z, dy)).collect()
        }
        Function::Pointwise(function) => {
            z.iter().zip(dy).map(|(&z, &dy)| dy * function.at(Map::Derivative, z)).collect()
        }
    }
}

/// `∂y_i/∂z_j` of one row, row-major [K, K]; diagonal for pointwise functions.
pub fn jacobian(function: Function, z: &[f64]) -> Vec<f64> {
    match function {
        Function::Rows(function) => Row::new(function).jacobian(z),
        Function::Pointwise(function) => {
            let pairs = (0..z.len()).flat_map(|i| (0..z.len()).map(move |j| (i, j)));
            let element = |(i, j): (usize, usize)| {
                if i == j { function.at(Map::Derivative, z[i]) } else { 0.0 }
            };
            pairs.map(element).collect()
        }
    }
}

/// `value·g(gate)`, an output of a gated unit.
pub fn gated(function: PointwiseFunction, value: f64, gate: f64) -> f64 {
    value * function.at(Map::Forward, gate)
}

/// The gradients of a gated unit for `dE/dy`: dE/dvalue and dE/dgate.
pub fn gated_backward(function: PointwiseFunction, value: f64, gate: f64, dy: f64) -> (f64, f64) {
    (dy * function.at(Map::Forward, gate), dy * value * function.at(Map::Derivative, gate))
}

/// The gradients of prelu for `dE/dy` at one element: dE/dz, and its contribution to dE/dweight.
pub fn prelu_backward(z: f64, weight: f64, dy: f64) -> (f64, f64) {
    if z.is_nan() || dy.is_nan() {
        return (f64::NAN, f64::NAN);
    }
    let slope = Prelu { weight }.derivative(z);
    let dz = if weight.is_nan() { f64::NAN } else { dy * slope };
    (dz, prelu_weight_term(z, dy))
}

/// `z` if z > 0, else `weight·z`: prelu with the weight of the element's channel.
pub fn prelu(z: f64, weight: f64) -> f64 {
    if z.is_nan() || weight.is_nan() {
        return f64::NAN;
    }
    Prelu { weight }.forward(z)
}

/// `a · b` for a of shape [rows, inner] and b of shape [inner, columns]. A
/// missing element counts as NaN.
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

/// The sum; 0 for an empty slice, while an iterator's sum would be −0.
fn sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    terms.into_iter().fold(0.0, |total, term| total + term)
}
