//! Writes docs/losses.md, the catalogue of losses as a document.

use wgrad::Loss;

use crate::document::{self, cell};

const FILE: &str = "losses.md";

const HEAD: &str = "\
# Losses

Written by `cargo xtask readme` from the catalogue (`formula/src/formulas/loss_rows.rs`); a test fails if it is out of date.

y are the outputs, [B, K], t the targets: dense ones of the same shape, or for losses on rows labels, `[B]`. w_k are the
weights of classes (`Targets::class_weights`). The gradient is with respect to y, before the reduction.

| reduction | result |
|---|---|
| `None` | one value for each element; for losses on rows one for each row |
| `Sum` | their sum |
| `Mean` | PyTorch's mean: divided by the number of elements for losses on elements; for `cross_entropy`, `cross_entropy_with_logits` and `nll` by the sum of the weights of the rows that count, w of the label times that of the row; for `multi_margin` by the rows |
| `BatchMean` | their sum, divided by the length of the first axis, B |

`Targets::divisor` is a number of the caller's by which `Mean` divides instead, such as the tokens of a whole batch that is
computed in parts. With `None`, `Targets::loss_gradient` is dE/dloss, which multiplies the gradients and not the loss.

`Targets::weights` multiplies each term: of y's shape, one for each row ([B] or [B, 1]), one for each column of a loss on
elements ([1, K]), or one number. A row whose label is `ignore_index` counts in nothing: not in the loss, the gradient, the
smoothing or the mean. Where all rows are ignored, or there are none, the mean is NaN, the sum 0 and the gradient 0.

NaN in y, in a target or in a variance gives NaN, in the loss and in its gradient, unless the row is ignored, also where the
weight is 0. A weight of 0 makes 0 of any other term, also of an infinite one; where the weights of a mean add up to 0 it is NaN,
and so is the gradient of all that has a part in it. A target that
a loss is not defined for is an `Error::InvalidTarget` where the host knows the values of the tensor (it uploaded them), and
on a checked device (`DeviceOptions::checked`, `WGRAD_CHECKED=1`) always. So is an output, an `Error::InvalidOutput`: logits
given to `cross_entropy`, `bce` or `focal`, which take probabilities, or a negative rate to `poisson_nll(log_input=false)`.
`nll` and `kl_div` take any y, as they are linear in it, but mean log-probabilities.

PyTorch's cross_entropy is `cross_entropy_with_logits`, or `OutputLayer(Softmax, cross_entropy)`.

A weight is multiplied with what it weighs, be it negative, infinite or NaN, and what is 0 because it has no part stays 0: a
class without a target, whatever the class weighs, and in a row with a label every other output of `nll` and
`cross_entropy`, and differences that keep the margin of `multi_margin`, whatever the row weighs.

## Pairs with an activation

`OutputLayer` computes any pair but those that make no sense, which are `Error::Unsupported`: softmax, softmin and sparsemax
with `cross_entropy_with_logits`, which takes the softmax itself, and log_softmax and log_sigmoid with `cross_entropy`, which
takes the logarithm itself. A checked device also refuses sigmoid and these three with `bce_with_logits`, `focal_with_logits`,
`nll` and `kl_div`, and log_softmax and log_sigmoid with `bce` and `focal`. A pointwise activation, softmax or softmin with a
loss that is a sum of terms is one kernel, from the logits to the loss, y and dE/dz. Where the mathematics gives the loss as a
function of the logits z, it is that one, and right where y = g(z) is rounded to 0 or 1:

| activation, loss | loss of a row or an element | dE/dz |
|---|---|---|
| softmax, cross_entropy; log_softmax, nll; identity, cross_entropy_with_logits | Σ_k w_k·t_k·(ln Σ_j e^(z_j) − z_k) | p_k·Σ_j w_j·t_j − w_k·t_k, p = softmax(z) |
| sigmoid, bce | t·min(ln(1 + e^(−z)), 100) + (1 − t)·min(ln(1 + e^z), 100) | p − t, p = sigmoid(z) |
| sigmoid, focal | focal_with_logits(z, t) | as there |
| sigmoid, cross_entropy | Σ_k w_k·t_k·ln(1 + e^(−z_k)) | −w_k·t_k·(1 − p_k) |

`OutputLayer::z_loss(c)` adds c·(ln Σ_k e^(z_k))² to each row of the first line, weighted as the row is.

Other pairs are computed from what the rounded y has lost:

| activation | loss | how |
|---|---|---|
| sigmoid, tanh, scaled_tanh(a=1), softsign, exponential, gaussian, softplus, squared_relu | cross_entropy, bce, focal, poisson_nll(log_input=false) | from ln g(z), ln(1 − g(z)), g'/g and g'/(1 − g), which never see y: also where y underflows. dE/dz of bce is not clamped |
| sigmoid, tanh, scaled_tanh, softsign, elu, selu, celu, exponential, gaussian | half_squared_error, mse, mae, huber, smooth_l1, log_cosh, gaussian_nll; hinge, squared_hinge | where y is closer to a limit a of g than to 0, from y − a, which g' tells, and t − a |
| softmax, softmin | every loss that is a sum of terms | 1 − p of an output of more than ½ is what the others add up to; logarithms are those of the logits |

The remaining pairs are exact to the rounding of y, which is half a unit in its last place or the bound of the activation:
where a loss takes a difference to an output that passes through the target (or a logarithm of one that passes through 1) without
a limit there, where `hinge_embedding` and `multi_margin` take a margin less a rounded y, and where y is 0 or 1 over a stretch
(relu, hard_sigmoid, sparsemax and others), where a logarithm is infinite and dE/dz, 0/0, is NaN. log_softmax and sparsemax
with losses other than those above, and activations below cross_entropy_with_logits and multi_margin, are composed: dE/dz is the
product of dE/dy with the Jacobian, which is never stored. At −∞ among the logits of softmax, an output of 0, the slopes are
those of the limit.

## The catalogue

| loss | of | y | formula | gradient |
|---|---|---|---|---|
";

pub fn write() -> Result<(), String> {
    document::write(FILE, &text())
}

fn text() -> String {
    let row = |loss: Loss| {
        let unit = if loss.is_on_rows() { "rows" } else { "elements" };
        let (takes, formula, gradient) =
            (loss.takes(), cell(loss.formula()), cell(loss.gradient_formula()));
        format!("| `{loss}` | {unit} | {takes} | {formula} | {gradient} |\n")
    };
    let table: String = Loss::all().map(row).collect();
    let details = |loss: Loss| {
        let special: String =
            loss.special_values().iter().map(|special| format!("* {special}.\n")).collect();
        format!("### {}\n\n{special}* Source: {}.\n", loss.name(), loss.source())
    };
    let details: Vec<String> = Loss::all().map(details).collect();
    format!("{HEAD}{table}\n## Special values and sources\n\n{}", details.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_up_to_date() {
        document::assert_up_to_date(FILE, &text());
    }
}
