//! Divergences, and negative log-likelihoods of distributions over numbers.

use super::{LossOfForms, LossTerm, number, times};
use crate::formulas::activations::Forms;
use crate::numbers::Real;

/// `t·(ln t − y)` for a log-probability y; with `log_target` `e^t·(t − y)`.
#[derive(Clone, Copy, Debug)]
pub struct KlDiv {
    /// Whether the target is a log-probability too.
    pub log_target: bool,
}

impl<R: Real> LossTerm<R> for KlDiv {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        if self.log_target {
            return times(t.exp(), t - y);
        }
        times(t, t.ln() - y)
    }

    #[inline(always)]
    fn gradient(&self, _y: R, t: R, _extra: R) -> R {
        if self.log_target { -t.exp() } else { -t }
    }
}

/// `e^y − t·y`, or `y − t·ln(y + ε)` if y is not a logarithm; with `full` and t > 1, also the part
/// that does not depend on y, by Stirling's formula: `t·ln t − t + ½ln(2πt)`.
#[derive(Clone, Copy, Debug)]
pub struct PoissonNll<R> {
    /// Whether y is the logarithm of the rate.
    pub log_input: bool,
    /// Whether to add the constant part.
    pub full: bool,
    /// Keeps the logarithm of a rate of 0 finite.
    pub eps: R,
}

impl<R: Real> PoissonNll<R> {
    /// The term, with the part that does not depend on y if it is wanted.
    #[inline(always)]
    fn with_constant(&self, term: R, t: R) -> R {
        if !self.full {
            return term;
        }
        let half = number::<R>(0.5);
        let log_tau = number::<R>(std::f64::consts::TAU.ln());
        let stirling = (t * t.ln() - t) + half * (log_tau + t.ln());
        if t > number(1.0) { term + stirling } else { term }
    }
}

impl<R: Real> LossTerm<R> for PoissonNll<R> {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let rate = if self.log_input { y.exp() } else { y };
        let log_rate = if self.log_input { y } else { (y + self.eps).ln() };
        let term = rate - times(t, log_rate);
        // An infinite rate outgrows every other part.
        let is_infinite = self.log_input && rate == number(f64::INFINITY);
        let term = if is_infinite { rate } else { term };
        self.with_constant(term, t)
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let quotient = t / (y + self.eps);
        let quotient = if t == number(0.0) { t } else { quotient };
        if self.log_input { y.exp() - t } else { number::<R>(1.0) - quotient }
    }
}

/// Below this, a rate or its derivative may be subnormal.
const LEAST_RATE: f64 = 1e-30;

/// The formula for a rate, that is, if y is not a logarithm.
impl<R: Real> LossOfForms<R> for PoissonNll<R> {
    #[inline(always)]
    fn loss_of_forms(&self, y: Forms<R>, t: R) -> R {
        let plain = self.loss(y.y, t, number(1.0));
        // Without ε, the logarithm is the logarithm of the rate.
        let value = self.with_constant(y.y - times(t, y.log), t);
        if self.eps > number(0.0) || y.y > number(LEAST_RATE) { plain } else { value }
    }

    #[inline(always)]
    fn slope_of_forms(&self, y: Forms<R>, t: R) -> R {
        let one = number::<R>(1.0);
        let plain = self.gradient(y.y, t, one) * y.slope;
        // g' / (y + ε) for a small y.
        let ratio = self.eps.exp_times((-y.log).into());
        let ratio = if self.eps > number(0.0) { ratio } else { number(0.0) };
        let share = y.log_slope / (one + ratio);
        let value = y.slope - times(t, share);
        if y.y > number(LEAST_RATE) || y.y < number(0.0) { plain } else { value }
    }
}

/// `½(ln v + (y − t)²/v)` for the variance `v = max(extra, ε)`; with `full` also `½ln 2π`.
#[derive(Clone, Copy, Debug)]
pub struct GaussianNll<R> {
    /// Whether to add the constant part.
    pub full: bool,
    /// The least variance.
    pub eps: R,
}

impl<R: Real> GaussianNll<R> {
    #[inline(always)]
    fn variance(&self, extra: R) -> R {
        if extra < self.eps { self.eps } else { extra }
    }
}

impl<R: Real> LossTerm<R> for GaussianNll<R> {
    #[inline(always)]
    fn loss(&self, y: R, t: R, extra: R) -> R {
        let (half, error, v) = (number::<R>(0.5), y - t, self.variance(extra));
        let term = half * (v.ln() + error * (error / v));
        let constant = number::<R>(0.5 * std::f64::consts::TAU.ln());
        if self.full { term + constant } else { term }
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, extra: R) -> R {
        (y - t) / self.variance(extra)
    }
}
