//! Losses with a margin.

use super::{LossTerm, number, positive_part};
use crate::numbers::Real;

/// `margin − t·y`; zero times infinity is zero.
#[inline(always)]
fn shortfall<R: Real>(y: R, t: R, margin: R) -> R {
    let product = t.product(y);
    (margin - product.high) - product.low
}

/// `max(0, extra − t·y)`, where extra is the margin 1.
#[derive(Clone, Copy, Debug)]
pub struct Hinge;

impl<R: Real> LossTerm<R> for Hinge {
    #[inline(always)]
    fn loss(&self, y: R, t: R, margin: R) -> R {
        positive_part(shortfall(y, t, margin))
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, margin: R) -> R {
        if shortfall(y, t, margin) > number(0.0) { -t } else { number(0.0) }
    }
}

/// `max(0, extra − t·y)²`, where extra is the margin 1.
#[derive(Clone, Copy, Debug)]
pub struct SquaredHinge;

impl<R: Real> LossTerm<R> for SquaredHinge {
    #[inline(always)]
    fn loss(&self, y: R, t: R, margin: R) -> R {
        let hinge = positive_part(shortfall(y, t, margin));
        hinge * hinge
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, margin: R) -> R {
        let hinge = shortfall(y, t, margin);
        let slope = number::<R>(-2.0) * t * hinge;
        if hinge > number(0.0) { slope } else { number(0.0) }
    }
}

/// `ln(1 + e^(−t·y))`.
#[derive(Clone, Copy, Debug)]
pub struct SoftMargin;

impl<R: Real> LossTerm<R> for SoftMargin {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        R::softplus_of(-t.product(y))
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        (-t).times_sigmoid(-t.product(y))
    }
}

/// `y` for the target 1, `max(0, margin − y)` for the target −1; the sum of both for any other.
#[derive(Clone, Copy, Debug)]
pub struct HingeEmbedding<R> {
    /// The distance that dissimilar pairs should have.
    pub margin: R,
}

impl<R: Real> LossTerm<R> for HingeEmbedding<R> {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let zero = number::<R>(0.0);
        let apart = positive_part(self.margin - y);
        let apart = if t == number(1.0) { zero } else { apart };
        let together = if t == number(-1.0) { zero } else { y };
        apart + together
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let (zero, one) = (number::<R>(0.0), number::<R>(1.0));
        // At the kink, PyTorch takes the side of the margin.
        let apart = if self.margin - y < zero { zero } else { -one };
        let apart = if t == one { zero } else { apart };
        let together = if t == -one { zero } else { one };
        apart + together
    }
}
