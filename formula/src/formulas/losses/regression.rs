//! Losses of the difference between an output and its target.

use super::{LossTerm, number, sign};
use crate::numbers::Real;

/// `½(y − t)²`.
#[derive(Clone, Copy, Debug)]
pub struct HalfSquaredError;

impl<R: Real> LossTerm<R> for HalfSquaredError {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let error = y - t;
        number::<R>(0.5) * error * error
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        y - t
    }
}

/// `(y − t)²`.
#[derive(Clone, Copy, Debug)]
pub struct Mse;

impl<R: Real> LossTerm<R> for Mse {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let error = y - t;
        error * error
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        number::<R>(2.0) * (y - t)
    }
}

/// `|y − t|`.
#[derive(Clone, Copy, Debug)]
pub struct Mae;

impl<R: Real> LossTerm<R> for Mae {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        (y - t).magnitude()
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        sign(y - t)
    }
}

/// `½e²` if `|e| < δ`, else `δ(|e| − ½δ)`, of the error `e = y − t`.
#[derive(Clone, Copy, Debug)]
pub struct Huber<R> {
    /// The error at which the parabola becomes its tangent.
    pub delta: R,
}

impl<R: Real> LossTerm<R> for Huber<R> {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let (half, error) = (number::<R>(0.5), (y - t).magnitude());
        let line = self.delta * (error - half * self.delta);
        if error < self.delta { half * error * error } else { line }
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let error = y - t;
        let line = self.delta * sign(error);
        if error.magnitude() < self.delta { error } else { line }
    }
}

/// `½e²/β` if `|e| < β`, else `|e| − ½β`, of the error `e = y − t`.
#[derive(Clone, Copy, Debug)]
pub struct SmoothL1<R> {
    /// The error at which the parabola becomes its tangent; for 0 there is no parabola.
    pub beta: R,
}

impl<R: Real> LossTerm<R> for SmoothL1<R> {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let (half, error) = (number::<R>(0.5), (y - t).magnitude());
        let parabola = half * error * (error / self.beta);
        if error < self.beta { parabola } else { error - half * self.beta }
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let error = y - t;
        let slope = error / self.beta;
        if error.magnitude() < self.beta { slope } else { sign(error) }
    }
}

/// `ln cosh(y − t)`.
#[derive(Clone, Copy, Debug)]
pub struct LogCosh;

const LN_2: f64 = std::f64::consts::LN_2;

impl<R: Real> LossTerm<R> for LogCosh {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let (half, one) = (number::<R>(0.5), number::<R>(1.0));
        let error = (y - t).magnitude();
        // Near 0, compute ½·ln(1 + sinh²), which keeps its digits; the argument
        // is bounded for this purpose.
        let near = error < one;
        let m = (if near { error } else { one }).exp_m1();
        let sinh = half * (m + m / (one + m));
        let small = half * (sinh * sinh).ln_1p();
        let large = error.minus(LN_2) + (number::<R>(-2.0) * error).exp().ln_1p();
        if near { small } else { large }
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let error = y - t;
        let slope = error.tanh();
        // The difference of two infinities is NaN.
        if error.magnitude() <= number(f64::INFINITY) { slope } else { error }
    }
}
