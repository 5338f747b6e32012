//! Losses of a distribution over classes, class by class.

use super::{LossOfForms, LossTerm, times};
use crate::formulas::activations::Forms;
use crate::numbers::Real;

/// `−t·ln y`, and 0 if t is 0, even at y = 0.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy;

impl<R: Real> LossTerm<R> for CrossEntropy {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        -times(t, y.ln())
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let zero = R::from_f64(0.0);
        let term = -(t / y);
        if t == zero { zero } else { term }
    }
}

impl<R: Real> LossOfForms<R> for CrossEntropy {
    #[inline(always)]
    fn loss_of_forms(&self, y: Forms<R>, t: R) -> R {
        -times(t, y.log)
    }

    #[inline(always)]
    fn slope_of_forms(&self, y: Forms<R>, t: R) -> R {
        -times(t, y.log_slope)
    }
}

/// `−t·y`, and 0 if t is 0, even at y = −∞.
#[derive(Clone, Copy, Debug)]
pub struct Nll;

impl<R: Real> LossTerm<R> for Nll {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        -times(t, y)
    }

    #[inline(always)]
    fn gradient(&self, _y: R, t: R, _extra: R) -> R {
        -t
    }
}
