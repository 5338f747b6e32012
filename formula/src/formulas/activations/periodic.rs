//! Activations with a period.

use super::Pointwise;
use crate::numbers::Real;

/// `sin(ω·z)`.
#[derive(Clone, Copy, Debug)]
pub struct Sine<R> {
    /// The angular frequency ω.
    pub omega: R,
}

impl<R: Real> Pointwise<R> for Sine<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        R::sin_of(self.omega.product(z))
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        self.omega * R::cos_of(self.omega.product(z))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        -(self.omega * self.omega) * R::sin_of(self.omega.product(z))
    }
}

/// `z + sin²(a·z)/a`; z for a = 0.
#[derive(Clone, Copy, Debug)]
pub struct Snake<R> {
    /// The frequency a.
    pub a: R,
}

impl<R: Real> Pointwise<R> for Snake<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.snake(self.a)
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        R::one_plus_sin_twice(self.a.product(z))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        (self.a + self.a) * R::cos_twice(self.a.product(z))
    }
}
