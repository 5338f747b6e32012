//! Pairs of an activation and a loss that make no sense.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::loss::Loss;

/// Checks that the loss takes what the activation gives. Pairs that a caller may still intend are rejected
/// only if the device is `checked`.
pub(super) fn check(activation: &Activation, loss: &Loss, checked: bool) -> Result<()> {
    let gives = Gives::of(activation);
    let reason = match (gives, loss) {
        (Gives::Distributions, Loss::CrossEntropyWithLogits { .. }) => {
            "the loss takes the softmax itself: PyTorch's cross_entropy is cross_entropy_with_logits on \
             identity, or OutputLayer(Softmax, cross_entropy)"
        }
        (Gives::Logarithms, Loss::CrossEntropy { .. }) => {
            "the loss takes the logarithm itself: log_softmax goes with nll, softmax with cross_entropy"
        }
        _ if !checked => return Ok(()),
        (Gives::Distributions | Gives::Probabilities, Loss::BceWithLogits) => {
            "the loss takes the sigmoid itself: sigmoid goes with bce, identity with bce_with_logits"
        }
        (Gives::Distributions | Gives::Probabilities, Loss::FocalWithLogits { .. }) => {
            "the loss takes the sigmoid itself: sigmoid goes with focal, identity with focal_with_logits"
        }
        (Gives::Logarithms, Loss::Bce | Loss::Focal { .. }) => {
            "the loss takes the logarithm itself: sigmoid goes with it"
        }
        (Gives::Distributions | Gives::Probabilities, Loss::Nll { .. } | Loss::KlDiv { .. }) => {
            "the loss takes the logarithms of probabilities: log_softmax, or log_sigmoid, goes with it"
        }
        _ => return Ok(()),
    };
    Err(Error::Unsupported {
        what: format!("{} with {}", activation.name(), loss.name()),
        reason: reason.to_owned(),
    })
}

/// The kind of an activation's outputs.
#[derive(Clone, Copy)]
enum Gives {
    /// Rows of probabilities.
    Distributions,
    /// Independent probabilities.
    Probabilities,
    /// The logarithms of probabilities.
    Logarithms,
    Numbers,
}

impl Gives {
    const fn of(activation: &Activation) -> Self {
        match activation {
            Activation::Softmax | Activation::Softmin | Activation::Sparsemax => {
                Self::Distributions
            }
            Activation::Sigmoid => Self::Probabilities,
            Activation::LogSoftmax | Activation::LogSigmoid => Self::Logarithms,
            _ => Self::Numbers,
        }
    }
}
