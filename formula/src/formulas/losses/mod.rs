//! One formula per loss, generic over the precision.

mod binary;
mod classification;
mod custom;
mod likelihood;
mod margin;
mod regression;

pub use binary::*;
pub use classification::*;
pub use custom::CustomTerm;
pub use likelihood::*;
pub use margin::*;
pub use regression::*;

use super::activations::Forms;
use crate::numbers::Real;

/// The terms that a loss adds up: over the elements, or over the classes of each row.
///
/// `extra` is a number that belongs to a target: the weight of positive targets for
/// bce_with_logits, the variance for gaussian_nll, and the margin, 1, for hinge and
/// squared_hinge. Other losses ignore it.
///
/// Callers replace the result by NaN if an argument is NaN, so the formulas need not handle it.
pub trait LossTerm<R: Real>: Copy + Send + Sync {
    /// The term of one element, from the output y and the target t.
    fn loss(&self, y: R, t: R, extra: R) -> R;

    /// Its derivative with respect to y.
    fn gradient(&self, y: R, t: R, extra: R) -> R;
}

/// The terms of a loss of a probability, or of a rate, computed from every form of the output, so
/// that no logarithm is taken of an output that was rounded to 0 or 1.
///
/// Callers replace the result by NaN if an argument is NaN.
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

/// `coefficient·value`, or 0 if the coefficient is 0, even if the value is infinite.
#[inline(always)]
#[doc(hidden)]
pub fn times<R: Real>(coefficient: R, value: R) -> R {
    let product = coefficient * value;
    if coefficient == number(0.0) { number(0.0) } else { product }
}

/// The weighted term: 0 if the weight is 0, even if the term is infinite; NaN stays NaN.
#[inline(always)]
#[doc(hidden)]
pub fn weighted<R: Real>(weight: R, value: R) -> R {
    let infinite = value.magnitude() == number(f64::INFINITY);
    let product = weight * value;
    if infinite && weight == number(0.0) { number(0.0) } else { product }
}

/// Like [`weighted`], but also 0 if the term is 0, even if the weight is infinite; NaN for a weight of NaN.
#[inline(always)]
#[doc(hidden)]
pub fn weigh<R: Real>(weight: R, value: R) -> R {
    let product = weighted(weight, value);
    let infinite = weight.magnitude() == number(f64::INFINITY);
    if infinite && value == number(0.0) { number(0.0) } else { product }
}

/// x if it is positive, else 0; NaN for NaN.
#[inline(always)]
fn positive_part<R: Real>(x: R) -> R {
    if x < number(0.0) { number(0.0) } else { x }
}
