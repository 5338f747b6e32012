//! Powers of e.

use super::bits::{SCALED_BIAS, bounded, fma, polynomial, power_of_two, scale, scale_down, select};
use crate::numbers::Sum;

/// e^(high + low) = 2^exponent · (1 + fraction)
#[derive(Clone, Copy)]
pub(super) struct Exponential {
    pub(super) exponent: i32,
    /// The rounded sum of the parts.
    pub(super) fraction: f32,
    /// The fraction in two parts, either of which may be the larger.
    pub(super) parts: Sum<f32>,
}

/// Computes e^x for a high part in [−256, 256] and a low part of at most a
/// few units in its last place.
#[inline(always)]
pub(super) fn exponential(x: Sum<f32>) -> Exponential {
    exponential_by(x, |r| {
        // fit: exp_short
        let [c4, c3, c2, c1, c0] = [0.0013933715, 0.008366843, 0.041666478, 0.1666654, 0.5];
        // Estrin's scheme: fewer steps wait for one another.
        fma(r * r, fma(r * r, c4, fma(c3, r, c2)), fma(c1, r, c0))
    })
}

/// Like [`exponential`], with a fraction that is as precise when it is small.
#[inline(always)]
pub(super) fn exponential_m1(x: Sum<f32>) -> Exponential {
    exponential_by(x, |r| {
        // fit: exp
        polynomial(r, [0.00019958447, 0.0013933715, 0.008333192, 0.041666478, 0.16666667, 0.5])
    })
}

/// Computes e^x with p(r) for (e^r − 1 − r) / r².
#[inline(always)]
fn exponential_by(x: Sum<f32>, p: impl Fn(f32) -> f32) -> Exponential {
    // 1.5 · 2^23: the last bits of a sum with it are the nearest integer. Here a bias is added, so
    // that shifting the bits makes a power of two.
    const ROUND: f32 = 12_582_912.0 + SCALED_BIAS as f32;
    let rounded = fma(x.high, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    // ln 2 = 355/512 − 2.1219444e-4; n · 355/512 is exact.
    let high = fma(n, -355.0 / 512.0, x.high);
    let low = fma(n, 2.121_944_4e-4, x.low);
    let r = high + low;
    let parts = Sum { high, low: fma(r * r, p(r), low) };
    Exponential { exponent, fraction: parts.rounded(), parts }
}

impl Exponential {
    /// e^x, rounded once; infinite from 2^128 on, and 0 if 0 is the nearest number.
    #[inline(always)]
    pub(super) fn value(self) -> f32 {
        scale(1.0 + self.fraction, self.exponent)
    }

    /// factor · 2^exponent · (1 + fraction), rounded once if it is subnormal.
    #[inline(always)]
    pub(super) fn times(self, factor: Sum<f32>) -> f32 {
        scale(self.mantissa_times(factor), self.exponent)
    }

    /// Like [`times`](Self::times), for |factor| < 2^62 and exponents from −190 to 63.
    #[inline(always)]
    pub(super) fn times_bounded(self, factor: Sum<f32>) -> f32 {
        scale_down(self.mantissa_times(factor), self.exponent)
    }

    /// factor · (1 + fraction)
    #[inline(always)]
    fn mantissa_times(self, factor: Sum<f32>) -> f32 {
        let low = fma(factor.low, self.fraction, factor.low);
        factor.high + fma(factor.high, self.fraction, low)
    }

    /// 2^exponent, for exponents from −190 to 63.
    #[inline(always)]
    pub(super) fn power_of_two(self) -> f32 {
        scale_down(1.0, self.exponent)
    }

    /// e^x with the part that rounding removes, for exponents from −190 to 63.
    #[inline(always)]
    pub(super) fn sum(self) -> Sum<f32> {
        let power = self.power_of_two();
        let high = fma(power, self.fraction, power);
        Sum { high, low: fma(power, self.fraction, power - high) }
    }
}

/// e^x: infinite past 88.72283, zero below −104.
#[inline(always)]
pub(super) fn exp(x: Sum<f32>) -> f32 {
    exponential(bounded(x, -104.0, 89.0)).value()
}

/// factor · e^x, rounded once if it is subnormal, even though e^x alone has few digits.
#[inline(always)]
pub(super) fn exp_times(factor: f32, x: Sum<f32>) -> f32 {
    let y = exponential(bounded(x, -174.0, 174.0)).times(factor.into());
    select(x.high < -174.0, 0.0_f32.copysign(factor), y)
}

/// e^x − 1: infinite past 88.72283.
#[inline(always)]
pub(super) fn exp_m1(x: Sum<f32>) -> f32 {
    let e = exponential_m1(bounded(x, -104.0, 89.0));
    // 2^n · (1 + fraction) − 1, with the difference of the two powers exact.
    let power = power_of_two(e.exponent.clamp(-30, 30));
    let middle = fma(power, e.fraction, power - 1.0);
    let result = select(e.exponent > 30, e.value(), middle);
    select(x.high.abs() < 1e-8, x.high, result)
}

/// z − m, with the part that rounding removes.
#[inline(always)]
pub fn difference(z: f32, m: f32) -> Sum<f32> {
    let Sum { high, low } = finite_difference(z, m);
    Sum { high, low: select(high.is_finite(), low, 0.0) }
}

/// Like [`difference`] if the result is finite; otherwise the low part is NaN.
#[inline(always)]
pub fn finite_difference(z: f32, m: f32) -> Sum<f32> {
    let high = z - m;
    // Knuth's two-sum.
    let back = high - z;
    Sum { high, low: (z - (high - back)) + (-m - back) }
}

/// e^d for d ≤ 0. The low part does not matter if d is not finite.
#[inline(always)]
pub fn exp_difference(d: Sum<f32>) -> f32 {
    let Exponential { exponent, fraction, .. } = exponential(d);
    // Below this, e^d is 0, and the computed value is arbitrary.
    select(d.high > -104.0, scale_down(1.0 + fraction, exponent), 0.0)
}

/// −a²/2
#[inline(always)]
pub(super) fn negative_half_square(a: f32) -> Sum<f32> {
    let half = -0.5 * a;
    let high = half * a;
    Sum { high, low: fma(half, a, -high) }
}
