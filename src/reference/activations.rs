//! One formula per activation, generic over the precision.
//!
//! The functions are given numbers, never a NaN: that NaN in gives NaN out is the concern of
//! whoever calls them (see [`Pointwise`]). At the kinks the values are PyTorch's.

use super::Real;

/// An activation that maps each element by itself.
///
/// Callers replace the result by NaN where an argument is NaN; the formulas need not.
pub trait Pointwise<R: Real>: Copy + Send + Sync {
    /// `g(z)`.
    fn forward(&self, z: R) -> R;

    /// `g'(z)`.
    fn derivative(&self, z: R) -> R;

    /// `g''(z)`.
    fn second_derivative(&self, z: R) -> R;

    /// `g'(z)` from `y = g(z)`, for activations where that is possible: see
    /// [`has_derivative_from_output`](Self::has_derivative_from_output).
    fn derivative_from_output(&self, y: R) -> R;

    /// Whether g' is a function of g's value.
    fn has_derivative_from_output(&self) -> bool;
}

/// An activation that maps a row, of the softmax family: element i of the output depends on
/// `z_i` and on statistics of the whole row.
///
/// Callers make the whole row NaN where an element is NaN, the greatest is infinite, or all are −∞.
pub trait Rowwise<R: Real>: Copy + Send + Sync {
    /// `y_i` from the row's statistics.
    fn forward(&self, element: Shifted<R>, row: RowSum<R>) -> R;

    /// What the backward pass adds up along the row, from `y_i` and `dE/dy_i`.
    fn backward_term(&self, y: R, dy: R) -> R;

    /// `dE/dz_i` from `y_i`, `dE/dy_i` and the row's total of [`backward_term`](Self::backward_term).
    fn backward(&self, y: R, dy: R, total: R) -> R;

    /// `∂y_i/∂z_j` from `y_i`, `y_j` and whether `i = j`.
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool) -> R;
}

/// An element of a row, relative to the greatest one.
#[derive(Clone, Copy, Debug)]
pub struct Shifted<R> {
    /// `z_i − max z`, rounded.
    pub difference: R,
    /// `e^(z_i − max z)`, of the difference before it was rounded.
    pub exponential: R,
}

/// What a row adds up to.
#[derive(Clone, Copy, Debug)]
pub struct RowSum<R> {
    /// `Σ_j e^(z_j − max z)`, between 1 and the row's length.
    pub sum: R,
    /// `ln sum`, accurate also where one element outweighs all others.
    pub log_sum: R,
}

fn number<R: Real>(value: f64) -> R {
    R::from_f64(value)
}

/// `z`.
#[derive(Clone, Copy, Debug)]
pub struct Identity {}

impl<R: Real> Pointwise<R> for Identity {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z
    }

    #[inline(always)]
    fn derivative(&self, _z: R) -> R {
        number(1.0)
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, _y: R) -> R {
        number(1.0)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `max(z, 0)`.
#[derive(Clone, Copy, Debug)]
pub struct Relu {}

impl<R: Real> Pointwise<R> for Relu {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        if z > number(0.0) { z } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > number(0.0) { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `z` where z > 0, else `slope·z`.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu<R> {
    /// The slope for negative z.
    pub slope: R,
}

impl<R: Real> Pointwise<R> for LeakyRelu<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        // A slope of 0 has the limit 0 at −∞, where the product has none.
        let flat = self.slope == number(0.0);
        let scaled = if flat { number(0.0) } else { self.slope * z };
        if z > number(0.0) { z } else { scaled }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > number(0.0) { number(1.0) } else { self.slope }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        // A negative slope gives positive outputs on both sides.
        self.slope >= number(0.0)
    }
}

/// `z` where z > 0, else `weight·z`.
#[derive(Clone, Copy, Debug)]
pub struct Prelu<R> {
    /// The slope for negative z.
    pub weight: R,
}

impl<R: Real> Pointwise<R> for Prelu<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        // A slope of 0 has the limit 0 at −∞, where the product has none.
        let flat = self.weight == number(0.0);
        let scaled = if flat { number(0.0) } else { self.weight * z };
        if z > number(0.0) { z } else { scaled }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > number(0.0) { number(1.0) } else { self.weight }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        // A negative slope gives positive outputs on both sides.
        self.weight >= number(0.0)
    }
}

/// `z` where z > 0, else `½(lower + upper)·z`.
#[derive(Clone, Copy, Debug)]
pub struct Rrelu<R> {
    /// The smallest slope.
    pub lower: R,
    /// The greatest slope.
    pub upper: R,
}

impl<R: Real> Rrelu<R> {
    #[inline(always)]
    fn slope(&self) -> R {
        number::<R>(0.5) * (self.lower + self.upper)
    }
}

impl<R: Real> Pointwise<R> for Rrelu<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        // A slope of 0 has the limit 0 at −∞, where the product has none.
        let flat = self.slope() == number(0.0);
        let scaled = if flat { number(0.0) } else { self.slope() * z };
        if z > number(0.0) { z } else { scaled }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > number(0.0) { number(1.0) } else { self.slope() }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        // A negative slope gives positive outputs on both sides.
        self.slope() >= number(0.0)
    }
}

/// `min(max(z, 0), 6)`.
#[derive(Clone, Copy, Debug)]
pub struct Relu6 {}

impl<R: Real> Pointwise<R> for Relu6 {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let positive = if z > number(0.0) { z } else { number(0.0) };
        if z < number(6.0) { positive } else { number(6.0) }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > number(0.0) && z < number(6.0) { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `min(max(z, min), max)`.
#[derive(Clone, Copy, Debug)]
pub struct HardTanh<R> {
    /// The least output.
    pub min: R,
    /// The greatest output.
    pub max: R,
}

impl<R: Real> Pointwise<R> for HardTanh<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let bounded = if z > self.min { z } else { self.min };
        if z < self.max { bounded } else { self.max }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > self.min && z < self.max { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `min(max(slope·z + offset, 0), 1)`.
#[derive(Clone, Copy, Debug)]
pub struct HardSigmoid<R> {
    /// The slope between the bounds.
    pub slope: R,
    /// The value at 0.
    pub offset: R,
}

impl<R: Real> HardSigmoid<R> {
    #[inline(always)]
    fn line(&self, z: R) -> R {
        // A slope of 0 has the limit 0 at ±∞, where the product has none.
        let flat = self.slope == number(0.0);
        let line = self.slope.multiply_add(z, self.offset);
        if flat { self.offset } else { line }
    }

    /// Whether the line is, before it is rounded: to 1, for the last numbers before the kink.
    #[inline(always)]
    fn is_below_one(&self, z: R) -> bool {
        let shifted = self.offset - number(1.0);
        let lost = self.offset - (shifted + number(1.0));
        let flat = self.slope == number(0.0);
        let below = self.slope.multiply_add(z, shifted) + lost < number(0.0);
        if flat { self.offset < number(1.0) } else { below }
    }
}

impl<R: Real> Pointwise<R> for HardSigmoid<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let line = self.line(z);
        let positive = if line > number(0.0) { line } else { number(0.0) };
        if line < number(1.0) { positive } else { number(1.0) }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let inside = self.line(z) > number(0.0) && self.is_below_one(z);
        if inside { self.slope } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let inside = y > number(0.0) && y < number(1.0);
        if inside { self.slope } else { number(0.0) }
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `z·min(max(z/6 + ½, 0), 1)`.
#[derive(Clone, Copy, Debug)]
pub struct HardSwish {}

impl<R: Real> Pointwise<R> for HardSwish {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let middle = z * (z + number(3.0)) * number(1.0 / 6.0);
        let upper = if z < number(3.0) { middle } else { z };
        if z > number(-3.0) { upper } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let middle = (z + z + number(3.0)) * number(1.0 / 6.0);
        let upper = if z < number(3.0) { middle } else { number(1.0) };
        if z > number(-3.0) { upper } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        let inside = z > number(-3.0) && z < number(3.0);
        if inside { number(1.0 / 3.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative_from_output(&self, _y: R) -> R {
        // Not offered: see below.
        number(f64::NAN)
    }

    fn has_derivative_from_output(&self) -> bool {
        // It falls and rises again.
        false
    }
}

/// `z − λ` where z > λ, `z + λ` where z < −λ, else 0.
#[derive(Clone, Copy, Debug)]
pub struct Softshrink<R> {
    /// The distance λ.
    pub lambda: R,
}

impl<R: Real> Pointwise<R> for Softshrink<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let raised = if z < -self.lambda { z + self.lambda } else { number(0.0) };
        if z > self.lambda { z - self.lambda } else { raised }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > self.lambda || z < -self.lambda { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        if y > number(0.0) || y < number(0.0) { number(1.0) } else { number(0.0) }
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `z` where |z| > λ, else 0.
#[derive(Clone, Copy, Debug)]
pub struct Hardshrink<R> {
    /// The greatest magnitude that becomes 0.
    pub lambda: R,
}

impl<R: Real> Pointwise<R> for Hardshrink<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let outside = z > self.lambda || z < -self.lambda;
        if outside { z } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > self.lambda || z < -self.lambda { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        if y > number(0.0) || y < number(0.0) { number(1.0) } else { number(0.0) }
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `z − bias` where z > λ, `z + bias` where z < −λ, else 0.
#[derive(Clone, Copy, Debug)]
pub struct Shrink<R> {
    /// The greatest magnitude that becomes 0.
    pub lambda: R,
    /// The distance that the others are moved.
    pub bias: R,
}

impl<R: Real> Pointwise<R> for Shrink<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let raised = if z < -self.lambda { z + self.bias } else { number(0.0) };
        if z > self.lambda { z - self.bias } else { raised }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > self.lambda || z < -self.lambda { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, _y: R) -> R {
        // Not offered: see below.
        number(f64::NAN)
    }

    fn has_derivative_from_output(&self) -> bool {
        // A bias beyond λ moves numbers onto 0 and past it.
        false
    }
}

/// `z` where z > θ, else `value`.
#[derive(Clone, Copy, Debug)]
pub struct Threshold<R> {
    /// The threshold θ.
    pub threshold: R,
    /// What takes the place of numbers up to it.
    pub value: R,
}

impl<R: Real> Pointwise<R> for Threshold<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        if z > self.threshold { z } else { self.value }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > self.threshold { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        self.value <= self.threshold
    }
}

/// `z` where z > α, else 0.
#[derive(Clone, Copy, Debug)]
pub struct ThresholdedRelu<R> {
    /// The threshold α.
    pub alpha: R,
}

impl<R: Real> Pointwise<R> for ThresholdedRelu<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        if z > self.alpha { z } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > self.alpha { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        self.derivative(y)
    }

    fn has_derivative_from_output(&self) -> bool {
        self.alpha >= number(0.0)
    }
}

/// `z` where z > 0, else `α·(e^z − 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Elu<R> {
    /// The limit −α of the negative side.
    pub alpha: R,
}

impl<R: Real> Pointwise<R> for Elu<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let negative = self.alpha * z.exp_m1();
        if z > number(0.0) { z } else { negative }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let negative = self.alpha * z.exp();
        if z > number(0.0) { number(1.0) } else { negative }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 0 from the kink on, as in PyTorch.
        let negative = self.alpha * z.exp();
        if z < number(0.0) { negative } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        if y > number(0.0) { number(1.0) } else { y + self.alpha }
    }

    fn has_derivative_from_output(&self) -> bool {
        // A negative α gives positive outputs on both sides.
        self.alpha >= number(0.0)
    }
}

/// `λ·z` where z > 0, else `λ·α·(e^z − 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Selu {}

/// Selu's λ, and λ·α.
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_SCALE_ALPHA: f64 = 1.758_099_340_847_376_6;

/// λ·α as an f32 and what that leaves.
const SELU_SCALE_ALPHA_HEAD: f64 = 1.7580993175506592;
const SELU_SCALE_ALPHA_REST: f64 = 2.3296717444054593e-08;

impl<R: Real> Pointwise<R> for Selu {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let negative = number::<R>(SELU_SCALE_ALPHA) * z.exp_m1();
        if z > number(0.0) { number::<R>(SELU_SCALE) * z } else { negative }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let negative = number::<R>(SELU_SCALE_ALPHA) * z.exp();
        if z > number(0.0) { number(SELU_SCALE) } else { negative }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 0 from the kink on, as in PyTorch.
        let negative = number::<R>(SELU_SCALE_ALPHA) * z.exp();
        if z < number(0.0) { negative } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        // In two parts: near y = −λ·α the sum cancels.
        let negative = (y + number(SELU_SCALE_ALPHA_HEAD)) + number(SELU_SCALE_ALPHA_REST);
        if y > number(0.0) { number(SELU_SCALE) } else { negative }
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `e^z`.
#[derive(Clone, Copy, Debug)]
pub struct Exponential {}

impl<R: Real> Pointwise<R> for Exponential {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.exp()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.exp()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.exp()
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        y
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `z / (1 + |z|)`.
#[derive(Clone, Copy, Debug)]
pub struct Softsign {}

impl Softsign {
    /// `|z|`.
    #[inline(always)]
    fn magnitude<R: Real>(z: R) -> R {
        if z > number(0.0) { z } else { -z }
    }
}

impl<R: Real> Pointwise<R> for Softsign {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let a = Self::magnitude(z);
        let limit = if z > number(0.0) { number(1.0) } else { number(-1.0) };
        let y = z / (number::<R>(1.0) + a);
        if a > number(1e37) { limit } else { y }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let q = number::<R>(1.0) / (number::<R>(1.0) + Self::magnitude(z));
        q * q
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        let q = number::<R>(1.0) / (number::<R>(1.0) + Self::magnitude(z));
        let magnitude = number::<R>(2.0) * q * q * q;
        let signed = if z > number(0.0) { -magnitude } else { magnitude };
        if z == number(0.0) { number(0.0) } else { signed }
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let rest = number::<R>(1.0) - Self::magnitude(y);
        rest * rest
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `−ln(1 + e^−z)`.
#[derive(Clone, Copy, Debug)]
pub struct LogSigmoid {}

impl<R: Real> Pointwise<R> for LogSigmoid {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        -(-z).softplus()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        (-z).sigmoid()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        -z.sigmoid_derivative()
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        -y.exp_m1()
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `1 / (1 + e^−z)`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid {}

impl<R: Real> Pointwise<R> for Sigmoid {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.sigmoid()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.sigmoid_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 1 − 2p = −tanh(z/2), without the cancellation near z = 0.
        -(z.sigmoid_derivative() * (z * number(0.5)).tanh())
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        y * (number::<R>(1.0) - y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `tanh z`.
#[derive(Clone, Copy, Debug)]
pub struct Tanh {}

impl<R: Real> Pointwise<R> for Tanh {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.tanh()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.tanh_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        number::<R>(-2.0) * (z.tanh_derivative() * z.tanh())
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        (number::<R>(1.0) - y) * (number::<R>(1.0) + y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `e^(z_i) / Σ_j e^(z_j)`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {}

impl<R: Real> Rowwise<R> for Softmax {
    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowSum<R>) -> R {
        element.exponential / row.sum
    }

    #[inline(always)]
    fn backward_term(&self, y: R, dy: R) -> R {
        y * dy
    }

    #[inline(always)]
    fn backward(&self, y: R, dy: R, total: R) -> R {
        y * (dy - total)
    }

    #[inline(always)]
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool) -> R {
        let off_diagonal = -(y_i * y_j);
        if diagonal { y_i * (number::<R>(1.0) - y_j) } else { off_diagonal }
    }
}

/// `ln softmax(z)_i`.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {}

impl<R: Real> Rowwise<R> for LogSoftmax {
    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowSum<R>) -> R {
        element.difference - row.log_sum
    }

    #[inline(always)]
    fn backward_term(&self, _y: R, dy: R) -> R {
        dy
    }

    #[inline(always)]
    fn backward(&self, y: R, dy: R, total: R) -> R {
        dy - y.exp() * total
    }

    #[inline(always)]
    fn jacobian(&self, _y_i: R, y_j: R, diagonal: bool) -> R {
        let softmax = y_j.exp();
        if diagonal { number::<R>(1.0) - softmax } else { -softmax }
    }
}
