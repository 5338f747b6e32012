//! The normal distribution function, and the error function.

use super::bits::{fma, least_magnitude, polynomial, select};
use super::exponential::{exponential, negative_half_square};
use crate::numbers::Sum;

/// √(π/2)
const ROOT_HALF_PI: f32 = 1.253_314_1;

/// The denominator D of Mills' ratio N/D at a, and the sum `D + a·(√(π/2)·D + N)`: the density's exponential times
/// `½·D` over this sum is Φ(−a), for a in [0, 15].
#[inline(always)]
pub(super) fn mills(a: f32) -> (f32, f32) {
    // fit: mills_numerator
    let numerator = polynomial(a, [-0.999874, -8.153037, -28.974915, -47.235207]);
    // fit: mills_denominator
    let denominator = polynomial(a, [1.0, 9.400609, 40.867664, 94.73179, 103.71588]);
    // Errors of D hardly matter, nor do errors of N if a is small or large.
    let rest = fma(ROOT_HALF_PI, denominator, numerator);
    (denominator, fma(a, rest, denominator))
}

/// Φ(x) for x = high + low.
#[inline(always)]
pub(super) fn normal_cdf(x: Sum<f32>) -> f32 {
    let a = least_magnitude(x.high, 15.0);
    let (denominator, sum) = mills(a);
    let product = 0.5 * denominator;
    let inverse = 1.0 / sum;
    let ratio = product * inverse;
    let lost = fma(-ratio, sum, product) * inverse;
    // e^(−(a + l)²/2) = e^(−a²/2)·(1 − a·l)
    let low = select(x.high < 0.0, -x.low, x.low);
    let power = negative_half_square(a);
    let power = Sum { high: power.high, low: fma(-a, low, power.low) };
    let tail = exponential(power).times_bounded(Sum { high: ratio, low: lost });
    select(x.high < 0.0, tail, 1.0 - tail)
}

/// The error function.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let y = x * x;
    // 2/√π·Σ (−y)^n / (n!·(2n + 1))
    let series = polynomial(
        y,
        [
            -1.492_564_7e-5,
            1.205_533_3e-4,
            -8.548_327_4e-4,
            5.223_977_6e-3,
            -2.686_617e-2,
            0.112_837_92,
            -0.376_126_4,
            std::f32::consts::FRAC_2_SQRT_PI,
        ],
    );
    let magnitude = select(x < 0.0, -x, x);
    let far = 1.0 - 2.0 * normal_cdf(Sum::from(-std::f32::consts::SQRT_2 * magnitude));
    let signed = select(x < 0.0, -far, far);
    select(magnitude < 0.6, x * series, signed)
}
