//! x·sigmoid(u), u = 2·√(2/π)·(x + 0.044715·x³): gelu's approximation by tanh.

use super::bits::{fma, greatest, least_magnitude, negative_magnitude, polynomial, select};
use super::logistic::{Logistic, logistic};
use crate::numbers::Sum;

/// Beyond this, the exponential is zero whatever it is multiplied by.
const FARTHEST: f32 = 11.2;

/// The factors of u: u = x·(LINEAR + CUBIC·x²). The high part of the first is a multiple of 2^−19.
const LINEAR: Sum<f32> = Sum { high: 1.595_769_9, low: -7.605_964_4e-7 };
const CUBIC: Sum<f32> = Sum { high: 0.071_354_814, low: 2.398_832_5e-9 };
const CUBIC_THRICE: Sum<f32> = Sum { high: 0.214_064_45, low: -2.540_834_2e-10 };

/// LINEAR + d·x²
#[inline(always)]
fn quadratic(d: Sum<f32>, x: f32) -> Sum<f32> {
    let square = x * x;
    let square_lost = fma(x, x, -square);
    let high = fma(square, d.high, LINEAR.high);
    // The difference is exact: both are multiples of the sum's unit in the last place, 2^−19 at most.
    let lost = fma(square, d.high, LINEAR.high - high);
    Sum { high, low: lost + fma(square, d.low, fma(square_lost, d.high, LINEAR.low)) }
}

/// u
#[inline(always)]
fn argument(x: f32) -> Sum<f32> {
    let q = quadratic(CUBIC, x);
    let high = x * q.high;
    Sum { high, low: fma(x, q.low, fma(x, q.high, -high)) }
}

/// du/dx
#[inline(always)]
fn slope(x: f32) -> Sum<f32> {
    quadratic(CUBIC_THRICE, x)
}

#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    let h = negative_magnitude(x.into(), FARTHEST).high;
    // h is −|x|, and sigmoid(u) = 1 − sigmoid(−u).
    greatest(0.0, x) + logistic(argument(h)).lower_times(h)
}

#[inline(always)]
pub(super) fn gelu_tanh_derivative(x: f32) -> f32 {
    let y = x * x;
    // fit: gelu_tanh_derivative_near
    let p = polynomial(
        y,
        [-0.0006485364, 0.0016267829, -0.010078377, 0.06122775, -0.26727903, 0.7978846],
    );
    let near = x * p + 0.5;
    // Compute around the root, which is −a.
    const ROOT: f32 = 0.752_461_43;
    const ROOT_REST: f32 = -1.133_962_8e-8;
    let v = (ROOT + x) + ROOT_REST;
    // fit: gelu_tanh_derivative_root
    let p = polynomial(
        v,
        [
            0.03144188,
            0.057756063,
            0.03274503,
            -0.000670062,
            -0.0077450336,
            0.004178274,
            0.019946199,
            -0.016539041,
            -0.113949,
            -0.015784785,
            0.38751847,
            0.4304001,
        ],
    );
    let h = negative_magnitude(x.into(), FARTHEST).high;
    let l = logistic(argument(h));
    let negative = x < 0.0;
    let z = select(negative, h, -h);
    let t = slope(z).times_sum(z.into()).times_plus_one(l.at(!negative).sum());
    let elsewhere = l.at(negative).times_bounded(t);
    let y = select(x < -0.5 && x > -1.3, v * p, elsewhere);
    select(x.abs() < 0.5, near, y)
}

#[inline(always)]
pub(super) fn gelu_tanh_second(x: f32) -> f32 {
    let a = least_magnitude(x, FARTHEST);
    let l = logistic(argument(-a));
    l.slope(bend(a, l))
}

/// The second derivative divided by sigmoid'(u): 2u' + x·(u'' − u'²·tanh(u/2)).
#[inline(always)]
fn bend(a: f32, l: Logistic) -> f32 {
    const ROOT: f32 = 1.418_504;
    const ROOT_REST: f32 = 9.080_745e-9;
    let v = (ROOT - a) + ROOT_REST;
    // fit: gelu_tanh_second_root
    let p = polynomial(
        v,
        [
            0.0005100553,
            0.0023195164,
            0.00335371,
            0.0003558251,
            -0.0031831865,
            -0.0016225314,
            0.0013931297,
            -0.0029962522,
            -0.0074731424,
            0.06260046,
            -0.34163916,
            1.3059226,
            -3.7197597,
            5.682499,
        ],
    );
    let tanh = 1.0 - 2.0 * l.lower();
    let d = slope(a).rounded();
    let bracket = fma(2.0 * CUBIC_THRICE.high, a, -(d * d) * tanh);
    let elsewhere = fma(a, bracket, 2.0 * d);
    select(a > 0.95 && a < 2.7, v * p, elsewhere)
}
