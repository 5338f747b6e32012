//! Sine, cosine and arctangent, for every finite argument.

use super::bits::{polynomial, product, quotient, select};
use crate::reference::Sum;

/// The bits of 2/π after 58 zeros, as a binary fraction cut into words.
const TWO_OVER_PI: [u32; 9] = [
    0x0000_0000,
    0x0000_0028,
    0xbe60_db93,
    0x9105_4a7f,
    0x09d5_f47d,
    0x4d37_7036,
    0xd8a5_664f,
    0x10e4_107f,
    0x9458_eaf7,
];

/// The angle in quarter turns, modulo 4, with 62 bits behind the point: the product with 2/π, in as
/// many bits as it takes (Payne and Hanek 1983). Below 2^least, nothing.
#[inline(always)]
fn quarter_turns(x: f32, least: i32) -> u64 {
    let exponent = (x.to_bits() >> 23 & 0xff) as i32 - 127;
    // x = m · 2^(exponent − 23): the product's bits of interest begin here.
    let m = u64::from((x.to_bits() & 0x007f_ffff) | 0x0080_0000);
    let start = (exponent + 33).clamp(0, 160) as usize;
    let (word, shift) = (start / 32, start % 32);
    let window = |i: usize| {
        let two = u64::from(TWO_OVER_PI[word + i]) << 32 | u64::from(TWO_OVER_PI[word + i + 1]);
        (two << shift) >> 32
    };
    let middle = m * window(1) + ((m * window(2)) >> 32);
    let turns = ((m * window(0)) << 32).wrapping_add(middle);
    let turns = if exponent < least { 0 } else { turns };
    if x < 0.0 { turns.wrapping_neg() } else { turns }
}

/// An angle as quarter turns, modulo 4, and a rest in [−π/4, π/4].
#[derive(Clone, Copy)]
struct Angle {
    quarter: u32,
    rest: Sum<f32>,
}

/// The angle x, and an eighth of a turn more where that is asked for.
#[inline(always)]
fn reduce(x: Sum<f32>, more: bool) -> Angle {
    // A small angle is its own rest, with all its digits; beside an eighth they do not count.
    let least = if more { -33 } else { -1 };
    // The low part of the sum.
    const LEAST: i32 = -12;
    let turns = quarter_turns(x.high, least).wrapping_add(quarter_turns(x.low, LEAST));
    let turns = if more { turns.wrapping_add(1 << 61) } else { turns };
    let quarter = (turns.wrapping_add(1 << 61) >> 62) as u32;
    let fraction = turns.wrapping_sub(u64::from(quarter) << 62) as i64;
    // Three pieces that an f32 holds exactly.
    let magnitude = fraction.unsigned_abs();
    let upper = (magnitude >> 40) as i32 as f32 * 2.384_185_8e-7;
    let middle = (magnitude >> 20 & 0xf_ffff) as i32 as f32 * 2.273_736_8e-13;
    let lower = (magnitude & 0xf_ffff) as i32 as f32 * 2.168_404_3e-19;
    let sum = upper + (middle + lower);
    let turn = Sum { high: sum, low: (upper - sum) + (middle + lower) };
    // π/2 in two parts.
    let angle = turn.times_sum(Sum { high: 1.570_796_4, low: -4.371_139e-8 });
    let sign = select(fraction < 0, -1.0, 1.0);
    let small = |part: f32, least: i32| {
        select(part.abs() < f32::from_bits(((least + 127) as u32) << 23), part, 0.0)
    };
    let high = small(x.high, least);
    let rest = sign * angle.low + small(x.low, LEAST);
    let whole = (sign * angle.high + high) + rest;
    let low = ((sign * angle.high + high) - whole) + rest;
    Angle { quarter, rest: Sum { high: whole, low } }
}

impl Angle {
    /// sin, or cos where it is a quarter turn more, in two parts.
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

/// sin x; NaN at ±∞. The sign of zero stays.
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
    // Where the angle overflows, the wave is too small beside z to count.
    select(a == 0.0 || angle.high.is_infinite(), z, y + (lost + low))
}

#[inline(always)]
pub(super) fn atan(x: f32) -> f32 {
    let a = x.abs();
    // Above 1 through π/2 − arctan(1/a).
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
