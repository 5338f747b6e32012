//! Powers of e.

use super::bits::{
    Pair, SMALL, bounded, greatest, head, least, polynomial, power_of_two, scale, select,
};
use crate::reference::Sum;

/// The greatest x whose e^x is finite.
const LARGEST: f32 = 88.722_83;

/// e^(high + low) = 2^exponent · (1 + fraction)
#[derive(Clone, Copy)]
pub(super) struct Exponential {
    pub(super) exponent: i32,
    pub(super) fraction: f32,
}

/// For high in [−256, 256] and a low part of at most a few units in high's last place.
#[inline(always)]
pub(super) fn exponential(x: Sum<f32>) -> Exponential {
    // 1.5 · 2^23: the sum's last bits are the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x.high * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    // ln 2 = 355/512 − 2.1219444e-4; n · 355/512 is exact, so the first difference is too.
    let r = (x.high - n * (355.0 / 512.0)) - (n * -2.121_944_4e-4 - x.low);
    // fit: exp
    let p = polynomial(r, [0.00019958447, 0.0013933715, 0.008333192, 0.041666478, 0.16666667, 0.5]);
    Exponential { exponent, fraction: r * r * p + r }
}

impl Exponential {
    /// Rounded once.
    #[inline(always)]
    pub(super) fn value(self) -> f32 {
        scale(1.0 + self.fraction, self.exponent)
    }

    /// factor · 2^exponent · (1 + fraction), rounded once where it is subnormal: in two steps, so that
    /// no power of two leaves the range.
    #[inline(always)]
    pub(super) fn times(self, factor: Sum<f32>) -> f32 {
        let half = self.exponent >> 1;
        let (power, rest) = (power_of_two(half), power_of_two(self.exponent - half));
        (factor.high + (factor.high * self.fraction + factor.low)) * power * rest
    }

    /// With 12 bits more than f32, times `1/scale`: 1, or 2^64 above 2^60.
    #[inline(always)]
    pub(super) fn pair(self) -> Scaled {
        let far = self.exponent > 60;
        let upper = head(1.0 + self.fraction);
        let lower = self.fraction - (upper - 1.0);
        let power = power_of_two(self.exponent - if far { 64 } else { 0 });
        let pair = Pair { head: upper * power, rest: lower * power };
        Scaled { pair, scale: select(far, SMALL, 1.0) }
    }
}

/// A number in parts and the factor that it is kept small by, 1 or 2^−64.
#[derive(Clone, Copy)]
pub(super) struct Scaled {
    pub(super) pair: Pair,
    pub(super) scale: f32,
}

/// e^x: infinite past 88.72283, zero below −104.
#[inline(always)]
pub(super) fn exp(x: Sum<f32>) -> f32 {
    let y = exponential(bounded(x, -104.0, LARGEST)).value();
    select(x.high > LARGEST, f32::INFINITY, y)
}

/// factor · e^x, rounded once where it is subnormal though e^x alone has few digits.
#[inline(always)]
pub(super) fn exp_times(factor: f32, x: Sum<f32>) -> f32 {
    let y = exponential(bounded(x, -174.0, 174.0)).times(factor.into());
    select(x.high < -174.0, 0.0_f32.copysign(factor), y)
}

/// e^x − 1: infinite past 88.72283.
#[inline(always)]
pub(super) fn exp_m1(x: Sum<f32>) -> f32 {
    let e = exponential(bounded(x, -104.0, LARGEST));
    let n = e.exponent;
    // 2^n · (1 + fraction) − 1, with the difference of the two powers exact.
    let power = power_of_two(n.clamp(-30, 30));
    let middle = power * e.fraction + (power - 1.0);
    let result = select(n > 30, e.value(), middle);
    let result = select(n < -30, -1.0, result);
    let result = select(n == 0, e.fraction, result);
    let result = select(x.high > LARGEST, f32::INFINITY, result);
    select(x.high.abs() < 1e-8, x.high, result)
}

/// z − m, with what its rounding lost.
#[inline(always)]
pub(in crate::cpu) fn difference(z: f32, m: f32) -> Sum<f32> {
    let high = z - m;
    // Knuth's two-sum.
    let back = high - z;
    let low = (z - (high - back)) + (-m - back);
    Sum { high, low: select(high.is_finite(), low, 0.0) }
}

/// e^d for d ≤ 0.
#[inline(always)]
pub(in crate::cpu) fn exp_difference(d: Sum<f32>) -> f32 {
    let near = d.high > -104.0;
    let x = Sum { high: select(near, d.high, -104.0), low: select(near, d.low, 0.0) };
    select(near, exponential(x).value(), 0.0)
}

/// −weight · a²
#[inline(always)]
pub(super) fn negative_square(a: f32, weight: f32) -> Sum<f32> {
    let a_head = head(a);
    Sum { high: -weight * a_head * a_head, low: -weight * ((a - a_head) * (a + a_head)) }
}

/// |x|, at most `most`.
#[inline(always)]
pub(super) fn least_magnitude(x: f32, most: f32) -> f32 {
    least(greatest(x, -x), most)
}
