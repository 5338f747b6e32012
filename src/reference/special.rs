//! Functions that are activations, and that f32 cannot compute by their formula: it would lose every
//! digit in a tail or around a root.

use super::real::{Real, Sum};

/// What activations need of a [`Real`] beyond the elementary functions.
///
/// For `f64` each is its formula; for `f32` an algorithm of its own.
pub trait Special: Sized {
    /// `self·sigmoid(x)`.
    fn times_sigmoid(self, x: Sum<Self>) -> Self;
    /// `x·sigmoid(x)`.
    fn silu(self) -> Self;
    /// `sigmoid(x)·(1 + x·sigmoid(−x))`.
    fn silu_derivative(x: Sum<Self>) -> Self;
    /// `self·sigmoid'(x)·(2 − x·tanh(x/2))`.
    fn silu_second(self, x: Sum<Self>) -> Self;
    /// `x − tanh x`.
    fn tanhshrink(self) -> Self;
    /// `tanh x + x·(1 − tanh² x)`.
    fn lisht_derivative(self) -> Self;
    /// `2·(1 − tanh² x)·(1 − x·tanh x)`.
    fn lisht_second(self) -> Self;
    /// `x·Φ(x)`, Φ being the normal distribution function.
    fn gelu(self) -> Self;
    /// `Φ(x) + x·Φ'(x)`.
    fn gelu_derivative(self) -> Self;
    /// `½x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
    fn gelu_tanh(self) -> Self;
    /// Its derivative.
    fn gelu_tanh_derivative(self) -> Self;
    /// Its second derivative.
    fn gelu_tanh_second(self) -> Self;
    /// `x·tanh(ln(1 + e^x))`.
    fn mish(self) -> Self;
    /// Its derivative.
    fn mish_derivative(self) -> Self;
    /// Its second derivative.
    fn mish_second(self) -> Self;
    /// `x / (1 + |x|)`.
    fn softsign(self) -> Self;
    /// `1 / (1 + |x|)²`.
    fn softsign_derivative(self) -> Self;
    /// `−2 sign(x) / (1 + |x|)³`.
    fn softsign_second(self) -> Self;
    /// `(x + √(x² + b)) / 2`.
    fn squareplus(self, b: Self) -> Self;
    /// `(1 + x/√(x² + b)) / 2`.
    fn squareplus_derivative(self, b: Self) -> Self;
    /// `b / (2·(x² + b)^(3/2))`.
    fn squareplus_second(self, b: Self) -> Self;
    /// `y² / (y² + b/4)`.
    fn squareplus_from_output(self, b: Self) -> Self;
    /// `x + sin²(a·x)/a`.
    fn snake(self, a: Self) -> Self;
    /// `1 + sin 2x`.
    fn one_plus_sin_twice(x: Sum<Self>) -> Self;
    /// `cos² x`.
    fn cos_squared(self) -> Self;
    /// `cos 2x`, also where 2x overflows.
    fn cos_twice(x: Sum<Self>) -> Self;
    /// `1 / (1 + x²)`.
    fn atan_derivative(self) -> Self;
    /// `−2x / (1 + x²)²`.
    fn atan_second(self) -> Self;
    /// `ln(x / (1 − x))` on (0, 1), NaN outside of [0, 1].
    fn logit(self) -> Self;
}

/// 2·√(2/π), and that times 0.044715: gelu_tanh is x·sigmoid(LINEAR·x + CUBIC·x³).
const LINEAR: f64 = 1.595_769_121_605_730_8;
const CUBIC: f64 = 0.071_354_816_272_600_25;

/// 1/√(2π)
const DENSITY: f64 = 0.398_942_280_401_432_7;

/// Beyond, every exponential is 0 or infinite: for formulas that would multiply it with infinity.
fn bounded(x: f64) -> f64 {
    x.clamp(-800.0, 800.0)
}

fn distribution(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

impl Special for f64 {
    fn times_sigmoid(self, x: Sum<Self>) -> Self {
        let p = Self::sigmoid_of(x);
        if p == 0.0 { 0.0 } else { self * p }
    }

    fn silu(self) -> Self {
        self.times_sigmoid(self.into())
    }

    fn silu_derivative(x: Sum<Self>) -> Self {
        let x = bounded(x.value());
        x.sigmoid() * (1.0 + x * (-x).sigmoid())
    }

    fn silu_second(self, x: Sum<Self>) -> Self {
        let x = bounded(x.value());
        self * x.sigmoid_derivative() * (2.0 - x * (0.5 * x).tanh())
    }

    fn tanhshrink(self) -> Self {
        let x = self;
        let y = x * x;
        if x.abs() > 0.05 {
            return x - x.tanh();
        }
        // The series, where the difference cancels.
        x * y * (1.0 / 3.0 - y * (2.0 / 15.0 - y * (17.0 / 315.0 - y * (62.0 / 2835.0))))
    }

    fn lisht_derivative(self) -> Self {
        let x = bounded(self);
        x.tanh() + x.tanh_slope(x.into())
    }

    fn lisht_second(self) -> Self {
        let x = bounded(self);
        2.0 * x.tanh_derivative() * (1.0 - x * x.tanh())
    }

    fn gelu(self) -> Self {
        let p = distribution(self);
        if p == 0.0 { 0.0 } else { self * p }
    }

    fn gelu_derivative(self) -> Self {
        let x = bounded(self);
        distribution(x) + x * DENSITY * (-0.5 * x * x).exp()
    }

    fn gelu_tanh(self) -> Self {
        let x = self;
        x.times_sigmoid((x * (LINEAR + CUBIC * x * x)).into())
    }

    fn gelu_tanh_derivative(self) -> Self {
        let x = bounded(self);
        let u = x * (LINEAR + CUBIC * x * x);
        u.sigmoid() * (1.0 + x * (LINEAR + 3.0 * CUBIC * x * x) * (-u).sigmoid())
    }

    fn gelu_tanh_second(self) -> Self {
        let x = bounded(self);
        let u = x * (LINEAR + CUBIC * x * x);
        let slope = LINEAR + 3.0 * CUBIC * x * x;
        let bend = 6.0 * CUBIC * x;
        u.sigmoid_derivative() * (2.0 * slope + x * (bend - slope * slope * (0.5 * u).tanh()))
    }

    fn mish(self) -> Self {
        let p = self.softplus().tanh();
        if p == 0.0 { 0.0 } else { self * p }
    }

    fn mish_derivative(self) -> Self {
        // Far to the right nothing changes any more.
        let x = self.clamp(-800.0, 200.0);
        let e = x.exp();
        let n = e * (e + 2.0);
        n / (n + 2.0) + 4.0 * x * e * (e + 1.0) / ((n + 2.0) * (n + 2.0))
    }

    fn mish_second(self) -> Self {
        let x = self.clamp(-800.0, 100.0);
        let e = x.exp();
        let d = 2.0 + e * (2.0 + e);
        let bracket = 2.0 * (1.0 + e) * d + x * (2.0 + e * (2.0 - e * (3.0 + 2.0 * e)));
        4.0 * e * bracket / (d * d * d)
    }

    fn softsign(self) -> Self {
        if self.is_infinite() { self.signum() } else { self / (1.0 + self.abs()) }
    }

    fn softsign_derivative(self) -> Self {
        let q = 1.0 / (1.0 + self.abs());
        q * q
    }

    fn softsign_second(self) -> Self {
        let q = 1.0 / (1.0 + self.abs());
        if self == 0.0 { 0.0 } else { -2.0 * self.signum() * q * q * q }
    }

    fn squareplus(self, b: Self) -> Self {
        let sum = (self * self + b).sqrt() + self.abs();
        if self > 0.0 {
            0.5 * sum
        } else if sum > 0.0 {
            0.5 * b / sum
        } else {
            0.0
        }
    }

    fn squareplus_derivative(self, b: Self) -> Self {
        let root = (self * self + b).sqrt();
        if root == 0.0 {
            0.5
        } else if self.is_infinite() {
            if self > 0.0 { 1.0 } else { 0.0 }
        } else if self > 0.0 {
            0.5 + 0.5 * self / root
        } else {
            0.5 * b / (root * (root + self.abs()))
        }
    }

    fn squareplus_second(self, b: Self) -> Self {
        let root = (self * self + b).sqrt();
        if b == 0.0 { 0.0 } else { 0.5 * b / (root * root * root) }
    }

    fn squareplus_from_output(self, b: Self) -> Self {
        let y = self;
        if y > 0.0 { 1.0 / (1.0 + 0.25 * b / (y * y)) } else { 0.0 }
    }

    fn snake(self, a: Self) -> Self {
        let sin = (a * self).sin();
        if a == 0.0 || self.is_infinite() { self } else { self + sin * sin / a }
    }

    fn one_plus_sin_twice(x: Sum<Self>) -> Self {
        let x = x.value();
        let (sin, cos) = x.sin_cos();
        // (sin x + cos x)²; where the sum cancels, as cos 2x over the difference.
        let difference = cos - sin;
        let sum = if difference.abs() > 1.0 { (2.0 * x).cos() / difference } else { sin + cos };
        sum * sum
    }

    fn cos_squared(self) -> Self {
        let cos = self.cos();
        cos * cos
    }

    fn cos_twice(x: Sum<Self>) -> Self {
        (x + x).value().cos()
    }

    fn atan_derivative(self) -> Self {
        1.0 / (1.0 + self * self)
    }

    fn atan_second(self) -> Self {
        let d = 1.0 + self * self;
        if self.is_infinite() { 0.0 } else { -2.0 * self / (d * d) }
    }

    fn logit(self) -> Self {
        let p = self;
        if p < 0.25 { p.ln() - (-p).ln_1p() } else { ((2.0 * p - 1.0) / (1.0 - p)).ln_1p() }
    }
}
