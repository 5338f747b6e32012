//! Quotients: 1 / (1 + x) and its powers.

use super::bits::{Pair, product, select};
use super::exponential::least_magnitude;

/// 1 / (1 + z²)
#[inline(always)]
pub(super) fn atan_derivative(z: f32) -> f32 {
    let inverse = 1.0 / z;
    select(z.abs() > 1e9, inverse * inverse, reciprocal_1p_square(z).value())
}

/// −2z / (1 + z²)²
#[inline(always)]
pub(super) fn atan_second(z: f32) -> f32 {
    let q = reciprocal_1p_square(z);
    let inverse = 1.0 / z;
    let far = -2.0 * inverse * inverse * inverse;
    select(z.abs() > 1e9, far, q.times(q) * (-2.0 * z))
}

/// 1 / (1 + z²) for |z| ≤ 1e9.
#[inline(always)]
fn reciprocal_1p_square(z: f32) -> Pair {
    reciprocal_1p(Pair::of(product(z, z)))
}

/// 1 / (1 + x) for x ≥ 0.
#[inline(always)]
pub(super) fn reciprocal_1p(x: Pair) -> Pair {
    let (large, small) = if x.head > 1.0 { (x.head, 1.0) } else { (1.0, x.head) };
    Pair::plus(large, small, x.rest).reciprocal()
}

/// z / (1 + |z|)
#[inline(always)]
pub(super) fn softsign(z: f32) -> f32 {
    let bounded = least_magnitude(z, 1e9);
    let q = reciprocal_1p(Pair::of(bounded.into()));
    Pair::of(bounded.into()).times(q).copysign(z)
}

/// 1 / (1 + |z|)²
#[inline(always)]
pub(super) fn softsign_derivative(z: f32) -> f32 {
    let q = reciprocal_1p(Pair::of(least_magnitude(z, 1e9).into()));
    let inverse = 1.0 / z;
    select(z.abs() > 1e9, inverse * inverse, q.times(q))
}

/// −2 sign(z) / (1 + |z|)³
#[inline(always)]
pub(super) fn softsign_second(z: f32) -> f32 {
    let q = reciprocal_1p(Pair::of(least_magnitude(z, 1e9).into()));
    let inverse = 1.0 / z.abs();
    let far = inverse * inverse * inverse;
    let magnitude = 2.0 * select(z.abs() > 1e9, far, q.times_pair(q).times(q));
    select(z == 0.0, 0.0, (-magnitude).copysign(-z))
}
