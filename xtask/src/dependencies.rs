//! `cargo xtask dependencies`: checks the licences and sources of the crates that the workspace builds on, and
//! whether it uses all crates that its manifests name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use crate::command::cargo;

/// The licences that are allowed. One of them must be enough to use a crate.
const LICENCES: [&str; 6] = ["Apache-2.0", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The crates whose types are part of wgrad's interface. With two versions of one, types that look the same do not
/// match.
const IN_THE_INTERFACE: [&str; 4] = ["bitflags", "bytemuck", "half", "wgpu"];

/// What `cargo metadata` prints.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for a package of the workspace.
    source: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
    #[serde(default)]
    metadata: Option<Settings>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    rename: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    src_path: PathBuf,
}

/// The table `[package.metadata.cargo-machete]` of a manifest, which that tool reads, too.
#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default, rename = "cargo-machete")]
    machete: Ignored,
}

#[derive(Default, Deserialize)]
struct Ignored {
    #[serde(default)]
    ignored: Vec<String>,
}

pub fn check() -> Result<(), String> {
    let mut command = cargo(&["metadata", "--format-version", "1", "--locked"]);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.status));
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let packages = &metadata.packages;
    let mut faults = versions(packages);
    for package in packages {
        faults.extend(origin(package));
        if package.source.is_none() {
            faults.extend(unused(package)?);
        }
    }
    if faults.is_empty() {
        println!("{} crates: licences and sources are allowed, none is unused", packages.len());
        return Ok(());
    }
    Err(faults.join("\n"))
}

fn versions(packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let several = versions.iter().filter(|(_, versions)| versions.len() > 1);
    let exposed = several.filter(|(name, _)| IN_THE_INTERFACE.contains(name));
    exposed.map(|(name, versions)| format!("{name} has several versions: {versions:?}")).collect()
}

/// The faults of the licence and the source of a package that is not part of the workspace.
fn origin(package: &Package) -> Vec<String> {
    let Package { name, version, license, source, .. } = package;
    let mut faults = Vec::new();
    let Some(source) = source else { return faults };
    if source != CRATES_IO {
        faults.push(format!("{name} {version} comes from {source}"));
    }
    match license {
        Some(license) if is_allowed(license) => {}
        Some(license) => faults.push(format!("{name} {version} has the licence {license}")),
        None => faults.push(format!("{name} {version} names no licence")),
    }
    faults
}

/// Whether the allowed licences satisfy an SPDX expression.
fn is_allowed(expression: &str) -> bool {
    // Old manifests separate alternatives with a slash.
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = text.split_whitespace().peekable();
    any_of(&mut words) == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// Parses alternatives; `None` if there is no such expression.
fn any_of(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = all_of(words)?;
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all_of(words)?;
    }
    Some(allowed)
}

fn all_of(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = term(words)?;
    while words.next_if_eq(&"AND").is_some() {
        allowed &= term(words)?;
    }
    Some(allowed)
}

fn term(words: &mut Words<'_>) -> Option<bool> {
    let licence = words.next()?;
    if licence == "(" {
        let allowed = any_of(words)?;
        return (words.next()? == ")").then_some(allowed);
    }
    // An exception permits more than the licence alone.
    if words.next_if_eq(&"WITH").is_some() {
        words.next()?;
    }
    Some(LICENCES.contains(&licence))
}

/// The dependencies that no source of the package names.
fn unused(package: &Package) -> Result<Vec<String>, String> {
    let mut sources = String::new();
    let folders: BTreeSet<&Path> =
        package.targets.iter().filter_map(|target| target.src_path.parent()).collect();
    for folder in folders {
        read_sources(folder, &mut sources).map_err(|error| error.to_string())?;
    }
    let ignored = package.metadata.as_ref().map_or(&[][..], |it| &it.machete.ignored);
    let manifest = package.manifest_path.display();
    let fault = |dependency: &Dependency| {
        let name = dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_");
        let is_used = names(&sources, &name) || ignored.contains(&dependency.name);
        (!is_used).then(|| format!("{manifest}: {} is not used", dependency.name))
    };
    Ok(package.dependencies.iter().filter_map(fault).collect())
}

/// Appends all Rust files below the folder, except those of other packages.
fn read_sources(folder: &Path, sources: &mut String) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.join("Cargo.toml").exists() {
                read_sources(&path, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(())
}

/// Whether the sources contain a path that begins with the crate, outside of line comments.
fn names(sources: &str, name: &str) -> bool {
    let is_part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let code = sources.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.into_iter().any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let begins = !before.ends_with(is_part_of_word) && !before.ends_with("::");
            let is_use = before.trim_end().ends_with("use") && after.starts_with([';', ' ']);
            begins && (after.starts_with("::") || is_use)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_as_spdx_expressions() {
        for allowed in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT OR", "(MIT", "MIT Apache-2.0"] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }

    #[test]
    fn a_crate_is_used_where_a_path_begins_with_it() {
        for used in ["use log::warn;", "    log::warn!(\"{x}\");", "pub use log;", "use log as l;"]
        {
            assert!(names(used, "log"), "{used}");
        }
        for unused in ["// log::warn", "let log = 1;", "use env_log::warn;", "use math::log::log2;"]
        {
            assert!(!names(unused, "log"), "{unused}");
        }
    }
}
