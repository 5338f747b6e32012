//! Pairs of an activation and a loss that form one function of z.

use super::activations::{Apart, Forms};
use super::function::{Function, Map, PointwiseFunction, RowFunction};
use super::loss::{FormsVisitor, Formula, LossVisitor, TermFunction, View};
use super::losses::{LossOfForms, LossTerm};

/// The argument of the formula of a loss on top of a pointwise activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// The activation's output.
    Output,
    /// The argument z itself.
    Logits,
    /// The difference of the output from the target, for an activation with limits.
    Difference,
    /// The distance of the output from the margin, for an activation with limits.
    Margin,
    /// The output in all forms that logarithms need, for an activation with forms.
    Forms,
}

/// A loss and the activation below it, as one function of the activation's argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// A loss of terms on top of a pointwise function.
    Terms(Pair),
    /// A loss of terms on top of softmax or softmin.
    RowTerms {
        /// The function of rows.
        function: RowFunction,
        /// The loss.
        term: TermFunction,
    },
    /// The cross-entropy of softmax(z), from the log-sum-exp of a row.
    LogSumExp {
        /// The activation that gives the output: softmax, log_softmax, or identity.
        activation: Function,
    },
    /// The differences from the output of the label, beyond a margin, to the power p.
    Margins {
        /// The exponent, 1 or 2.
        p: u32,
        /// The distance by which the label's output should exceed the others.
        margin: f32,
    },
}

impl Head {
    /// The loss alone, as a function of y.
    pub const fn of_output(formula: Formula) -> Self {
        match formula {
            Formula::Terms(term) => Self::Terms(Pair::of_output(term)),
            Formula::LogSumExp => {
                Self::LogSumExp { activation: Function::Pointwise(PointwiseFunction::Identity) }
            }
            Formula::Margins { p, margin } => Self::Margins { p, margin },
        }
    }

    /// The pair as one function of z; `None` for a pair whose activation and loss can only be
    /// computed one after the other.
    pub fn of_pair(activation: Function, loss: Formula) -> Option<Self> {
        use TermFunction as Term;
        let term = match loss {
            formula if activation == PointwiseFunction::Identity.into() => {
                return Some(Self::of_output(formula));
            }
            Formula::Terms(term) => term,
            Formula::LogSumExp | Formula::Margins { .. } => return None,
        };
        let function = match (activation, term) {
            (Function::Rows(RowFunction::Softmax), Term::CrossEntropy { .. })
            | (Function::Rows(RowFunction::LogSoftmax), Term::Nll { .. }) => {
                return Some(Self::LogSumExp { activation });
            }
            (Function::Rows(function @ (RowFunction::Softmax | RowFunction::Softmin)), term) => {
                return Some(Self::RowTerms { function, term });
            }
            (Function::Rows(_), _) => return None,
            (Function::Pointwise(function), _) => function,
        };
        if let Some(term) = term_of_logits(function, term) {
            let argument = Argument::Logits;
            return Some(Self::Terms(Pair { activation: function, term, argument }));
        }
        let argument = match term.view() {
            View::Logarithms if function.has_forms() => Argument::Forms,
            View::Difference if function.has_limits() => Argument::Difference,
            View::Margin if function.has_limits() => Argument::Margin,
            _ => Argument::Output,
        };
        Some(Self::Terms(Pair { activation: function, term, argument }))
    }

    /// The activation whose output is y; identity for a loss alone.
    pub const fn activation(&self) -> Function {
        match *self {
            Self::Terms(pair) => Function::Pointwise(pair.activation),
            Self::RowTerms { function, .. } => Function::Rows(function),
            Self::LogSumExp { activation } => activation,
            Self::Margins { .. } => Function::Pointwise(PointwiseFunction::Identity),
        }
    }

    /// Whether the loss is computed from the log-sum-exp of a row.
    pub const fn has_log_sum_exp(&self) -> bool {
        matches!(self, Self::LogSumExp { .. })
    }

    /// Whether each term depends on its whole row.
    pub const fn is_of_rows(&self) -> bool {
        matches!(self, Self::RowTerms { .. })
    }
}

/// The loss on top of the function as a loss of z, if there is a formula for it that holds even
/// where y is rounded to 0 or 1.
fn term_of_logits(function: PointwiseFunction, term: TermFunction) -> Option<TermFunction> {
    match (function, term) {
        (PointwiseFunction::Sigmoid, TermFunction::Bce) => Some(TermFunction::SigmoidBce),
        (PointwiseFunction::Sigmoid, TermFunction::CrossEntropy { .. }) => {
            Some(TermFunction::SigmoidCrossEntropy)
        }
        (PointwiseFunction::Sigmoid, TermFunction::Focal { alpha, gamma }) => {
            Some(TermFunction::FocalWithLogits { alpha, gamma })
        }
        _ => None,
    }
}

/// A loss of terms, the pointwise activation below it, and the argument
/// from which the loss is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The activation.
    pub activation: PointwiseFunction,
    /// The loss.
    pub term: TermFunction,
    /// The argument of the loss.
    pub argument: Argument,
}

const NAN: (f64, f64) = (f64::NAN, f64::NAN);

impl Pair {
    /// The loss alone.
    pub const fn of_output(term: TermFunction) -> Self {
        Self { activation: PointwiseFunction::Identity, term, argument: Argument::Logits }
    }

    /// Whether the loss is a function of z itself rather than of the activation's output.
    pub fn is_of_logits(&self) -> bool {
        self.argument == Argument::Logits || self.activation == PointwiseFunction::Identity
    }

    /// A term and its derivative with respect to z, in f64; NaN if an argument is NaN.
    pub fn at(&self, z: f64, t: f64, extra: f64) -> (f64, f64) {
        if [z, t, extra].iter().any(|value| value.is_nan()) {
            return NAN;
        }
        let Self { activation, term, argument } = *self;
        if self.is_of_logits() {
            return term.at(z, t, extra);
        }
        let y = activation.at(Map::Forward, z);
        if y.is_nan() {
            return NAN;
        }
        let slope = activation.at(Map::Derivative, z);
        let Apart { limit, offset } = activation.apart(z, y, slope);
        let (term, dy) = match argument {
            Argument::Forms => return term.at_forms(activation.forms(z), t),
            Argument::Difference => term.at(offset, t - limit, extra),
            Argument::Margin => term.at(offset, t, 1.0 - t * limit),
            Argument::Output | Argument::Logits => term.at(y, t, extra),
        };
        (term, dy * slope)
    }
}

impl TermFunction {
    /// A term and its derivative with respect to y, in f64.
    pub fn at(self, y: f64, t: f64, extra: f64) -> (f64, f64) {
        self.visit(TermAt { y, t, extra })
    }

    /// A term computed from an output's forms and its derivative with respect to z, in f64; NaN for
    /// a loss that takes no logarithm.
    pub fn at_forms(self, y: Forms<f64>, t: f64) -> (f64, f64) {
        self.visit_forms(TermOfForms { y, t }).unwrap_or(NAN)
    }
}

struct TermAt {
    y: f64,
    t: f64,
    extra: f64,
}

impl LossVisitor<f64> for TermAt {
    type Output = (f64, f64);

    fn visit<F: LossTerm<f64>>(self, formula: F) -> (f64, f64) {
        let Self { y, t, extra } = self;
        (formula.loss(y, t, extra), formula.gradient(y, t, extra))
    }
}

struct TermOfForms {
    y: Forms<f64>,
    t: f64,
}

impl FormsVisitor<f64> for TermOfForms {
    type Output = (f64, f64);

    fn visit<F: LossOfForms<f64>>(self, formula: F) -> (f64, f64) {
        (formula.loss_of_forms(self.y, self.t), formula.slope_of_forms(self.y, self.t))
    }
}
