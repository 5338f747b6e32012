//! One formula per loss, generic over the precision.

mod binary;
mod classification;
mod likelihood;
mod margin;
mod regression;

pub use binary::*;
pub use classification::*;
pub use likelihood::*;
pub use margin::*;
pub use regression::*;

use super::Real;

/// The terms that a loss adds up: over the elements, or over the classes of each row.
///
/// `extra` is what goes with a target: the weight of positive targets for bce_with_logits, the variance
/// for gaussian_nll; other losses do not look at it.
///
/// Callers replace the result by NaN where an argument is NaN; the formulas need not.
pub trait LossTerm<R: Real>: Copy + Send + Sync {
    /// The term of one element, from the output y and the target t.
    fn loss(&self, y: R, t: R, extra: R) -> R;

    /// Its derivative with respect to y.
    fn gradient(&self, y: R, t: R, extra: R) -> R;
}

fn number<R: Real>(value: f64) -> R {
    R::from_f64(value)
}

/// −1, 0 or 1; NaN for NaN.
#[inline(always)]
fn sign<R: Real>(x: R) -> R {
    let zero = number(0.0);
    let negative = if x < zero { number(-1.0) } else { x };
    if x > zero { number(1.0) } else { negative }
}

/// `coefficient·value`, and 0 where the coefficient is 0, also where the value is infinite.
#[inline(always)]
pub(crate) fn times<R: Real>(coefficient: R, value: R) -> R {
    let product = coefficient * value;
    if coefficient == number(0.0) { number(0.0) } else { product }
}

/// x where it is positive, else 0; NaN for NaN.
#[inline(always)]
fn positive_part<R: Real>(x: R) -> R {
    if x < number(0.0) { number(0.0) } else { x }
}
