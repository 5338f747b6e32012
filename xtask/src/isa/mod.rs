//! `cargo xtask isa`: shows what a real GPU's compiler makes of the kernels, without a GPU.

mod assembly;
mod radv;
mod report;
mod spirv;
mod table;

use std::path::PathBuf;
use std::process::Command;

use lexopt::prelude::*;
use rayon::prelude::*;
use wgrad::{AssembledKernel, KernelKind};

use radv::Compiler;
use report::Report;
use table::{Card, Row};

const USAGE: &str = "\
cargo xtask isa [options]   compiles every kernel for AMD cards that are not there
  --kernel TEXT     only kernels whose name contains this, as in \"Unary(Forward) gelu\"; may be repeated
  --family NAME     only this card, as Mesa names it: vega10, navi21, gfx1100
  --write           puts the tables of all kernels into docs/instructions.md
  --check           fails where a kernel spills registers or docs/instructions.md is out of date";

/// The first cards of GCN 5, RDNA 2 and RDNA 3, by the names that Mesa gives them.
const FAMILIES: [&str; 3] = ["vega10", "navi21", "gfx1100"];

/// The environment variable that tells Mesa's driver which card to compile for. The driver reads it only when it is
/// loaded.
const FAMILY: &str = "RADV_FORCE_FAMILY";

#[derive(Clone, Debug, Default)]
struct Arguments {
    kernels: Vec<String>,
    families: Vec<String>,
    write: bool,
    check: bool,
    help: bool,
}

impl Arguments {
    fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        Self::read(words).map_err(|error| format!("{error}\n\n{USAGE}"))
    }

    fn read(words: impl IntoIterator<Item = String>) -> Result<Self, lexopt::Error> {
        let mut arguments = Self::default();
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("kernel") => arguments.kernels.push(parser.value()?.string()?),
                Long("family") => arguments.families.push(parser.value()?.string()?),
                Long("write") => arguments.write = true,
                Long("check") => arguments.check = true,
                Long("help") | Short('h') => arguments.help = true,
                other => return Err(other.unexpected()),
            }
        }
        let part = !arguments.kernels.is_empty() || !arguments.families.is_empty();
        if part && (arguments.write || arguments.check) {
            return Err("--write and --check are for all kernels on all cards".into());
        }
        Ok(arguments)
    }

    fn wants(&self, kernel: &AssembledKernel) -> bool {
        self.kernels.is_empty() || self.kernels.iter().any(|text| kernel.label.contains(text))
    }
}

/// Runs the command with its arguments.
pub fn command(words: impl IntoIterator<Item = String>) -> Result<(), String> {
    let words: Vec<String> = words.into_iter().collect();
    let arguments = Arguments::parse(words.iter().cloned())?;
    if arguments.help {
        println!("{USAGE}");
        return Ok(());
    }
    if let Ok(family) = std::env::var(FAMILY) {
        println!("{}", compile(family, &arguments)?.to_text()?);
        return Ok(());
    }
    let families: Vec<&str> = match arguments.families.as_slice() {
        [] => FAMILIES.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let cards = families
        .into_iter()
        .map(|family| in_environment(family, &words))
        .collect::<Result<Vec<Card>, String>>()?;
    let report = Report::new(cards)?;
    if arguments.write {
        return report.write();
    }
    if arguments.check {
        return report.check();
    }
    print!("{}", report.text());
    Ok(())
}

/// Runs this program once more, in an environment in which the driver offers that card.
fn in_environment(family: &str, words: &[String]) -> Result<Card, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut again = Command::new(program);
    again.arg("isa").args(words).stderr(std::process::Stdio::inherit());
    again.env(FAMILY, family).env("VK_DRIVER_FILES", manifest()?);
    let output = again.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("the kernels cannot be compiled for {family}"));
    }
    Card::from_text(family, &String::from_utf8_lossy(&output.stdout))
}

/// The manifest by which the Vulkan loader finds RADV.
fn manifest() -> Result<PathBuf, String> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_radv = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("radeon_icd") && name.ends_with(".json")
    };
    paths.find(is_radv).ok_or_else(|| {
        format!(
            "Mesa's Vulkan driver for AMD cards (RADV) is not installed: no radeon_icd*.json in {}. \
             Debian and Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1",
            folders.join(", ")
        )
    })
}

/// Compiles the kernels for the card that the environment names.
fn compile(family: String, arguments: &Arguments) -> Result<Card, String> {
    let compiler = Compiler::open()?;
    let kernels = wgrad::assembled_kernels();
    let row = |kernel: &AssembledKernel| {
        let module = spirv::compile(kernel);
        let with_loop = kernel.kind == KernelKind::Product;
        let compiled = module.and_then(|module| compiler.compile(&module, with_loop));
        let name = kernel.label.clone();
        compiled
            .map(|compiled| Row { name, kind: kernel.kind, compiled })
            .map_err(|error| format!("{}: {error}", kernel.label))
    };
    // This kernel needs almost nothing, so it has as many waves as a SIMD unit can hold.
    let least = kernels.iter().find(|kernel| kernel.label == "Unary(Forward) identity");
    let full = row(least.ok_or("there is no identity")?)?.compiled.statistics.waves;
    let wanted: Vec<_> = kernels.iter().filter(|kernel| arguments.wants(kernel)).collect();
    let rows = wanted.into_par_iter().map(row).collect::<Result<Vec<Row>, String>>()?;
    if rows.is_empty() {
        return Err("there is no such kernel".to_owned());
    }
    let Compiler { card, driver, .. } = &compiler;
    Ok(Card { family, name: card.clone(), driver: driver.clone(), full, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let parse = |words: &[&str]| Arguments::parse(words.iter().map(|&word| word.to_owned()));
        let arguments = parse(&["--kernel", "tanh", "--family=gfx1100"]).unwrap();
        assert_eq!(
            (&arguments.families[..], arguments.write),
            (&["gfx1100".to_owned()][..], false)
        );
        let kernels = wgrad::assembled_kernels();
        let wanted = kernels.iter().filter(|kernel| arguments.wants(kernel)).count();
        assert!(wanted > 4 && wanted < kernels.len() / 4, "{wanted}");
        assert!(parse(&["--family"]).unwrap_err().contains(USAGE));
        assert!(parse(&["--check"]).unwrap().check);
        assert!(parse(&["--write", "--kernel", "tanh"]).unwrap_err().contains("all kernels"));
        assert!(parse(&["navi21"]).is_err());
    }
}
