//! The losses in the form that the backends and the reference take.

use super::losses::{self as formulas, LossOfForms, LossTerm};
use crate::data::parameters::{Constant, Parameter};
use crate::expression::Custom;
use crate::numbers::Real;

/// Code that is called with the formula of a term, in the precision R.
pub trait LossVisitor<R: Real> {
    /// The result of the code.
    type Output;
    /// Runs the code for this formula.
    fn visit<F: LossTerm<R>>(self, formula: F) -> Self::Output;
}

/// Code that is called with the formula of a term of forms, in the precision R.
pub trait FormsVisitor<R: Real> {
    /// The result of the code.
    type Output;
    /// Runs the code for this formula.
    fn visit<F: LossOfForms<R>>(self, formula: F) -> Self::Output;
}

/// The quantity of an output that a loss depends on, which must keep its digits when the output is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The output as it is.
    Output,
    /// The difference from the target: `loss(y, t) = loss(y − a, t − a)`.
    Difference,
    /// The margin minus the product with the target: `loss(y, t, 1) = loss(y − a, t, 1 − t·a)`.
    Margin,
    /// The logarithms of y or of 1 − y.
    Logarithms,
}

/// The unit for which a loss has one value before the reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Each element.
    Element,
    /// Each row, a distribution over the classes.
    Row,
}

/// A loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossFunction {
    /// Its formula, as a function of y.
    pub formula: Formula,
    /// The share of the target that is spread over all classes.
    pub label_smoothing: f32,
    /// Rows with this label are ignored.
    pub ignore_index: Option<i32>,
}

impl LossFunction {
    /// The unit for which the loss has one value.
    pub const fn unit(&self) -> Unit {
        match self.formula {
            Formula::Terms(term) => term.unit(),
            Formula::LogSumExp | Formula::Margins { .. } => Unit::Row,
        }
    }

    /// Whether the loss takes a variance for each target.
    pub const fn takes_variance(&self) -> bool {
        matches!(self.formula, Formula::Terms(TermFunction::GaussianNll { .. }))
    }

    /// Whether the mean divides by the weights of the rows rather than their number.
    pub const fn has_weighted_mean(&self) -> bool {
        let is_margins = matches!(self.formula, Formula::Margins { .. });
        matches!(self.unit(), Unit::Row) && !is_margins
    }
}

/// A loss as a function of its argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Formula {
    /// A sum of terms, one for each output and its target.
    Terms(TermFunction),
    /// The cross-entropy of softmax(z), from the log-sum-exp of a row.
    LogSumExp,
    /// The differences from the output of the label, beyond a margin, to the power p.
    Margins {
        /// The exponent, 1 or 2.
        p: u32,
        /// The distance by which the label's output should exceed the others.
        margin: f32,
    },
}

impl Formula {
    /// The canonical name, without options.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Terms(term) => term.name(),
            Self::LogSumExp => "cross_entropy_with_logits",
            Self::Margins { .. } => "multi_margin",
        }
    }

    /// The options as a kernel's constants, whose names begin with `l_`.
    pub fn constants(&self) -> Vec<Constant> {
        match *self {
            Self::Terms(term) => term.constants(),
            Self::LogSumExp => Vec::new(),
            Self::Margins { p, margin } => {
                let p = Constant::new("l_p", p.value(), Parameter::value(1u32));
                let margin = Constant::new("l_margin", margin.value(), Parameter::value(1.0f32));
                p.into_iter().chain(margin).collect()
            }
        }
    }

    /// The terms; `None` for a loss that is not made of terms.
    pub const fn terms(&self) -> Option<TermFunction> {
        match self {
            Self::Terms(term) => Some(*term),
            Self::LogSumExp | Self::Margins { .. } => None,
        }
    }
}

/// A parameter in the precision of the formulas.
fn number<R: Real>(parameter: f32) -> R {
    R::from_f64(f64::from(parameter))
}

/// Generates the losses that are sums of terms, and the dispatch to their formulas,
/// from the rows of the catalogue.
macro_rules! terms {
    (
        $(
            terms { $(
                $(#[$doc:meta])*
                $kind:ident $Variant:ident = $name:ident
                $(
                    ( $( $(#[$option_doc:meta])* $option:ident : $Type:ty = $default:expr $(, in $range:expr)? );+ )
                    $( => $rule:tt )?
                )?
                {
                    formula $formula:literal,
                    gradient $gradient:literal,
                    y $takes:ident,
                    view $view:expr,
                    special $special:tt,
                    source $source:literal,
                    $( note $note:literal, )?
                    term $term:expr,
                }
            )+ }
            $( whole_rows { $($row:tt)* } )?
        )+
    ) => {
        /// A loss of the catalogue that is a sum of terms, with its options; or such a loss of sigmoid(z), as a
        /// function of z.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum TermFunction {
            $( $(
                #[doc = concat!("`", stringify!($name), "`")]
                $Variant $( { $( $(#[$option_doc])* $option: $Type ),+ } )?,
            )+ )+
            /// bce of sigmoid(z), as a function of z.
            SigmoidBce,
            /// cross_entropy of sigmoid(z), as a function of z.
            SigmoidCrossEntropy,
            /// A loss of a user's formula.
            Custom(Custom),
        }

        impl TermFunction {
            /// Every loss of terms in the catalogue, with its default options.
            pub const ALL: &[Self] = &[
                $( $( Self::$Variant $( { $( $option: $default ),+ } )?, )+ )+
            ];

            /// The unit for which the loss has one value.
            pub const fn unit(self) -> Unit {
                match self {
                    $( $( Self::$Variant { .. } => Unit::$kind, )+ )+
                    Self::SigmoidBce | Self::Custom(_) => Unit::Element,
                    Self::SigmoidCrossEntropy => Unit::Row,
                }
            }

            /// The quantity of an output that the loss depends on.
            pub const fn view(self) -> View {
                match self {
                    $( $( Self::$Variant $( { $( $option ),+ } )? => {
                        $( $( let _ = $option; )+ )?
                        $view
                    } )+ )+
                    Self::SigmoidBce | Self::SigmoidCrossEntropy | Self::Custom(_) => View::Output,
                }
            }

            /// The canonical name, without options.
            pub const fn name(self) -> &'static str {
                match self {
                    $( $( Self::$Variant { .. } => stringify!($name), )+ )+
                    Self::SigmoidBce => "sigmoid_bce",
                    Self::SigmoidCrossEntropy => "sigmoid_cross_entropy",
                    Self::Custom(custom) => custom.label(),
                }
            }

            /// The options as a kernel's constants, whose names begin with `l_`.
            pub fn constants(self) -> Vec<Constant> {
                let constants: Vec<Option<Constant>> = match self {
                    $( $( Self::$Variant { $( $( $option ),+ )? } => vec![ $( $(
                        Constant::new(
                            concat!("l_", stringify!($option)),
                            $option.value(),
                            <$Type as Parameter>::value($default),
                        )
                    ),+ )? ], )+ )+
                    Self::SigmoidBce | Self::SigmoidCrossEntropy => Vec::new(),
                    Self::Custom(custom) => return custom.constants(),
                };
                // The smoothing is passed with the targets.
                let constants = constants.into_iter().flatten();
                constants.filter(|constant| constant.name != "l_label_smoothing").collect()
            }

            /// Calls the code with the formula.
            pub fn visit<R: Real, V: LossVisitor<R>>(self, visitor: V) -> V::Output {
                use formulas::*;
                match self {
                    $( $( Self::$Variant { $( $( $option ),+ )? } => {
                        $( $( let _ = $option; )+ )?
                        visitor.visit($term)
                    } )+ )+
                    Self::SigmoidBce => visitor.visit(SigmoidBce),
                    Self::SigmoidCrossEntropy => visitor.visit(SigmoidCrossEntropy),
                    Self::Custom(custom) => visitor.visit(CustomTerm(custom)),
                }
            }
        }
    };
}

crate::losses!(terms);

impl TermFunction {
    /// Whether a term is 0 if its target is 0.
    pub const fn is_zero_at_zero(self) -> bool {
        matches!(self, Self::Nll { .. } | Self::CrossEntropy { .. })
    }

    /// Calls the code with the formula of forms; `None` for a loss that takes no logarithm of y.
    pub fn visit_forms<R: Real, V: FormsVisitor<R>>(self, visitor: V) -> Option<V::Output> {
        Some(match self {
            Self::CrossEntropy { .. } => visitor.visit(formulas::CrossEntropy),
            Self::Bce => visitor.visit(formulas::Bce),
            Self::Focal { alpha, gamma } => {
                visitor.visit(formulas::Focal { alpha: number(alpha), gamma: number(gamma) })
            }
            Self::PoissonNll { log_input: false, full, eps } => {
                visitor.visit(formulas::PoissonNll { log_input: false, full, eps: number(eps) })
            }
            _ => return None,
        })
    }
}
