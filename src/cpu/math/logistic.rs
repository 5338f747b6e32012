//! The logistic function and its relatives: one exponential and one reciprocal, both in two parts.

use super::bits::{Pair, bounded, greatest, head, least, magnitude, polynomial, select};
use super::exponential::{Exponential, exp_times, exponential, least_magnitude};
use super::logarithm::log1p_of_pair;
use crate::reference::Sum;

/// 1 / (1 + e^t)
#[derive(Clone, Copy)]
pub(super) struct Logistic {
    /// The value, divided by `scale`.
    pub(super) q: Pair,
    /// 1, or 2^−64 where the value is small.
    pub(super) scale: f32,
}

/// For t in [−60, 112].
#[inline(always)]
pub(super) fn logistic(t: Sum<f32>) -> Logistic {
    let e = exponential(t).pair();
    let (large, small) = (greatest(e.pair.head, e.scale), least(e.pair.head, e.scale));
    Logistic { q: Pair::plus(large, small, e.pair.rest).reciprocal(), scale: e.scale }
}

impl Logistic {
    /// 1 − self
    #[inline(always)]
    pub(super) fn complement(self) -> Pair {
        let value = self.q.head * self.scale;
        let head = head(1.0 - value);
        Pair { head, rest: ((1.0 - head) - value) - self.q.rest * self.scale }
    }

    /// factor · self · (1 − self)
    #[inline(always)]
    pub(super) fn slope(self, factor: f32) -> f32 {
        (self.q.times(self.complement()) * factor) * self.scale
    }
}

/// 1 / (1 + e^−x)
#[inline(always)]
pub(super) fn sigmoid(x: Sum<f32>) -> f32 {
    let l = logistic(bounded(-x, -60.0, 130.0));
    l.q.value() * l.scale
}

/// factor · sigmoid(x) · sigmoid(−x)
#[inline(always)]
pub(super) fn sigmoid_slope(factor: f32, x: Sum<f32>) -> f32 {
    logistic(bounded(magnitude(x), 0.0, 130.0)).slope(factor)
}

/// 1 − tanh² x = 4 sigmoid'(2x)
#[inline(always)]
pub(super) fn tanh_slope(factor: f32, x: Sum<f32>) -> f32 {
    sigmoid_slope(4.0 * factor, x.twice())
}

#[inline(always)]
pub(super) fn tanh(x: Sum<f32>) -> f32 {
    let a = magnitude(x);
    // Near zero an odd polynomial.
    let y = a.high * a.high;
    // fit: tanh_near
    let p = polynomial(
        y,
        [0.0022634582, -0.008289779, 0.021738866, -0.053952433, 0.1333324, -0.3333333],
    );
    let near = (a.high * y * p + a.low * (1.0 - y)) + a.high;
    // Elsewhere 1 − 2 / (1 + e^2a).
    let q = logistic(bounded(a.twice(), 0.0, 40.0)).q;
    let far = (1.0 - 2.0 * q.head) - 2.0 * q.rest;
    select(a.high < 0.55, near, far).copysign(x.high)
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
    let q = logistic(bounded((a + a).into(), 0.0, 40.0)).q;
    let far = (a - 1.0) + 2.0 * q.value();
    select(a < 0.9, a * y * p, far).copysign(x)
}

/// ln(1 + e^x)
#[inline(always)]
pub(super) fn softplus(x: Sum<f32>) -> f32 {
    let a = magnitude(x);
    let h = bounded(-a, -104.0, 0.0);
    let far = exponential(h);
    let e = Exponential { exponent: far.exponent.max(-100), ..far }.pair().pair;
    let value = e.value();
    let correction = e.rest - (value - e.head);
    let log_part = select(h.high < -40.0, far.value(), log1p_of_pair(value, correction));
    let positive = x.high > 0.0;
    select(positive, x.high, 0.0) + (log_part + select(positive, x.low, 0.0))
}

/// factor · sigmoid(x)
#[inline(always)]
pub(super) fn times_sigmoid(factor: f32, x: Sum<f32>) -> f32 {
    let l = logistic(bounded(-x, -60.0, 130.0));
    let y = Pair::of(factor.into()).times(l.q) * l.scale;
    let far = exp_times(factor, x);
    let y = select(x.high < -105.0, far, y);
    // An infinite factor has no parts.
    let whole = x.high > 60.0 || (factor.is_infinite() && x.high > -105.0);
    select(whole, factor, y)
}

/// x·sigmoid(x)
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    let l = logistic(bounded((-x).into(), -60.0, 130.0));
    let y = Pair::of(greatest(x, -130.0).into()).times(l.q) * l.scale;
    select(x > 60.0, x, y)
}

/// sigmoid(x)·(1 + x·sigmoid(−x))
#[inline(always)]
pub(super) fn silu_derivative(x: Sum<f32>) -> f32 {
    // Around its root, which is −a.
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
    let x = bounded(x, -130.0, 130.0);
    let l = logistic(bounded(-x, -60.0, 130.0));
    let t = Pair::of(x).times_plus_one(l.complement());
    let elsewhere = Pair::of(t.into()).times(l.q) * l.scale;
    select(x.high < -0.5 && x.high > -2.0, v * p, elsewhere)
}

/// sigmoid'(x)·(2 − x·tanh(x/2))
#[inline(always)]
pub(super) fn silu_second(factor: f32, x: Sum<f32>) -> f32 {
    let a = bounded(magnitude(x), 0.0, 130.0);
    let l = logistic(a);
    l.slope(2.0 * factor * bump(Sum { high: 0.5 * a.high, low: 0.5 * a.low }, l))
}

/// 1 − w·tanh(w) for w ≥ 0 and the logistic function of 2w.
#[inline(always)]
pub(super) fn bump(w: Sum<f32>, l: Logistic) -> f32 {
    // Around its root.
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
    let tanh = 1.0 - 2.0 * (l.q.value() * l.scale);
    select(w.high > 0.6 && w.high < 2.0, v * p, 1.0 - w.high * tanh)
}

/// The derivative of x·tanh x, for |x|.
#[inline(always)]
pub(super) fn lisht_derivative(x: f32) -> f32 {
    let a = least_magnitude(x, 50.0);
    (tanh(a.into()) + tanh_slope(a, a.into())).copysign(x)
}

/// Its second derivative.
#[inline(always)]
pub(super) fn lisht_second(x: f32) -> f32 {
    let w = least_magnitude(x, 56.0);
    let l = logistic((w + w).into());
    l.slope(8.0 * bump(w.into(), l))
}
