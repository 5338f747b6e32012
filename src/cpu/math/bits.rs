//! Numbers in parts, and operations on their bits.

use crate::reference::Sum;

/// The upper 12 significant bits of x: the product of two such numbers is exact.
#[inline(always)]
pub(super) fn head(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0xffff_f000)
}

#[inline(always)]
pub(super) fn select(condition: bool, yes: f32, no: f32) -> f32 {
    if condition { yes } else { no }
}

/// The smaller one; y where x is NaN, and vectorised as one instruction.
#[inline(always)]
pub(super) fn least(x: f32, y: f32) -> f32 {
    select(x < y, x, y)
}

#[inline(always)]
pub(super) fn greatest(x: f32, y: f32) -> f32 {
    select(x > y, x, y)
}

/// The polynomial with these coefficients, the constant last.
#[inline(always)]
pub(super) fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = coefficients[0];
    for coefficient in &coefficients[1..] {
        value = value * x + coefficient;
    }
    value
}

/// 2^n for −126 ≤ n ≤ 127.
#[inline(always)]
pub(super) fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// m · 2^n for m in [0.5, 4), rounded once, subnormal results included; no overflow.
#[inline(always)]
pub(super) fn scale(m: f32, n: i32) -> f32 {
    let shifted = |n: i32| f32::from_bits(m.to_bits().wrapping_add((n as u32) << 23));
    let exponent = (m.to_bits() >> 23) as i32 + n;
    // Below the normal range: stay normal by 2^64, then multiply by 2^−64.
    let subnormal = shifted(n + 64) * SMALL;
    select(exponent >= 1, shifted(n), subnormal)
}

/// 2^−64
pub(super) const SMALL: f32 = 5.421_011e-20;

/// A number as a head of 12 bits and the rest.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) head: f32,
    pub(super) rest: f32,
}

impl Pair {
    /// A sum whose low part is small.
    #[inline(always)]
    pub(super) fn of(x: Sum<f32>) -> Self {
        let head = head(x.high);
        Self { head, rest: (x.high - head) + x.low }
    }

    #[inline(always)]
    pub(super) fn value(self) -> f32 {
        self.head + self.rest
    }

    #[inline(always)]
    pub(super) fn times(self, other: Self) -> f32 {
        self.head * other.head + (self.head * other.rest + self.rest * other.value())
    }

    #[inline(always)]
    pub(super) fn times_pair(self, other: Self) -> Self {
        let upper = self.head * other.head;
        let lower = self.head * other.rest + self.rest * other.value();
        let sum = head(upper + lower);
        Self { head: sum, rest: (upper - sum) + lower }
    }

    /// self · other, with what its rounding loses.
    #[inline(always)]
    pub(super) fn times_sum(self, other: Self) -> Sum<f32> {
        let upper = self.head * other.head;
        let lower = self.head * other.rest + self.rest * other.value();
        let high = upper + lower;
        Sum { high, low: (upper - high) + lower }
    }

    /// 1 + self · other.
    #[inline(always)]
    pub(super) fn times_plus_one(self, other: Self) -> f32 {
        (1.0 + self.head * other.head) + (self.head * other.rest + self.rest * other.value())
    }

    /// 1 / self: an exact residual takes the division's error away.
    #[inline(always)]
    pub(super) fn reciprocal(self) -> Self {
        let q = 1.0 / self.value();
        let q_head = head(q);
        let q_rest = q - q_head;
        let residual = ((1.0 - q_head * self.head) - q_rest * self.head) - q * self.rest;
        Self { head: q_head, rest: q_rest + q * residual }
    }

    /// large + small for a 12-bit `small` that is not greater than `large`.
    #[inline(always)]
    pub(super) fn plus(large: f32, small: f32, rest: f32) -> Self {
        let head = head(large + small);
        Self { head, rest: ((large - head) + small) + rest }
    }
}

/// a · b, exactly but for underflow (Dekker).
#[inline(always)]
pub(super) fn product(a: f32, b: f32) -> Sum<f32> {
    let high = a * b;
    let (a_head, b_head) = (head(a), head(b));
    let (a_rest, b_rest) = (a - a_head, b - b_head);
    let low = ((a_head * b_head - high) + a_head * b_rest + a_rest * b_head) + a_rest * b_rest;
    // What an overflow lost is no number. Zero times infinity is the limit of zero times a number.
    let high = select(high.is_nan(), 0.0, high);
    Sum { high, low: select(low.is_finite(), low, 0.0) }
}

/// a / b with what its rounding left.
#[inline(always)]
pub(super) fn quotient(a: f32, b: f32) -> Sum<f32> {
    let high = a / b;
    let back = product(high, b);
    let low = ((a - back.high) - back.low) / b;
    Sum { high, low: select(low.is_finite(), low, 0.0) }
}

/// a · b + c, without the rounding error of the product (Knuth's sum).
#[inline(always)]
pub(super) fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    let product = product(a, b);
    let sum = product.high + c;
    let back = sum - product.high;
    let lost = (product.high - (sum - back)) + (c - back);
    let corrected = sum + (product.low + lost);
    // Where something overflowed, what was lost is no number.
    select(corrected.is_nan(), sum, corrected)
}

/// The number, kept between the bounds; what it leaves counts only where it is within.
#[inline(always)]
pub(super) fn bounded(x: Sum<f32>, low: f32, high: f32) -> Sum<f32> {
    let within = x.high >= low && x.high <= high;
    Sum { high: least(greatest(x.high, low), high), low: select(within, x.low, 0.0) }
}

/// |x|: where x is negative, the low part changes its sign too.
#[inline(always)]
pub(super) fn magnitude(x: Sum<f32>) -> Sum<f32> {
    let low = f32::from_bits(x.low.to_bits() ^ (x.high.to_bits() & 0x8000_0000));
    Sum { high: x.high.abs(), low }
}
