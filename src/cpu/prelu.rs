//! Prelu, with a weight for each channel.

use pulp::NullaryFnOnce;

use super::matrix::column_sum;
use super::parallel::{CHUNK, SERIAL, on_all_threads, over_pieces, sum_of, vectorised};
use crate::backend::{Channels, Rows};
use wgrad_formula::formulas::Pointwise;
use wgrad_formula::formulas::activations::{Prelu, prelu_weight_term};

pub(super) fn forward(channels: Channels, z: &[f32], weight: &[f32], y: &mut [f32]) {
    each(channels, [z, z], weight, y, |z, _, weight| {
        let value = Prelu { weight }.forward(z);
        if z.is_nan() || weight.is_nan() { f32::NAN } else { value }
    });
}

pub(super) fn backward(channels: Channels, [z, weight, dy]: [&[f32]; 3], dz: &mut [f32]) {
    each(channels, [z, dy], weight, dz, |z, dy, weight| {
        let value = dy * Prelu { weight }.derivative(z);
        let undefined = z.is_nan() || dy.is_nan() || weight.is_nan();
        if undefined { f32::NAN } else { value }
    });
}

/// Computes the sums of each channel from the sums of each row.
pub(super) fn weight_gradient(
    channels: Channels,
    [z, dy]: [&[f32]; 2],
    sums: &mut [f32],
    dweight: &mut [f32],
) {
    let Rows { count, width } = channels.rows();
    let elements = channels.elements;
    let rows_per_piece = CHUNK.div_ceil(width);
    // Cut pieces by rows, because few sums come from many elements.
    let run = |first: usize, sums: &mut [f32]| {
        for (row, sum) in (first..).zip(sums) {
            let range = row * width..elements.min((row + 1) * width);
            *sum = vectorised(RowSum { z: &z[range.clone()], dy: &dy[range] });
        }
    };
    if elements < SERIAL {
        run(0, sums);
    } else {
        let pieces = sums.chunks_mut(rows_per_piece).enumerate();
        on_all_threads(pieces, |(piece, sums)| run(piece * rows_per_piece, sums));
    }
    let rows = Rows { count: count / channels.channels.max(1), width: channels.channels };
    column_sum(sums, rows, dweight);
}

struct RowSum<'a> {
    z: &'a [f32],
    dy: &'a [f32],
}

impl NullaryFnOnce for RowSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        let (z, dy) = (self.z, &self.dy[..self.z.len()]);
        let term = |i: usize| {
            let term = prelu_weight_term(z[i], dy[i]);
            if z[i].is_nan() || dy[i].is_nan() { f32::NAN } else { term }
        };
        sum_of(z.len(), term) as f32
    }
}

/// Applies the function to each element of the inputs and the weight of its channel.
fn each(
    channels: Channels,
    inputs: [&[f32]; 2],
    weight: &[f32],
    output: &mut [f32],
    f: impl Fn(f32, f32, f32) -> f32 + Send + Sync,
) {
    over_pieces(output, |start, piece| {
        let inputs = inputs.map(|input| &input[start..start + piece.len()]);
        vectorised(Piece { channels, inputs, weight, start, piece, f: &f });
    });
}

struct Piece<'a, F> {
    channels: Channels,
    inputs: [&'a [f32]; 2],
    weight: &'a [f32],
    start: usize,
    piece: &'a mut [f32],
    f: &'a F,
}

impl<F: Fn(f32, f32, f32) -> f32> NullaryFnOnce for Piece<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { channels, inputs: [z, dy], weight, start, piece, f } = self;
        let Channels { channels, width, .. } = channels;
        // The number of consecutive elements: those of a row, or all
        // channels if each row is one element.
        let length = if width == 1 { channels } else { width };
        let mut done = 0;
        while done < piece.len() {
            let at = start + done;
            let end = piece.len().min(done + length - at % length);
            let inputs = z[done..end].iter().zip(&dy[done..end]);
            let outputs = piece[done..end].iter_mut().zip(inputs);
            if width == 1 {
                let weights = &weight[at % length..];
                for ((output, (&z, &dy)), &weight) in outputs.zip(weights) {
                    *output = f(z, dy, weight);
                }
            } else {
                let weight = weight[at / width % channels];
                for (output, (&z, &dy)) in outputs {
                    *output = f(z, dy, weight);
                }
            }
            done = end;
        }
    }
}
