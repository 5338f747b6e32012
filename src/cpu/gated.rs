//! Gated units.

use pulp::NullaryFnOnce;
use wgrad_formula::formulas::{Map, Pointwise, PointwiseFunction, PointwiseVisitor};

use super::parallel::{over_pieces, vectorised};
use super::pointwise::{Factors, times};
use crate::backend::GatedCall;

pub(super) fn forward(call: GatedCall, x: &[f32], y: &mut [f32]) {
    let (width, function) = (call.rows.width, call.function);
    let (value, gate) = call.offsets();
    over_pieces(y, |start, y| {
        // The values and the gates, starting at a part.
        let inputs = |row: usize, offset: usize| {
            let x = &x[2 * row * width + offset..];
            [&x[value..], &x[gate..]]
        };
        let products = |row: usize, offset: usize, y: &mut [f32]| {
            let [factors, x] = inputs(row, offset);
            times(Map::Forward, function, Factors { x, factors, stride: 2 * width, width }, y)
        };
        // A piece may begin within a row.
        let (row, offset) = (start / width, start % width);
        let (rest, whole) = y.split_at_mut(y.len().min((width - offset) % width));
        let next = row + usize::from(offset > 0);
        let is_plain = products(row, offset, rest);
        if !(is_plain & (whole.is_empty() || products(next, 0, whole))) {
            for (row, offset, y) in parts(start, y, width) {
                let [values, gates] = inputs(row, offset);
                amend(y, gates, [values, &[]], Map::Forward, function);
            }
        }
    });
}

pub(super) fn backward(call: GatedCall, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    call.function.visit(Backward { call, x, dy, dx });
}

struct Backward<'a> {
    call: GatedCall,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl PointwiseVisitor<f32> for Backward<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        let Self { call, x, dy, dx } = self;
        let inputs = Inputs { call, x, dy };
        over_pieces(dx, |start, piece| {
            if !vectorised(BackwardPiece { formula, inputs, start, piece }) {
                inputs.amend(start, piece);
            }
        });
    }
}

/// The inputs of dE/dx.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    call: GatedCall,
    x: &'a [f32],
    dy: &'a [f32],
}

impl<'a> Inputs<'a> {
    /// The dy, gates and values for a part of dE/dx, and whether that part
    /// is the gradient of the values.
    #[inline(always)]
    fn of(&self, half: usize, offset: usize) -> ([&'a [f32]; 3], bool) {
        let width = self.call.rows.width;
        let (value, gate) = self.call.offsets();
        let row = half / 2;
        let x = &self.x[2 * row * width + offset..];
        let inputs = [&self.dy[row * width + offset..], &x[gate..], &x[value..]];
        (inputs, half % 2 * width == value)
    }

    #[cold]
    fn amend(&self, start: usize, piece: &mut [f32]) {
        let function = self.call.function;
        for (half, offset, dx) in parts(start, piece, self.call.rows.width) {
            match self.of(half, offset) {
                ([dy, gates, _], true) => amend(dx, gates, [dy, &[]], Map::Forward, function),
                ([dy, gates, values], false) => {
                    amend(dx, gates, [dy, values], Map::Derivative, function);
                }
            }
        }
    }
}

/// A piece of dE/dx that begins at this element. Returns whether all products are finite. Both
/// halves are compiled for each formula: with the shared loops of pointwise functions, narrow
/// rows take up to twice as long.
struct BackwardPiece<'a, F> {
    formula: F,
    inputs: Inputs<'a>,
    start: usize,
    piece: &'a mut [f32],
}

impl<F: Pointwise<f32>> NullaryFnOnce for BackwardPiece<'_, F> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        let Self { formula, inputs, start, piece } = self;
        let mut any_special = false;
        for (half, offset, dx) in parts(start, piece, inputs.call.rows.width) {
            let ([dy, gates, values], is_value) = inputs.of(half, offset);
            if is_value {
                for ((dx, &dy), &gate) in dx.iter_mut().zip(dy).zip(gates) {
                    *dx = dy * formula.forward(gate);
                    any_special |= dy.is_nan() | gate.is_nan() | !dx.is_finite();
                }
            } else {
                for (((dx, &dy), &gate), &value) in dx.iter_mut().zip(dy).zip(gates).zip(values) {
                    *dx = (dy * value) * formula.derivative(gate);
                    any_special |= gate.is_nan() | !dx.is_finite();
                }
            }
        }
        !any_special
    }
}

/// The parts of a piece that begins at this element, cut at the multiples of the width. Each part
/// comes with the number of its multiple and its offset there.
#[inline(always)]
fn parts(
    start: usize,
    piece: &mut [f32],
    width: usize,
) -> impl Iterator<Item = (usize, usize, &mut [f32])> {
    let (mut number, mut offset) = (start / width.max(1), start % width.max(1));
    let mut rest = piece;
    std::iter::from_fn(move || {
        let length = rest.len().min(width - offset);
        if length == 0 {
            return None;
        }
        let (part, later) = std::mem::take(&mut rest).split_at_mut(length);
        rest = later;
        let found = (number, offset, part);
        (number, offset) = (number + 1, 0);
        Some(found)
    })
}

/// Corrects products with f(gate) that are not finite: if f, or the product of the other factors,
/// is out of the range of f32, the whole product may still be in range.
#[cold]
fn amend(
    output: &mut [f32],
    gates: &[f32],
    others: [&[f32]; 2],
    map: Map,
    function: PointwiseFunction,
) {
    for (i, output) in output.iter_mut().enumerate() {
        let second = others[1].get(i).copied().unwrap_or(1.0);
        let (gate, first) = (gates[i], others[0][i]);
        let factors = [gate, first, second];
        if factors.iter().any(|factor| factor.is_nan()) {
            *output = f32::NAN;
        } else if !output.is_finite() && factors.iter().all(|factor| factor.is_finite()) {
            *output = (f64::from(first) * f64::from(second) * function.at(map, gate.into())) as f32;
        }
    }
}
