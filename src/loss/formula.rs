//! The formula that a kernel is made of: that of a loss, or of a loss and the activation below it.

use super::{FormsVisitor, Loss, LossVisitor, Structure, View};
use crate::activation::Activation;
use crate::catalogue::Constant;
use crate::reference::Real;
use crate::reference::losses as formulas;

/// What the formula of a loss above an activation is a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Argument {
    /// The activation's output.
    Output,
    /// z itself.
    Logits,
    /// The output's difference from the target, of an activation with limits.
    Difference,
    /// What the output lacks of a margin, of an activation with limits.
    Margin,
    /// The output in every form that logarithms need, of an activation with such forms.
    Forms,
    /// The output of softmax or softmin, of which the loss sees this.
    Row(View),
}

impl Argument {
    /// Whether each term depends on its whole row.
    pub(crate) const fn is_of_rows(self) -> bool {
        matches!(self, Self::Row(_))
    }
}

/// A loss as a function of what it is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Formula {
    /// A loss of its y.
    Of(Loss),
    /// bce of sigmoid(z), of z.
    SigmoidBce,
    /// cross_entropy of sigmoid(z), of z.
    SigmoidCrossEntropy,
}

impl Formula {
    /// The loss on top of the activation as a function of z, where the mathematics gives one that holds
    /// where y is rounded to 0 or 1.
    pub(crate) fn of_logits(activation: &Activation, loss: &Loss) -> Option<Self> {
        match (*activation, *loss) {
            (Activation::Identity, loss) => Some(Self::Of(loss)),
            (Activation::Softmax, Loss::CrossEntropy { label_smoothing, ignore_index }) => {
                Some(Self::Of(Loss::CrossEntropyWithLogits { label_smoothing, ignore_index }))
            }
            (Activation::LogSoftmax, Loss::Nll { ignore_index }) => {
                Some(Self::Of(Loss::CrossEntropyWithLogits { label_smoothing: 0.0, ignore_index }))
            }
            (Activation::Sigmoid, Loss::Bce) => Some(Self::SigmoidBce),
            (Activation::Sigmoid, Loss::CrossEntropy { .. }) => Some(Self::SigmoidCrossEntropy),
            (Activation::Sigmoid, Loss::Focal { alpha, gamma }) => {
                Some(Self::Of(Loss::FocalWithLogits { alpha, gamma }))
            }
            _ => None,
        }
    }

    /// The formula of a loss on top of an activation, and what it is computed from; `None` for a pair of
    /// which only the activation and the loss are computed, one after the other.
    pub(crate) fn of_pair(activation: &Activation, loss: &Loss) -> Option<(Self, Argument)> {
        if let Some(formula) = Self::of_logits(activation, loss) {
            return Some((formula, Argument::Logits));
        }
        let argument = match (activation, loss.view()) {
            _ if loss.structure() != Structure::Terms => return None,
            (Activation::Softmax | Activation::Softmin, view) => Argument::Row(view),
            _ if activation.is_rowwise() => return None,
            (_, View::Logarithms) if activation.has_forms() => Argument::Forms,
            (_, View::Difference) if activation.has_limits() => Argument::Difference,
            (_, View::Margin) if activation.has_limits() => Argument::Margin,
            _ => Argument::Output,
        };
        Some((Self::Of(*loss), argument))
    }

    pub(crate) const fn structure(&self) -> Structure {
        match self {
            Self::Of(loss) => loss.structure(),
            Self::SigmoidBce | Self::SigmoidCrossEntropy => Structure::Terms,
        }
    }

    /// Tells formulas apart, options aside.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Of(loss) => loss.name(),
            Self::SigmoidBce => "sigmoid_bce",
            Self::SigmoidCrossEntropy => "sigmoid_cross_entropy",
        }
    }

    /// The WGSL functions `loss` and `gradient`; empty where the kernel has them.
    pub(crate) const fn wgsl(&self) -> &'static str {
        match self {
            Self::Of(loss) => loss.wgsl(),
            Self::SigmoidBce => include_str!("../../shaders/losses/sigmoid_bce.wgsl"),
            Self::SigmoidCrossEntropy => {
                include_str!("../../shaders/losses/sigmoid_cross_entropy.wgsl")
            }
        }
    }

    /// The `override` constants of the WGSL.
    pub(crate) fn constants(&self) -> Vec<Constant> {
        match self {
            Self::Of(loss) => loss.constants(),
            Self::SigmoidBce | Self::SigmoidCrossEntropy => Vec::new(),
        }
    }

    /// What it sees of an output.
    pub(crate) const fn view(&self) -> View {
        match self {
            Self::Of(loss) => loss.view(),
            Self::SigmoidBce | Self::SigmoidCrossEntropy => View::Output,
        }
    }

    /// The WGSL functions of the loss of forms, where it has them.
    pub(crate) const fn forms_wgsl(&self) -> &'static str {
        match self {
            Self::Of(loss) => loss.forms_wgsl(),
            Self::SigmoidBce | Self::SigmoidCrossEntropy => "",
        }
    }

    /// Hands the formula of forms to the visitor, where it has one.
    pub(crate) fn visit_forms<R: Real, V: FormsVisitor<R>>(&self, visitor: V) -> Option<V::Output> {
        match self {
            Self::Of(loss) => loss.visit_forms(visitor),
            Self::SigmoidBce | Self::SigmoidCrossEntropy => None,
        }
    }

    /// Hands the formula to the visitor; nothing for one that is not made of terms.
    pub(crate) fn visit<R: Real, V: LossVisitor<R>>(&self, visitor: V) -> Option<V::Output> {
        match self {
            Self::Of(loss) => loss.visit(visitor),
            Self::SigmoidBce => Some(visitor.visit(formulas::SigmoidBce)),
            Self::SigmoidCrossEntropy => Some(visitor.visit(formulas::SigmoidCrossEntropy)),
        }
    }
}
