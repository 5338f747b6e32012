//! `cargo xtask test`

use std::time::Instant;

use crate::command::{cargo, watch};
use crate::{adapter, ulp};

/// Keeps pictures of a test run from replacing those of the repository.
const PICTURES: &[&str] = &["--out", "target/examples-out"];

/// An example, the variables that are added to its environment, and its arguments.
type Example = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const EXAMPLES: [Example; 9] = [
    ("output_layer", &[], &[]),
    ("output_layer", &[("WGRAD_DEVICE", "gpu")], &[]),
    ("shapes", &[("WGRAD_DEVICE", "gpu")], PICTURES),
    ("digits", &[("WGRAD_DEVICE", "cpu")], PICTURES),
    ("digits", &[("WGRAD_DEVICE", "gpu")], PICTURES),
    ("custom_activation", &[("WGRAD_DEVICE", "cpu")], PICTURES),
    ("training", &[("WGRAD_DEVICE", "cpu")], PICTURES),
    ("host_application", &[], PICTURES),
    // On a software adapter, one step takes most of a minute.
    ("large_vocabulary", &[("WGRAD_DEVICE", "cpu")], &["--steps", "2"]),
];

pub fn run() -> Result<(), String> {
    let start = Instant::now();
    adapter::ensure()?;
    let mut passed = 0;
    let mut count = |line: &str| passed += passed_tests(line).unwrap_or(0);
    let targets = ["test", "--release", "--workspace", "--lib", "--bins", "--tests"];
    watch(&mut cargo(&targets), &mut count)?;
    watch(&mut cargo(&["test", "--release", "--workspace", "--doc"]), &mut count)?;
    for (example, environment, arguments) in EXAMPLES {
        println!("\nexample {example} {environment:?}");
        let mut command = cargo(&["run", "--quiet", "--release", "--example", example]);
        command.envs(environment.iter().copied()).arg("--").args(arguments);
        watch(&mut command, |_| ())?;
    }
    println!("\nevery function within its bound, at a stride over all floats");
    ulp::quick()?;
    println!("\nall tests and examples passed in {:.0} s", start.elapsed().as_secs_f64());
    println!("{passed} passed, 0 failed");
    Ok(())
}

/// Returns N from "test result: ok. N passed; ...".
fn passed_tests(line: &str) -> Option<u32> {
    let counts = line.trim().strip_prefix("test result: ok. ")?;
    counts.split_once(' ')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::passed_tests;

    #[test]
    fn counts_are_read_from_the_result_line_alone() {
        assert_eq!(passed_tests("test result: ok. 12 passed; 0 failed; 0 ignored"), Some(12));
        assert_eq!(passed_tests("test result: FAILED. 12 passed; 1 failed"), None);
        assert_eq!(passed_tests("test something ... ok"), None);
    }
}
