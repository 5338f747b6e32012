//! x·Φ(x), with the normal distribution's function Φ.

use super::bits::{Pair, polynomial, select};
use super::exponential::{exponential, least_magnitude, negative_square};
use crate::reference::Sum;

/// a·Φ(−a) for a in [0.7, 15]: the density's exponential times Mills' ratio.
#[inline(always)]
fn tail(a: f32) -> f32 {
    // u = 1 / (a + 2) in two parts, so that a·u = 1 − 2u loses nothing.
    let d = a + 2.0;
    let u = Pair::of(Sum { high: d, low: a - (d - 2.0) }).reciprocal();
    let rest = 1.0 - 2.0 * u.head;
    let au = rest - 2.0 * u.rest;
    let au_low = (rest - au) - 2.0 * u.rest;
    let u = u.value();
    // fit: mills
    let p = polynomial(
        u,
        [
            -324.1491, 758.52856, -734.27527, 357.1089, -77.6924, 3.6377673, -3.061563, 0.86745965,
            1.1939609, 0.79795164,
        ],
    );
    let limit = 0.3989416;
    // The last addition with what it loses.
    let rest = p * u;
    let ratio = limit + rest;
    let ratio_low = (limit - ratio) + rest;
    let au = Pair::of(Sum { high: au, low: au_low });
    let factor = au.times_sum(Pair::of(Sum { high: ratio, low: ratio_low }));
    exponential(negative_square(a, 0.5)).times(factor)
}

#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    let y = x * x;
    // fit: gelu_near
    let p = polynomial(
        y,
        [-2.0314159e-05, 0.00013283003, -0.001197351, 0.009976173, -0.06649068, 0.3989423],
    );
    let near = y * p + 0.5 * x;
    let g = tail(least_magnitude(x, 15.0));
    let far = select(x < 0.0, -g, x - g);
    select(x.abs() < 0.7, near, far)
}

/// Φ(x) + x·Φ'(x)
#[inline(always)]
pub(super) fn gelu_derivative(x: f32) -> f32 {
    let y = x * x;
    // fit: gelu_derivative_near
    let p = polynomial(
        y,
        [-0.0006574463, 0.0015923928, -0.009630231, 0.059859484, -0.26596263, 0.7978846],
    );
    let near = x * p + 0.5;
    let a = least_magnitude(x, 15.0);
    let tail = exponential(negative_square(a, 0.5)).times((-density_part(a)).into());
    let g = select(a < 1.25, around_root(a), tail);
    select(a < 0.5, near, select(x < 0.0, g, 1.0 - g))
}

/// gelu'(−a) around its root.
#[inline(always)]
fn around_root(a: f32) -> f32 {
    const ROOT: f32 = 0.751_791_54;
    const ROOT_REST: f32 = -1.211_445e-8;
    let v = (ROOT - a) + ROOT_REST;
    // fit: gelu_derivative_root
    let p = polynomial(
        v,
        [
            0.01581732,
            0.028367253,
            0.01588845,
            -0.000488975,
            -0.0046817847,
            0.0040162555,
            0.019530723,
            -0.014734511,
            -0.1140096,
            -0.01820053,
            0.38828498,
            0.431494,
        ],
    );
    v * p
}

/// a/√(2π) − e^(a²/2)·Φ(−a), piece by piece from 1.25 to 15.
#[inline(always)]
fn density_part(a: f32) -> f32 {
    let v = a - 1.5;
    // fit: gelu_derivative_tail_0
    let first = polynomial(
        v,
        [
            -1.4650375e-05,
            7.969615e-05,
            -0.00035557162,
            0.0012668956,
            -0.004112206,
            0.01249712,
            -0.035186794,
            0.48921356,
            0.39263275,
        ],
    );
    let v = a - 3.0;
    // fit: gelu_derivative_tail_1
    let second = polynomial(
        v,
        [
            3.3707681e-06,
            3.9983047e-07,
            -1.0778091e-05,
            5.8011115e-06,
            -1.8892857e-05,
            0.00012863119,
            -0.00056048715,
            0.0023104034,
            -0.009155543,
            0.43334273,
            1.0753129,
        ],
    );
    let v = a - 6.0;
    // fit: gelu_derivative_tail_2
    let third = polynomial(
        v,
        [
            2.630895e-09,
            -1.9585695e-08,
            1.00900785e-07,
            -7.1908596e-07,
            5.239641e-06,
            -3.5912726e-05,
            0.00024116335,
            -0.0015904058,
            0.4092087,
            2.3288743,
        ],
    );
    let v = a - 11.0;
    // fit: gelu_derivative_tail_3
    let fourth = polynomial(
        v,
        [
            6.118366e-11,
            1.4053292e-09,
            -2.1022212e-08,
            1.9342419e-07,
            -2.1646692e-06,
            2.5160327e-05,
            -0.00028583774,
            0.4021608,
            4.3523903,
        ],
    );
    let lower = select(a < 2.0, first, second);
    select(a < 4.0, lower, select(a < 8.0, third, fourth))
}
