//! One formula per activation, generic over the precision.
//!
//! The functions are given numbers, never a NaN: that NaN in gives NaN out is the concern of
//! whoever calls them (see [`Pointwise`]). At the kinks the values are PyTorch's.

mod exponential;
mod forms;
mod periodic;
mod piecewise;
mod rowwise;
mod self_gated;
mod sigmoidal;

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
/// Callers replace the result by NaN where an argument is NaN; the formulas need not.
pub trait Pointwise<R: Real>: Copy + Send + Sync {
    /// `g(z)`.
    fn forward(&self, z: R) -> R;

    /// `g'(z)`.
    fn derivative(&self, z: R) -> R;

    /// `g''(z)`.
    fn second_derivative(&self, z: R) -> R;

    /// `g'(z)` from `y = g(z)`, for activations where that is possible: see
    /// [`has_derivative_from_output`](Self::has_derivative_from_output).
    fn derivative_from_output(&self, _y: R) -> R {
        number(f64::NAN)
    }

    /// Whether g' is a function of g's value, and offered.
    fn has_derivative_from_output(&self) -> bool {
        false
    }

    /// Whether g comes so close to a limit other than 0 that y is rounded to it: whether
    /// [`apart`](Self::apart) tells more than y.
    const HAS_LIMITS: bool = false;

    /// `y = g(z)` in two parts, from z, y and g'(z).
    #[inline(always)]
    fn apart(&self, _z: R, y: R, _slope: R) -> Apart<R> {
        Apart::whole(y)
    }

    /// Whether g comes so close to 0 or 1 that logarithms of the rounded y or 1 − y lose digits: whether
    /// [`forms`](Self::forms) tells more than y.
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
/// Callers make the whole row NaN where an element is NaN, the greatest is infinite, or all are −∞.
pub trait Rowwise<R: Real>: Copy + Send + Sync {
    /// Whether the row is projected onto the simplex, as by sparsemax: outputs depend on the row's
    /// threshold, and the totals of the derivatives are means over the support, where y > 0. Else
    /// outputs depend on the sums of exponentials, and totals are sums.
    const PROJECTS: bool = false;

    /// Whether outputs depend on the logarithm of the sum of exponentials.
    const TAKES_LOGARITHM: bool = false;

    /// What takes the place of z, in the statistics too: −z for softmin.
    #[inline(always)]
    fn argument(&self, z: R) -> R {
        z
    }

    /// `y_i` from the row's statistics.
    fn forward(&self, element: Shifted<R>, row: RowStatistics<R>) -> R;

    /// Whether Jᵀ·dy stays as it is where the same is added to all of dy, as J·dz does with dz. The vector of
    /// such a product is given relative to its element where an output [outweighs](Self::outweighs) all
    /// others, so that no 1 − p is taken from a p that was rounded to 1.
    const SHIFTS_BACKWARD: bool = true;

    /// Whether the output has more weight in the totals than all others together.
    #[inline(always)]
    fn outweighs(&self, y: R) -> bool {
        y > number(0.5)
    }

    /// What the backward pass adds up along the row, from `y_i` and `dE/dy_i`.
    fn backward_term(&self, y: R, dy: R) -> R;

    /// What the row's total of [`backward_term`](Self::backward_term) stands for, with the output that
    /// outweighs all others and `dE/dy` there, or zeros.
    #[inline(always)]
    fn backward_totals(&self, total: R, _y: R, _dy: R) -> RowTotals<R> {
        RowTotals::of(total)
    }

    /// `dE/dz_i`, the product Jᵀ·dy, from `y_i`, `dE/dy_i` and what the row adds up to.
    fn backward(&self, y: R, dy: R, row: RowTotals<R>) -> R;

    /// What the product J·dz adds up along the row, from `y_i`, or `e^y_i` where the activation [takes a
    /// logarithm](Self::TAKES_LOGARITHM). As the backward pass, where J is symmetric.
    #[inline(always)]
    fn jvp_term(&self, y: R, dz: R) -> R {
        self.backward_term(y, dz)
    }

    /// Element i of J·dz from the same and the row's total of [`jvp_term`](Self::jvp_term). As the backward
    /// pass, where J is symmetric.
    #[inline(always)]
    fn jvp(&self, y: R, dz: R, total: R) -> R {
        self.backward(y, dz, RowTotals::of(total))
    }

    /// What the Jacobian adds up along the row: the size of the support, or the outputs but for one that
    /// outweighs all others.
    #[inline(always)]
    fn jacobian_term(&self, y: R) -> R {
        if self.outweighs(y) { number(0.0) } else { y }
    }

    /// `∂y_i/∂z_j` from `y_i`, `y_j`, whether `i = j`, and the row's total of
    /// [`jacobian_term`](Self::jacobian_term).
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, total: R) -> R;
}

/// What a product with the Jacobian adds up along a row.
#[derive(Clone, Copy, Debug)]
pub struct RowTotals<R> {
    /// The sum of the terms, or their mean over the support.
    pub total: R,
    /// The same with what an output that outweighs all others adds to it.
    pub whole: R,
    /// The other outputs together: 1 − p, for an output p that outweighs them.
    pub others: R,
}

impl<R: Real> RowTotals<R> {
    /// Where no output is treated apart.
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
    /// What the rounding took from the difference.
    pub lost: R,
    /// `e^((z_i − max z) / T)`, of the difference before it was rounded.
    pub exponential: R,
}

/// What a row adds up to: the sums, or the threshold where the activation
/// [projects](Rowwise::PROJECTS).
#[derive(Clone, Copy, Debug)]
pub struct RowStatistics<R> {
    /// 1 / `Σ_j e^((z_j − max z) / T)`, rounded: the sum is between 1 and the row's length.
    pub inverse: R,
    /// What the rounding took from it.
    pub inverse_lost: R,
    /// The logarithm of the sum, accurate also where one element outweighs all others; where the
    /// activation [takes](Rowwise::TAKES_LOGARITHM) it.
    pub log_sum: R,
    /// τ with `Σ_j max((z_j − max z) / T − τ, 0) = 1`, rounded.
    pub threshold: R,
    /// What the rounding took from the threshold.
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
