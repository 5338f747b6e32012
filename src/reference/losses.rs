//! One formula per loss, generic over the precision.

use super::Real;

/// The terms that a loss adds up: over the elements, or over the classes of each row.
///
/// Callers replace the result by NaN where an argument is NaN; the formulas need not.
pub trait LossTerm<R: Real>: Copy + Send + Sync {
    /// The term of one element, from the output y and the target t.
    fn loss(&self, y: R, t: R) -> R;

    /// Its derivative with respect to y.
    fn gradient(&self, y: R, t: R) -> R;
}

/// `½(y − t)²`.
#[derive(Clone, Copy, Debug)]
pub struct HalfSquaredError {}

impl<R: Real> LossTerm<R> for HalfSquaredError {
    #[inline(always)]
    fn loss(&self, y: R, t: R) -> R {
        let error = y - t;
        R::from_f64(0.5) * error * error
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R) -> R {
        y - t
    }
}

/// `(y − t)²`.
#[derive(Clone, Copy, Debug)]
pub struct Mse {}

impl<R: Real> LossTerm<R> for Mse {
    #[inline(always)]
    fn loss(&self, y: R, t: R) -> R {
        let error = y - t;
        error * error
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R) -> R {
        R::from_f64(2.0) * (y - t)
    }
}

/// `−t·ln y`, and 0 where t is 0, also at y = 0.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {}

impl<R: Real> LossTerm<R> for CrossEntropy {
    #[inline(always)]
    fn loss(&self, y: R, t: R) -> R {
        let zero = R::from_f64(0.0);
        let term = -(t * y.ln());
        if t == zero { zero } else { term }
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R) -> R {
        let zero = R::from_f64(0.0);
        let term = -(t / y);
        if t == zero { zero } else { term }
    }
}
