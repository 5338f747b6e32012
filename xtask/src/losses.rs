//! docs/losses.md: the catalogue of losses as a document.

use std::fs;
use std::path::PathBuf;

use wgrad::Loss;

use crate::command::root;

const HEAD: &str = "\
# Losses

Written by `cargo xtask readme` from the catalogue (`src/loss/catalogue.rs`); a test fails where it is out of date.

y are the outputs, [B, K], t the targets: dense ones of the same shape, or for losses on rows labels, `[B]`. w_k are the
weights of classes (`Targets::class_weights`). The gradient is with respect to y, before the reduction.

| reduction | result |
|---|---|
| `None` | one value for each element; for losses on rows one for each row |
| `Sum` | their sum |
| `Mean` | PyTorch's mean: divided by the number of elements for losses on elements; for `cross_entropy`, `cross_entropy_with_logits` and `nll` by the sum of the weights of the rows that count, w of the label times that of the row; for `multi_margin` by the rows |
| `BatchMean` | their sum, divided by the length of the first axis, B |

`Targets::weights` multiplies each term: of y's shape, one for each row ([B] or [B, 1]), one for each column of a loss on
elements ([1, K]), or one number. A row whose label is `ignore_index` counts in nothing: not in the loss, the gradient, the
smoothing or the mean. Where all rows are ignored, or there are none, the mean is NaN, the sum 0 and the gradient 0.

NaN in y, in a target or in a variance gives NaN, in the loss and in its gradient, unless the row is ignored. A target that
a loss is not defined for is an `Error::InvalidTarget` where the host knows the values of the tensor (it uploaded them), and
on a checked device (`DeviceOptions::checked`, `WGRAD_CHECKED=1`) always.

## Pairs with an activation

`OutputLayer` computes any pair. A pointwise activation with a loss that is a sum of terms is one kernel, from the logits to
the loss, y and dE/dz. Where the mathematics gives the loss as a function of the logits z, it is that one, and right where
y = g(z) is rounded to 0 or 1:

| activation, loss | loss of a row or an element | dE/dz |
|---|---|---|
| softmax, cross_entropy; log_softmax, nll; identity, cross_entropy_with_logits | Σ_k w_k·t_k·(ln Σ_j e^(z_j) − z_k) | p_k·Σ_j w_j·t_j − w_k·t_k, p = softmax(z) |
| sigmoid, bce | t·min(ln(1 + e^(−z)), 100) + (1 − t)·min(ln(1 + e^z), 100) | p − t, p = sigmoid(z) |
| sigmoid, focal | focal_with_logits(z, t) | as there |
| sigmoid, cross_entropy | Σ_k w_k·t_k·ln(1 + e^(−z_k)) | −w_k·t_k·(1 − p_k) |

`OutputLayer::z_loss(c)` adds c·(ln Σ_k e^(z_k))² to each row of the first line, weighted as the row is. A row-wise activation
with any other loss is composed: dE/dz is the product of dE/dy with the Jacobian, which is never stored.

## The catalogue

| loss | of | y | formula | gradient |
|---|---|---|---|---|
";

pub fn write() -> Result<(), String> {
    let path = path();
    fs::write(&path, text())
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn path() -> PathBuf {
    root().join("docs/losses.md")
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
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
        let found = fs::read_to_string(path()).unwrap();
        assert!(found == text(), "run `cargo xtask readme`");
    }
}
