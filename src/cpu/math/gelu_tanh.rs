//! x·sigmoid(u), u = 2·√(2/π)·(x + 0.044715·x³): gelu's approximation by tanh.

use super::bits::{Pair, bounded, greatest, head, polynomial, select};
use super::exponential::least_magnitude;
use super::logistic::{Logistic, logistic, times_sigmoid};
use crate::reference::Sum;

/// Beyond, the exponential is zero.
const FARTHEST: f32 = 12.0;

/// c + d·x² for |x| ≤ 12, with both numbers in parts.
#[inline(always)]
fn quadratic(c: Pair, d: Pair, x: f32) -> Pair {
    let x_head = head(x);
    let square = Pair::of(Sum { high: x_head * x_head, low: (x - x_head) * (x + x_head) });
    let upper = d.head * square.head;
    let lower = d.rest * square.head + d.value() * square.rest;
    let head = head(c.value() + upper + lower);
    Pair { head, rest: ((c.head - head) + upper) + (lower + c.rest) }
}

/// u's factors: u = x·(LINEAR + CUBIC·x²).
const LINEAR: Pair = Pair { head: 1.595_703_1, rest: 6.599_66e-5 };
const CUBIC: Pair = Pair { head: 7.135_01e-2, rest: 4.718_616_3e-6 };
const CUBIC_THRICE: Pair = Pair { head: 2.140_503e-1, rest: 1.415_584_6e-5 };

/// u, for |x| ≤ 12.
#[inline(always)]
fn argument(x: f32) -> Sum<f32> {
    Pair::of(x.into()).times_sum(quadratic(LINEAR, CUBIC, x))
}

/// du/dx
#[inline(always)]
fn slope(x: f32) -> Pair {
    quadratic(LINEAR, CUBIC_THRICE, x)
}

#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    let near = least_magnitude(x, FARTHEST).copysign(x);
    times_sigmoid(greatest(x, -FARTHEST), argument(near))
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
    let l = logistic(bounded(-argument(z), -60.0, 130.0));
    let t = Pair::of(z.into()).times_pair(slope(z)).times_plus_one(l.complement());
    let elsewhere = Pair::of(t.into()).times(l.q) * l.scale;
    let y = select(x < -0.5 && x > -1.3, v * p, elsewhere);
    select(x.abs() < 0.5, near, y)
}

#[inline(always)]
pub(super) fn gelu_tanh_second(x: f32) -> f32 {
    let a = least_magnitude(x, FARTHEST);
    let l = logistic(bounded(argument(a), 0.0, 130.0));
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
    let tanh = 1.0 - 2.0 * (l.q.value() * l.scale);
    let d = slope(a).value();
    let elsewhere = 2.0 * d + a * (2.0 * CUBIC_THRICE.value() * a - d * d * tanh);
    select(a > 0.95 && a < 2.7, v * p, elsewhere)
}
