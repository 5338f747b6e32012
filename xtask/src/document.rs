//! Documents that are written from the catalogue.

use std::fs;
use std::path::PathBuf;

use crate::command::root;

fn path(name: &str) -> PathBuf {
    root().join("docs").join(name)
}

/// Writes a document of docs/.
pub fn write(name: &str, text: &str) -> Result<(), String> {
    let path = path(name);
    fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Escapes a text for a cell of a table.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Checks that a document has this text.
#[cfg(test)]
pub fn assert_up_to_date(name: &str, text: &str) {
    let found = fs::read_to_string(path(name)).unwrap();
    assert!(found == text, "run `cargo xtask readme`");
}
