//! Powers of e.

use super::bits::{bounded, fma, polynomial, power_of_two, scale, scale_down, select};
use crate::reference::Sum;

/// e^(high + low) = 2^exponent · (1 + fraction)
#[derive(Clone, Copy)]
pub(super) struct Exponential {
    pub(super) exponent: i32,
    pub(super) fraction: f32,
    /// What the rounding of the fraction lost.
    pub(super) lost: f32,
}

/// For high in [−256, 256] and a low part of at most a few units in high's last place.
#[inline(always)]
pub(super) fn exponential(x: Sum<f32>) -> Exponential {
    // 1.5 · 2^23: the sum's last bits are the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let rounded = fma(x.high, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    // ln 2 = 355/512 − 2.1219444e-4; n · 355/512 is exact.
    let r = fma(n, -355.0 / 512.0, x.high) + fma(n, 2.121_944_4e-4, x.low);
    // fit: exp
    let p = polynomial(r, [0.00019958447, 0.0013933715, 0.008333192, 0.041666478, 0.16666667, 0.5]);
    let square = r * r;
    let fraction = fma(square, p, r);
    Exponential { exponent, fraction, lost: fma(square, p, r - fraction) }
}

impl Exponential {
    /// Rounded once; infinite from 2^128 on, and 0 where that is nearest.
    #[inline(always)]
    pub(super) fn value(self) -> f32 {
        scale(1.0 + self.fraction, self.exponent)
    }

    /// factor · 2^exponent · (1 + fraction), rounded once where it is subnormal.
    #[inline(always)]
    pub(super) fn times(self, factor: Sum<f32>) -> f32 {
        scale(self.mantissa_times(factor), self.exponent)
    }

    /// The same for |factor| < 2^62 and exponents from −190 to 63.
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

    /// With what its rounding loses, for exponents from −190 to 63.
    #[inline(always)]
    pub(super) fn sum(self) -> Sum<f32> {
        let power = scale_down(1.0, self.exponent);
        let high = fma(power, self.fraction, power);
        Sum { high, low: fma(power, self.fraction, power - high) }
    }
}

/// e^x: infinite past 88.72283, zero below −104.
#[inline(always)]
pub(super) fn exp(x: Sum<f32>) -> f32 {
    exponential(bounded(x, -104.0, 89.0)).value()
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
    let e = exponential(bounded(x, -104.0, 89.0));
    // 2^n · (1 + fraction) − 1, with the difference of the two powers exact.
    let power = power_of_two(e.exponent.clamp(-30, 30));
    let middle = fma(power, e.fraction, power - 1.0);
    let result = select(e.exponent > 30, e.value(), middle);
    select(x.high.abs() < 1e-8, x.high, result)
}

/// z − m, with what its rounding lost.
#[inline(always)]
pub(in crate::cpu) fn difference(z: f32, m: f32) -> Sum<f32> {
    let Sum { high, low } = finite_difference(z, m);
    Sum { high, low: select(high.is_finite(), low, 0.0) }
}

/// The same where it is finite; elsewhere the low part is no number.
#[inline(always)]
pub(in crate::cpu) fn finite_difference(z: f32, m: f32) -> Sum<f32> {
    let high = z - m;
    // Knuth's two-sum.
    let back = high - z;
    Sum { high, low: (z - (high - back)) + (-m - back) }
}

/// e^d for d ≤ 0; of its low part nothing is asked where d is not finite.
#[inline(always)]
pub(in crate::cpu) fn exp_difference(d: Sum<f32>) -> f32 {
    // e^−104 is 0.
    let near = d.high > -104.0;
    let x = Sum { high: select(near, d.high, -104.0), low: select(near, d.low, 0.0) };
    let Exponential { exponent, fraction, .. } = exponential(x);
    scale_down(1.0 + fraction, exponent)
}

/// −a²/2
#[inline(always)]
pub(super) fn negative_half_square(a: f32) -> Sum<f32> {
    let half = -0.5 * a;
    let high = half * a;
    Sum { high, low: fma(half, a, -high) }
}
