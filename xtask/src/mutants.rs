//! `cargo xtask mutants`: checks that the tests can fail, as a suite that cannot fail proves nothing.
//!
//! Each mutant is a small fault in one shader, and the suite has to fail with each of them. If it passes, the
//! GPU's side of a comparison does not run, or no test covers that part of it.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::adapter;
use crate::command::{cargo, root, status, succeed};

struct Mutant {
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
    /// The test file that has to fail, or `LIBRARY`.
    test: &'static str,
}

/// The library's own tests that compare the kernels' variants with each other.
const LIBRARY: &str = "lib";

const MUTANTS: [Mutant; 27] = [
    // Rounds an output to its limit.
    Mutant {
        file: "forms/tanh.wgsl",
        right: "near_limit(abs(y) > 0.5,",
        wrong: "near_limit(abs(y) > 2.0,",
        test: "pairs",
    },
    // Forgets what an output that dominates its row takes from the others.
    Mutant {
        file: "kernels/row_terms.wgsl",
        right: "share_of(x, top) * origin, from_top)",
        wrong: "share_of(x, top) * 0.0, from_top)",
        test: "pairs",
    },
    // Gives sigmoid's derivative the wrong sign.
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
    // Turns NaN into zero.
    Mutant {
        file: "kernels/pointwise_unary.wgsl",
        right: "nan_where(is_nan(x), apply(x))",
        wrong: "apply(x)",
        test: "activations",
    },
    // Lets an invocation of a row forget its neighbour, through subgroups and through workgroup memory.
    Mutant {
        file: "kernels/row_reductions_subgroups.wgsl",
        right: "totals = totals + subgroupShuffleXor(totals, LANE_STEP);",
        wrong: "totals = totals + totals;",
        test: LIBRARY,
    },
    Mutant {
        file: "kernels/row_reductions_memory.wgsl",
        right: "exchange_pairs[at.local] = exchange_pairs[at.local] + other;",
        wrong: "exchange_pairs[at.local] = other;",
        test: LIBRARY,
    },
    // Forgets one element in four.
    Mutant {
        file: "kernels/rows.wgsl",
        right: "return add_finite(add_finite(half, terms.z), terms.w);",
        wrong: "return add_finite(half, terms.z);",
        test: "softmax",
    },
    Mutant {
        file: "activations/log_softmax.wgsl",
        right: "return own - math_exp(y) *",
        wrong: "return own - y *",
        test: "softmax",
    },
    // Multiplies by the Jacobian instead of its transpose.
    Mutant {
        file: "operations/row_backward.wgsl",
        right: "return backward(y, dy, row);",
        wrong: "return jvp(y, dy, row.total);",
        test: "rowwise",
    },
    // Takes the support of the first round for the last one.
    Mutant {
        file: "kernels/row_statistics.wgsl",
        right: "settled = totals.y >= support;",
        wrong: "settled = true;",
        test: "rowwise",
    },
    // Omits the value from the gate's gradient.
    Mutant {
        file: "kernels/gated_backward.wgsl",
        right: "opaque(upstream * value)",
        wrong: "upstream",
        test: "gated",
    },
    // Counts positive elements in the weight's gradient.
    Mutant {
        file: "kernels/prelu_backward.wgsl",
        right: "select(upstream * x, 0.0, is_positive(x))",
        wrong: "upstream * x",
        test: "prelu",
    },
    // Restarts the mask at each window.
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
        right: "select(p * loss.mass - t,",
        wrong: "select(p - t,",
        test: "output_layer",
    },
    // Uses the bias of the first tile for all tiles.
    Mutant {
        file: "kernels/matmul_parameters.wgsl",
        right: "let first = parameters.bias_base + column;",
        wrong: "let first = parameters.bias_base + column % 4u;",
        test: "output_layer",
    },
    // Gives the second moment the share of the first.
    Mutant {
        file: "kernels/adam.wgsl",
        right: "by.one_minus_beta2 * slope) * slope",
        wrong: "by.one_minus_beta1 * slope) * slope",
        test: "optimizers",
    },
    // Forgets the scales of the squares.
    Mutant {
        file: "kernels/clip_factor.wgsl",
        right: "power_of_two(-2 * distance)",
        wrong: "power_of_two(-distance)",
        test: "optimizers",
    },
    // Does not clip the last element of each workgroup.
    Mutant {
        file: "kernels/clip_norm.wgsl",
        right: "min(start + 1024u, parameters.elements)",
        wrong: "min(start + 1023u, parameters.elements)",
        test: "optimizers",
    },
    // Lets tiles of a row forget those before.
    Mutant {
        file: "kernels/tile_statistics.wgsl",
        right: "store_state(at.row, merge(load_state(at.row), found));",
        wrong: "store_state(at.row, found);",
        test: "large_vocabulary",
    },
    // Counts the label in each tile.
    Mutant {
        file: "kernels/tile_gradient.wgsl",
        right: "parameters.first_column + index % parameters.width",
        wrong: "index % parameters.width",
        test: "large_vocabulary",
    },
    // Computes the smoothing from the tile's columns instead of all classes.
    Mutant {
        file: "kernels/targets_labels.wgsl",
        right: "parameters.smoothing / f32(parameters.classes)",
        wrong: "parameters.smoothing / f32(parameters.width)",
        test: "large_vocabulary",
    },
    // Uses the same weights of the columns in each row.
    Mutant {
        file: "kernels/loss_parameters.wgsl",
        right: "row * parameters.weights_row + column * parameters.weights_column",
        wrong: "row * parameters.weights_row",
        test: "losses",
    },
    // Gives an ignored row a weight.
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
    // Returns the gradient with respect to y.
    Mutant {
        file: "operations/loss_of_output.wgsl",
        right: "gradient(y, t, extra)), derivative(z));",
        wrong: "gradient(y, t, extra)), 1.0);",
        test: "output_layer",
    },
];

/// Restores a file when dropped, whatever happens.
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

impl Mutant {
    fn path(&self) -> PathBuf {
        root().join("shaders").join(self.file)
    }

    /// The shader with the fault, and without it.
    fn texts(&self) -> Result<(String, String), String> {
        let path = self.path();
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", self.file))?;
        if text.matches(self.right).count() != 1 {
            return Err(format!("{} does not contain {:?} exactly once", self.file, self.right));
        }
        Ok((text.replace(self.right, self.wrong), text))
    }

    /// The tests of which one has to fail: only those on the GPU, as the CPU's results stay right.
    fn tests(&self) -> Command {
        // Not optimised, as each mutant compiles the library again.
        let mut command = cargo(&["test", "--quiet"]);
        match self.test {
            LIBRARY => command.args(["--lib", "gpu_kernel_tests"]),
            file => command.args(["--test", file, "gpu"]),
        };
        command.stdout(Stdio::null());
        command
    }

    fn is_noticed(&self) -> Result<bool, String> {
        let (broken, text) = self.texts()?;
        let restore = Restore { path: self.path(), text };
        fs::write(&restore.path, broken).map_err(|error| format!("{}: {error}", self.file))?;
        Ok(!status(self.tests().stderr(Stdio::null()))?.success())
    }
}

/// All mutants, or those in files whose names contain one of the words.
pub fn run(words: impl Iterator<Item = String>) -> Result<(), String> {
    let words: Vec<String> = words.collect();
    let is_wanted = |mutant: &&Mutant| {
        words.is_empty() || words.iter().any(|word| mutant.file.contains(word.as_str()))
    };
    let mutants: Vec<&Mutant> = MUTANTS.iter().filter(is_wanted).collect();
    if mutants.is_empty() {
        return Err(format!("no mutant is in a file named like {}", words.join(" or ")));
    }
    adapter::ensure()?;
    let mut passed = HashSet::new();
    for mutant in &mutants {
        if passed.insert(mutant.test) {
            succeed(&mut mutant.tests())?;
        }
    }
    let mut survivors = 0;
    for mutant in &mutants {
        let is_noticed = mutant.is_noticed()?;
        survivors += u32::from(!is_noticed);
        let verdict = if is_noticed { "noticed" } else { "SURVIVED" };
        println!("{verdict}: {} {:?} for {:?}", mutant.file, mutant.wrong, mutant.right);
    }
    if survivors > 0 {
        return Err(format!("{survivors} of {} mutants survived", mutants.len()));
    }
    println!("all {} mutants were noticed", mutants.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_is_a_fault_that_the_shader_can_have() {
        for mutant in &MUTANTS {
            let (broken, text) = mutant.texts().unwrap();
            assert_ne!(broken, text, "{}", mutant.file);
            let test = root().join("tests").join(mutant.test).with_extension("rs");
            assert!(mutant.test == LIBRARY || test.exists(), "{}", test.display());
        }
    }
}
