//! Gated units.

use pulp::NullaryFnOnce;

use super::parallel::{over_pieces, vectorised};
use super::pointwise::{BLOCK, by_formula};
use crate::backend::{GatedCall, Unary};
use wgrad_formula::formulas::PointwiseFunction;

pub(super) fn forward(call: GatedCall, x: &[f32], y: &mut [f32]) {
    let width = call.rows.width;
    let (value, gate) = call.offsets();
    over_pieces(y, |start, piece| {
        for (row, offset, y) in parts(start, piece, width) {
            let at = 2 * row * width + offset;
            let values = &x[at + value..][..y.len()];
            let gates = &x[at + gate..][..y.len()];
            let map = Unary::Forward;
            Product { map, function: call.function, gates, others: [values, &ONES] }.write(y);
        }
    });
}

pub(super) fn backward(call: GatedCall, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let width = call.rows.width;
    let (value, gate) = call.offsets();
    over_pieces(dx, |start, piece| {
        for (half, offset, dx) in parts(start, piece, width) {
            let row = half / 2;
            let at = 2 * row * width + offset;
            let values = &x[at + value..][..dx.len()];
            let gates = &x[at + gate..][..dx.len()];
            let dy = &dy[row * width + offset..][..dx.len()];
            let (map, others) = if half % 2 * width == value {
                (Unary::Forward, [dy, &ONES])
            } else {
                (Unary::Derivative, [dy, values])
            };
            Product { map, function: call.function, gates, others }.write(dx);
        }
    });
}

/// In the place of a factor that there is none of.
static ONES: [f32; BLOCK] = [1.0; BLOCK];

/// The parts of a piece that begins at this element, cut where multiples of the width are, and after a block:
/// each with the number of its multiple and its offset there.
fn parts(
    start: usize,
    piece: &mut [f32],
    width: usize,
) -> impl Iterator<Item = (usize, usize, &mut [f32])> {
    let mut at = start;
    let mut rest = piece;
    std::iter::from_fn(move || {
        let (number, offset) = (at / width.max(1), at % width.max(1));
        let length = rest.len().min(width - offset).min(BLOCK);
        if length == 0 {
            return None;
        }
        let (part, later) = std::mem::take(&mut rest).split_at_mut(length);
        rest = later;
        at += length;
        Some((number, offset, part))
    })
}

/// The product of two factors with a function of the gates, for a block at most.
struct Product<'a> {
    map: Unary,
    function: PointwiseFunction,
    gates: &'a [f32],
    others: [&'a [f32]; 2],
}

impl Product<'_> {
    fn write(&self, output: &mut [f32]) {
        by_formula(self.map, self.function, self.gates, output);
        if !vectorised(Multiplied { others: self.others, output }) {
            self.amend(output);
        }
    }

    /// Computes products once more in f64 that are not finite, though their factors are: where f is out of the
    /// range of f32, or the product of the others is, the whole may be in it.
    #[cold]
    fn amend(&self, output: &mut [f32]) {
        let others = self.others[0].iter().zip(self.others[1]);
        for ((output, &gate), (&first, &second)) in output.iter_mut().zip(self.gates).zip(others) {
            let factors = [first, second, gate];
            if factors.iter().any(|factor| factor.is_nan()) {
                *output = f32::NAN;
            } else if !output.is_finite() && factors.iter().all(|factor| factor.is_finite()) {
                let f = self.function.at(self.map, gate.into());
                *output = (f64::from(first) * f64::from(second) * f) as f32;
            }
        }
    }
}

/// Multiplies the output by the other factors. Returns whether all products are finite.
struct Multiplied<'a> {
    others: [&'a [f32]; 2],
    output: &'a mut [f32],
}

impl NullaryFnOnce for Multiplied<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        let Self { others: [first, second], output } = self;
        let mut all_finite = true;
        for ((output, first), second) in output.iter_mut().zip(first).zip(second) {
            *output *= first * second;
            all_finite &= output.is_finite();
        }
        all_finite
    }
}
