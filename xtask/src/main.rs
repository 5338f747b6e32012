//! The project's chores: `cargo xtask`.

mod adapter;
mod command;
mod mutants;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test      makes sure that a GPU adapter is there, then runs all tests and examples
cargo xtask mutants   breaks shaders one at a time and shows that the tests notice";

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("test") => test::run(),
        Some("mutants") => mutants::run(),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
