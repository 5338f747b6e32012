//! Activations with exponentials and quotients.

use super::{Pointwise, number};
use crate::reference::Real;

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
