//! Writes docs/names.md, the names of other libraries as a document.

use wgrad::{OtherNames, other_names};

use crate::document::{self, cell};

const FILE: &str = "names.md";

const HEAD: &str = "\
# Names of other libraries

Written by `cargo xtask readme` from the tables in `src/names/`; a test fails if it is out of date.

`FromStr` of `Activation` and `Loss` reads these texts as model files, configurations and papers have them:
`nn.LeakyReLU(negative_slope=0.01)`, `gelu_pytorch_tanh`, `GELU(approximate='tanh')`, `CrossEntropyLoss(label_smoothing=0.1)`,
`HardSigmoid(alpha=0.2, beta=0.5)`. Case, `_`, `-` and prefixes such as `torch.nn.` do not matter, nor do quotation marks and
empty parentheses. Arguments may be given without their names, in the library's order, and `inplace` has no effect.
`Display` prints the catalogue's own text.

Where one name means different things in two libraries:

| name | is taken as |
|---|---|
| `gelu` | the exact one, by the error function, as in PyTorch, Keras and Hugging Face; `jax.nn.gelu` is `gelu_tanh`, its default |
| `hard_sigmoid` | PyTorch's and Keras 3's, z/6 + ½; with ONNX's `alpha` or `beta` the other one is ONNX's too, 0.2 or 0.5 |
| `leaky_relu` | PyTorch's slope, 0.01; `keras.activations.leaky_relu` and `tf.nn.leaky_relu` have 0.2 |
| `swish` | `swish(beta=1)`, which is silu |
| `cross_entropy` | of probabilities, like `categorical_crossentropy`; `CrossEntropyLoss` and `F.cross_entropy` take logits, and ignore the label −100 |
| `binary_cross_entropy` | of probabilities, with Keras's `from_logits=True` of logits |
| `kl_div` | of log-probabilities, as in PyTorch; Keras's `kl_divergence`, of probabilities, is refused |
| `nll` | ignores no label, as in ONNX; PyTorch's `NLLLoss` and `nll_loss` ignore −100 |

";

pub fn write() -> Result<(), String> {
    document::write(FILE, &text())
}

fn text() -> String {
    let rows = |kind: &str, title: &str| {
        let row = |row: OtherNames| {
            let names: Vec<String> = row.names.iter().map(|name| format!("`{name}`")).collect();
            let (names, arguments) = (names.join(" "), row.arguments.join("; "));
            let meaning = cell(row.meaning);
            format!("| {names} | {} | {meaning} | {arguments} |\n", row.library)
        };
        let rows = other_names().into_iter().filter(|row| row.kind == kind).map(row);
        let rows: String = rows.collect();
        format!("## {title}\n\n| names | of | here | arguments |\n|---|---|---|---|\n{rows}")
    };
    format!("{HEAD}{}\n{}", rows("activation", "Activations"), rows("loss", "Losses"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_up_to_date() {
        document::assert_up_to_date(FILE, &text());
    }
}
