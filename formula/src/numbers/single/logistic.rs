//! The logistic function and its relatives: one exponential and one reciprocal, both in two parts.

use super::bits::{
    bounded, fma, greatest, least_magnitude, negative_magnitude, polynomial, power_of_two, scale,
    scale_down, select,
};
use super::exponential::{Exponential, exponential, exponential_m1};
use super::logarithm::log1p_of_sum;
use crate::numbers::Sum;

/// Beyond this, e^−a is 0 whatever it is multiplied by.
const FARTHEST: f32 = 174.0;

/// Beyond this, e^−a is 0.
pub(super) const FAR: f32 = 120.0;

/// The logistic function of a and of −a, for a ≥ 0.
#[derive(Clone, Copy)]
pub(super) struct Logistic {
    /// e^−a
    power: Exponential,
    /// 1 / (1 + e^−a), accurate up to its last bits
    inverse: f32,
    /// and the part that it lacks, relative to it.
    rest: f32,
}

/// A number as value · 2^exponent.
#[derive(Clone, Copy)]
pub(super) struct Scaled {
    value: Sum<f32>,
    exponent: i32,
}

/// The logistic function for a in [0, 120], from −a.
#[inline(always)]
pub(super) fn logistic(negative: Sum<f32>) -> Logistic {
    let power = exponential(negative);
    Logistic::new(power, power.power_of_two())
}

/// The logistic function for a in [0, 174], from −a.
#[inline(always)]
fn logistic_far(negative: Sum<f32>) -> Logistic {
    let power = exponential(negative);
    Logistic::new(power, power_of_two(power.exponent.max(-100)))
}

impl Logistic {
    /// Takes the exponential and its power of two, or a number that is just as negligible beside 1.
    #[inline(always)]
    fn new(power: Exponential, two: f32) -> Self {
        let inverse = 1.0 / fma(two, power.fraction, 1.0 + two);
        // 1 − inverse · (1 + two + two · fraction), which removes the errors of the sum and the
        // division. The differences are exact.
        let product = inverse * two;
        let rest = fma(-product, power.fraction, (1.0 - inverse) - product);
        Self { power, inverse, rest }
    }

    #[inline(always)]
    fn upper(self) -> Sum<f32> {
        Sum { high: self.inverse, low: self.inverse * self.rest }
    }

    /// The g of lower = inverse · 2^exponent · (1 + g).
    #[inline(always)]
    fn fraction(self) -> f32 {
        let Exponential { fraction, parts, .. } = self.power;
        parts.high + fma(self.rest, 1.0 + fraction, parts.low)
    }

    /// factor · the logistic function of −a, for |factor| < 2^62 and a ≤ 120
    #[inline(always)]
    pub(super) fn lower_times(self, factor: f32) -> f32 {
        let high = factor * self.inverse;
        let low = fma(factor, self.inverse, -high);
        scale_down(high + fma(high, self.fraction(), low), self.power.exponent)
    }

    /// The logistic function of −a if `negative`, else of a.
    #[inline(always)]
    pub(super) fn at(self, negative: bool) -> Scaled {
        let upper = self.upper();
        let Sum { high: q, low } = upper;
        // e^−a times the upper value is the lower value.
        let f = self.power.fraction;
        let high = fma(f, q, q);
        let lower = Sum { high, low: fma(f, q, q - high) + fma(f, low, low) };
        if negative {
            Scaled { value: lower, exponent: self.power.exponent }
        } else {
            Scaled { value: upper, exponent: 0 }
        }
    }

    /// The logistic function of −a, for a ≤ 120.
    #[inline(always)]
    pub(super) fn lower(self) -> f32 {
        // This is exact: if the power is subnormal, the inverse is 1.
        let product = self.inverse * self.power.power_of_two();
        fma(product, self.fraction(), product)
    }

    /// factor · the logistic function of a · the logistic function of −a
    #[inline(always)]
    pub(super) fn slope(self, factor: f32) -> f32 {
        let Scaled { value, exponent } = self.at(true);
        scale(factor * value.times(self.upper()), exponent)
    }
}

impl Scaled {
    /// factor · self
    #[inline(always)]
    pub(super) fn times(self, factor: f32) -> f32 {
        scale(self.value.times(factor.into()), self.exponent)
    }

    /// factor · self for |factor| < 2^62.
    #[inline(always)]
    pub(super) fn times_bounded(self, factor: f32) -> f32 {
        scale_down(self.value.times(factor.into()), self.exponent)
    }

    /// The number itself, for exponents from −190 to 63.
    #[inline(always)]
    pub(super) fn sum(self) -> Sum<f32> {
        let power = scale_down(1.0, self.exponent);
        Sum { high: power * self.value.high, low: power * self.value.low }
    }
}

/// 1 / (1 + e^−x)
#[inline(always)]
pub(super) fn sigmoid(x: Sum<f32>) -> f32 {
    let lower = logistic(negative_magnitude(x, FAR)).lower();
    // The lower value is at most ½, so its error has at most half the effect.
    select(x.high > 0.0, 1.0 - lower, lower)
}

/// factor · sigmoid(x) · sigmoid(−x)
#[inline(always)]
pub(super) fn sigmoid_slope(factor: f32, x: Sum<f32>) -> f32 {
    logistic_far(negative_magnitude(x, FARTHEST)).slope(factor)
}

/// 1 − tanh² x = 4 sigmoid'(2x)
#[inline(always)]
pub(super) fn tanh_slope(factor: f32, x: Sum<f32>) -> f32 {
    sigmoid_slope(4.0 * factor, x.twice())
}

/// −t / (2 + t) with t = e^(−2|x|) − 1.
#[inline(always)]
pub(super) fn tanh(x: Sum<f32>) -> f32 {
    let e = exponential_m1(negative_magnitude(x.twice(), 40.0));
    let power = power_of_two(e.exponent);
    let whole = power - 1.0;
    let whole_lost = power - (whole + 1.0);
    let t = fma(power, e.fraction, whole);
    let lost = fma(power, e.parts.low, fma(power, e.parts.high, whole - t) + whole_lost);
    let d = Sum::of_sum(2.0, t);
    let inverse = 1.0 / d.high;
    let y = t * inverse;
    let residual = fma(-y, d.high, t) + (lost - y * (d.low + lost));
    fma(residual, inverse, y).copysign(x.high)
}

/// x − tanh x
#[inline(always)]
pub(super) fn tanhshrink(x: f32) -> f32 {
    let a = x.abs();
    let y = a * a;
    // fit: tanhshrink_near
    let p = polynomial(
        y,
        [
            -0.00093810604,
            0.0037423368,
            -0.0064578685,
            0.0067811357,
            -0.006451518,
            0.009787418,
            -0.02204397,
            0.053985924,
            -0.13333413,
            0.33333334,
        ],
    );
    // Elsewhere a − 1 + 2 / (1 + e^2a).
    let far = (a - 1.0) + 2.0 * logistic(negative_magnitude((2.0 * a).into(), 40.0)).lower();
    select(a < 0.9, a * y * p, far).copysign(x)
}

/// ln(1 + e^x)
#[inline(always)]
pub(super) fn softplus(x: Sum<f32>) -> f32 {
    let h = negative_magnitude(x, FAR);
    let e = exponential(h);
    let log_part = select(h.high < -40.0, e.value(), log1p_of_sum(e.sum()));
    let positive = x.high > 0.0;
    select(positive, x.high, 0.0) + (log_part + select(positive, x.low, 0.0))
}

/// factor · sigmoid(x)
#[inline(always)]
pub(super) fn times_sigmoid(factor: f32, x: Sum<f32>) -> f32 {
    let l = logistic_far(negative_magnitude(x, FARTHEST));
    let y = l.at(x.high < 0.0).times(factor);
    let y = select(x.high < -FARTHEST, 0.0_f32.copysign(factor), y);
    // An infinite factor cannot be split into parts.
    let whole = x.high > 60.0 || (factor.is_infinite() && x.high > -105.0);
    select(whole, factor, y)
}

/// x·sigmoid(x)
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    let h = negative_magnitude(x.into(), FAR);
    // h is −|x|, and sigmoid(x) = 1 − sigmoid(−x).
    greatest(0.0, x) + logistic(h).lower_times(h.high)
}

/// sigmoid(x)·(1 + x·sigmoid(−x))
#[inline(always)]
pub(super) fn silu_derivative(x: Sum<f32>) -> f32 {
    // Compute around the root, which is −a.
    const ROOT: f32 = 1.278_464_6;
    const ROOT_REST: f32 = -1.297_928_3e-8;
    let v = (ROOT + x.high) + (x.low + ROOT_REST);
    // fit: silu_derivative_root
    let p = polynomial(
        v,
        [
            3.6922647e-06,
            9.681956e-07,
            -3.24276e-05,
            -4.5913544e-05,
            0.00018758625,
            0.0008012325,
            0.00012606072,
            -0.006607261,
            -0.015222585,
            0.018874884,
            0.1466488,
            0.2178117,
        ],
    );
    let x = bounded(x, -FAR, FAR);
    let l = logistic(negative_magnitude(x, FAR));
    let negative = x.high < 0.0;
    let elsewhere = l.at(negative).times_bounded(x.times_plus_one(l.at(!negative).sum()));
    select(x.high < -0.5 && x.high > -2.0, v * p, elsewhere)
}

/// sigmoid'(x)·(2 − x·tanh(x/2))
#[inline(always)]
pub(super) fn silu_second(factor: f32, x: Sum<f32>) -> f32 {
    let a = negative_magnitude(x, 130.0);
    let l = logistic(a);
    l.slope(2.0 * factor * bump(Sum { high: -0.5 * a.high, low: -0.5 * a.low }, l))
}

/// 1 − w·tanh(w) for w ≥ 0, from the logistic function of 2w.
#[inline(always)]
pub(super) fn bump(w: Sum<f32>, l: Logistic) -> f32 {
    // Compute around the root.
    const ROOT: f32 = 1.199_678_7;
    const ROOT_REST: f32 = -1.918_135_3e-8;
    let v = (ROOT - w.high) + (ROOT_REST - w.low);
    // fit: bump_root
    let p = polynomial(
        v,
        [
            -0.0003517475,
            -0.0009734998,
            -0.00095918303,
            0.0009752855,
            0.0061975745,
            0.011703012,
            0.0039246,
            -0.035966925,
            -0.10172809,
            -0.12204163,
            1.2515046e-09,
            1.1996787,
        ],
    );
    let tanh = 1.0 - 2.0 * l.lower();
    select(w.high > 0.6 && w.high < 2.0, v * p, 1.0 - w.high * tanh)
}

/// The derivative of x·tanh x, for |x|.
#[inline(always)]
pub(super) fn lisht_derivative(x: f32) -> f32 {
    let a = least_magnitude(x, 50.0);
    (tanh(a.into()) + tanh_slope(a, a.into())).copysign(x)
}

/// The second derivative of x·tanh x.
#[inline(always)]
pub(super) fn lisht_second(x: f32) -> f32 {
    let w = least_magnitude(x, 56.0);
    let l = logistic((-2.0 * w).into());
    l.slope(8.0 * bump(w.into(), l))
}
