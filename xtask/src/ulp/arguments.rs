//! The command line of `cargo xtask ulp`.

use lexopt::prelude::*;
use wgrad::{DeviceInfo, wgpu};

use crate::selection::Selection;

pub const USAGE: &str = "\
cargo xtask ulp [options]   measures every function and derivative against the f64 reference
  --function NAME   only these activations, as in sigmoid,tanh or \"elu(alpha=0.3)\"; may be repeated
  --order N         only 0 (the function), 1 (its derivative) or 2 (its second derivative)
  --stride N        one of N neighbouring floats instead of all 2^32
  --device NAME     cpu, gpu (every adapter), all (default), or a part of a device's name, as in llvmpipe
  --write           also puts the results into docs/accuracy.txt and docs/accuracy.md";

/// What to measure, on which devices, and how.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub selection: Selection,
    pub stride: u32,
    pub device: String,
    pub write: bool,
    pub help: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            stride: 1,
            device: "all".to_owned(),
            write: false,
            help: false,
        }
    }
}

impl Arguments {
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        Self::read(words).map_err(|error| format!("{error}\n\n{USAGE}"))
    }

    fn read(words: impl IntoIterator<Item = String>) -> Result<Self, lexopt::Error> {
        let mut arguments = Self::default();
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("function") => {
                    arguments.selection.add_activations(&parser.value()?.string()?)?
                }
                Long("order") => arguments.selection.add_orders(&parser.value()?.string()?)?,
                Long("stride") => {
                    arguments.stride = parser.value()?.parse()?;
                    if arguments.stride == 0 {
                        return Err("the stride must be at least 1".into());
                    }
                }
                Long("device") => arguments.device = parser.value()?.string()?,
                Long("write") => arguments.write = true,
                Long("help") | Short('h') => arguments.help = true,
                other => return Err(other.unexpected()),
            }
        }
        Ok(arguments)
    }

    /// The devices that the arguments choose.
    pub fn choose(&self, devices: Vec<DeviceInfo>) -> Result<Vec<DeviceInfo>, String> {
        let wanted = self.device.to_lowercase();
        let fits = |info: &DeviceInfo| match &*wanted {
            "all" => true,
            "cpu" => !info.kind.is_gpu(),
            "gpu" => info.kind.is_gpu(),
            name => info.to_string().to_lowercase().contains(name),
        };
        let names: Vec<String> = devices.iter().map(DeviceInfo::to_string).collect();
        let mut chosen: Vec<DeviceInfo> = devices.into_iter().filter(fits).collect();
        // OpenGL would show the same hardware once more.
        let is_modern = |info: &DeviceInfo| info.kind.is_gpu() && !is_opengl(info);
        if chosen.iter().any(is_modern) {
            chosen.retain(|info| !is_opengl(info));
        }
        if chosen.is_empty() {
            return Err(format!("no device is {:?}; there are: {}", self.device, names.join("; ")));
        }
        Ok(chosen)
    }
}

fn is_opengl(info: &DeviceInfo) -> bool {
    info.backend == Some(wgpu::Backend::Gl)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn options_are_read() {
        let arguments = parse(&[]).unwrap();
        assert_eq!((&*arguments.device, arguments.stride, arguments.write), ("all", 1, false));
        let words = ["--stride=16", "--device", "llvmpipe", "--function=tanh,elu", "--order", "0"];
        let arguments = parse(&[&words[..], &["--write"]].concat()).unwrap();
        assert_eq!((&*arguments.device, arguments.stride, arguments.write), ("llvmpipe", 16, true));
        assert_eq!(arguments.selection.functions().len(), 2);
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_says_so() {
        for (words, reason) in [
            (&["--function", "sigmiod"][..], "sigmoid"),
            (&["--order", "3"], "order"),
            (&["--stride", "0"], "at least 1"),
            (&["--stride", "many"], "many"),
            (&["--stride"], "stride"),
            (&["sigmoid"], "sigmoid"),
            (&["--fast"], "fast"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(reason) && error.contains(USAGE), "{words:?}: {error}");
        }
    }

    #[test]
    fn devices_are_chosen_by_kind_or_name() {
        let infos = vec![wgrad::Device::cpu().info().clone()];
        let choose = |name: &str| {
            let arguments = Arguments { device: name.to_owned(), ..Arguments::default() };
            arguments.choose(infos.clone())
        };
        assert_eq!(choose("cpu").unwrap(), infos);
        assert_eq!(choose("all").unwrap(), infos);
        assert_eq!(choose(&infos[0].name.to_uppercase()).unwrap(), infos);
        assert!(choose("gpu").unwrap_err().contains(&infos[0].name));
    }
}
