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

use super::activations::Forms;
use crate::numbers::Real;

/// The terms that a loss adds up: over the elements, or over the classes of each row.
///
/// `extra` is what goes with a target: the weight of positive targets for bce_with_logits, the variance
/// for gaussian_nll, for hinge and squared_hinge the margin, 1; other losses do not look at it.
///
/// Callers replace the result by NaN where an argument is NaN; the formulas need not.
pub trait LossTerm<R: Real>: Copy + Send + Sync {
    /// The term of one element, from the output y and the target t.
    fn loss(&self, y: R, t: R, extra: R) -> R;

    /// Its derivative with respect to y.
    fn gradient(&self, y: R, t: R, extra: R) -> R;
}

/// The terms of a loss of a probability, or of a rate: from every form of the output, so that no logarithm
/// sees one that is rounded to 0 or 1.
///
/// Callers replace the result by NaN where an argument is NaN.
pub trait LossOfForms<R: Real>: LossTerm<R> {
    /// The term of one element.
    fn loss_of_forms(&self, y: Forms<R>, t: R) -> R;

    /// Its derivative with respect to z.
    fn slope_of_forms(&self, y: Forms<R>, t: R) -> R;
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
#[doc(hidden)]
pub fn times<R: Real>(coefficient: R, value: R) -> R {
    let product = coefficient * value;
    if coefficient == number(0.0) { number(0.0) } else { product }
}

/// What a weight makes of a term: 0 if the weight is 0, also of an infinite term; NaN stays.
#[inline(always)]
#[doc(hidden)]
pub fn weighted<R: Real>(weight: R, value: R) -> R {
    let infinite = value.magnitude() == number(f64::INFINITY);
    let product = weight * value;
    if infinite && weight == number(0.0) { number(0.0) } else { product }
}

/// [`weighted`], and 0 of a term that is 0, whatever it weighs.
#[inline(always)]
#[doc(hidden)]
pub fn weigh<R: Real>(weight: R, value: R) -> R {
    let product = weighted(weight, value);
    if value == number(0.0) { number(0.0) } else { product }
}

/// x where it is positive, else 0; NaN for NaN.
#[inline(always)]
fn positive_part<R: Real>(x: R) -> R {
    if x < number(0.0) { number(0.0) } else { x }
}
