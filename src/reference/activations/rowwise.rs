//! Activations of whole rows.

use super::{RowSum, Rowwise, Shifted, number};
use crate::reference::Real;

/// `e^(z_i) / Σ_j e^(z_j)`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {}

impl<R: Real> Rowwise<R> for Softmax {
    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowSum<R>) -> R {
        element.exponential / row.sum
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
    fn jacobian(&self, y_i: R, y_j: R, diagonal: bool) -> R {
        let off_diagonal = -(y_i * y_j);
        if diagonal { y_i * (number::<R>(1.0) - y_j) } else { off_diagonal }
    }
}

/// `ln softmax(z)_i`.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {}

impl<R: Real> Rowwise<R> for LogSoftmax {
    #[inline(always)]
    fn forward(&self, element: Shifted<R>, row: RowSum<R>) -> R {
        element.difference - row.log_sum
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
    fn jacobian(&self, _y_i: R, y_j: R, diagonal: bool) -> R {
        let softmax = y_j.exp();
        if diagonal { number::<R>(1.0) - softmax } else { -softmax }
    }
}
