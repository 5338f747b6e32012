//! The project's chores: `cargo xtask`.

mod adapter;
mod command;
mod dependencies;
mod document;
mod isa;
mod losses;
mod mutants;
mod names;
mod readme;
mod selection;
mod test;
mod ulp;
mod vocabulary;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test          makes sure that a GPU adapter is there, then runs all tests and examples
cargo xtask mutants       breaks shaders one at a time and shows that the tests notice; words after it choose
                          the shaders by parts of their names
cargo xtask ulp           measures the error of every function over every float; --help tells more
cargo xtask isa           compiles every kernel for AMD cards that are not there; --help tells more
cargo xtask vocabulary    measures an output layer over a large vocabulary; --help tells more
cargo xtask dependencies  checks the licences and sources of all dependencies, and that each is used
cargo xtask readme        writes the README's lists of what the catalogue holds, docs/losses.md, docs/names.md";

fn main() -> ExitCode {
    env_logger::init();
    let mut words = std::env::args().skip(1);
    let result = match words.next().as_deref() {
        Some("test") => test::run(),
        Some("mutants") => mutants::run(words),
        Some("ulp") => ulp::command(words),
        Some("isa") => isa::command(words),
        Some("vocabulary") => vocabulary::command(words),
        Some("dependencies") => dependencies::check(),
        Some("readme") => {
            readme::write().and_then(|()| losses::write()).and_then(|()| names::write())
        }
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
