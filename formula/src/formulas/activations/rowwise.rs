//! Activations of whole rows.

use super::{RowStatistics, RowTotals, Rowwise, Shifted, number};
use crate::numbers::Real;

/// `e^(z_i) / Σ_j e^(z_j)`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {}

impl<R: Real> Rowwise<R> for Softmax {
    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowStatistics<R>) -> R {
        let e = element.exponential;
        e.multiply_add(row.inverse, e * row.inverse_lost)
    }

    #[inline(always)]
    fn backward_term(&self, y: R, dy: R) -> R {
        y * dy
    }

    #[inline(always)]
    fn backward(&self, y: R, dy: R, row: RowTotals<R>) -> R {
        y * (dy - row.total)
    }

    #[inline(always)]
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, others: R) -> R {
        let others = if y_i > number(0.5) { others } else { number::<R>(1.0) - y_i };
        if diagonal { y_i * others } else { -(y_i * y_j) }
    }
}

/// `ln softmax(z)_i`.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {}

impl<R: Real> Rowwise<R> for LogSoftmax {
    const TAKES_LOGARITHM: bool = true;
    const SHIFTS_BACKWARD: bool = false;

    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowStatistics<R>) -> R {
        (element.difference - row.log_sum) + element.lost
    }

    #[inline(always)]
    fn outweighs(&self, y: R) -> bool {
        y > number(-std::f64::consts::LN_2)
    }

    /// dy, or 0 for the dy that subtracting p·Σ dy would cancel again.
    #[inline(always)]
    fn backward_term(&self, y: R, dy: R) -> R {
        if self.outweighs(y) { number(0.0) } else { dy }
    }

    #[inline(always)]
    fn backward_totals(&self, total: R, y: R, dy: R) -> RowTotals<R> {
        RowTotals { total, whole: total + dy, others: number::<R>(0.0) - y.exp_m1() }
    }

    #[inline(always)]
    fn backward(&self, y: R, dy: R, row: RowTotals<R>) -> R {
        let apart = self.outweighs(y);
        let own = if apart { dy * row.others } else { dy };
        own - y.exp() * if apart { row.total } else { row.whole }
    }

    #[inline(always)]
    fn jvp_term(&self, p: R, dz: R) -> R {
        p * dz
    }

    #[inline(always)]
    fn jvp(&self, _y: R, dz: R, total: R) -> R {
        dz - total
    }

    #[inline(always)]
    fn jacobian(&self, _y_i: R, y_j: R, diagonal: bool, _total: R) -> R {
        if diagonal { number::<R>(0.0) - y_j.exp_m1() } else { -y_j.exp() }
    }
}

/// `softmax(−z)_i`.
#[derive(Clone, Copy, Debug)]
pub struct Softmin {}

impl<R: Real> Rowwise<R> for Softmin {
    #[inline(always)]
    fn argument(&self, z: R) -> R {
        -z
    }

    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowStatistics<R>) -> R {
        Softmax {}.forward(element, row)
    }

    #[inline(always)]
    fn backward_term(&self, y: R, dy: R) -> R {
        y * dy
    }

    #[inline(always)]
    fn backward(&self, y: R, dy: R, row: RowTotals<R>) -> R {
        y * (row.total - dy)
    }

    #[inline(always)]
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, others: R) -> R {
        -Softmax {}.jacobian(y_i, y_j, diagonal, others)
    }
}

/// `max(z_i − τ, 0)`, with τ chosen so that the row sums to 1.
#[derive(Clone, Copy, Debug)]
pub struct Sparsemax {}

impl<R: Real> Rowwise<R> for Sparsemax {
    const PROJECTS: bool = true;

    /// All outputs of the support have the same weight.
    #[inline(always)]
    fn outweighs(&self, _y: R) -> bool {
        false
    }

    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowStatistics<R>) -> R {
        let zero = number(0.0);
        let y = (element.difference - row.threshold) + (element.lost - row.threshold_lost);
        if y > zero { y } else { zero }
    }

    #[inline(always)]
    fn backward_term(&self, y: R, dy: R) -> R {
        if y > number(0.0) { dy } else { number(0.0) }
    }

    #[inline(always)]
    fn backward(&self, y: R, dy: R, row: RowTotals<R>) -> R {
        if y > number(0.0) { dy - row.total } else { number(0.0) }
    }

    #[inline(always)]
    fn jacobian_term(&self, y: R) -> R {
        if y > number(0.0) { number(1.0) } else { number(0.0) }
    }

    #[inline(always)]
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, support: R) -> R {
        let (zero, one) = (number::<R>(0.0), number::<R>(1.0));
        let share = one / support;
        let inside = if diagonal { one - share } else { -share };
        if y_i > zero && y_j > zero { inside } else { zero }
    }
}
