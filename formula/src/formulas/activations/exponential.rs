//! Activations that contain exponentials.

use super::{Apart, Forms, Pointwise, number};
use crate::numbers::{Real, Sum};

/// `z` if z > 0, else `α·(e^z − 1)`.
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
        let negative = self.alpha.exp_times(z.into());
        if z > number(0.0) { number(1.0) } else { negative }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 0 from the kink on, as in PyTorch.
        let negative = self.alpha.exp_times(z.into());
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

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, _z: R, y: R, slope: R) -> Apart<R> {
        let near = y < number::<R>(-0.5) * self.alpha;
        Apart::near(near && self.alpha > number(0.0), -self.alpha, slope, y)
    }
}

/// `λ·z` if z > 0, else `λ·α·(e^z − 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Selu {}

/// Selu's λ, and λ·α.
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_SCALE_ALPHA: f64 = 1.758_099_340_847_376_6;

impl<R: Real> Pointwise<R> for Selu {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let negative = number::<R>(SELU_SCALE_ALPHA) * z.exp_m1();
        if z > number(0.0) { number::<R>(SELU_SCALE) * z } else { negative }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let negative = number::<R>(SELU_SCALE_ALPHA).exp_times(z.into());
        if z > number(0.0) { number(SELU_SCALE) } else { negative }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 0 from the kink on, as in PyTorch.
        let negative = number::<R>(SELU_SCALE_ALPHA).exp_times(z.into());
        if z < number(0.0) { negative } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let negative = y.minus(-SELU_SCALE_ALPHA);
        if y > number(0.0) { number(SELU_SCALE) } else { negative }
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, _z: R, y: R, slope: R) -> Apart<R> {
        let limit = number::<R>(SELU_SCALE_ALPHA);
        // Include what the rounding of the limit has lost.
        let offset = slope + limit.minus(SELU_SCALE_ALPHA);
        Apart::near(y < number(-0.5 * SELU_SCALE_ALPHA), -limit, offset, y)
    }
}

/// `z` if z > 0, else `α·(e^(z/α) − 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Celu<R> {
    /// The limit −α of the negative side.
    pub alpha: R,
}

impl<R: Real> Pointwise<R> for Celu<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let scaled = z.quotient(self.alpha);
        let negative = self.alpha * R::exp_m1_of(scaled);
        // Use z if the quotient would be too small to have all its digits.
        let linear = z > number(0.0) || scaled.high.magnitude() < number(1e-9);
        if linear { z } else { negative }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let negative = R::exp_of(z.quotient(self.alpha));
        if z > number(0.0) { number(1.0) } else { negative }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 0 from the kink on, as in PyTorch.
        let negative = (number::<R>(1.0) / self.alpha).exp_times(z.quotient(self.alpha));
        if z < number(0.0) { negative } else { number(0.0) }
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        if y > number(0.0) { number(1.0) } else { (y + self.alpha) / self.alpha }
    }

    fn has_derivative_from_output(&self) -> bool {
        // With a negative α, any output below 0 is possible, and there is no limit.
        self.alpha > number(0.0)
    }

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, _z: R, y: R, slope: R) -> Apart<R> {
        let near = y < number::<R>(-0.5) * self.alpha;
        Apart::near(near && self.alpha > number(0.0), -self.alpha, self.alpha * slope, y)
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

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, z: R, y: R, _slope: R) -> Apart<R> {
        Apart::near(z.magnitude() < number(0.5), number(1.0), z.exp_m1(), y)
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        Forms::of_power(z.into(), number(1.0))
    }
}

/// `e^(−z²)`.
#[derive(Clone, Copy, Debug)]
pub struct Gaussian {}

impl<R: Real> Pointwise<R> for Gaussian {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        number::<R>(1.0).exp_times(-z.product(z))
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        (number::<R>(-2.0) * z).exp_times(-z.product(z))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 4z² − 2, accurate around its roots too, because the part that
        // rounding the square removes is kept.
        let square = z.product(z);
        let factor = number::<R>(4.0) * ((square.high - number(0.5)) + square.low);
        factor.exp_times(-square)
    }

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, z: R, y: R, _slope: R) -> Apart<R> {
        let offset = R::exp_m1_of(-z.product(z));
        Apart::near(z.magnitude() < number(0.8), number(1.0), offset, y)
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        let forms = Forms::of_power(-z.product(z), number::<R>(-2.0) * z);
        // Use the first-order form if the square would be too small to have all its digits.
        let tiny = z.magnitude() < number(1e-10);
        let two = number::<R>(2.0);
        let (log_rest, rest_slope) = (two * z.magnitude().ln(), -two / z);
        Forms {
            log_rest: if tiny { log_rest } else { forms.log_rest },
            rest_slope: if tiny { rest_slope } else { forms.rest_slope },
            ..forms
        }
    }
}

/// `ln(1 + e^(β·z)) / β`, but `z` if β·z > threshold.
#[derive(Clone, Copy, Debug)]
pub struct Softplus<R> {
    /// The sharpness β.
    pub beta: R,
    /// The value of β·z beyond which the function is z.
    pub threshold: R,
}

impl<R: Real> Softplus<R> {
    /// β·z, and whether it is above the threshold.
    #[inline(always)]
    fn scaled(&self, z: R) -> (Sum<R>, bool) {
        let scaled = self.beta.product(z);
        (scaled, (scaled.high - self.threshold) + scaled.low > number(0.0))
    }
}

impl<R: Real> Pointwise<R> for Softplus<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        let (scaled, over) = self.scaled(z);
        let curved = R::softplus_of(scaled) / self.beta;
        if over { z } else { curved }
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let (scaled, over) = self.scaled(z);
        let curved = R::sigmoid_of(scaled);
        if over { number(1.0) } else { curved }
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        let (scaled, over) = self.scaled(z);
        let curved = self.beta.sigmoid_slope(scaled);
        if over { number(0.0) } else { curved }
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let scaled = self.beta.product(y);
        let curved = -R::exp_m1_of(-scaled);
        if scaled.high > self.threshold { number(1.0) } else { curved }
    }

    fn has_derivative_from_output(&self) -> bool {
        // With a lower threshold, outputs just below the threshold occur on both sides of it.
        self.threshold >= number(17.0)
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        let forms = Forms::of(self.forward(z), self.derivative(z));
        let (scaled, over) = self.scaled(z);
        // ln(1 + e) = e·curve for e = e^(β·z), which may underflow.
        let far = scaled.high < number(-16.0) && !over;
        let (half, one) = (number::<R>(0.5), number::<R>(1.0));
        let e = R::exp_of(scaled);
        let curve = one - e * (half - e * number(1.0 / 3.0));
        // The logarithm of the curve; the next term is e³/8.
        let log_curve = -(e * (half - e * number(5.0 / 24.0)));
        let log = (scaled.high + (scaled.low + log_curve)) - self.beta.ln();
        let log_slope = self.beta / ((one + e) * curve);
        Forms {
            log: if far { log } else { forms.log },
            log_slope: if far { log_slope } else { forms.log_slope },
            ..forms
        }
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
