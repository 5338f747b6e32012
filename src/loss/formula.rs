//! The formula that a kernel is made of: that of a loss, or of a loss and the activation below it.

use super::{Loss, LossVisitor, Structure};
use crate::activation::Activation;
use crate::catalogue::Constant;
use crate::reference::Real;
use crate::reference::losses as formulas;

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

    /// Hands the formula to the visitor; nothing for one that is not made of terms.
    pub(crate) fn visit<R: Real, V: LossVisitor<R>>(&self, visitor: V) -> Option<V::Output> {
        match self {
            Self::Of(loss) => loss.visit(visitor),
            Self::SigmoidBce => Some(visitor.visit(formulas::SigmoidBce)),
            Self::SigmoidCrossEntropy => Some(visitor.visit(formulas::SigmoidCrossEntropy)),
        }
    }
}
