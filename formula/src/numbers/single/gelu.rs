//! x·Φ(x), where Φ is the normal distribution function.

use super::bits::{fma, greatest, least_magnitude, polynomial, select};
use super::exponential::{exponential, negative_half_square};
use super::normal::mills;
use crate::numbers::Sum;

/// 1/√(2π)
const DENSITY: f32 = 0.398_942_3;

/// a·Φ(−a) for a in [0, 15]: the density's exponential times Mills' ratio.
#[inline(always)]
fn tail(a: f32) -> f32 {
    // ½ / (1 + a·(√(π/2) + N/D))
    let (denominator, sum) = mills(a);
    // The product is negative, like the exponential's argument, which has the same factor.
    let product = (-0.5 * a) * denominator;
    let product_lost = fma(-0.5 * a, denominator, -product);
    let inverse = -1.0 / sum;
    let high = product * inverse;
    let low = (fma(high, sum, product) + product_lost) * inverse;
    exponential(negative_half_square(a)).times_bounded(Sum { high, low })
}

#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    // Φ(x) = 1 − Φ(−x)
    greatest(0.0, x) - tail(least_magnitude(x, 15.0))
}

/// Φ(x) + x·Φ'(x)
#[inline(always)]
pub(super) fn gelu_derivative(x: f32) -> f32 {
    let a = least_magnitude(x, 15.0);
    // Compute the negative side around its root, which is −a.
    const ROOT: f32 = 0.751_791_54;
    const ROOT_REST: f32 = -1.211_445e-8;
    let v = ROOT - a;
    let v_rest = ((ROOT - v) - a) + ROOT_REST;
    // fit: gelu_derivative_numerator
    let numerator = polynomial(a, [2.165655e-06, 0.2998157, 2.3486912, 7.455548, 10.127309]);
    // fit: gelu_derivative_denominator
    let denominator = polynomial(a, [1.0, 8.402171, 30.236671, 53.272675, 38.053177]);
    let quotient = numerator / denominator;
    let slope = DENSITY + quotient;
    let slope_lost = (DENSITY - slope) + quotient;
    let high = v * slope;
    let low = fma(v, slope, -high) + fma(v, slope_lost, v_rest * slope);
    let negative = exponential(negative_half_square(a)).times_bounded(Sum { high, low });
    select(x < 0.0, negative, 1.0 - negative)
}
