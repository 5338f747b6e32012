//! Outputs with the part that rounding loses.

use super::number;
use crate::formulas::losses::ln_1m;
use crate::numbers::{Real, Sum};

/// An output in two parts: `y = limit + offset`. Close to a limit of the activation, where y is
/// rounded to the limit, the offset still has all its digits.
#[derive(Clone, Copy, Debug)]
pub struct Apart<R> {
    /// The limit that y is close to; 0 if there is none.
    pub limit: R,
    /// The rest of y.
    pub offset: R,
}

impl<R: Real> Apart<R> {
    /// An output that is not close to a limit.
    #[inline(always)]
    pub fn whole(y: R) -> Self {
        Self { limit: number(0.0), offset: y }
    }

    /// `y`, or the two parts if the condition holds.
    #[inline(always)]
    pub(super) fn near(condition: bool, limit: R, offset: R, y: R) -> Self {
        Self {
            limit: if condition { limit } else { number(0.0) },
            offset: if condition { offset } else { y },
        }
    }
}

/// An output of an activation in every form that a logarithm needs. The forms keep their digits
/// even if y is rounded to 0 or 1.
#[derive(Clone, Copy, Debug)]
pub struct Forms<R> {
    /// `y = g(z)`, rounded.
    pub y: R,
    /// `1 − y`.
    pub rest: R,
    /// `ln y`.
    pub log: R,
    /// `ln(1 − y)`.
    pub log_rest: R,
    /// `g'(z)`.
    pub slope: R,
    /// `g'(z) / y`.
    pub log_slope: R,
    /// `g'(z) / (1 − y)`.
    pub rest_slope: R,
}

impl<R: Real> Forms<R> {
    /// The forms that follow from y alone.
    #[inline(always)]
    pub fn of(y: R, slope: R) -> Self {
        let rest = number::<R>(1.0) - y;
        let (log, log_rest) = (y.ln(), ln_1m(y));
        Self { y, rest, log, log_rest, slope, log_slope: slope / y, rest_slope: slope / rest }
    }

    /// The forms of `y = e^x`; the factor is the derivative of x with respect to z.
    #[inline(always)]
    pub(super) fn of_power(x: Sum<R>, factor: R) -> Self {
        let (zero, one) = (number::<R>(0.0), number::<R>(1.0));
        let y = R::exp_of(x);
        let rest = -R::exp_m1_of(x);
        // y / (1 − y)
        let quotient = one / R::exp_m1_of(-x);
        let odds = if x.high < number(-40.0) { y } else { quotient };
        let near = (if rest > zero { rest } else { zero }).ln();
        let far = -odds.ln_1p();
        Self {
            y,
            rest,
            log: x.high,
            log_rest: if x.high > number(-0.693) { near } else { far },
            slope: factor.exp_times(x),
            log_slope: factor,
            rest_slope: factor * odds,
        }
    }

    /// The forms of `y = tanh x`; the factor is the derivative of x with respect to z.
    #[inline(always)]
    pub(super) fn of_tanh(x: Sum<R>, factor: R) -> Self {
        let (half, one, two) = (number::<R>(0.5), number::<R>(1.0), number::<R>(2.0));
        let (y, slope, twice) = (R::tanh_of(x), factor.tanh_slope(x), x.twice());
        let (is_far, is_small) = (twice.high > number(40.0), y < half);
        let power = R::exp_m1_of(twice);
        // 1 / y − 1
        let near = two / power;
        let excess = if is_far { two * R::exp_of(-twice) } else { near };
        let log_rest = -(half * power).ln_1p();
        let log_rest = if is_far { -twice.high.minus(std::f64::consts::LN_2) } else { log_rest };
        Self {
            y,
            rest: two * R::sigmoid_of(-twice),
            log: if is_small { y.ln() } else { -excess.ln_1p() },
            log_rest: if is_small { ln_1m(y) } else { log_rest },
            slope,
            log_slope: slope / y,
            rest_slope: factor * (one + y),
        }
    }
}
