//! The activations in the form that the backends and the reference take.

use super::activations::{
    self as formulas, Apart, Custom as CustomFormula, Forms, Pointwise, Rowwise,
};
use crate::data::parameters::{Constant, Parameter};
use crate::expression::Custom;
use crate::numbers::Real;

/// Code that is called with the formula of a pointwise function, in the precision R.
pub trait PointwiseVisitor<R: Real> {
    /// The result of the code.
    type Output;
    /// Runs the code for this formula.
    fn visit<F: Pointwise<R>>(self, formula: F) -> Self::Output;
}

/// Code that is called with the formula of a function of rows, in the precision R.
pub trait RowwiseVisitor<R: Real> {
    /// The result of the code.
    type Output;
    /// Runs the code for this formula.
    fn visit<F: Rowwise<R>>(self, formula: F) -> Self::Output;
}

/// A quantity that is computed from a pointwise function, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// `g(z)`
    Forward,
    /// `g'(z)`
    Derivative,
    /// `g''(z)`
    SecondDerivative,
    /// `g'(z)` from `y = g(z)`
    DerivativeFromOutput,
}

impl Map {
    /// The value at x, which must not be NaN.
    #[inline(always)]
    pub fn of<R: Real>(self, formula: &impl Pointwise<R>, x: R) -> R {
        match self {
            Self::Forward => formula.forward(x),
            Self::Derivative => formula.derivative(x),
            Self::SecondDerivative => formula.second_derivative(x),
            Self::DerivativeFromOutput => formula.derivative_from_output(x),
        }
    }
}

/// An activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// One that maps each element by itself.
    Pointwise(PointwiseFunction),
    /// One that maps rows.
    Rows(RowFunction),
}

impl Function {
    /// The pointwise function; `None` for a function of rows.
    pub const fn pointwise(self) -> Option<PointwiseFunction> {
        match self {
            Self::Pointwise(function) => Some(function),
            Self::Rows(_) => None,
        }
    }

    /// The canonical name, without parameters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pointwise(function) => function.name(),
            Self::Rows(function) => function.name(),
        }
    }

    /// The parameters as a kernel's constants, whose names begin with `g_`.
    pub fn constants(self) -> Vec<Constant> {
        self.pointwise().map(PointwiseFunction::constants).unwrap_or_default()
    }
}

impl From<PointwiseFunction> for Function {
    fn from(function: PointwiseFunction) -> Self {
        Self::Pointwise(function)
    }
}

impl From<RowFunction> for Function {
    fn from(function: RowFunction) -> Self {
        Self::Rows(function)
    }
}

/// Generates the functions, and the dispatch to their formulas, from the rows of the catalogue.
macro_rules! functions {
    (
        pointwise { $(
            $(#[$doc:meta])*
            pointwise $Variant:ident = $name:ident
            $(
                ( $( $(#[$parameter_doc:meta])* $parameter:ident = $default:expr $(, in $range:expr)? );+ )
                $( => $rule:tt )?
            )?
            { $($texts:tt)* }
        )+ }
        rowwise { $(
            $(#[$row_doc:meta])*
            rowwise $Row:ident = $row:ident { $($row_texts:tt)* }
        )+ }
    ) => {
        /// A pointwise activation, with its parameters.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum PointwiseFunction {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                $Variant $( { $( $(#[$parameter_doc])* $parameter: f32 ),+ } )?,
            )+
            /// A function of a user's formula.
            Custom(Custom),
        }

        impl PointwiseFunction {
            /// Every pointwise function of the catalogue, with its default parameters.
            pub const ALL: &[Self] = &[ $( Self::$Variant $( { $( $parameter: $default ),+ } )? ),+ ];

            /// The canonical name, without parameters; for a formula the text that tells it from others.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$Variant { .. } => stringify!($name), )+
                    Self::Custom(custom) => custom.label(),
                }
            }

            /// The function of the catalogue with this name and these parameters; `None` if there is none.
            pub fn of_name(name: &str, parameters: &mut dyn Iterator<Item = f32>) -> Option<Self> {
                Some(match name {
                    $( stringify!($name) => {
                        Self::$Variant $( { $( $parameter: parameters.next()? ),+ } )?
                    } )+
                    _ => return None,
                })
            }

            /// The parameters as a kernel's constants, whose names begin with `g_`.
            pub fn constants(self) -> Vec<Constant> {
                let constants: Vec<Option<Constant>> = match self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => vec![ $( $(
                        Constant::new(
                            concat!("g_", stringify!($parameter)),
                            $parameter.value(),
                            Parameter::value($default),
                        )
                    ),+ )? ],
                )+
                    Self::Custom(custom) => return custom.constants(),
                };
                constants.into_iter().flatten().collect()
            }

            /// Calls the code with the formula.
            pub fn visit<R: Real, V: PointwiseVisitor<R>>(self, visitor: V) -> V::Output {
                match self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => visitor.visit(
                        formulas::$Variant { $( $( $parameter: R::from_f64($parameter.into()) ),+ )? }
                    ),
                )+
                    Self::Custom(custom) => visitor.visit(CustomFormula(custom)),
                }
            }
        }

        /// An activation of the catalogue that maps rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RowFunction {
            $( #[doc = concat!("`", stringify!($row), "`")] $Row, )+
        }

        impl RowFunction {
            /// Every function of rows.
            pub const ALL: &[Self] = &[ $( Self::$Row ),+ ];

            /// The canonical name.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$Row => stringify!($row), )+ }
            }

            /// Calls the code with the formula.
            pub fn visit<R: Real, V: RowwiseVisitor<R>>(self, visitor: V) -> V::Output {
                match self { $( Self::$Row => visitor.visit(formulas::$Row {}), )+ }
            }
        }
    };
}

crate::activations!(functions);

impl PointwiseFunction {
    /// The value at x in f64; NaN at NaN.
    pub fn at(self, map: Map, x: f64) -> f64 {
        if x.is_nan() {
            return f64::NAN;
        }
        self.visit(At { map, x })
    }

    /// Whether g'' can be computed: for all but the WGSL of a user that lacks it.
    pub fn has_second_derivative(self) -> bool {
        !matches!(self, Self::Custom(custom) if !custom.has_second_derivative())
    }

    /// Whether g' is a function of g's value, and is offered as such.
    pub fn has_derivative_from_output(self) -> bool {
        self.visit(HasDerivativeFromOutput)
    }

    /// Whether outputs may be rounded to a limit of g other than 0.
    pub fn has_limits(self) -> bool {
        self.visit(HasLimits)
    }

    /// Whether logarithms of an output lose digits because the output is rounded.
    pub fn has_forms(self) -> bool {
        self.visit(HasForms)
    }

    /// Whether the f32 to which g is rounded determines g' as well as z does. This is the case if
    /// g' takes its values by comparisons that give the same result for both.
    pub fn output_determines_derivative(self) -> bool {
        let by_comparisons = matches!(
            self,
            Self::Identity
                | Self::Relu
                | Self::Relu6
                | Self::LeakyRelu { .. }
                | Self::Prelu { .. }
                | Self::Rrelu { .. }
                | Self::HardTanh { .. }
                | Self::Hardshrink { .. }
                | Self::Threshold { .. }
                | Self::ThresholdedRelu { .. }
        );
        by_comparisons && self.has_derivative_from_output()
    }

    /// `y = g(z)` in two parts, from z, y and g'(z), in f64.
    pub fn apart(self, z: f64, y: f64, slope: f64) -> Apart<f64> {
        self.visit(ApartAt { z, y, slope })
    }

    /// `y = g(z)` in the forms that logarithms need, in f64.
    pub fn forms(self, z: f64) -> Forms<f64> {
        self.visit(FormsAt(z))
    }
}

struct At {
    map: Map,
    x: f64,
}

impl PointwiseVisitor<f64> for At {
    type Output = f64;

    fn visit<F: Pointwise<f64>>(self, formula: F) -> f64 {
        self.map.of(&formula, self.x)
    }
}

struct HasDerivativeFromOutput;

impl PointwiseVisitor<f64> for HasDerivativeFromOutput {
    type Output = bool;

    fn visit<F: Pointwise<f64>>(self, formula: F) -> bool {
        formula.has_derivative_from_output()
    }
}

struct HasLimits;

impl PointwiseVisitor<f64> for HasLimits {
    type Output = bool;

    fn visit<F: Pointwise<f64>>(self, _formula: F) -> bool {
        F::HAS_LIMITS
    }
}

struct HasForms;

impl PointwiseVisitor<f64> for HasForms {
    type Output = bool;

    fn visit<F: Pointwise<f64>>(self, _formula: F) -> bool {
        F::HAS_FORMS
    }
}

struct ApartAt {
    z: f64,
    y: f64,
    slope: f64,
}

impl PointwiseVisitor<f64> for ApartAt {
    type Output = Apart<f64>;

    fn visit<F: Pointwise<f64>>(self, formula: F) -> Apart<f64> {
        formula.apart(self.z, self.y, self.slope)
    }
}

struct FormsAt(f64);

impl PointwiseVisitor<f64> for FormsAt {
    type Output = Forms<f64>;

    fn visit<F: Pointwise<f64>>(self, formula: F) -> Forms<f64> {
        formula.forms(self.0)
    }
}
