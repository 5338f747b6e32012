//! The machine that a run is made on, and the versions of what it measures.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::record::Machine;
use crate::{Result, root};

/// Runs a program, and returns the lines that it prints.
fn output(command: &mut Command) -> Result<Vec<String>> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

pub fn describe(programs: &Path) -> Result<Machine> {
    let names = output(Command::new(programs.join("peer-wgrad")).arg("name"))?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = field("model name").unwrap_or_else(|| "unknown processor".to_owned());
    let vectors = ["avx512f", "avx2", "avx", "asimd"];
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    let vector = vectors.iter().find(|name| flags.split(' ').any(|flag| flag == **name));
    let system = output(Command::new("uname").args(["-s", "-r", "-m"]))?.join(" ");
    let vector = vector.map(|name| format!(" ({name})")).unwrap_or_default();
    Ok(Machine {
        processor,
        cores: std::thread::available_parallelism()?.get(),
        system: system + &vector,
        gpu: names.get(1).cloned().unwrap_or_default(),
    })
}

pub fn versions(python: Option<&Path>) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    // For each package, the lock file has its name and its version on two lines.
    let lock = std::fs::read_to_string(root().join("benches/peers/Cargo.lock"))?;
    let lines: Vec<&str> = lock.lines().collect();
    for package in ["candle-core", "burn", "gemm", "wgpu"] {
        let name = format!("name = \"{package}\"");
        let at = lines.iter().position(|line| *line == name);
        let version = at.and_then(|at| lines.get(at + 1)?.split('"').nth(1));
        versions.insert(package.to_owned(), version.ok_or("the lock file")?.to_owned());
    }
    let root = root();
    let git = |arguments: &[&str]| {
        output(Command::new("git").arg("-C").arg(&root).args(arguments))
            .map(|lines| lines.join(" "))
    };
    let changed = git(&["status", "--porcelain", "--", "src", "shaders"]).unwrap_or_default();
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|_| "unknown".to_owned());
    let suffix = if changed.is_empty() { "" } else { " with changes" };
    versions.insert("wgrad".to_owned(), commit + suffix);
    if let Some(python) = python {
        let script = root.join("benches/peers/torch/work.py");
        let version = output(Command::new(python).arg(script).arg("version"))?;
        versions.insert("torch".to_owned(), version.join(" "));
    }
    versions.insert("rustc".to_owned(), output(Command::new("rustc").arg("--version"))?.join(" "));
    Ok(versions)
}
