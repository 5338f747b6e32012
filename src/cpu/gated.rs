//! Gated units.

use pulp::NullaryFnOnce;

use super::parallel::{over_pieces, vectorised};
use crate::backend::GatedCall;
use wgrad_formula::formulas::{Map, Pointwise, PointwiseVisitor};

pub(super) fn forward(call: GatedCall, x: &[f32], y: &mut [f32]) {
    call.function.visit(Forward { call, x, y });
}

pub(super) fn backward(call: GatedCall, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    call.function.visit(Backward { call, x, dy, dx });
}

/// The parts of a piece that begins at this element, cut where multiples of the width are: each with
/// the number of its multiple and its offset there.
#[inline(always)]
fn parts(
    start: usize,
    piece: &mut [f32],
    width: usize,
) -> impl Iterator<Item = (usize, usize, &mut [f32])> {
    let mut at = start;
    let mut rest = piece;
    std::iter::from_fn(move || {
        let (number, offset) = (at / width.max(1), at % width.max(1));
        let length = rest.len().min(width - offset);
        if length == 0 {
            return None;
        }
        let (part, later) = std::mem::take(&mut rest).split_at_mut(length);
        rest = later;
        at += length;
        Some((number, offset, part))
    })
}

/// A product with g(gate), or with g'(gate), in f64: where the factor is out of the range of f32, or the product
/// of the others is, the whole may be in it.
#[cold]
fn exact(others: [f32; 2], factor: f64) -> f32 {
    (f64::from(others[0]) * f64::from(others[1]) * factor) as f32
}

/// Whether a product of numbers should be computed once more: not where one of them is no number, or infinite.
#[inline(always)]
fn overflowed(product: f32, factors: [f32; 3]) -> bool {
    !product.is_finite() && factors.iter().all(|factor| factor.is_finite())
}

struct Forward<'a> {
    call: GatedCall,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl PointwiseVisitor<f32> for Forward<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        let Self { call, x, y } = self;
        over_pieces(y, |start, piece| {
            vectorised(ForwardPiece { formula, call, x, start, piece });
        });
    }
}

struct ForwardPiece<'a, F> {
    formula: F,
    call: GatedCall,
    x: &'a [f32],
    start: usize,
    piece: &'a mut [f32],
}

impl<F: Pointwise<f32>> NullaryFnOnce for ForwardPiece<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.call.rows.width;
        let (value, gate) = self.call.offsets();
        for (row, offset, y) in parts(self.start, self.piece, width) {
            let at = 2 * row * width + offset;
            let (values, gates) = (&self.x[at + value..], &self.x[at + gate..]);
            let mut any_special = false;
            for ((y, &value), &gate) in y.iter_mut().zip(values).zip(gates) {
                let product = value * self.formula.forward(gate);
                *y = if value.is_nan() || gate.is_nan() { f32::NAN } else { product };
                any_special |= !y.is_finite();
            }
            if any_special {
                for ((y, &value), &gate) in y.iter_mut().zip(values).zip(gates) {
                    if overflowed(*y, [value, gate, 1.0]) {
                        *y = exact([value, 1.0], self.call.function.at(Map::Forward, gate.into()));
                    }
                }
            }
        }
    }
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
        over_pieces(dx, |start, piece| {
            vectorised(BackwardPiece { formula, call, x, dy, start, piece });
        });
    }
}

struct BackwardPiece<'a, F> {
    formula: F,
    call: GatedCall,
    x: &'a [f32],
    dy: &'a [f32],
    start: usize,
    piece: &'a mut [f32],
}

impl<F: Pointwise<f32>> NullaryFnOnce for BackwardPiece<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.call.rows.width;
        let (value, gate) = self.call.offsets();
        for (half, offset, dx) in parts(self.start, self.piece, width) {
            let row = half / 2;
            let at = 2 * row * width + offset;
            let values = &self.x[at + value..];
            let gates = &self.x[at + gate..];
            let dy = &self.dy[row * width + offset..];
            let function = self.call.function;
            let mut any_special = false;
            if half % 2 * width == value {
                for ((dx, &dy), &gate) in dx.iter_mut().zip(dy).zip(gates) {
                    let product = dy * self.formula.forward(gate);
                    *dx = if dy.is_nan() || gate.is_nan() { f32::NAN } else { product };
                    any_special |= !dx.is_finite();
                }
                if any_special {
                    for ((dx, &dy), &gate) in dx.iter_mut().zip(dy).zip(gates) {
                        if overflowed(*dx, [dy, gate, 1.0]) {
                            *dx = exact([dy, 1.0], function.at(Map::Forward, gate.into()));
                        }
                    }
                }
            } else {
                for (((dx, &dy), &gate), &value) in dx.iter_mut().zip(dy).zip(gates).zip(values) {
                    let product = (dy * value) * self.formula.derivative(gate);
                    let undefined = dy.is_nan() || gate.is_nan() || value.is_nan();
                    *dx = if undefined { f32::NAN } else { product };
                    any_special |= !dx.is_finite();
                }
                if any_special {
                    let inputs = dy.iter().zip(gates).zip(values);
                    for (dx, ((&dy, &gate), &value)) in dx.iter_mut().zip(inputs) {
                        if overflowed(*dx, [dy, gate, value]) {
                            let slope = function.at(Map::Derivative, gate.into());
                            *dx = exact([dy, value], slope);
                        }
                    }
                }
            }
        }
    }
}
