//! The clipping of gradients.

use pulp::NullaryFnOnce;

use super::parallel::{CHUNK, of_pieces, over_pieces, vectorised};

/// The sum of squares in f64, where the square of an f32 neither overflows
/// nor vanishes, in a fixed order.
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    of_pieces(values, CHUNK, |values| vectorised(SquareSum { values })).into_iter().sum()
}

/// min(1, max_norm / (norm + 1e-6)), or NaN if that is NaN.
pub(super) fn factor(norm: f32, max_norm: f32) -> f64 {
    let ratio = f64::from(max_norm) / (f64::from(norm) + 1e-6);
    if ratio > 1.0 { 1.0 } else { ratio }
}

/// Multiplies in f64, because the factor may be too small for f32.
pub(super) fn scale(factor: f64, old: &[f32], new: &mut [f32]) {
    map(old, new, |value| (factor * f64::from(value)) as f32);
}

/// Clamps to ±limit; NaN stays NaN.
pub(super) fn bound(limit: f32, old: &[f32], new: &mut [f32]) {
    map(old, new, |value| value.clamp(-limit, limit));
}

fn map(old: &[f32], new: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    over_pieces(new, |start, new| {
        let old = &old[start..start + new.len()];
        new.iter_mut().zip(old).for_each(|(new, &old)| *new = f(old));
    });
}

/// The number of partial sums that are kept side by side.
const LANES: usize = 16;

struct SquareSum<'a> {
    values: &'a [f32],
}

impl NullaryFnOnce for SquareSum<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let square = |value: f32| f64::from(value) * f64::from(value);
        let mut sums = [0.0; LANES];
        let (chunks, rest) = self.values.as_chunks::<LANES>();
        for chunk in chunks {
            sums.iter_mut().zip(chunk).for_each(|(sum, &value)| *sum += square(value));
        }
        sums.iter_mut().zip(rest).for_each(|(sum, &value)| *sum += square(value));
        sums.iter().sum()
    }
}
