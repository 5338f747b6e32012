//! x·sigmoid(u), u = 2·√(2/π)·(x + 0.044715·x³): gelu's approximation by tanh.

use super::bits::{fma, least_magnitude, negative_magnitude, polynomial, product, select};
use super::logistic::{FAR, Logistic, logistic};
use crate::reference::Sum;

/// Beyond, the exponential is zero.
const FARTHEST: f32 = 12.0;

/// c + d·x² for |x| ≤ 12, with both numbers in parts.
#[inline(always)]
fn quadratic(c: Sum<f32>, d: Sum<f32>, x: f32) -> Sum<f32> {
    let square = product(x, x);
    let term = d.times_sum(square);
    let high = c.high + term.high;
    // Knuth's two-sum: either may be the larger.
    let back = high - c.high;
    let lost = (c.high - (high - back)) + (term.high - back);
    Sum { high, low: lost + (term.low + c.low) }
}

/// u's factors: u = x·(LINEAR + CUBIC·x²).
const LINEAR: Sum<f32> = Sum { high: 1.595_769_2, low: -4.534_068e-8 };
const CUBIC: Sum<f32> = Sum { high: 0.071_354_814, low: 2.398_832_5e-9 };
const CUBIC_THRICE: Sum<f32> = Sum { high: 0.214_064_45, low: -2.540_834_2e-10 };

/// u, for |x| ≤ 12.
#[inline(always)]
fn argument(x: f32) -> Sum<f32> {
    quadratic(LINEAR, CUBIC, x).times_sum(x.into())
}

/// du/dx
#[inline(always)]
fn slope(x: f32) -> Sum<f32> {
    quadratic(LINEAR, CUBIC_THRICE, x)
}

#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    let near = least_magnitude(x, FARTHEST).copysign(x);
    let l = logistic(negative_magnitude(argument(near), FAR));
    let y = l.at(x < 0.0).times_bounded(near);
    select(x > FARTHEST, x, y)
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
    // Around the root, which is −a.
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
    let z = least_magnitude(x, FARTHEST).copysign(x);
    let l = logistic(negative_magnitude(argument(z), FAR));
    let negative = z < 0.0;
    let t = slope(z).times_sum(z.into()).times_plus_one(l.at(!negative).sum());
    let elsewhere = l.at(negative).times_bounded(t);
    let y = select(x < -0.5 && x > -1.3, v * p, elsewhere);
    select(x.abs() < 0.5, near, y)
}

#[inline(always)]
pub(super) fn gelu_tanh_second(x: f32) -> f32 {
    let a = least_magnitude(x, FARTHEST);
    let l = logistic(negative_magnitude(argument(a), FAR));
    l.slope(bend(a, l))
}

/// The second derivative without sigmoid'(u): 2u' + x·(u'' − u'²·tanh(u/2)).
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
