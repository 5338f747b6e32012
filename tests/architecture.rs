//! The floors of the house: see ARCHITECTURE.md. A module imports from its own folder and from the floors below.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each module of the library.
///
/// Floors 0 to 3 are also the crate formula/, where the compiler keeps the direction.
const FLOORS: [(&str, usize); 18] = [
    ("data", 0),
    ("backend", 4),
    ("cpu", 5),
    ("gpu", 5),
    ("device", 6),
    ("catalogue", 7),
    ("names", 7),
    ("activation", 7),
    ("loss", 7),
    ("linear", 7),
    ("dense", 7),
    ("files", 7),
    ("gated", 7),
    ("metrics", 7),
    ("prelu", 7),
    ("optimizer", 7),
    ("output_layer", 7),
    ("reference", 7),
];

const BACKENDS: usize = 5;
const DEVICES: usize = 6;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A text without comments and without what only tests see.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut lines: Vec<&str> = Vec::new();
    let mut is_of_tests = false;
    for line in text.lines().map(str::trim) {
        let is_import = line.starts_with("use ") || line.starts_with("pub(crate) use ");
        if !(is_of_tests && is_import || line.starts_with("//")) {
            lines.push(line);
        }
        is_of_tests = line == "#[cfg(test)]";
    }
    lines.join(" ")
}

/// The paths that a `use` tree names, flattened: `a::{b, c::d}` is a::b and a::c::d.
fn flattened(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inside = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (place, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(flattened).map(|part| format!("{}{part}", before.trim())).collect()
}

/// The modules that a file of the module `own` names, from `crate::` on, or by `super::` from the top.
fn imports(code: &str, own: &str, exported: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut paths: Vec<String> = Vec::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        let of_use = code[..place].trim_end().ends_with("use");
        let end = if of_use { ';' } else { ' ' };
        let tree = rest.split(end).next().unwrap();
        let tree = if of_use { tree } else { tree.split(['(', '<', ',', ')']).next().unwrap() };
        paths.extend(flattened(tree));
    }
    let module = |path: String| {
        let first = path.split("::").next().unwrap().trim().to_owned();
        // A name that the crate re-exports belongs to its module.
        exported.get(&first).cloned().unwrap_or(first)
    };
    paths.into_iter().map(module).filter(|module| module != own).collect()
}

/// The module of each name that lib.rs takes from one: `pub use dense::{Dense, ...}` and the like.
fn exported(lib: &str) -> BTreeMap<String, String> {
    let mut exported = BTreeMap::new();
    for statement in code(lib).split(';') {
        let Some((_, tree)) = statement.rsplit_once("use ") else { continue };
        for path in flattened(tree) {
            let parts: Vec<&str> = path.split("::").map(str::trim).collect();
            if let [module, .., name] = parts[..] {
                exported.insert(name.to_owned(), module.to_owned());
            }
        }
    }
    exported
}

/// What each module of the library names.
fn graph(sources: &[(String, String)], lib: &str) -> BTreeMap<String, BTreeSet<String>> {
    let exported = exported(lib);
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, text) in sources {
        graph.entry(module.clone()).or_default().extend(imports(&code(text), module, &exported));
    }
    graph
}

/// What is wrong with the directions of a graph.
fn faults(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let floor = |module: &str| FLOORS.iter().find(|(name, _)| *name == module).map(|it| it.1);
    let mut faults = Vec::new();
    for (module, imports) in graph {
        let Some(own) = floor(module) else {
            faults.push(format!("{module} has no floor: add it to FLOORS"));
            continue;
        };
        for import in imports {
            // What the crate formula/ has lies below all others.
            let Some(other) = floor(import) else {
                if import != "wgrad_formula" {
                    faults.push(format!("{module} imports {import}, which has no floor"));
                }
                continue;
            };
            let is_backend = other == BACKENDS;
            if other > own {
                faults.push(format!("{module} (floor {own}) imports {import} (floor {other})"));
            } else if is_backend && own != DEVICES {
                faults.push(format!("{module} names a backend, {import}: only device does"));
            } else if reaches(graph, import, module) {
                faults.push(format!("{module} and {import} import each other"));
            }
        }
    }
    faults
}

fn reaches(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(module) = open.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module)
            && let Some(imports) = graph.get(module)
        {
            open.extend(imports.iter().map(String::as_str));
        }
    }
    false
}

fn library() -> (Vec<(String, String)>, String) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&source, &mut paths);
    let mut files = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&source).unwrap().to_string_lossy().replace('\\', "/");
        if name == "lib.rs" || name.ends_with("_tests.rs") {
            continue;
        }
        let module = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        files.push((module, fs::read_to_string(&path).unwrap()));
    }
    (files, fs::read_to_string(source.join("lib.rs")).unwrap())
}

#[test]
fn every_module_imports_from_its_own_folder_and_from_floors_below() {
    let (files, lib) = library();
    let graph = graph(&files, &lib);
    for (module, imports) in &graph {
        println!("{module}: {}", imports.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    let faults = faults(&graph);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn imports_that_go_up_or_in_circles_are_found() {
    let lib = "pub use device::{Device, Tensor}; use wgrad_formula::data::{error, reduction};";
    let faults_of = |module: &str, text: &str| {
        let (mut files, _) = library();
        files.push((module.to_owned(), text.to_owned()));
        let (_, real) = library();
        faults(&graph(&files, &format!("{real}\n{lib}")))
    };
    let found = |module: &str, text: &str, fault: &str| {
        let faults = faults_of(module, text);
        assert!(faults.iter().any(|it| it.contains(fault)), "{text}: {faults:?}");
    };
    assert_eq!(faults_of("dense", "use crate::error::{Error, Result};"), [""; 0]);
    found("backend", "use crate::device::Device;", "backend (floor 4) imports device (floor 6)");
    found("backend", "use crate::{Tensor, error};", "backend (floor 4) imports device (floor 6)");
    found("cpu", "fn f() { crate::device::tensor::f() }", "cpu (floor 5) imports device");
    found("cpu", "use crate::gpu::Buffer;", "cpu names a backend, gpu");
    found("dense", "use crate::{cpu::{self, Cell}};", "dense names a backend, cpu");
    found("linear", "use crate::dense::Dense;", "import each other");
    found("new", "use crate::data::shape::Shape;", "new has no floor");
    let of_tests = "#[cfg(test)]\nmod tests {\n    use crate::device::Device;\n}\n";
    assert_eq!(faults_of("backend", of_tests), [""; 0]);
}
