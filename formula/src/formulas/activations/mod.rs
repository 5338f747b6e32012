//! One formula per activation, generic over the precision.
//!
//! The functions are never called with NaN: callers make sure that NaN in the input gives NaN in
//! the output (see [`Pointwise`]). At the kinks the values are the same as PyTorch's.

mod custom;
mod exponential;
mod forms;
mod periodic;
mod piecewise;
mod rowwise;
mod self_gated;
mod sigmoidal;

pub use custom::Custom;
pub use exponential::*;
pub use forms::*;
pub use periodic::*;
pub use piecewise::*;
pub use rowwise::*;
pub use self_gated::*;
pub use sigmoidal::*;

use crate::numbers::Real;

/// An activation that maps each element by itself.
///
/// Callers replace the result by NaN if an argument is NaN, so the formulas need not handle it.
pub trait Pointwise<R: Real>: Copy + Send + Sync {
    /// `g(z)`.
    fn forward(&self, z: R) -> R;

    /// `g'(z)`.
    fn derivative(&self, z: R) -> R;

    /// `g''(z)`.
    fn second_derivative(&self, z: R) -> R;

    /// `g'(z)` from `y = g(z)`, for activations that allow it: see
    /// [`has_derivative_from_output`](Self::has_derivative_from_output).
    fn derivative_from_output(&self, _y: R) -> R {
        number(f64::NAN)
    }

    /// Whether g' is a function of g's value, and is offered as such.
    fn has_derivative_from_output(&self) -> bool {
        false
    }

    /// Whether g comes so close to a limit other than 0 that y is rounded to it, so that
    /// [`apart`](Self::apart) holds more information than y.
    const HAS_LIMITS: bool = false;

    /// `y = g(z)` in two parts, from z, y and g'(z).
    #[inline(always)]
    fn apart(&self, _z: R, y: R, _slope: R) -> Apart<R> {
        Apart::whole(y)
    }

    /// Whether g comes so close to 0 or 1 that logarithms of the rounded y or 1 − y lose digits, so
    /// that [`forms`](Self::forms) holds more information than y.
    const HAS_FORMS: bool = false;

    /// `y = g(z)` in the forms that logarithms need.
    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        Forms::of(self.forward(z), self.derivative(z))
    }
}

/// An activation that maps a row: element i of the output depends on `z_i` and on statistics of the
/// whole row.
///
/// Callers make the whole row NaN if an element is NaN, the greatest is infinite, or all are −∞.
pub trait Rowwise<R: Real>: Copy + Send + Sync {
    /// Whether the row is projected onto the simplex, as by sparsemax. If so, outputs depend on the
    /// row's threshold, and the totals of the derivatives are means over the support, where y > 0.
    /// Otherwise outputs depend on the sums of exponentials, and the totals are sums.
    const PROJECTS: bool = false;

    /// Whether outputs depend on the logarithm of the sum of exponentials.
    const TAKES_LOGARITHM: bool = false;

    /// The argument that takes the place of z, in the statistics too: −z for softmin.
    #[inline(always)]
    fn argument(&self, z: R) -> R {
        z
    }

    /// `y_i` from the row's statistics.
    fn forward(&self, element: Shifted<R>, row: RowStatistics<R>) -> R;

    /// Whether Jᵀ·dy does not change if the same number is added to all of dy, as J·dz does
    /// not for dz. The vector of such a product is given relative to its element at the
    /// output that [outweighs](Self::outweighs) all others, so that 1 − p is never computed
    /// from a p that was rounded to 1.
    const SHIFTS_BACKWARD: bool = true;

    /// Whether the output has more weight in the totals than all others together.
    #[inline(always)]
    fn outweighs(&self, y: R) -> bool {
        y > number(0.5)
    }

    /// The term that the backward pass adds up along the row, from `y_i` and `dE/dy_i`.
    fn backward_term(&self, y: R, dy: R) -> R;

    /// The totals that belong to the row's sum of [`backward_term`](Self::backward_term), given the
    /// output that outweighs all others and `dE/dy` there, or zeros.
    #[inline(always)]
    fn backward_totals(&self, total: R, _y: R, _dy: R) -> RowTotals<R> {
        RowTotals::of(total)
    }

    /// `dE/dz_i`, an element of the product Jᵀ·dy, from `y_i`, `dE/dy_i` and the totals of the row.
    fn backward(&self, y: R, dy: R, row: RowTotals<R>) -> R;

    /// The term that the product J·dz adds up along the row, from `y_i`, or from `e^y_i` if
    /// the activation [takes a logarithm](Self::TAKES_LOGARITHM). If J is symmetric, it is the
    /// same as in the backward pass.
    #[inline(always)]
    fn jvp_term(&self, y: R, dz: R) -> R {
        self.backward_term(y, dz)
    }

    /// Element i of J·dz from the same values and the row's total of [`jvp_term`](Self::jvp_term).
    /// If J is symmetric, it is the same as in the backward pass.
    #[inline(always)]
    fn jvp(&self, y: R, dz: R, total: R) -> R {
        self.backward(y, dz, RowTotals::of(total))
    }

    /// The term that the Jacobian adds up along the row; the total is the size of the support, or
    /// the sum of the outputs except one that outweighs all others.
    #[inline(always)]
    fn jacobian_term(&self, y: R) -> R {
        if self.outweighs(y) { number(0.0) } else { y }
    }

    /// `∂y_i/∂z_j` from `y_i`, `y_j`, whether `i = j`, and the row's total of
    /// [`jacobian_term`](Self::jacobian_term).
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, total: R) -> R;
}

/// The totals along a row for a product with the Jacobian.
#[derive(Clone, Copy, Debug)]
pub struct RowTotals<R> {
    /// The sum of the terms, or their mean over the support.
    pub total: R,
    /// The total, including the contribution of an output that outweighs all others.
    pub whole: R,
    /// The sum of the other outputs: 1 − p, for an output p that outweighs them.
    pub others: R,
}

impl<R: Real> RowTotals<R> {
    /// The totals if no output is treated separately.
    #[inline(always)]
    pub fn of(total: R) -> Self {
        Self { total, whole: total, others: number(1.0) }
    }
}

/// An element of a row, relative to the greatest one.
#[derive(Clone, Copy, Debug)]
pub struct Shifted<R> {
    /// `(z_i − max z) / T`, rounded.
    pub difference: R,
    /// The part of the difference that rounding removed.
    pub lost: R,
    /// `e^((z_i − max z) / T)`, computed from the difference before rounding.
    pub exponential: R,
}

/// The statistics of a row: the sums, or the threshold if the activation
/// [projects](Rowwise::PROJECTS).
#[derive(Clone, Copy, Debug)]
pub struct RowStatistics<R> {
    /// 1 / `Σ_j e^((z_j − max z) / T)`, rounded: the sum is between 1 and the row's length.
    pub inverse: R,
    /// The part of the inverse that rounding removed.
    pub inverse_lost: R,
    /// The logarithm of the sum, accurate even if one element outweighs all others. Only set if the
    /// activation [takes](Rowwise::TAKES_LOGARITHM) it.
    pub log_sum: R,
    /// τ with `Σ_j max((z_j − max z) / T − τ, 0) = 1`, rounded.
    pub threshold: R,
    /// The part of the threshold that rounding removed.
    pub threshold_lost: R,
}

/// A constant of a formula.
fn number<R: Real>(value: f64) -> R {
    R::from_f64(value)
}

/// The magnitude with the sign of x, which is not 0.
#[inline(always)]
fn with_sign_of<R: Real>(magnitude: R, x: R) -> R {
    if x > number(0.0) { magnitude } else { -magnitude }
}
