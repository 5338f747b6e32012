//! Formulas that are written in Rust.

use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::parse::BYTES;

/// A formula that is built with operators and methods; its text is what
/// `Activation::from_formula` and `Loss::from_formula` take.
///
/// ```
/// use wgrad::{Activation, Expression};
///
/// let z = Expression::z();
/// let beta = Expression::parameter("beta");
/// let swish = z.clone() * (beta * z).sigmoid();
/// assert_eq!(swish.to_string(), "z * sigmoid(beta * z)");
/// let swish = Activation::from_formula(&swish.to_string(), &[("beta", 1.702)])?;
/// assert_eq!(swish.formula(), "z * sigmoid(beta * z)");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    /// Whether it stands by itself, without parentheses around it.
    binding: Binding,
}

/// How tightly the outermost operator binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Sum,
    Product,
    Atom,
}

impl Expression {
    /// A text that grows no further once it is too long to be a formula: one that doubles with each step would fill the
    /// memory before anybody reads it.
    fn new(mut text: String, binding: Binding) -> Self {
        if text.len() > BYTES {
            let end = (0..=BYTES + 1).rev().find(|&end| text.is_char_boundary(end));
            text.truncate(end.unwrap_or(0));
        }
        Self { text, binding }
    }

    /// The argument of an activation.
    pub fn z() -> Self {
        Self::parameter("z")
    }

    /// The output that a loss is a function of.
    pub fn y() -> Self {
        Self::parameter("y")
    }

    /// The target of a loss.
    pub fn t() -> Self {
        Self::parameter("t")
    }

    /// A parameter.
    pub fn parameter(name: &str) -> Self {
        Self::new(name.to_owned(), Binding::Atom)
    }

    fn at_least(&self, binding: Binding) -> String {
        if self.binding >= binding { self.text.clone() } else { format!("({})", self.text) }
    }

    fn call(&self, function: &str) -> Self {
        Self::new(format!("{function}({})", self.text), Binding::Atom)
    }

    fn call_two(&self, function: &str, other: impl Into<Self>) -> Self {
        Self::new(format!("{function}({}, {})", self.text, other.into().text), Binding::Atom)
    }

    /// The power with this exponent.
    pub fn pow(&self, exponent: impl Into<Self>) -> Self {
        self.call_two("pow", exponent)
    }

    /// The smaller of two numbers.
    pub fn min(&self, other: impl Into<Self>) -> Self {
        self.call_two("min", other)
    }

    /// The greater of two numbers.
    pub fn max(&self, other: impl Into<Self>) -> Self {
        self.call_two("max", other)
    }

    /// `yes` where this is less than the other number, `no` elsewhere.
    ///
    /// ```
    /// use wgrad::Expression;
    ///
    /// let z = Expression::z();
    /// let leaky = z.select_less(0.0, 0.01 * z.clone(), z.clone());
    /// assert_eq!(leaky.to_string(), "select(z < 0, 0.01 * z, z)");
    /// ```
    pub fn select_less(
        &self,
        other: impl Into<Self>,
        yes: impl Into<Self>,
        no: impl Into<Self>,
    ) -> Self {
        let [other, yes, no] = [other.into(), yes.into(), no.into()];
        let text = format!("select({} < {}, {}, {})", self.text, other.text, yes.text, no.text);
        Self::new(text, Binding::Atom)
    }
}

/// Methods that apply a function.
macro_rules! functions {
    ($($name:ident $doc:literal)+) => {
        impl Expression {
            $(
                #[doc = $doc]
                pub fn $name(&self) -> Self {
                    self.call(stringify!($name))
                }
            )+
        }
    };
}

functions! {
    exp "`e^x`"
    expm1 "`e^x − 1`"
    log "`ln x`"
    log1p "`ln(1 + x)`"
    tanh "`tanh x`"
    sigmoid "`1 / (1 + e^−x)`"
    softplus "`ln(1 + e^x)`"
    erf "The error function."
    erfc "`1 − erf x`"
    normal_cdf "`Φ(x)`, the normal distribution function."
    sin "`sin x`"
    cos "`cos x`"
    atan "`arctan x`"
    sqrt "`√x`"
    abs "`|x|`"
    sign "−1, 0 or 1"
    relu "`max(x, 0)`, whose derivative at 0 is 0."
    step "1 if x > 0, otherwise 0"
    gelu "The activation of this name, as every pointwise activation of the catalogue is known to formulas."
    silu "The activation of this name."
}

impl From<f64> for Expression {
    fn from(value: f64) -> Self {
        let is_atom = value.is_sign_positive();
        Self::new(value.to_string(), if is_atom { Binding::Atom } else { Binding::Sum })
    }
}

impl From<f32> for Expression {
    fn from(value: f32) -> Self {
        Self::from(f64::from(value))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Neg for Expression {
    type Output = Self;

    fn neg(self) -> Self {
        Self::new(format!("-{}", self.at_least(Binding::Product)), Binding::Sum)
    }
}

/// An operator, whose right operand may be a number, as may the left one.
macro_rules! operators {
    ($($Trait:ident $method:ident $sign:literal $binding:ident $right:ident)+) => { $(
        impl<T: Into<Expression>> $Trait<T> for Expression {
            type Output = Self;

            fn $method(self, other: T) -> Self {
                let (a, b) = (self.at_least(Binding::$binding), other.into().at_least(Binding::$right));
                Self::new(format!("{a} {} {b}", $sign), Binding::$binding)
            }
        }

        impl $Trait<Expression> for f64 {
            type Output = Expression;

            fn $method(self, other: Expression) -> Expression {
                $Trait::$method(Expression::from(self), other)
            }
        }
    )+ };
}

operators! {
    Add add "+" Sum Product
    Sub sub "-" Sum Product
    Mul mul "*" Product Atom
    Div div "/" Product Atom
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Graph, build};

    #[test]
    fn texts_mean_what_was_built() {
        let (z, a) = (Expression::z(), Expression::parameter("a"));
        for (built, text) in [
            ((z.clone() + 1.0) * (z.clone() - a.clone()), "(z + 1) * (z - a)"),
            (z.clone() / (a.clone() * z.clone()), "z / (a * z)"),
            (z.clone() - (z.clone() - a.clone()), "z - (z - a)"),
            (-(z.clone() + a.clone()) * 2.0, "(-(z + a)) * 2"),
            (2.0 - z.pow(-2.0), "2 - pow(z, -2)"),
            (z.max(0.0).min(6.0) / 6.0, "min(max(z, 0), 6) / 6"),
            (-z.clone() - -a.clone(), "-z - (-a)"),
            (1e-20 * z.softplus(), "0.00000000000000000001 * softplus(z)"),
        ] {
            assert_eq!(built.to_string(), text);
            assert!(build(&mut Graph::default(), text, &["z"], &["a"]).is_ok(), "{text}");
        }
        let mut doubling = z;
        for _ in 0..100 {
            doubling = doubling.clone() * doubling;
        }
        assert_eq!(doubling.to_string().len(), BYTES + 1);
    }
}
