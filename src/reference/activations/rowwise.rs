//! Activations of whole rows.

use super::{RowStatistics, Rowwise, Shifted, number};
use crate::reference::Real;

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
    fn backward(&self, y: R, dy: R, total: R) -> R {
        y * (dy - total)
    }

    #[inline(always)]
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, _support: R) -> R {
        let off_diagonal = -(y_i * y_j);
        if diagonal { y_i * (number::<R>(1.0) - y_j) } else { off_diagonal }
    }
}

/// `ln softmax(z)_i`.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {}

impl<R: Real> Rowwise<R> for LogSoftmax {
    const TAKES_LOGARITHM: bool = true;

    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowStatistics<R>) -> R {
        (element.difference - row.log_sum) + element.lost
    }

    #[inline(always)]
    fn backward_term(&self, _y: R, dy: R) -> R {
        dy
    }

    #[inline(always)]
    fn backward(&self, y: R, dy: R, total: R) -> R {
        dy - y.exp() * total
    }

    #[inline(always)]
    fn jvp_term(&self, y: R, dz: R) -> R {
        y.exp() * dz
    }

    #[inline(always)]
    fn jvp(&self, _y: R, dz: R, total: R) -> R {
        dz - total
    }

    #[inline(always)]
    fn jacobian(&self, _y_i: R, y_j: R, diagonal: bool, _support: R) -> R {
        let softmax = y_j.exp();
        if diagonal { number::<R>(1.0) - softmax } else { -softmax }
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
    fn backward(&self, y: R, dy: R, total: R) -> R {
        y * (total - dy)
    }

    #[inline(always)]
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, support: R) -> R {
        -Softmax {}.jacobian(y_i, y_j, diagonal, support)
    }
}

/// `max(z_i − τ, 0)`, where τ makes the row add up to one.
#[derive(Clone, Copy, Debug)]
pub struct Sparsemax {}

impl<R: Real> Rowwise<R> for Sparsemax {
    const PROJECTS: bool = true;

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
    fn backward(&self, y: R, dy: R, total: R) -> R {
        if y > number(0.0) { dy - total } else { number(0.0) }
    }

    #[inline(always)]
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool, support: R) -> R {
        let (zero, one) = (number::<R>(0.0), number::<R>(1.0));
        let share = one / support;
        let inside = if diagonal { one - share } else { -share };
        if y_i > zero && y_j > zero { inside } else { zero }
    }
}
