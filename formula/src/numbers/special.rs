//! Activations, and functions that activations consist of, which f32 cannot compute by their
//! formula: it would lose every digit in a tail or around a root.

use super::real::{Real, Sum};

/// The functions that activations need from a [`Real`] beyond the elementary functions.
///
/// For `f64` each is computed by its formula, or by its series near a root;
/// for `f32` by its own algorithm.
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
    /// `Φ(x)`, the normal distribution function.
    fn normal_cdf_of(x: Sum<Self>) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// `self^exponent`, for any exponent.
    fn power(self, exponent: Self) -> Self;
    /// `x·Φ(x)`.
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
    /// `cos 2x`, even if 2x overflows.
    fn cos_twice(x: Sum<Self>) -> Self;
    /// `1 / (1 + x²)`.
    fn atan_derivative(self) -> Self;
    /// `−2x / (1 + x²)²`.
    fn atan_second(self) -> Self;
    /// `ln(x / (1 − x))` on (0, 1), NaN outside [0, 1].
    fn logit(self) -> Self;
}

/// 2·√(2/π), and that times 0.044715: gelu_tanh is x·sigmoid(LINEAR·x + CUBIC·x³).
const LINEAR: f64 = 1.595_769_121_605_730_8;
const CUBIC: f64 = 0.071_354_816_272_600_25;

/// 1/√(2π)
const DENSITY: f64 = 0.398_942_280_401_432_7;

/// Beyond this, every exponential is 0 or infinite; used by formulas that would
/// otherwise multiply 0 by infinity.
fn bounded(x: f64) -> f64 {
    x.clamp(-800.0, 800.0)
}

fn distribution(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// A root of a function, and the function's Taylor series there.
///
/// Near its root, a formula whose summands cancel keeps only half of an f64's digits, which is
/// too few to compare an f32 with.
struct Root {
    /// The root, with twice as many digits as an f64 has.
    high: f64,
    low: f64,
    series: [f64; 3],
}

impl Root {
    /// The value if x is so close to the root that the series is more accurate than the formula.
    fn near(&self, x: f64) -> Option<f64> {
        let d = (x - self.high) - self.low;
        let [slope, second, third] = self.series;
        (d.abs() < 1e-4).then_some(d * (slope + d * (second + d * third)))
    }
}

const SILU_DERIVATIVE: Root = Root {
    high: -1.278_464_542_761_073_7,
    low: -1.094_699_418_309_343_7e-16,
    series: [0.217_811_705_719_800_1, 0.146_648_796_996_946_9, 0.018_874_814_223_782_3],
};
const SILU_SECOND: Root = Root {
    high: 2.399_357_280_515_467_5,
    low: 1.846_487_285_535_336_3e-16,
    series: [-0.091_530_520_164_192_3, 0.076_295_865_486_550_8, -0.022_487_259_234_225_3],
};
const LISHT_SECOND: Root = Root {
    high: 1.199_678_640_257_733_7,
    low: 9.232_436_427_676_682e-17,
    series: [-0.732_244_161_313_538_3, 1.220_733_847_784_813_5, -0.719_592_295_495_210_4],
};
const GELU_DERIVATIVE: Root = Root {
    high: -0.751_791_524_693_564_5,
    low: 1.495_675_917_700_988_3e-17,
    series: [0.431_493_992_314_046_9, 0.388_284_982_990_552, -0.018_199_676_398_671],
};
const GELU_TANH_DERIVATIVE: Root = Root {
    high: -0.752_461_422_071_016_3,
    low: 3.635_560_509_207_687e-17,
    series: [0.430_400_091_024_858_5, 0.387_518_446_135_788_9, -0.015_782_853_521_848],
};
const GELU_TANH_SECOND: Root = Root {
    high: 1.418_504_008_790_828_3,
    low: 8.089_265_124_388_305e-17,
    series: [-0.409_548_817_412_419_1, 0.432_081_111_593_848, -0.008_168_951_883_944_8],
};
const MISH_DERIVATIVE: Root = Root {
    high: -1.192_431_214_515_495_2,
    low: -4.848_482_984_803_104e-17,
    series: [0.266_947_914_049_534_5, 0.204_731_264_080_105_9, 0.041_907_821_043_609_9],
};
const MISH_SECOND: [Root; 2] = [
    Root {
        high: -2.256_376_396_360_793,
        low: -1.070_317_487_501_924_7e-16,
        series: [0.108_754_410_731_642_7, 0.098_981_938_052_558_5, 0.037_361_895_610_237_3],
    },
    Root {
        high: 1.490_571_179_485_428_4,
        low: 7.126_036_715_834_263e-17,
        series: [-0.230_694_511_597_460_5, 0.281_272_778_030_343, -0.079_707_355_165_425_3],
    },
];

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
        let formula = x.sigmoid() * (1.0 + x * (-x).sigmoid());
        SILU_DERIVATIVE.near(x).unwrap_or(formula)
    }

    fn silu_second(self, x: Sum<Self>) -> Self {
        let x = bounded(x.value());
        let formula = x.sigmoid_derivative() * (2.0 - x * (0.5 * x).tanh());
        self * SILU_SECOND.near(x.abs()).unwrap_or(formula)
    }

    fn tanhshrink(self) -> Self {
        let x = self;
        let y = x * x;
        if x.abs() > 0.05 {
            return x - x.tanh();
        }
        // Use the series if the difference cancels.
        x * y * (1.0 / 3.0 - y * (2.0 / 15.0 - y * (17.0 / 315.0 - y * (62.0 / 2835.0))))
    }

    fn lisht_derivative(self) -> Self {
        let x = bounded(self);
        x.tanh() + x.tanh_slope(x.into())
    }

    fn lisht_second(self) -> Self {
        let x = bounded(self);
        let formula = 2.0 * x.tanh_derivative() * (1.0 - x * x.tanh());
        LISHT_SECOND.near(x.abs()).unwrap_or(formula)
    }

    fn normal_cdf_of(x: Sum<Self>) -> Self {
        distribution(x.value())
    }

    fn erf(self) -> Self {
        libm::erf(self)
    }

    fn power(self, exponent: Self) -> Self {
        self.powf(exponent)
    }

    fn gelu(self) -> Self {
        let p = distribution(self);
        if p == 0.0 { 0.0 } else { self * p }
    }

    fn gelu_derivative(self) -> Self {
        let x = bounded(self);
        let formula = distribution(x) + x * DENSITY * (-0.5 * x * x).exp();
        GELU_DERIVATIVE.near(x).unwrap_or(formula)
    }

    fn gelu_tanh(self) -> Self {
        let x = self;
        x.times_sigmoid((x * (LINEAR + CUBIC * x * x)).into())
    }

    fn gelu_tanh_derivative(self) -> Self {
        let x = bounded(self);
        let u = x * (LINEAR + CUBIC * x * x);
        let slope = LINEAR + 3.0 * CUBIC * x * x;
        let formula = u.sigmoid() * (1.0 + x * slope * (-u).sigmoid());
        GELU_TANH_DERIVATIVE.near(x).unwrap_or(formula)
    }

    fn gelu_tanh_second(self) -> Self {
        let x = bounded(self);
        let u = x * (LINEAR + CUBIC * x * x);
        let slope = LINEAR + 3.0 * CUBIC * x * x;
        let bend = 6.0 * CUBIC * x;
        let difference = bend - slope * slope * (0.5 * u).tanh();
        let formula = u.sigmoid_derivative() * (2.0 * slope + x * difference);
        GELU_TANH_SECOND.near(x.abs()).unwrap_or(formula)
    }

    fn mish(self) -> Self {
        let p = self.softplus().tanh();
        if p == 0.0 { 0.0 } else { self * p }
    }

    fn mish_derivative(self) -> Self {
        // Far to the right the value no longer changes.
        let x = self.clamp(-800.0, 200.0);
        let e = x.exp();
        let n = e * (e + 2.0);
        let formula = n / (n + 2.0) + 4.0 * x * e * (e + 1.0) / ((n + 2.0) * (n + 2.0));
        MISH_DERIVATIVE.near(x).unwrap_or(formula)
    }

    fn mish_second(self) -> Self {
        let x = self.clamp(-800.0, 100.0);
        let e = x.exp();
        let d = 2.0 + e * (2.0 + e);
        let bracket = 2.0 * (1.0 + e) * d + x * (2.0 + e * (2.0 - e * (3.0 + 2.0 * e)));
        let formula = 4.0 * e * bracket / (d * d * d);
        MISH_SECOND.iter().find_map(|root| root.near(x)).unwrap_or(formula)
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
        // (sin x + cos x)²; if the sum cancels, compute it as cos 2x divided by the difference.
        let difference = cos - sin;
        let sum = if difference.abs() > 1.0 { (2.0 * x).cos() / difference } else { sin + cos };
        sum * sum
    }

    fn cos_squared(self) -> Self {
        let cos = self.cos();
        cos * cos
    }

    fn cos_twice(x: Sum<Self>) -> Self {
        x.twice().value().cos()
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
