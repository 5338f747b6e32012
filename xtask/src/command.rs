//! Runs other programs.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// The root of the repository.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// A command that runs Cargo in the root of the repository.
pub fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a program to its end; its output goes to the terminal.
pub fn status(command: &mut Command) -> Result<ExitStatus, String> {
    command.status().map_err(|error| format!("{command:?} cannot be run: {error}"))
}

/// Runs a program that has to succeed.
pub fn succeed(command: &mut Command) -> Result<(), String> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

/// Runs a program that has to succeed. Shows each line of its output, and passes it to `line`.
pub fn watch(command: &mut Command, mut line: impl FnMut(&str)) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot be run: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
    if let Some(output) = child.stdout.take() {
        for text in BufReader::new(output).lines() {
            let text = text.map_err(|error| failed(&error))?;
            println!("{text}");
            line(&text);
        }
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}
