//! Divergences, and negative log-likelihoods of distributions over numbers.

use super::{LossTerm, number, times};
use crate::reference::Real;

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

/// `e^y − t·y`, or `y − t·ln(y + ε)` where y is not a logarithm; with `full` and t > 1 also what is
/// constant in y, by Stirling's formula: `t·ln t − t + ½ln(2πt)`.
#[derive(Clone, Copy, Debug)]
pub struct PoissonNll<R> {
    /// Whether y is the logarithm of the rate.
    pub log_input: bool,
    /// Whether the constant part counts.
    pub full: bool,
    /// Keeps the logarithm finite.
    pub eps: R,
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
        if !self.full {
            return term;
        }
        let half = number::<R>(0.5);
        let log_tau = number::<R>(std::f64::consts::TAU.ln());
        let stirling = (t * t.ln() - t) + half * (log_tau + t.ln());
        if t > number(1.0) { term + stirling } else { term }
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        if self.log_input { y.exp() - t } else { number::<R>(1.0) - t / (y + self.eps) }
    }
}

/// `½(ln v + (y − t)²/v)` for the variance `v = max(extra, ε)`; with `full` also `½ln 2π`.
#[derive(Clone, Copy, Debug)]
pub struct GaussianNll<R> {
    /// Whether the constant part counts.
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
