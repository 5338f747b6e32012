//! Sine, cosine and arctangent, for every finite argument.

use super::bits::{polynomial, product, quotient, select};
use crate::numbers::Sum;

/// 2/π in two parts, computed by `fit.py`. The first row is all of it. The others omit what makes
/// whole turns of arguments whose bits are worth at least 2^26, 2^50, 2^74 and 2^98, as is the case
/// for all bits of an f32 from the sizes below on.
const TURNS: [[f64; 2]; 5] = [
    [std::f64::consts::FRAC_2_PI, -3.935735335036497e-17],
    [2.568255326690366e-08, -5.434184107743751e-25],
    [2.93709554037182e-16, 1.018166438749971e-32],
    [3.254380609134673e-23, 2.5184173833409495e-39],
    [-5.321602079519459e-31, 1.7266765423121933e-47],
];

const SIZES: [f64; 4] =
    [(1_u128 << 49) as f64, (1_u128 << 73) as f64, (1_u128 << 97) as f64, (1_u128 << 121) as f64];

/// An angle as a number of quarter turns, modulo 4, and a rest in [−π/4, π/4].
#[derive(Clone, Copy)]
struct Angle {
    quarter: u32,
    rest: Sum<f32>,
}

/// 1.5 · 2^52: the last bits of a sum with it are the nearest integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// x in quarter turns, as the last bits of an integer and a fraction. A fused multiply-add leaves
/// only the fraction of the product (Cody and Waite 1980), however large the product is compared
/// with it (Payne and Hanek 1983).
#[inline(always)]
fn quarter_turns(x: f64, [turns, rest]: [f64; 2]) -> (u32, f64) {
    let rounded = x.mul_add(turns, ROUND);
    let fraction = x.mul_add(turns, ROUND - rounded);
    (rounded.to_bits() as u32, x.mul_add(rest, fraction))
}

/// The angle x, plus an eighth of a turn if `more`.
#[inline(always)]
fn reduce(x: Sum<f32>, more: bool) -> Angle {
    let (high, low) = (f64::from(x.high), f64::from(x.low));
    let turns_from = |sizes: &[f64]| {
        let mut turns = TURNS[0];
        for (size, coarse) in sizes.iter().zip(&TURNS[1..]) {
            turns = if high.abs() >= *size { *coarse } else { turns };
        }
        turns
    };
    let (whole, fraction) = quarter_turns(high, turns_from(&SIZES));
    // The low part's bits are worth as much as the bits of the high part of
    // an angle 2^24 times smaller.
    let (low_whole, low_fraction) = quarter_turns(low, turns_from(&SIZES[1..]));
    let fraction = fraction + low_fraction;
    let fraction = if more { fraction + 0.5 } else { fraction };
    let rounded = fraction + ROUND;
    let angle = (fraction - (rounded - ROUND)) * std::f64::consts::FRAC_PI_2;
    let quarter = whole.wrapping_add(low_whole).wrapping_add(rounded.to_bits() as u32);
    let high = angle as f32;
    Angle { quarter, rest: Sum { high, low: (angle - f64::from(high)) as f32 } }
}

impl Angle {
    /// sin, or cos if `more` is a quarter turn, in two parts.
    #[inline(always)]
    fn sin(self, more: u32) -> Sum<f32> {
        let Sum { high: r, low } = self.rest;
        let y = r * r;
        // fit: sin
        let p = polynomial(y, [2.8034437e-06, -0.00019850249, 0.008333373, -0.16666667]);
        let small = r * y * p + low;
        // fit: cos
        let p = polynomial(y, [-2.860548e-07, 2.4819214e-05, -0.0013888973, 0.041666668]);
        let large = (y * y * p - r * low) - 0.5 * y;
        let quarter = self.quarter.wrapping_add(more);
        let odd = quarter & 1 == 1;
        let (first, second) = if odd { (1.0, large) } else { (r, small) };
        let high = first + second;
        let low = (first - high) + second;
        let negative = quarter & 2 == 2;
        Sum { high: select(negative, -high, high), low: select(negative, -low, low) }
    }
}

/// sin x; NaN at ±∞. The sign of zero is kept.
#[inline(always)]
pub(super) fn sin(x: Sum<f32>) -> f32 {
    let y = reduce(x, false).sin(0).high;
    select(x.high.is_finite(), select(x.high == 0.0, x.high, y), f32::NAN)
}

/// cos x; NaN at ±∞.
#[inline(always)]
pub(super) fn cos(x: Sum<f32>) -> f32 {
    select(x.high.is_finite(), reduce(x, false).sin(1).high, f32::NAN)
}

/// 1 + sin 2x = 2 sin²(x + π/4), without the cancellation; NaN at ±∞.
#[inline(always)]
pub(super) fn one_plus_sin_twice(x: Sum<f32>) -> f32 {
    let sin = reduce(x, true).sin(0).high;
    let y = select(x.high == 0.0, 1.0, 2.0 * sin * sin);
    select(x.high.is_finite(), y, f32::NAN)
}

/// cos² x; NaN at ±∞.
#[inline(always)]
pub(super) fn cos_squared(x: f32) -> f32 {
    let cos = reduce(x.into(), false).sin(1);
    let y = cos.high * cos.high + 2.0 * cos.high * cos.low;
    select(x.is_finite(), y, f32::NAN)
}

/// cos 2x = 2 sin(x + π/4)·cos(x + π/4); NaN at ±∞.
#[inline(always)]
pub(super) fn cos_twice(x: Sum<f32>) -> f32 {
    let angle = reduce(x, true);
    let y = 2.0 * angle.sin(0).high * angle.sin(1).high;
    let y = select(x.high == 0.0, 1.0, y);
    select(x.high.is_finite(), y, f32::NAN)
}

/// z + sin²(az) / a
#[inline(always)]
pub(super) fn snake(z: f32, a: f32) -> f32 {
    let angle = product(a, z);
    let sin = reduce(angle, false).sin(0);
    let square = product(sin.high, sin.high);
    let ratio = quotient(square.high, a);
    let low = ratio.low + (square.low + 2.0 * sin.high * sin.low) / a;
    let y = z + ratio.high;
    let lost = select(z.abs() > ratio.high.abs(), (z - y) + ratio.high, (ratio.high - y) + z);
    // If the angle overflows, the wave is too small compared with z to matter.
    select(a == 0.0 || angle.high.is_infinite(), z, y + (lost + low))
}

#[inline(always)]
pub(super) fn atan(x: f32) -> f32 {
    let a = x.abs();
    // Above 1, compute π/2 − arctan(1/a).
    let large = a > 1.0;
    let inverse = quotient(1.0, a);
    let t = select(large, inverse.high, a);
    let low = select(large, inverse.low, 0.0);
    let y = t * t;
    // fit: arctan
    let p = polynomial(
        y,
        [
            0.0011298939,
            -0.007404107,
            0.022737006,
            -0.044941608,
            0.06761187,
            -0.0882063,
            0.11061086,
            -0.14280333,
            0.19999716,
            -0.33333328,
        ],
    );
    let tail = t * y * p + low * (1.0 - 0.5 * y);
    let far = (1.570_796_4 - t) - (tail + 4.371_139e-8);
    select(large, far, t + tail).copysign(x)
}
