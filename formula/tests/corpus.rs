//! The checks of fuzz/ on the texts that it has kept.

#[path = "../../fuzz/src/lib.rs"]
mod checks;

use std::fs;
use std::path::Path;

fn check(corpus: &str, run: fn(&str)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(corpus);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        if let Ok(text) = std::str::from_utf8(&bytes) {
            run(text);
            count += 1;
        }
    }
    assert!(count > 30, "{count} texts");
}

#[test]
fn every_text_is_a_formula_or_an_error() {
    check("parse", checks::parse);
}

#[test]
fn derivatives_are_slopes() {
    check("derive", checks::derive);
}
