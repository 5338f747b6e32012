//! Losses of a probability, or of its logit, for targets from 0 to 1.

use super::{LossOfForms, LossTerm, number, times};
use crate::formulas::activations::Forms;
use crate::numbers::Real;

/// The bound at which bce clamps its logarithms, and the divisor of its
/// gradient, both as in PyTorch.
const LEAST_LOG: f64 = -100.0;
const LEAST_VARIANCE: f64 = 1e-12;

/// `ln(1 − y)` for y in [0, 1], NaN outside.
#[inline(always)]
#[doc(hidden)]
pub fn ln_1m<R: Real>(y: R) -> R {
    let one = number::<R>(1.0);
    let rest = one - y;
    // For small y, the sum 1 − y would lose y: ln(1 − y) = −ln(1 + y / (1 − y)).
    let near = -(y / rest).ln_1p();
    let near = if y < number(0.0) { number(f64::NAN) } else { near };
    // Both are computed, so that loops over this function have no branches.
    let far = rest.ln();
    if y < number(0.5) { near } else { far }
}

/// The logarithms of p and of 1 − p for p = sigmoid(z), negated.
#[inline(always)]
fn negative_logs<R: Real>(z: R) -> (R, R) {
    let zero = number::<R>(0.0);
    let magnitude = z.magnitude();
    let rest = (-magnitude).softplus();
    let sum = magnitude + rest;
    if z > zero { (rest, sum) } else { (sum, rest) }
}

/// `−(t·ln y + (1 − t)·ln(1 − y))`, with logarithms of at least −100.
#[derive(Clone, Copy, Debug)]
pub struct Bce;

impl<R: Real> LossTerm<R> for Bce {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let least = number::<R>(LEAST_LOG);
        let clamped = |log: R| if log < least { least } else { log };
        -(t * clamped(y.ln()) + (number::<R>(1.0) - t) * clamped(ln_1m(y)))
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let least = number::<R>(LEAST_VARIANCE);
        let variance = y * (number::<R>(1.0) - y);
        (y - t) / if variance < least { least } else { variance }
    }
}

/// Whether y is not a probability.
#[inline(always)]
fn is_outside<R: Real>(y: R) -> bool {
    y < number(0.0) || y > number(1.0)
}

impl<R: Real> LossOfForms<R> for Bce {
    #[inline(always)]
    fn loss_of_forms(&self, y: Forms<R>, t: R) -> R {
        let least = number::<R>(LEAST_LOG);
        let clamped = |log: R| if log < least { least } else { log };
        let value = -(t * clamped(y.log) + (number::<R>(1.0) - t) * clamped(y.log_rest));
        if is_outside(y.y) { number(f64::NAN) } else { value }
    }

    #[inline(always)]
    fn slope_of_forms(&self, y: Forms<R>, t: R) -> R {
        let value = times(number::<R>(1.0) - t, y.rest_slope) - times(t, y.log_slope);
        // Use y alone if it is exactly 0 or 1, or outside.
        let bounded = self.gradient(y.y, t, number(1.0)) * y.slope;
        let is_finite = value.magnitude() < number(f64::INFINITY);
        if is_finite && !is_outside(y.y) { value } else { bounded }
    }
}

/// [`Bce`] of `y = sigmoid(z)`, from z: the logarithms never see a y that is rounded to 0 or 1.
#[derive(Clone, Copy, Debug)]
pub struct SigmoidBce;

impl<R: Real> LossTerm<R> for SigmoidBce {
    #[inline(always)]
    fn loss(&self, z: R, t: R, _extra: R) -> R {
        let most = number::<R>(-LEAST_LOG);
        let clamped = |log: R| if log > most { most } else { log };
        let (positive, negative) = negative_logs(z);
        t * clamped(positive) + (number::<R>(1.0) - t) * clamped(negative)
    }

    #[inline(always)]
    fn gradient(&self, z: R, t: R, _extra: R) -> R {
        BceWithLogits.gradient(z, t, number(1.0))
    }
}

/// `(1 − t)·ln(1 + e^z) + w·t·ln(1 + e^(−z))`, with the weight w of positive targets.
#[derive(Clone, Copy, Debug)]
pub struct BceWithLogits;

impl<R: Real> LossTerm<R> for BceWithLogits {
    #[inline(always)]
    fn loss(&self, z: R, t: R, weight: R) -> R {
        let (positive, negative) = negative_logs(z);
        times(weight * t, positive) + times(number::<R>(1.0) - t, negative)
    }

    #[inline(always)]
    fn gradient(&self, z: R, t: R, weight: R) -> R {
        let other = number::<R>(1.0) - t;
        other * z.sigmoid() - weight * t * (-z).sigmoid()
    }
}

/// `−t·ln y` of `y = sigmoid(z)`, from z.
#[derive(Clone, Copy, Debug)]
pub struct SigmoidCrossEntropy;

impl<R: Real> LossTerm<R> for SigmoidCrossEntropy {
    #[inline(always)]
    fn loss(&self, z: R, t: R, _extra: R) -> R {
        times(t, (-z).softplus())
    }

    #[inline(always)]
    fn gradient(&self, z: R, t: R, _extra: R) -> R {
        -(t * (-z).sigmoid())
    }
}

/// `base^exponent` for a base from 0 to 1, by multiplications if the exponent is 1, 2 or 3.
#[inline(always)]
fn power<R: Real>(base: R, exponent: R) -> R {
    let square = base * base;
    let general = R::exp_of(exponent.product(base.ln()));
    let value = if exponent == number(3.0) { square * base } else { general };
    let value = if exponent == number(2.0) { square } else { value };
    if exponent == number(1.0) { base } else { value }
}

/// The weight of the cross-entropy in the focal loss, apart from (1 − p)^γ.
#[inline(always)]
fn balance<R: Real>(alpha: R, t: R) -> R {
    let one = number::<R>(1.0);
    let weight = alpha * t + (one - alpha) * (one - t);
    if alpha < number(0.0) { one } else { weight }
}

/// `α_t·(1 − p_t)^γ·bce(y, t)` with `p_t = t·y + (1 − t)(1 − y)` and `α_t = α·t + (1 − α)(1 − t)`, or 1
/// for a negative α. The logarithms are not clamped.
#[derive(Clone, Copy, Debug)]
pub struct Focal<R> {
    /// The weight of positive targets.
    pub alpha: R,
    /// The exponent, which reduces the weight of easy examples.
    pub gamma: R,
}

impl<R: Real> Focal<R> {
    /// 1 − p_t, and the cross-entropy.
    #[inline(always)]
    fn parts(y: R, t: R) -> (R, R) {
        let one = number::<R>(1.0);
        let other = one - t;
        let missing = y * other + (one - y) * t;
        let entropy = -(times(t, y.ln()) + times(other, ln_1m(y)));
        (missing, if is_outside(y) { number(f64::NAN) } else { entropy })
    }
}

impl<R: Real> LossTerm<R> for Focal<R> {
    #[inline(always)]
    fn loss(&self, y: R, t: R, _extra: R) -> R {
        let (missing, entropy) = Self::parts(y, t);
        let value = times(balance(self.alpha, t), times(power(missing, self.gamma), entropy));
        // Outside [0, 1] there is no loss.
        if entropy >= number(0.0) { value } else { number(f64::NAN) }
    }

    #[inline(always)]
    fn gradient(&self, y: R, t: R, _extra: R) -> R {
        let (zero, one) = (number::<R>(0.0), number::<R>(1.0));
        let (missing, entropy) = Self::parts(y, t);
        let quotient = |a: R, b: R| {
            let quotient = a / b;
            if a == zero { zero } else { quotient }
        };
        let slope = quotient(one - t, one - y) - quotient(t, y);
        let factor = power(missing, self.gamma);
        // γ·(1 − p_t)^(γ − 1)·bce; the power may be infinite when bce is 0.
        let steep = times(self.gamma, factor / missing) * (one - t - t);
        let drag = if entropy == zero { zero } else { times(steep, entropy) };
        let value = times(balance(self.alpha, t), drag + times(factor, slope));
        // Outside [0, 1] there is no loss.
        if entropy >= zero { value } else { number(f64::NAN) }
    }
}

impl<R: Real> Focal<R> {
    /// 1 − p_t, and the cross-entropy.
    #[inline(always)]
    fn parts_of_forms(y: Forms<R>, t: R) -> (R, R) {
        let other = number::<R>(1.0) - t;
        let entropy = -(times(t, y.log) + times(other, y.log_rest));
        let outside = is_outside(y.y);
        (y.y * other + y.rest * t, if outside { number(f64::NAN) } else { entropy })
    }
}

impl<R: Real> LossOfForms<R> for Focal<R> {
    #[inline(always)]
    fn loss_of_forms(&self, y: Forms<R>, t: R) -> R {
        let (missing, entropy) = Self::parts_of_forms(y, t);
        let value = times(balance(self.alpha, t), times(power(missing, self.gamma), entropy));
        if entropy >= number(0.0) { value } else { number(f64::NAN) }
    }

    #[inline(always)]
    fn slope_of_forms(&self, y: Forms<R>, t: R) -> R {
        let (zero, one) = (number::<R>(0.0), number::<R>(1.0));
        let (missing, entropy) = Self::parts_of_forms(y, t);
        let other = one - t;
        // g' / (1 − p_t), times the cross-entropy, avoiding quotients of two
        // numbers that vanish together.
        let mixed = y.slope / missing;
        let ratio = if t == one { y.rest_slope } else { mixed };
        let ratio = if t == zero { y.log_slope } else { ratio };
        let drag = if entropy == zero { zero } else { times(ratio, entropy) };
        let steep = times(self.gamma, drag) * (other - t);
        let slope = times(other, y.rest_slope) - times(t, y.log_slope);
        let value = times(power(missing, self.gamma), steep + slope);
        if entropy >= zero { times(balance(self.alpha, t), value) } else { number(f64::NAN) }
    }
}

/// [`Focal`] of `y = sigmoid(z)`, from z.
#[derive(Clone, Copy, Debug)]
pub struct FocalWithLogits<R> {
    /// The weight of positive targets.
    pub alpha: R,
    /// The exponent, which reduces the weight of easy examples.
    pub gamma: R,
}

/// The values that both functions of [`FocalWithLogits`] need.
struct FocalParts<R> {
    /// sigmoid(z) and sigmoid(−z)
    p: R,
    q: R,
    /// (1 − p_t)^γ
    factor: R,
    entropy: R,
}

impl<R: Real> FocalWithLogits<R> {
    #[inline(always)]
    fn parts(&self, z: R, t: R) -> FocalParts<R> {
        let other = number::<R>(1.0) - t;
        let (p, q) = (z.sigmoid(), (-z).sigmoid());
        let (positive, negative) = negative_logs(z);
        let entropy = times(t, positive) + times(other, negative);
        FocalParts { p, q, factor: power(p * other + q * t, self.gamma), entropy }
    }
}

impl<R: Real> LossTerm<R> for FocalWithLogits<R> {
    #[inline(always)]
    fn loss(&self, z: R, t: R, _extra: R) -> R {
        let FocalParts { factor, entropy, .. } = self.parts(z, t);
        times(balance(self.alpha, t), times(factor, entropy))
    }

    #[inline(always)]
    fn gradient(&self, z: R, t: R, _extra: R) -> R {
        let (zero, one) = (number::<R>(0.0), number::<R>(1.0));
        let FocalParts { p, q, factor, entropy } = self.parts(z, t);
        let other = one - t;
        // p·q / (1 − p_t), avoiding the quotient of two numbers that vanish together.
        let mixed = p * q / (p * other + q * t);
        let ratio = if t == one { p } else { mixed };
        let ratio = if t == zero { q } else { ratio };
        let steep = self.gamma * (other - t) * times(ratio, entropy);
        times(balance(self.alpha, t), times(factor, steep + (other * p - t * q)))
    }
}
