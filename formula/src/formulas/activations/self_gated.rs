//! Smooth rectifiers: activations that multiply z by a function of z.

use super::{Pointwise, number};
use crate::numbers::{Real, Sum};

/// `z·sigmoid(z)`.
#[derive(Clone, Copy, Debug)]
pub struct Silu {}

impl<R: Real> Pointwise<R> for Silu {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.silu()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        R::silu_derivative(z.into())
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        number::<R>(1.0).silu_second(z.into())
    }
}

/// `z·sigmoid(β·z)`.
#[derive(Clone, Copy, Debug)]
pub struct Swish<R> {
    /// The sharpness β.
    pub beta: R,
}

impl<R: Real> Pointwise<R> for Swish<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.times_sigmoid(self.beta.product(z))
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        R::silu_derivative(self.beta.product(z))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        self.beta.silu_second(self.beta.product(z))
    }
}

/// The factor of quick_gelu.
const QUICK: f64 = 1.702;

/// `z·sigmoid(1.702·z)`.
#[derive(Clone, Copy, Debug)]
pub struct QuickGelu {}

impl<R: Real> Pointwise<R> for QuickGelu {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.times_sigmoid(z.times_constant(QUICK))
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        R::silu_derivative(z.times_constant(QUICK))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        number::<R>(QUICK).silu_second(z.times_constant(QUICK))
    }
}

/// 1/√(2π)
const DENSITY: f64 = 0.398_942_280_401_432_7;

/// `z·Φ(z)`, with the normal distribution function Φ.
#[derive(Clone, Copy, Debug)]
pub struct Gelu {}

impl<R: Real> Pointwise<R> for Gelu {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.gelu()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.gelu_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // The density times 2 − z², accurate around its roots too, because the part that
        // rounding the square removes is kept.
        let square = z.product(z);
        let factor = number::<R>(-DENSITY) * ((square.high - number(2.0)) + square.low);
        let half = number::<R>(-0.5);
        factor.exp_times(Sum { high: half * square.high, low: half * square.low })
    }
}

/// `½z·(1 + tanh(√(2/π)·(z + 0.044715·z³)))`.
#[derive(Clone, Copy, Debug)]
pub struct GeluTanh {}

impl<R: Real> Pointwise<R> for GeluTanh {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.gelu_tanh()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.gelu_tanh_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.gelu_tanh_second()
    }
}

/// `z·tanh(ln(1 + e^z))`.
#[derive(Clone, Copy, Debug)]
pub struct Mish {}

impl<R: Real> Pointwise<R> for Mish {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.mish()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.mish_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.mish_second()
    }
}

/// `z·tanh z`.
#[derive(Clone, Copy, Debug)]
pub struct Lisht {}

impl<R: Real> Pointwise<R> for Lisht {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z * z.tanh()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.lisht_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.lisht_second()
    }
}

/// `(z + √(z² + b)) / 2`.
#[derive(Clone, Copy, Debug)]
pub struct Squareplus<R> {
    /// The width of the bend, squared.
    pub b: R,
}

impl<R: Real> Pointwise<R> for Squareplus<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.squareplus(self.b)
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.squareplus_derivative(self.b)
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.squareplus_second(self.b)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        y.squareplus_from_output(self.b)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}
