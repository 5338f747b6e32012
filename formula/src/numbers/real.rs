//! The number types for which the formulas are written.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::special::Special;

/// `high + low`, where the low part is the part of a product or a quotient
/// that the high part cannot hold.
///
/// A scaled argument such as β·z needs it: if the product were rounded, e^(β·z) would be off by
/// |β·z| units in the last place.
#[derive(Clone, Copy, Debug)]
pub struct Sum<R> {
    /// The sum, rounded.
    pub high: R,
    /// The rest.
    pub low: R,
}

impl<R: Real> From<R> for Sum<R> {
    #[inline(always)]
    fn from(high: R) -> Self {
        Self { high, low: R::from_f64(0.0) }
    }
}

impl<R: Real> Neg for Sum<R> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl<R: Real> Sum<R> {
    /// `2·self`.
    #[inline(always)]
    pub fn twice(self) -> Self {
        Self { high: self.high + self.high, low: self.low + self.low }
    }
}

/// A real number in the precision of an implementation: `f64` is the oracle, `f32` the CPU backend.
///
/// The elementary functions are methods, so that each precision can provide its own: the standard
/// library's functions for `f64`, branch-free polynomials that vectorise for `f32`.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Special
    + 'static
{
    /// The value, rounded to this precision.
    fn from_f64(value: f64) -> Self;
    /// `self·factor + term`, without the rounding error of the product.
    fn multiply_add(self, factor: Self, term: Self) -> Self;
    /// `self·other`, with the part that rounding removes; zero times infinity is zero.
    fn product(self, other: Self) -> Sum<Self>;
    /// `self / other`, with the part that rounding removes.
    fn quotient(self, other: Self) -> Sum<Self>;
    /// `self − constant`, with all the digits of the constant.
    fn minus(self, constant: f64) -> Self;
    /// `self·constant`, with all the digits of the constant.
    fn times_constant(self, constant: f64) -> Sum<Self>;
    /// `√x`.
    fn sqrt(self) -> Self;
    /// `e^x`.
    fn exp_of(x: Sum<Self>) -> Self;
    /// `self·e^x`, rounded once even if e^x is subnormal.
    fn exp_times(self, x: Sum<Self>) -> Self;
    /// `e^x − 1`.
    fn exp_m1_of(x: Sum<Self>) -> Self;
    /// `ln(1 + e^x)`.
    fn softplus_of(x: Sum<Self>) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// `ln(1 + x)` for x ≥ 0.
    fn ln_1p(self) -> Self;
    /// `tanh x`.
    fn tanh_of(x: Sum<Self>) -> Self;
    /// `self·(1 − tanh² x)`, to the last bits in both tails.
    fn tanh_slope(self, x: Sum<Self>) -> Self;
    /// `1 / (1 + e^-x)`.
    fn sigmoid_of(x: Sum<Self>) -> Self;
    /// `self·sigmoid(x)·sigmoid(−x)`, to the last bits in both tails.
    fn sigmoid_slope(self, x: Sum<Self>) -> Self;
    /// `sin x`.
    fn sin_of(x: Sum<Self>) -> Self;
    /// `cos x`.
    fn cos_of(x: Sum<Self>) -> Self;
    /// `arctan x`.
    fn atan(self) -> Self;

    /// [`exp_of`](Self::exp_of) a number.
    #[inline(always)]
    fn exp(self) -> Self {
        Self::exp_of(self.into())
    }

    /// [`exp_m1_of`](Self::exp_m1_of) a number.
    #[inline(always)]
    fn exp_m1(self) -> Self {
        Self::exp_m1_of(self.into())
    }

    /// [`softplus_of`](Self::softplus_of) a number.
    #[inline(always)]
    fn softplus(self) -> Self {
        Self::softplus_of(self.into())
    }

    /// [`tanh_of`](Self::tanh_of) a number.
    #[inline(always)]
    fn tanh(self) -> Self {
        Self::tanh_of(self.into())
    }

    /// `1 − tanh² x`.
    #[inline(always)]
    fn tanh_derivative(self) -> Self {
        Self::from_f64(1.0).tanh_slope(self.into())
    }

    /// [`sigmoid_of`](Self::sigmoid_of) a number.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::sigmoid_of(self.into())
    }

    /// `sigmoid(x)·sigmoid(−x)`.
    #[inline(always)]
    fn sigmoid_derivative(self) -> Self {
        Self::from_f64(1.0).sigmoid_slope(self.into())
    }

    /// `|x|`.
    #[inline(always)]
    fn magnitude(self) -> Self {
        let zero = Self::from_f64(0.0);
        if self > zero { self } else { zero - self }
    }
}

impl Sum<f64> {
    /// The sum, which is accurate enough in f64.
    pub(super) fn value(self) -> f64 {
        self.high + self.low
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    fn multiply_add(self, factor: Self, term: Self) -> Self {
        self.mul_add(factor, term)
    }

    fn product(self, other: Self) -> Sum<Self> {
        let product = self * other;
        Sum::from(if product.is_nan() { 0.0 } else { product })
    }

    fn quotient(self, other: Self) -> Sum<Self> {
        Sum::from(self / other)
    }

    fn minus(self, constant: f64) -> Self {
        self - constant
    }

    fn times_constant(self, constant: f64) -> Sum<Self> {
        Sum::from(self * constant)
    }

    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    fn exp_of(x: Sum<Self>) -> Self {
        x.value().exp()
    }

    fn exp_times(self, x: Sum<Self>) -> Self {
        let power = x.value().exp();
        if power == 0.0 { 0.0 } else { self * power }
    }

    fn exp_m1_of(x: Sum<Self>) -> Self {
        x.value().exp_m1()
    }

    fn softplus_of(x: Sum<Self>) -> Self {
        let x = x.value();
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    fn ln(self) -> Self {
        f64::ln(self)
    }

    fn ln_1p(self) -> Self {
        f64::ln_1p(self)
    }

    fn tanh_of(x: Sum<Self>) -> Self {
        x.value().tanh()
    }

    fn tanh_slope(self, x: Sum<Self>) -> Self {
        (4.0 * self).sigmoid_slope(x.twice())
    }

    fn sigmoid_of(x: Sum<Self>) -> Self {
        // The exponential of a negative number never overflows.
        let e = (-x.value().abs()).exp();
        if x.high < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
    }

    fn sigmoid_slope(self, x: Sum<Self>) -> Self {
        let e = (-x.value().abs()).exp();
        if e == 0.0 { 0.0 } else { self * e / ((1.0 + e) * (1.0 + e)) }
    }

    fn sin_of(x: Sum<Self>) -> Self {
        x.value().sin()
    }

    fn cos_of(x: Sum<Self>) -> Self {
        x.value().cos()
    }

    fn atan(self) -> Self {
        f64::atan(self)
    }
}
