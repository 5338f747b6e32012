//! Losses of a user's formula.

use super::LossTerm;
use crate::expression::Custom;
use crate::numbers::Real;

/// A term that is computed step by step.
#[derive(Clone, Copy, Debug)]
pub struct CustomTerm(pub Custom);

impl<R: Real> LossTerm<R> for CustomTerm {
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        self.0.at(0, &[y, t])
    }

    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        self.0.at(1, &[y, t])
    }
}
