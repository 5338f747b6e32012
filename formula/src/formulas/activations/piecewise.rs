//! Activations that are linear, or a polynomial, between kinks.

use super::{Forms, Pointwise, number};
use crate::numbers::Real;

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

/// The contribution of an element to the gradient of prelu's weight, from z and
/// `dE/dy`: dy·z if z ≤ 0, else 0.
#[inline(always)]
pub fn prelu_weight_term<R: Real>(z: R, dy: R) -> R {
    if z > number(0.0) { number(0.0) } else { dy * z }
}

/// The properties in which the leaky rectified linear units differ.
trait Leaky {
    type Number;

    /// The slope for negative z.
    fn slope(&self) -> Self::Number;
}

impl<R: Real, L: Leaky<Number = R> + Copy + Send + Sync> Pointwise<R> for L {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        // With a slope of 0 the limit at −∞ is 0, while the product itself has no value there.
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

/// `z` if z > 0, else `slope·z`.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu<R> {
    /// The slope for negative z.
    pub slope: R,
}

impl<R: Real> Leaky for LeakyRelu<R> {
    type Number = R;

    #[inline(always)]
    fn slope(&self) -> R {
        self.slope
    }
}

/// `z` if z > 0, else `weight·z`.
#[derive(Clone, Copy, Debug)]
pub struct Prelu<R> {
    /// The slope for negative z.
    pub weight: R,
}

impl<R: Real> Leaky for Prelu<R> {
    type Number = R;

    #[inline(always)]
    fn slope(&self) -> R {
        self.weight
    }
}

/// `z` if z > 0, else `½(lower + upper)·z`.
#[derive(Clone, Copy, Debug)]
pub struct Rrelu<R> {
    /// The smallest slope.
    pub lower: R,
    /// The greatest slope.
    pub upper: R,
}

impl<R: Real> Leaky for Rrelu<R> {
    type Number = R;

    #[inline(always)]
    fn slope(&self) -> R {
        // The sum of both slopes may overflow.
        number::<R>(0.5) * self.lower + number::<R>(0.5) * self.upper
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

/// `min(max(slope·z + offset, 0), 1)`. The slope counts as 1/6 if it is the f32
/// nearest to 1/6 and the offset is ½.
#[derive(Clone, Copy, Debug)]
pub struct HardSigmoid<R> {
    /// The slope between the bounds.
    pub slope: R,
    /// The value at 0.
    pub offset: R,
}

impl<R: Real> HardSigmoid<R> {
    /// Whether the function is relu6(z + 3)/6, whose slope is not a floating-point number; the
    /// parameters are the nearest ones.
    #[inline(always)]
    fn is_default(&self) -> bool {
        self.slope == number(f64::from(1.0f32 / 6.0)) && self.offset == number(0.5)
    }

    #[inline(always)]
    fn exact_slope(&self) -> R {
        if self.is_default() { number(1.0 / 6.0) } else { self.slope }
    }

    /// (z + 3)/6, with all its digits between the bounds.
    #[inline(always)]
    fn default_line(z: R) -> R {
        let near = if z > number(-4.0) { z } else { number(-4.0) };
        let near = if near < number(4.0) { near } else { number(4.0) };
        let sum = near + number(3.0);
        let lost = near - (sum - number(3.0));
        let line = sum.times_constant(1.0 / 6.0);
        line.high + (line.low + lost * number(1.0 / 6.0))
    }

    #[inline(always)]
    fn line(&self, z: R) -> R {
        if self.is_default() {
            return Self::default_line(z);
        }
        // With a slope of 0 the limit at ±∞ is 0, while the product itself has no value there.
        let flat = self.slope == number(0.0);
        let line = self.slope.multiply_add(z, self.offset);
        if flat { self.offset } else { line }
    }

    /// Whether the line is below 1 before rounding, which rounds it to 1 for the
    /// last numbers before the kink.
    #[inline(always)]
    fn is_below_one(&self, z: R) -> bool {
        if self.is_default() {
            return z < number(3.0);
        }
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
        if inside { self.exact_slope() } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, _z: R) -> R {
        number(0.0)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let inside = y > number(0.0) && y < number(1.0);
        if inside { self.exact_slope() } else { number(0.0) }
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
}

/// `z − λ` if z > λ, `z + λ` if z < −λ, else 0.
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

/// `z` if |z| > λ, else 0.
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

/// `z − bias` if z > λ, `z + bias` if z < −λ, else 0.
#[derive(Clone, Copy, Debug)]
pub struct Shrink<R> {
    /// The greatest magnitude that becomes 0.
    pub lambda: R,
    /// The distance by which the others are moved.
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
}

/// `z` if z > θ, else `value`.
#[derive(Clone, Copy, Debug)]
pub struct Threshold<R> {
    /// The threshold θ.
    pub threshold: R,
    /// The value that replaces numbers up to the threshold.
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

/// `z` if z > α, else 0.
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

/// `z²` if z > 0, else 0.
#[derive(Clone, Copy, Debug)]
pub struct SquaredRelu {}

impl<R: Real> Pointwise<R> for SquaredRelu {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        if z > number(0.0) { z * z } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        if z > number(0.0) { z + z } else { number(0.0) }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        if z > number(0.0) { number(2.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let positive = if y > number(0.0) { y } else { number(0.0) };
        let root = positive.sqrt();
        root + root
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        let forms = Forms::of(self.forward(z), self.derivative(z));
        let (one, two) = (number::<R>(1.0), number::<R>(2.0));
        let positive = z > number(0.0);
        // Compute 1 − z² from z, as for a square that is close to 1.
        let large = z > number(0.7);
        let rest = (one - z) * (one + z);
        let (log, log_rest) = (two * z.ln(), rest.ln());
        let (log_slope, rest_slope) = (two / z, forms.slope / rest);
        Forms {
            rest: if large { rest } else { forms.rest },
            log: if positive { log } else { forms.log },
            log_rest: if large { log_rest } else { forms.log_rest },
            log_slope: if positive { log_slope } else { forms.log_slope },
            rest_slope: if large { rest_slope } else { forms.rest_slope },
            ..forms
        }
    }
}
