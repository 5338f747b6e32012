//! Activations with two limits, and related functions.

use super::{Apart, Forms, Pointwise, number, with_sign_of};
use crate::numbers::Real;

/// `1 / (1 + e^−z)`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid {}

impl<R: Real> Pointwise<R> for Sigmoid {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.sigmoid()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.sigmoid_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        // 1 − 2p = −tanh(z/2), without the cancellation near z = 0.
        (-(z * number(0.5)).tanh()).sigmoid_slope(z.into())
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        y * (number::<R>(1.0) - y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, _z: R, y: R, slope: R) -> Apart<R> {
        // 1 − y = g' / y
        Apart::near(y > number(0.5), number(1.0), -(slope / y), y)
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        let (y, rest) = (z.sigmoid(), (-z).sigmoid());
        let (log, log_rest) = (-(-z).softplus(), -z.softplus());
        let slope = z.sigmoid_derivative();
        Forms { y, rest, log, log_rest, slope, log_slope: rest, rest_slope: y }
    }
}

/// `tanh z`.
#[derive(Clone, Copy, Debug)]
pub struct Tanh {}

impl<R: Real> Pointwise<R> for Tanh {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.tanh()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.tanh_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        (number::<R>(-2.0) * z.tanh()).tanh_slope(z.into())
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        (number::<R>(1.0) - y) * (number::<R>(1.0) + y)
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, _z: R, y: R, slope: R) -> Apart<R> {
        // 1 − |y| = g' / (1 + |y|)
        let one = with_sign_of(number(1.0), y);
        Apart::near(y.magnitude() > number(0.5), one, -(slope / (one + y)), y)
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        Forms::of_tanh(z.into(), number(1.0))
    }
}

/// `a·tanh(b·z)`.
#[derive(Clone, Copy, Debug)]
pub struct ScaledTanh<R> {
    /// The limit at +∞.
    pub a: R,
    /// The scale of the argument.
    pub b: R,
}

impl<R: Real> Pointwise<R> for ScaledTanh<R> {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        self.a * R::tanh_of(self.b.product(z))
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        (self.a * self.b).tanh_slope(self.b.product(z))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        let scaled = self.b.product(z);
        let factor = number::<R>(-2.0) * (self.a * self.b) * self.b;
        (factor * R::tanh_of(scaled)).tanh_slope(scaled)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let (a_square, y_square) = (self.a.product(self.a), y.product(y));
        let difference = (a_square.high - y_square.high) + (a_square.low - y_square.low);
        self.b * difference / self.a
    }

    fn has_derivative_from_output(&self) -> bool {
        self.a > number(0.0) || self.a < number(0.0)
    }

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, _z: R, y: R, slope: R) -> Apart<R> {
        // a·(1 − |tanh|) = g' / (b·(1 + |tanh|))
        let tanh = y / self.a;
        let one = with_sign_of(number(1.0), tanh);
        let near = tanh.magnitude() > number(0.5);
        Apart::near(near, self.a * one, -(slope / (self.b * (one + tanh))), y)
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        let unit = Forms::of_tanh(self.b.product(z), self.b);
        let scaled = Forms::of(self.forward(z), self.derivative(z));
        // A limit other than 1 is not a limit of the logarithms.
        if self.a == number(1.0) { unit } else { scaled }
    }
}

/// `z − tanh z`.
#[derive(Clone, Copy, Debug)]
pub struct Tanhshrink {}

impl<R: Real> Pointwise<R> for Tanhshrink {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.tanhshrink()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let tanh = z.tanh();
        tanh * tanh
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        (number::<R>(2.0) * z.tanh()).tanh_slope(z.into())
    }
}

/// `z / (1 + |z|)`.
#[derive(Clone, Copy, Debug)]
pub struct Softsign {}

impl<R: Real> Pointwise<R> for Softsign {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.softsign()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.softsign_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.softsign_second()
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let rest = number::<R>(1.0) - y.magnitude();
        rest * rest
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }

    const HAS_LIMITS: bool = true;

    #[inline(always)]
    fn apart(&self, z: R, y: R, _slope: R) -> Apart<R> {
        // 1 − |y| = 1 / (1 + |z|)
        let one = with_sign_of(number(1.0), y);
        Apart::near(
            y.magnitude() > number(0.5),
            one,
            -(one / (number::<R>(1.0) + z.magnitude())),
            y,
        )
    }

    const HAS_FORMS: bool = true;

    #[inline(always)]
    fn forms(&self, z: R) -> Forms<R> {
        let forms = Forms::of(self.forward(z), self.derivative(z));
        let one = number::<R>(1.0);
        let (inside, large) = (z >= number(0.0), z > one);
        let rest = one / (one + z.magnitude());
        let (log, log_rest) = (-(one / z).ln_1p(), -z.ln_1p());
        Forms {
            rest: if inside { rest } else { forms.rest },
            log: if large { log } else { forms.log },
            log_rest: if inside { log_rest } else { forms.log_rest },
            rest_slope: if inside { rest } else { forms.rest_slope },
            ..forms
        }
    }
}

/// `arctan z`.
#[derive(Clone, Copy, Debug)]
pub struct Arctan {}

impl<R: Real> Pointwise<R> for Arctan {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.atan()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        z.atan_derivative()
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        z.atan_second()
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        y.cos_squared()
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}

/// `ln(z / (1 − z))`, on (0, 1).
#[derive(Clone, Copy, Debug)]
pub struct Logit {}

impl Logit {
    /// The value, or NaN outside the domain.
    #[inline(always)]
    fn inside<R: Real>(z: R, value: R) -> R {
        if z >= number(0.0) && z <= number(1.0) { value } else { number(f64::NAN) }
    }
}

impl<R: Real> Pointwise<R> for Logit {
    #[inline(always)]
    fn forward(&self, z: R) -> R {
        z.logit()
    }

    #[inline(always)]
    fn derivative(&self, z: R) -> R {
        let rest = number::<R>(1.0) - z;
        Self::inside(z, number::<R>(1.0) / (z.magnitude() * rest))
    }

    #[inline(always)]
    fn second_derivative(&self, z: R) -> R {
        let rest = number::<R>(1.0) - z;
        let derivative = number::<R>(1.0) / (z * rest);
        let twice = (z - number(0.5)) + (z - number(0.5));
        Self::inside(z, twice * derivative * derivative)
    }

    #[inline(always)]
    fn derivative_from_output(&self, y: R) -> R {
        let a = y.magnitude();
        a.exp() + (number::<R>(2.0) + (-a).exp())
    }

    fn has_derivative_from_output(&self) -> bool {
        true
    }
}
