//! The numbers that the formulas are written for.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A real number in the precision of an implementation: `f64` is the oracle, `f32` the CPU backend.
///
/// The elementary functions are methods, so that each precision can bring its own: the standard
/// library's for `f64`, branch-free polynomials that vectorise for `f32`.
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
    + 'static
{
    /// The value, rounded to this precision.
    fn from_f64(value: f64) -> Self;
    /// `self·factor + term`, without the rounding error of the product.
    fn multiply_add(self, factor: Self, term: Self) -> Self;
    /// `e^x`.
    fn exp(self) -> Self;
    /// `e^x − 1`.
    fn exp_m1(self) -> Self;
    /// `ln(1 + e^x)`.
    fn softplus(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// `ln(1 + x)` for x ≥ 0.
    fn ln_1p(self) -> Self;
    /// `tanh x`.
    fn tanh(self) -> Self;
    /// `1 / (1 + e^-x)`.
    fn sigmoid(self) -> Self;
    /// `sigmoid(x) · sigmoid(−x)`, to the last bits in both tails.
    fn sigmoid_derivative(self) -> Self;
    /// `1 − tanh² x`, to the last bits in both tails.
    fn tanh_derivative(self) -> Self;
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    fn multiply_add(self, factor: Self, term: Self) -> Self {
        self.mul_add(factor, term)
    }

    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn exp_m1(self) -> Self {
        f64::exp_m1(self)
    }

    fn softplus(self) -> Self {
        self.max(0.0) + (-self.abs()).exp().ln_1p()
    }

    fn ln(self) -> Self {
        f64::ln(self)
    }

    fn ln_1p(self) -> Self {
        f64::ln_1p(self)
    }

    fn tanh(self) -> Self {
        f64::tanh(self)
    }

    fn sigmoid(self) -> Self {
        // The exponential of a negative number never overflows.
        let e = (-self.abs()).exp();
        if self < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
    }

    fn sigmoid_derivative(self) -> Self {
        let e = (-self.abs()).exp();
        e / ((1.0 + e) * (1.0 + e))
    }

    fn tanh_derivative(self) -> Self {
        4.0 * (2.0 * self).sigmoid_derivative()
    }
}
