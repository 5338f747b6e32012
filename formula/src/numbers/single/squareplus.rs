//! squareplus: (z + √(z² + b)) / 2.

use super::bits::{fma, greatest, least, product, quotient, select};
use super::rational::reciprocal_1p;
use crate::numbers::Sum;

/// (z² + b) · scale².
#[inline(always)]
fn square_sum(z: f32, b: f32, scale: f32) -> Sum<f32> {
    let square = product(z * scale, z * scale);
    let b = b * scale * scale;
    // The part that the sum loses, whichever of the two is larger.
    let high = square.high + b;
    let lost = (greatest(square.high, b) - high) + least(square.high, b);
    Sum { high, low: square.low + lost }
}

/// Whether the squares would be out of range.
#[inline(always)]
fn is_extreme(z: f32, b: f32) -> bool {
    z.abs() > 1e15 || b > 1e30 || (z.abs() < 1e-15 && b < 1e-30)
}

/// √(z² + b); the squares are scaled by 2^−70 or 2^70 if they would be out of range.
#[inline(always)]
fn hypotenuse(z: f32, b: f32) -> f32 {
    const DOWN: f32 = 8.470_329_5e-22;
    const UP: f32 = 1.180_591_6e21;
    let big = z.abs() > 1.0 || b > 1.0;
    let extreme = is_extreme(z, b);
    let square = square_sum(z, b, select(extreme, select(big, DOWN, UP), 1.0));
    let root = square.high.sqrt();
    let root = root + select(root > 0.0, 0.5 * square.low / root, 0.0);
    let root = greatest(root * select(extreme, select(big, UP, DOWN), 1.0), z.abs());
    select(z.is_infinite(), f32::INFINITY, root)
}

#[inline(always)]
pub(super) fn squareplus(z: f32, b: f32) -> f32 {
    let half = 0.5 * hypotenuse(z, b) + 0.5 * z.abs();
    // This form avoids the cancellation for negative z.
    let negative = select(half > 0.0, 0.25 * b / half, 0.0);
    select(z > 0.0, half, negative)
}

/// (1 + z / √(z² + b)) / 2; ½ at 0, whatever b is.
#[inline(always)]
pub(super) fn squareplus_derivative(z: f32, b: f32) -> f32 {
    let root = hypotenuse(z, b);
    // b / 2(z² + b + |z|·root); for extreme numbers, each division is done separately.
    let sum = square_sum(z, b, 1.0);
    let near = 0.5 * b / (sum.high + (z.abs() * root + sum.low));
    let negative = select(is_extreme(z, b), 0.5 * b / root / (root + z.abs()), near);
    let positive = 0.5 + 0.5 * select(z < f32::INFINITY, z / root, 1.0);
    let y = select(z > 0.0, positive, negative);
    let step = select(z > 0.0, 1.0, select(z < 0.0, 0.0, 0.5));
    select(b > 0.0, y, step)
}

/// b / (2 (z² + b)^(3/2))
#[inline(always)]
pub(super) fn squareplus_second(z: f32, b: f32) -> f32 {
    let root = hypotenuse(z, b);
    let near = 0.5 * b / square_sum(z, b, 1.0).high / root;
    let y = select(is_extreme(z, b), 0.5 * b / root / root / root, near);
    select(b > 0.0, y, 0.0)
}

/// y² / (y² + b/4), the derivative at the value y.
#[inline(always)]
pub(super) fn squareplus_from_output(y: f32, b: f32) -> f32 {
    // Compute it as 1 / (1 + r²) with r = √b / 2y.
    let root = b.sqrt();
    let root_rest = select(b > 0.0, fma(-root, root, b) / (root + root), 0.0);
    let r = quotient(0.5 * root, y);
    let r_rest = r.low + 0.5 * root_rest / y;
    let square = product(r.high, r.high);
    let square = Sum { low: square.low + 2.0 * r.high * r_rest, ..square };
    let near = reciprocal_1p(square).rounded();
    let inverse = y / (0.5 * root);
    let value = select(r.high > 1e9, inverse * inverse, near);
    select(y > 0.0, value, 0.0)
}
