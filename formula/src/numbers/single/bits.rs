//! Operations on numbers in two parts, and on their bits.

use crate::numbers::Sum;

/// a · b + c, rounded once.
///
/// Code that is compiled for vectors uses one instruction; other code makes a
/// call, which is slow but correct.
#[inline(always)]
pub(super) fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "wasm32") {
        // There is no such instruction here, but the product of two f32 is exact in f64.
        (f64::from(a) * f64::from(b) + f64::from(c)) as f32
    } else {
        a.mul_add(b, c)
    }
}

#[inline(always)]
pub(super) fn select(condition: bool, yes: f32, no: f32) -> f32 {
    if condition { yes } else { no }
}

/// The smaller number; y if x is NaN. It is vectorised as one instruction.
#[inline(always)]
pub(super) fn least(x: f32, y: f32) -> f32 {
    select(x < y, x, y)
}

#[inline(always)]
pub(super) fn greatest(x: f32, y: f32) -> f32 {
    select(x > y, x, y)
}

/// The value of the polynomial with these coefficients, constant last.
#[inline(always)]
pub(super) fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = coefficients[0];
    for coefficient in &coefficients[1..] {
        value = fma(value, x, *coefficient);
    }
    value
}

/// 2^n for −126 ≤ n ≤ 127.
#[inline(always)]
pub(super) fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// m · 2^n for |n| ≤ 250, rounded once, even if the result is subnormal. Two steps
/// keep each power of two in range.
#[inline(always)]
pub(super) fn scale(m: f32, n: i32) -> f32 {
    let half = n >> 1;
    m * power_of_two(half) * power_of_two(n - half)
}

/// m · 2^n for |m| < 2^63 and −190 ≤ n ≤ 63, with fewer steps.
#[inline(always)]
pub(super) fn scale_down(m: f32, n: i32) -> f32 {
    /// 2^−64
    const SMALL: f32 = 5.421_011e-20;
    m * f32::from_bits(((n + SCALED_BIAS) as u32) << 23) * SMALL
}

/// The bias of the exponent, plus 64 for the scale.
pub(super) const SCALED_BIAS: i32 = 127 + 64;

/// Numbers in two parts, of which the low part is at most a few units
/// in the high part's last place.
impl Sum<f32> {
    #[inline(always)]
    pub(super) fn rounded(self) -> f32 {
        self.high + self.low
    }

    /// self · other
    #[inline(always)]
    pub(super) fn times(self, other: Self) -> f32 {
        let low = fma(self.high, other.low, self.low * other.high);
        fma(self.high, other.high, low)
    }

    /// self · other, with the part that rounding removes.
    #[inline(always)]
    pub(super) fn times_sum(self, other: Self) -> Self {
        let high = self.high * other.high;
        let low = fma(self.high, other.low, self.low * other.high);
        Self { high, low: fma(self.high, other.high, -high) + low }
    }

    /// 1 + self · other
    #[inline(always)]
    pub(super) fn times_plus_one(self, other: Self) -> f32 {
        let low = fma(self.high, other.low, self.low * other.high);
        fma(self.high, other.high, 1.0) + low
    }

    /// 1 / self; an exact residual removes the error of the division.
    #[inline(always)]
    pub(super) fn reciprocal(self) -> Self {
        let high = 1.0 / self.high;
        let residual = fma(-high, self.low, fma(-high, self.high, 1.0));
        Self { high, low: high * residual }
    }

    /// large + small, where `large` must not be the smaller one.
    #[inline(always)]
    pub(super) fn of_sum(large: f32, small: f32) -> Self {
        let high = large + small;
        Self { high, low: (large - high) + small }
    }
}

/// a · b, exact except for underflow.
#[inline(always)]
pub(super) fn product(a: f32, b: f32) -> Sum<f32> {
    let high = a * b;
    let low = fma(a, b, -high);
    // After an overflow the low part is not a finite number. Zero times infinity is the
    // limit of zero times a number.
    let high = select(high.is_nan(), 0.0, high);
    Sum { high, low: select(low.is_finite(), low, 0.0) }
}

/// a / b, with the part that rounding removes.
#[inline(always)]
pub(super) fn quotient(a: f32, b: f32) -> Sum<f32> {
    let high = a / b;
    let low = fma(-high, b, a) / b;
    Sum { high, low: select(low.is_finite(), low, 0.0) }
}

/// The number, clamped to the bounds; the low part is kept only if the high part is within them.
#[inline(always)]
pub(super) fn bounded(x: Sum<f32>, low: f32, high: f32) -> Sum<f32> {
    let within = x.high >= low && x.high <= high && x.low != 0.0;
    Sum { high: least(greatest(x.high, low), high), low: select(within, x.low, 0.0) }
}

const SIGN: u32 = 1 << 31;

/// |x|, at most `most`; NaN also gives `most`.
#[inline(always)]
pub(super) fn least_magnitude(x: f32, most: f32) -> f32 {
    // Compare as integers, which takes one instruction.
    f32::from_bits((x.to_bits() & !SIGN).min(most.to_bits()))
}

/// −|x|, with |x| at most `most`; if x is positive, the sign of the low part changes too.
#[inline(always)]
pub(super) fn negative_magnitude(x: Sum<f32>, most: f32) -> Sum<f32> {
    let high = f32::from_bits((x.high.to_bits() | SIGN).min((-most).to_bits()));
    // If the low part is always 0, this costs nothing.
    let within = x.high.abs() <= most && x.low != 0.0;
    Sum { high, low: select(within, -x.low * 1.0_f32.copysign(x.high), 0.0) }
}
