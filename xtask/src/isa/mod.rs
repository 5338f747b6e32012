//! `cargo xtask isa`: what a real GPU's compiler makes of the kernels, with no GPU.

mod radv;
mod report;
mod spirv;

use std::path::PathBuf;
use std::process::Command;

use lexopt::prelude::*;
use wgrad::Activation;

use crate::command::succeed;
use crate::selection::{Function, Selection};
use radv::{Compiler, Statistics};

const USAGE: &str = "\
cargo xtask isa [options]   compiles every pointwise kernel for an AMD card that is not there
  --function NAME   only these activations, as in sigmoid,tanh or \"elu(alpha=0.3)\"; may be repeated
  --order N         only 0 (the function), 1 (its derivative) or 2 (its second derivative)
  --family NAME     the card as Mesa names it: navi21 (default, RDNA 2), vega10, gfx1100 ...
  --write           also puts the table of all functions into docs/instructions.md";

/// The card that Mesa's driver is told to compile for. It reads this only when it is loaded.
const FAMILY: &str = "RADV_FORCE_FAMILY";

#[derive(Clone, Debug)]
struct Arguments {
    selection: Selection,
    family: String,
    write: bool,
    help: bool,
}

impl Arguments {
    fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        Self::read(words).map_err(|error| format!("{error}\n\n{USAGE}"))
    }

    fn read(words: impl IntoIterator<Item = String>) -> Result<Self, lexopt::Error> {
        let (selection, family) = (Selection::default(), "navi21".to_owned());
        let mut arguments = Self { selection, family, write: false, help: false };
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("function") => {
                    arguments.selection.add_activations(&parser.value()?.string()?)?;
                }
                Long("order") => arguments.selection.add_orders(&parser.value()?.string()?)?,
                Long("family") => arguments.family = parser.value()?.string()?,
                Long("write") => arguments.write = true,
                Long("help") | Short('h') => arguments.help = true,
                other => return Err(other.unexpected()),
            }
        }
        if arguments.write && !arguments.selection.is_everything() {
            return Err("--write is for the table of all functions".into());
        }
        Ok(arguments)
    }
}

/// The command with its arguments.
pub fn command(words: impl IntoIterator<Item = String>) -> Result<(), String> {
    let words: Vec<String> = words.into_iter().collect();
    let arguments = Arguments::parse(words.iter().cloned())?;
    if arguments.help {
        println!("{USAGE}");
        return Ok(());
    }
    if std::env::var(FAMILY).is_ok_and(|family| family == arguments.family) {
        return run(&arguments);
    }
    // Once more, in an environment in which the driver offers that card.
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut again = Command::new(program);
    again.arg("isa").args(words);
    again.env(FAMILY, &arguments.family).env("VK_DRIVER_FILES", manifest()?);
    succeed(&mut again)
}

/// Where the Vulkan loader finds RADV.
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

/// A function, and what its kernel compiles to.
struct Row {
    function: Function,
    statistics: Statistics,
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let compiler = Compiler::open()?;
    let compile = |function: Function| {
        let statistics = compiler.compile(&spirv::compile(&function)?);
        let name = function.name();
        statistics
            .map(|statistics| Row { function, statistics })
            .map_err(|error| format!("{name}, order {}: {error}", function.order))
    };
    // The kernel that needs next to nothing has as many waves as a SIMD unit can hold.
    let full = compile(Function { activation: Activation::Identity, order: 0 })?.statistics.waves;
    let functions = arguments.selection.functions().into_iter();
    let pointwise = functions.filter(|function| !function.activation.is_rowwise());
    let rows = pointwise.map(compile).collect::<Result<Vec<Row>, String>>()?;
    if rows.is_empty() {
        return Err("none of these functions has a pointwise kernel".to_owned());
    }
    let report = report::Report { compiler: &compiler, family: &arguments.family, full, rows };
    print!("{}", report.text());
    if arguments.write { report.write() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let parse = |words: &[&str]| Arguments::parse(words.iter().map(|&word| word.to_owned()));
        let arguments = parse(&["--function", "tanh", "--family=gfx1100"]).unwrap();
        assert_eq!((&*arguments.family, arguments.write), ("gfx1100", false));
        assert_eq!(arguments.selection.functions().len(), 3);
        assert_eq!(parse(&[]).unwrap().family, "navi21");
        assert!(parse(&["--family"]).unwrap_err().contains(USAGE));
        assert!(parse(&["--write"]).unwrap().write);
        assert!(parse(&["--write", "--order", "0"]).unwrap_err().contains("all functions"));
        assert!(parse(&["navi21"]).is_err());
    }
}
