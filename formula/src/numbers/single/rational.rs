//! Quotients: 1 / (1 + x) and its powers.

use super::bits::{least_magnitude, product, select};
use crate::numbers::Sum;

/// 1 / (1 + z²)
#[inline(always)]
pub(super) fn atan_derivative(z: f32) -> f32 {
    let inverse = 1.0 / z;
    select(z.abs() > 1e9, inverse * inverse, reciprocal_1p_square(z).rounded())
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
fn reciprocal_1p_square(z: f32) -> Sum<f32> {
    reciprocal_1p(product(z, z))
}

/// 1 / (1 + x) for x ≥ 0.
#[inline(always)]
pub(super) fn reciprocal_1p(x: Sum<f32>) -> Sum<f32> {
    let (large, small) = if x.high > 1.0 { (x.high, 1.0) } else { (1.0, x.high) };
    let sum = Sum::of_sum(large, small);
    Sum { low: sum.low + x.low, ..sum }.reciprocal()
}

/// z / (1 + |z|)
#[inline(always)]
pub(super) fn softsign(z: f32) -> f32 {
    let bounded = Sum::from(least_magnitude(z, 1e9));
    bounded.times(reciprocal_1p(bounded)).copysign(z)
}

/// 1 / (1 + |z|)²
#[inline(always)]
pub(super) fn softsign_derivative(z: f32) -> f32 {
    let q = reciprocal_1p(least_magnitude(z, 1e9).into());
    let inverse = 1.0 / z;
    select(z.abs() > 1e9, inverse * inverse, q.times(q))
}

/// −2 sign(z) / (1 + |z|)³
#[inline(always)]
pub(super) fn softsign_second(z: f32) -> f32 {
    let q = reciprocal_1p(least_magnitude(z, 1e9).into());
    let inverse = 1.0 / z.abs();
    let far = inverse * inverse * inverse;
    let magnitude = 2.0 * select(z.abs() > 1e9, far, q.times_sum(q).times(q));
    select(z == 0.0, 0.0, (-magnitude).copysign(-z))
}
