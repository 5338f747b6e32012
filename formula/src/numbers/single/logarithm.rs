//! Logarithms, and the logit.

use super::bits::{polynomial, quotient, select};
use crate::numbers::Sum;

/// ln(1 + f) − f for f in [−0.2935, 0.4145]
#[inline(always)]
fn log1p_tail(f: f32) -> f32 {
    // fit: log1p
    let p = polynomial(
        f,
        [
            0.06691393,
            -0.11662676,
            0.11906576,
            -0.12408868,
            0.14217335,
            -0.1666775,
            0.20002234,
            -0.25000015,
            0.3333331,
        ],
    );
    let square = f * f;
    square * f * p - 0.5 * square
}

/// ln of u · (1 + correction) for a normal u > 0 and a correction of a few units in the last place.
#[inline(always)]
fn log_corrected(u: f32, correction: f32) -> f32 {
    // u = 2^n · (1 + f) with 1 + f in [√½, √2).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let offset = u.to_bits().wrapping_sub(SQRT_HALF);
    let n = (offset as i32) >> 23;
    let f = f32::from_bits((offset & 0x007f_ffff) + SQRT_HALF) - 1.0;
    let k = n as f32;
    // ln 2 in two parts: k times the first is exact.
    let low = k * 1.428_606_8e-6 + (correction + log1p_tail(f));
    k * 0.693_145_75 + (f + low)
}

/// ln(1 + e) for e in [0, 1].
#[inline(always)]
pub(super) fn log1p_of_sum(e: Sum<f32>) -> f32 {
    // Above √2 − 1, start from ln 2 and f = (e − 1) / 2, which is exact.
    let large = e.high > 0.4142;
    let f = select(large, 0.5 * (e.high - 1.0), e.high);
    // The correction's own factor, 1 / (1 + e), need not be exact.
    let tail = log1p_tail(f) + e.low * (1.0 - 0.5 * e.high);
    select(large, 0.693_145_75 + (f + (tail + 1.428_606_8e-6)), f + tail)
}

/// ln x: NaN for x < 0, −∞ at 0.
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    // Subnormal numbers are multiplied by 2^32 first, and 32 ln 2 is subtracted.
    let subnormal = x < f32::MIN_POSITIVE;
    let raised = select(subnormal, x * 4_294_967_296.0, x);
    let value = log_corrected(raised, 0.0) - select(subnormal, 22.180_71, 0.0);
    let value = select(x == 0.0, f32::NEG_INFINITY, value);
    let value = select(x == f32::INFINITY, x, value);
    select(x < 0.0, f32::NAN, value)
}

/// ln(1 + x) for x ≥ 0.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    let small = x <= 0.4142;
    let u = 1.0 + x;
    // The part that the sum 1 + x lost, whichever of the two is larger.
    let lost = select(x < 1.0, x - (u - 1.0), 1.0 - (u - x));
    let large = log_corrected(u, lost / u);
    let near = select(small, x, 0.0);
    let value = select(small, near + log1p_tail(near), large);
    select(x == f32::INFINITY, x, value)
}

/// ln(p / (1 − p)): −∞ at 0, ∞ at 1, NaN outside.
#[inline(always)]
pub(super) fn logit(p: f32) -> f32 {
    // Around ½, use an odd function of t = 2p − 1, which is exact.
    let t = (p - 0.5) + (p - 0.5);
    let y = t * t;
    // fit: logit_near
    let series =
        polynomial(y, [0.262408, 0.15470007, 0.22537461, 0.28553355, 0.40000468, 0.6666666]);
    let near = t * y * series + (t + t);
    let Sum { high, low } = quotient(p, 1.0 - p);
    let subnormal = p < f32::MIN_POSITIVE;
    let far = select(subnormal, ln(p), log_corrected(high, low / high));
    let y = select(t.abs() < 0.4, near, far);
    let y = select(p == 1.0, f32::INFINITY, y);
    select((0.0..=1.0).contains(&p), y, f32::NAN)
}
