//! Elementary functions and activations in f32: the counterparts of the functions in shaders/.
//!
//! All functions are free of branches and calls, so that loops over them vectorise. Some
//! measures that the shaders need because of drivers are not needed here: hiding values from the
//! optimiser, splitting numbers if no product is exact, and handling inexact division and
//! flushed subnormal numbers. Rust's arithmetic follows IEEE, and a fused multiply-add gives
//! exactly the part that a product loses.

mod bits;
mod exponential;
mod gelu;
mod gelu_tanh;
mod logarithm;
mod logistic;
mod mish;
mod normal;
mod rational;
mod squareplus;
mod trigonometry;

pub use exponential::{difference, exp_difference, finite_difference};
pub use logarithm::ln_1p;

use crate::numbers::{Real, Special, Sum};

/// The precision of the CPU backend.
impl Real for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        bits::fma(self, factor, term)
    }

    #[inline(always)]
    fn product(self, other: Self) -> Sum<Self> {
        bits::product(self, other)
    }

    #[inline(always)]
    fn quotient(self, other: Self) -> Sum<Self> {
        bits::quotient(self, other)
    }

    #[inline(always)]
    fn minus(self, constant: f64) -> Self {
        let high = constant as Self;
        (self - high) - (constant - f64::from(high)) as Self
    }

    #[inline(always)]
    fn times_constant(self, constant: f64) -> Sum<Self> {
        let high = constant as Self;
        let product = bits::product(self, high);
        let low = product.low + self * (constant - f64::from(high)) as Self;
        Sum { low, ..product }
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    #[inline(always)]
    fn exp_of(x: Sum<Self>) -> Self {
        exponential::exp(x)
    }

    #[inline(always)]
    fn exp_times(self, x: Sum<Self>) -> Self {
        exponential::exp_times(self, x)
    }

    #[inline(always)]
    fn exp_m1_of(x: Sum<Self>) -> Self {
        exponential::exp_m1(x)
    }

    #[inline(always)]
    fn softplus_of(x: Sum<Self>) -> Self {
        logistic::softplus(x)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        logarithm::ln(self)
    }

    #[inline(always)]
    fn ln_1p(self) -> Self {
        logarithm::ln_1p(self)
    }

    #[inline(always)]
    fn tanh_of(x: Sum<Self>) -> Self {
        logistic::tanh(x)
    }

    #[inline(always)]
    fn tanh_slope(self, x: Sum<Self>) -> Self {
        logistic::tanh_slope(self, x)
    }

    #[inline(always)]
    fn sigmoid_of(x: Sum<Self>) -> Self {
        logistic::sigmoid(x)
    }

    #[inline(always)]
    fn sigmoid_slope(self, x: Sum<Self>) -> Self {
        logistic::sigmoid_slope(self, x)
    }

    #[inline(always)]
    fn sin_of(x: Sum<Self>) -> Self {
        trigonometry::sin(x)
    }

    #[inline(always)]
    fn cos_of(x: Sum<Self>) -> Self {
        trigonometry::cos(x)
    }

    #[inline(always)]
    fn atan(self) -> Self {
        trigonometry::atan(self)
    }
}

/// The activations that need more than a formula.
impl Special for f32 {
    #[inline(always)]
    fn times_sigmoid(self, x: Sum<Self>) -> Self {
        logistic::times_sigmoid(self, x)
    }

    #[inline(always)]
    fn silu(self) -> Self {
        logistic::silu(self)
    }

    #[inline(always)]
    fn silu_derivative(x: Sum<Self>) -> Self {
        logistic::silu_derivative(x)
    }

    #[inline(always)]
    fn silu_second(self, x: Sum<Self>) -> Self {
        logistic::silu_second(self, x)
    }

    #[inline(always)]
    fn tanhshrink(self) -> Self {
        logistic::tanhshrink(self)
    }

    #[inline(always)]
    fn lisht_derivative(self) -> Self {
        logistic::lisht_derivative(self)
    }

    #[inline(always)]
    fn lisht_second(self) -> Self {
        logistic::lisht_second(self)
    }

    #[inline(always)]
    fn normal_cdf_of(x: Sum<Self>) -> Self {
        normal::normal_cdf(x)
    }

    #[inline(always)]
    fn erf(self) -> Self {
        normal::erf(self)
    }

    fn power(self, exponent: Self) -> Self {
        f64::from(self).powf(exponent.into()) as Self
    }

    #[inline(always)]
    fn gelu(self) -> Self {
        gelu::gelu(self)
    }

    #[inline(always)]
    fn gelu_derivative(self) -> Self {
        gelu::gelu_derivative(self)
    }

    #[inline(always)]
    fn gelu_tanh(self) -> Self {
        gelu_tanh::gelu_tanh(self)
    }

    #[inline(always)]
    fn gelu_tanh_derivative(self) -> Self {
        gelu_tanh::gelu_tanh_derivative(self)
    }

    #[inline(always)]
    fn gelu_tanh_second(self) -> Self {
        gelu_tanh::gelu_tanh_second(self)
    }

    #[inline(always)]
    fn mish(self) -> Self {
        mish::mish(self)
    }

    #[inline(always)]
    fn mish_derivative(self) -> Self {
        mish::mish_derivative(self)
    }

    #[inline(always)]
    fn mish_second(self) -> Self {
        mish::mish_second(self)
    }

    #[inline(always)]
    fn softsign(self) -> Self {
        rational::softsign(self)
    }

    #[inline(always)]
    fn softsign_derivative(self) -> Self {
        rational::softsign_derivative(self)
    }

    #[inline(always)]
    fn softsign_second(self) -> Self {
        rational::softsign_second(self)
    }

    #[inline(always)]
    fn squareplus(self, b: Self) -> Self {
        squareplus::squareplus(self, b)
    }

    #[inline(always)]
    fn squareplus_derivative(self, b: Self) -> Self {
        squareplus::squareplus_derivative(self, b)
    }

    #[inline(always)]
    fn squareplus_second(self, b: Self) -> Self {
        squareplus::squareplus_second(self, b)
    }

    #[inline(always)]
    fn squareplus_from_output(self, b: Self) -> Self {
        squareplus::squareplus_from_output(self, b)
    }

    #[inline(always)]
    fn snake(self, a: Self) -> Self {
        trigonometry::snake(self, a)
    }

    #[inline(always)]
    fn one_plus_sin_twice(x: Sum<Self>) -> Self {
        trigonometry::one_plus_sin_twice(x)
    }

    #[inline(always)]
    fn cos_squared(self) -> Self {
        trigonometry::cos_squared(self)
    }

    #[inline(always)]
    fn cos_twice(x: Sum<Self>) -> Self {
        trigonometry::cos_twice(x)
    }

    #[inline(always)]
    fn atan_derivative(self) -> Self {
        rational::atan_derivative(self)
    }

    #[inline(always)]
    fn atan_second(self) -> Self {
        rational::atan_second(self)
    }

    #[inline(always)]
    fn logit(self) -> Self {
        logarithm::logit(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sin(x: f32) -> f32 {
        f32::sin_of(x.into())
    }

    fn cos(x: f32) -> f32 {
        f32::cos_of(x.into())
    }

    /// The error in units in the last place of the correctly rounded result.
    fn ulp(found: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        if found == rounded || (found.is_nan() && rounded.is_nan()) {
            return 0.0;
        }
        let unit = f64::from(rounded.abs().next_up()) - f64::from(rounded.abs());
        (f64::from(found) - exact).abs() / unit
    }

    /// The worst error over evenly spaced normal arguments with normal results.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, arguments: fn(f32) -> bool) -> (f64, f32) {
        (0..=u32::MAX / 1009)
            .map(|i| f32::from_bits(i * 1009))
            .filter(|&x| x.is_normal() && arguments(x))
            .filter(|&x| (exact(x.into()) as f32).is_normal())
            .map(|x| (ulp(f(x), exact(x.into())), x))
            .fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
    }

    #[test]
    fn functions_keep_their_bounds() {
        let everywhere = |_: f32| true;
        let positive = |x: f32| x > 0.0;
        type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, fn(f32) -> bool, f64);
        let silu_slope = |x: f32| Special::silu_derivative(x.into());
        let exact_silu_slope = |x: f64| Special::silu_derivative(x.into());
        let cases: [Case; 18] = [
            ("exp", Real::exp, f64::exp, everywhere, 1.0),
            ("exp_m1", Real::exp_m1, f64::exp_m1, everywhere, 2.0),
            ("softplus", Real::softplus, Real::softplus, everywhere, 2.0),
            ("ln", Real::ln, f64::ln, positive, 1.0),
            ("ln_1p", ln_1p, f64::ln_1p, positive, 1.0),
            ("tanh", Real::tanh, f64::tanh, everywhere, 1.01),
            ("tanh'", Real::tanh_derivative, Real::tanh_derivative, everywhere, 1.0),
            ("sigmoid", Real::sigmoid, Real::sigmoid, everywhere, 1.0),
            ("sigmoid'", Real::sigmoid_derivative, Real::sigmoid_derivative, everywhere, 1.0),
            ("silu", Special::silu, Special::silu, everywhere, 2.0),
            ("silu'", silu_slope, exact_silu_slope, everywhere, 3.0),
            ("gelu", Special::gelu, Special::gelu, everywhere, 3.0),
            ("gelu'", Special::gelu_derivative, Special::gelu_derivative, everywhere, 3.0),
            ("gelu_tanh", Special::gelu_tanh, Special::gelu_tanh, everywhere, 2.0),
            (
                "gelu_tanh'",
                Special::gelu_tanh_derivative,
                Special::gelu_tanh_derivative,
                everywhere,
                4.0,
            ),
            ("sin", sin, f64::sin, everywhere, 2.0),
            ("cos", cos, f64::cos, everywhere, 2.0),
            ("atan", Real::atan, f64::atan, everywhere, 2.0),
        ];
        for (name, f, exact, arguments, bound) in cases {
            let (error, at) = worst(f, exact, arguments);
            assert!(error <= bound, "{name}: {error:.3} ULP at {at:e}, bound {bound}");
        }
    }

    #[test]
    fn products_are_angles_of_any_size() {
        for factor in [0.1, 30.0, 3.3e7, 7.7e18, 1.1e29] {
            for i in 0..=u32::MAX / 10_007 {
                let x = f32::from_bits(i * 10_007);
                let (angle, exact) = (bits::product(factor, x), f64::from(factor) * f64::from(x));
                if x.is_normal() && angle.high.is_finite() && angle.high.abs() > 1e-20 {
                    let found = trigonometry::sin(angle);
                    let error = ulp(found, exact.sin());
                    assert!(error <= 2.0, "sin of {factor:e} · {x:e}: {error:.3} ULP");
                }
            }
        }
    }

    #[test]
    fn subnormal_results_and_arguments_are_right() {
        for x in [-88.0, -95.5, -100.25, -103.0, -103.9, -150.0, -f32::MAX] {
            assert!(
                (Real::exp(x) - f64::from(x).exp() as f32).abs() <= f32::from_bits(1),
                "exp({x})"
            );
            let slope = Real::sigmoid_derivative(f64::from(x)) as f32;
            assert!(
                (Real::sigmoid_derivative(x) - slope).abs() <= f32::from_bits(1),
                "sigmoid'({x})"
            );
        }
        for bits in [1, 2, 12_345, 0x007f_ffff] {
            let x = f32::from_bits(bits);
            assert!(ulp(Real::ln(x), f64::from(x).ln()) <= 1.0, "ln of {x:e}");
            assert_eq!((Real::tanh(x), ln_1p(x)), (x, x));
        }
    }

    #[test]
    fn a_difference_loses_nothing_before_its_exponential() {
        for (z, m) in [(-79.123_45, 1.000_000_1), (0.1, 50.3), (-1e-8, 20.0), (-3e38, 3e38)] {
            let exact = (f64::from(z) - f64::from(m)).exp();
            assert!(ulp(exp_difference(difference(z, m)), exact) <= 1.0, "e^({z} - {m})");
        }
    }

    #[test]
    fn limits() {
        let (exp, ln) = (<f32 as Real>::exp, <f32 as Real>::ln);
        let (sigmoid, tanh) = (<f32 as Real>::sigmoid, <f32 as Real>::tanh);
        assert_eq!(
            [exp(f32::NEG_INFINITY), exp(f32::INFINITY), exp(89.0)],
            [0.0, f32::INFINITY, f32::INFINITY]
        );
        assert_eq!([sigmoid(f32::NEG_INFINITY), sigmoid(f32::INFINITY)], [0.0, 1.0]);
        assert_eq!([tanh(f32::NEG_INFINITY), tanh(f32::INFINITY)], [-1.0, 1.0]);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(
            [ln(0.0), ln(-0.0), ln(f32::INFINITY)],
            [f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY]
        );
        assert!(ln(-1.0).is_nan() && ln(-f32::from_bits(1)).is_nan());
        assert_eq!(ln_1p(f32::INFINITY), f32::INFINITY);
    }
}
