//! `cargo xtask mutants`: a test suite that cannot fail proves nothing.
//!
//! Each mutant is one wrong character or so in one shader. The suite has to fail with each: else the
//! GPU's side of a comparison does not run, or nobody looks at that part of it.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use crate::adapter;
use crate::command::{cargo, root, status, succeed};

struct Mutant {
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
    /// The test file that has to notice.
    test: &'static str,
}

const MUTANTS: [Mutant; 25] = [
    // An output that is rounded to its limit.
    Mutant {
        file: "forms/tanh.wgsl",
        right: "near_limit(abs(y) > 0.5,",
        wrong: "near_limit(abs(y) > 2.0,",
        test: "pairs",
    },
    // What an output that dominates its row takes from the others is forgotten.
    Mutant {
        file: "kernels/row_terms.wgsl",
        right: "share_of(x, top) * origin, from_top)",
        wrong: "share_of(x, top) * 0.0, from_top)",
        test: "pairs",
    },
    // The wrong sign in sigmoid's derivative.
    Mutant {
        file: "activations/sigmoid.wgsl",
        right: "return math_sigmoid_derivative(z);",
        wrong: "return -math_sigmoid_derivative(z);",
        test: "activations",
    },
    Mutant {
        file: "activations/tanh.wgsl",
        right: "(1.0 - y) * (1.0 + y)",
        wrong: "(1.0 - y) * (1.0 - y)",
        test: "activations",
    },
    // NaN in, zero out.
    Mutant {
        file: "kernels/pointwise_unary.wgsl",
        right: "nan_where(is_nan(x), apply(x))",
        wrong: "apply(x)",
        test: "activations",
    },
    // The last invocation of a row is forgotten.
    Mutant {
        file: "kernels/rows.wgsl",
        right: "var stride = LANES / 2u; stride > 0u; stride = stride / 2u) {\n        if (at.lane < stride) {\n            exchange[at.local] = exchange",
        wrong: "var stride = LANES / 2u; stride > 1u; stride = stride / 2u) {\n        if (at.lane < stride) {\n            exchange[at.local] = exchange",
        test: "softmax",
    },
    Mutant {
        file: "activations/log_softmax.wgsl",
        right: "return dy - math_exp(y) * total;",
        wrong: "return dy - y * total;",
        test: "softmax",
    },
    // The product with the Jacobian in place of that with its transpose.
    Mutant {
        file: "operations/row_backward.wgsl",
        right: "return backward(y, dy, total);",
        wrong: "return jvp(y, dy, total);",
        test: "rowwise",
    },
    // The support of the first round is taken for the last.
    Mutant {
        file: "kernels/row_statistics.wgsl",
        right: "settled = found >= support;",
        wrong: "settled = true;",
        test: "rowwise",
    },
    // The gate's gradient without the value.
    Mutant {
        file: "kernels/gated_backward.wgsl",
        right: "opaque(upstream * value)",
        wrong: "upstream",
        test: "gated",
    },
    // Positive elements count in the weight's gradient.
    Mutant {
        file: "kernels/prelu_backward.wgsl",
        right: "select(upstream * x, 0.0, is_positive(x))",
        wrong: "upstream * x",
        test: "prelu",
    },
    // A mask that begins anew at each window.
    Mutant {
        file: "kernels/row_lines.wgsl",
        right: "(parameters.mask_first + index) % parameters.mask_period",
        wrong: "index % parameters.mask_period",
        test: "rowwise",
    },
    Mutant {
        file: "losses/mse.wgsl",
        right: "return 2.0 * (y - t);",
        wrong: "return y - t;",
        test: "losses",
    },
    Mutant {
        file: "kernels/softmax_cross_entropy.wgsl",
        right: "p * row_mass - t",
        wrong: "p - t",
        test: "output_layer",
    },
    // The bias of the first tile for all.
    Mutant {
        file: "kernels/matmul_parameters.wgsl",
        right: "bias[parameters.bias_base + column]",
        wrong: "bias[parameters.bias_base + column % 4u]",
        test: "output_layer",
    },
    // The second moment takes the share of the first.
    Mutant {
        file: "kernels/adam.wgsl",
        right: "parameters.one_minus_beta2 * slope) * slope",
        wrong: "parameters.one_minus_beta1 * slope) * slope",
        test: "optimizers",
    },
    // The scales of the squares are forgotten.
    Mutant {
        file: "kernels/clip_factor.wgsl",
        right: "power_of_two(-2 * distance)",
        wrong: "power_of_two(-distance)",
        test: "optimizers",
    },
    // The last element of each workgroup is not clipped.
    Mutant {
        file: "kernels/clip_norm.wgsl",
        right: "min(start + 1024u, parameters.elements)",
        wrong: "min(start + 1023u, parameters.elements)",
        test: "optimizers",
    },
    // Tiles of the same row that forget those before.
    Mutant {
        file: "kernels/tile_statistics.wgsl",
        right: "store_state(at.row, merge(load_state(at.row), found));",
        wrong: "store_state(at.row, found);",
        test: "large_vocabulary",
    },
    // The label counts in each tile.
    Mutant {
        file: "kernels/tile_gradient.wgsl",
        right: "parameters.first_column + index % parameters.width",
        wrong: "index % parameters.width",
        test: "large_vocabulary",
    },
    // The smoothing goes by the tile and not by the classes.
    Mutant {
        file: "kernels/targets_labels.wgsl",
        right: "parameters.smoothing / f32(parameters.classes)",
        wrong: "parameters.smoothing / f32(parameters.width)",
        test: "large_vocabulary",
    },
    // The weights of the columns in each row alike.
    Mutant {
        file: "kernels/loss_parameters.wgsl",
        right: "row * parameters.weights_row + column * parameters.weights_column",
        wrong: "row * parameters.weights_row",
        test: "losses",
    },
    // An ignored row that weighs.
    Mutant {
        file: "kernels/row_weights.wgsl",
        right: "if (row_counts(row)) {",
        wrong: "if (true) {",
        test: "losses",
    },
    Mutant {
        file: "losses/bce_with_logits.wgsl",
        right: "weight * t * math_sigmoid(-z)",
        wrong: "t * math_sigmoid(-z)",
        test: "losses",
    },
    // The gradient with respect to y.
    Mutant {
        file: "operations/loss_of_output.wgsl",
        right: "gradient(y, t, extra)), derivative(z));",
        wrong: "gradient(y, t, extra)), 1.0);",
        test: "output_layer",
    },
];

/// Puts a file back as it was, whatever happens.
struct Restore {
    path: PathBuf,
    text: String,
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.text) {
            eprintln!("{} could not be restored: {error}", self.path.display());
        }
    }
}

pub fn run() -> Result<(), String> {
    adapter::ensure()?;
    let tests = |test: &str| cargo(&["test", "--release", "--quiet", "--test", test]);
    let files = [
        "activations",
        "softmax",
        "rowwise",
        "gated",
        "prelu",
        "losses",
        "output_layer",
        "optimizers",
        "large_vocabulary",
    ];
    for test in files {
        succeed(tests(test).stdout(Stdio::null()))?;
    }
    let mut survivors = 0;
    for mutant in &MUTANTS {
        let path = root().join("shaders").join(mutant.file);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", mutant.file))?;
        if text.matches(mutant.right).count() != 1 {
            return Err(format!("{} does not hold {:?} once", mutant.file, mutant.right));
        }
        let broken = text.replace(mutant.right, mutant.wrong);
        let restore = Restore { path, text };
        fs::write(&restore.path, broken).map_err(|error| format!("{}: {error}", mutant.file))?;
        // On the GPU alone: the CPU's results stay right.
        let mut command = tests(mutant.test);
        let noticed =
            !status(command.arg("gpu").stdout(Stdio::null()).stderr(Stdio::null()))?.success();
        survivors += u32::from(!noticed);
        let verdict = if noticed { "noticed" } else { "SURVIVED" };
        println!("{verdict}: {} {:?} for {:?}", mutant.file, mutant.wrong, mutant.right);
    }
    if survivors > 0 {
        return Err(format!("{survivors} of {} mutants survived", MUTANTS.len()));
    }
    println!("all {} mutants were noticed", MUTANTS.len());
    Ok(())
}
