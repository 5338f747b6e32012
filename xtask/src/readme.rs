//! `cargo xtask readme`: updates what the README says about every activation and loss.

use std::fs;
use std::path::PathBuf;

use wgrad::{Activation, Loss};

use crate::command::root;

/// The names and texts of the parts. A part of the README begins after `<!-- NAME -->` and ends before
/// `<!-- end NAME -->`.
fn parts() -> [(&'static str, String); 4] {
    let losses = Loss::all().map(|loss| format!("`{loss}`")).collect::<Vec<_>>().join(" ");
    [
        ("pointwise", names(false)),
        ("rowwise", names(true)),
        ("losses", losses),
        ("shapes", shapes()),
    ]
}

pub fn write() -> Result<(), String> {
    let path = path();
    fs::write(&path, up_to_date(&read()?)?)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn path() -> PathBuf {
    root().join("README.md")
}

fn read() -> Result<String, String> {
    let path = path();
    fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The README with its parts replaced by those from the catalogue.
fn up_to_date(readme: &str) -> Result<String, String> {
    parts().into_iter().try_fold(readme.to_owned(), |readme, (name, text)| {
        let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end {name} -->"));
        let missing = || format!("the README has no part from {begin} to {end}");
        let (before, rest) = readme.split_once(&begin).ok_or_else(missing)?;
        let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
        Ok([before, &begin, &text, &end, after].concat())
    })
}

/// The activations of a kind, in the form in which they are printed: `elu(alpha=1)`.
fn names(rowwise: bool) -> String {
    let names = Activation::all().filter(|activation| activation.is_rowwise() == rowwise);
    names.map(|activation| format!("`{activation}`")).collect::<Vec<_>>().join(" ")
}

/// A table of all pictures, three in a line.
fn shapes() -> String {
    let pictures: Vec<String> = Activation::all()
        .map(|activation| {
            let name = activation.name();
            format!("![{name}](docs/figures/{name}.svg)")
        })
        .collect();
    let lines = pictures.chunks(3).map(|line| {
        let empty = "  |".repeat(3 - line.len());
        format!("| {} |{empty}\n", line.join(" | "))
    });
    format!("\n\n| | | |\n|---|---|---|\n{}\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_is_up_to_date() {
        let readme = read().unwrap();
        assert!(readme == up_to_date(&readme).unwrap(), "run `cargo xtask readme`");
    }

    #[test]
    fn every_activation_has_its_picture() {
        for activation in Activation::all() {
            let picture = root().join(format!("docs/figures/{}.svg", activation.name()));
            assert!(picture.exists(), "run `cargo run --release --example shapes`: {picture:?}");
        }
    }

    #[test]
    fn a_readme_without_its_parts_is_an_error() {
        assert!(up_to_date("<!-- pointwise -->").unwrap_err().contains("<!-- end pointwise -->"));
    }
}
