//! Activations of a user's formula.

use super::Pointwise;
use crate::expression;
use crate::numbers::Real;

/// An activation that is computed step by step.
#[derive(Clone, Copy, Debug)]
pub struct Custom(pub expression::Custom);

impl<R: Real> Pointwise<R> for Custom {
    fn forward(&self, z: R) -> R {
        self.0.at(0, &[z])
    }

    fn derivative(&self, z: R) -> R {
        self.0.at(1, &[z])
    }

    fn second_derivative(&self, z: R) -> R {
        self.0.at(2, &[z])
    }
}
