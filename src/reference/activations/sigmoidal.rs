//! Activations with two limits, and relatives.

use super::{Pointwise, number};
use crate::reference::Real;

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
        (-(z * number(0.5)).tanh()).sigmoid_slope(z.into())
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
        (number::<R>(-2.0) * z.tanh()).tanh_slope(z.into())
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        (number::<R>(1.0) - y) * (number::<R>(1.0) + y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `a·tanh(b·z)`.
#[derive(Clone, Copy, Debug)]
pub struct ScaledTanh<R> {
    /// The limit at +∞.
    pub a: R,
    /// The scale of the argument.
    pub b: R,
}

impl<R: Real> Pointwise<R> for ScaledTanh<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        self.a * R::tanh_of(self.b.product(z))
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        (self.a * self.b).tanh_slope(self.b.product(z))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        let scaled = self.b.product(z);
        let factor = number::<R>(-2.0) * (self.a * self.b) * self.b;
        (factor * R::tanh_of(scaled)).tanh_slope(scaled)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let (a_square, y_square) = (self.a.product(self.a), y.product(y));
        let difference = (a_square.high - y_square.high) + (a_square.low - y_square.low);
        self.b * difference / self.a
    }

    fn has_derivative_from_output(&self) -> bool {
        self.a > number(0.0) || self.a < number(0.0)
    }
}

/// `z − tanh z`.
#[derive(Clone, Copy, Debug)]
pub struct Tanhshrink {}

impl<R: Real> Pointwise<R> for Tanhshrink {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.tanhshrink()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let tanh = z.tanh();
        tanh * tanh
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        (number::<R>(2.0) * z.tanh()).tanh_slope(z.into())
    }
}

/// `z / (1 + |z|)`.
#[derive(Clone, Copy, Debug)]
pub struct Softsign {}

impl<R: Real> Pointwise<R> for Softsign {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.softsign()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.softsign_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.softsign_second()
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let rest = number::<R>(1.0) - y.magnitude();
        rest * rest
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `arctan z`.
#[derive(Clone, Copy, Debug)]
pub struct Arctan {}

impl<R: Real> Pointwise<R> for Arctan {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.atan()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.atan_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.atan_second()
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        y.cos_squared()
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `ln(z / (1 − z))`, on (0, 1).
#[derive(Clone, Copy, Debug)]
pub struct Logit {}

impl Logit {
    /// The value, or NaN outside of the domain.
    #[inline(always)]
    fn inside<R: Real>(z: R, value: R) -> R {
        if z >= number(0.0) && z <= number(1.0) { value } else { number(f64::NAN) }
    }
}

impl<R: Real> Pointwise<R> for Logit {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.logit()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let rest = number::<R>(1.0) - z;
        Self::inside(z, number::<R>(1.0) / (z.magnitude() * rest))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        let rest = number::<R>(1.0) - z;
        let derivative = number::<R>(1.0) / (z * rest);
        let twice = (z - number(0.5)) + (z - number(0.5));
        Self::inside(z, twice * derivative * derivative)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let a = y.magnitude();
        a.exp() + (number::<R>(2.0) + (-a).exp())
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}
