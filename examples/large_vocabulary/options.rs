//! The command line.

use wgrad::{DType, Logits};

pub const HELP: &str = "\
Trains a next-word model over a large vocabulary, with the logits in tiles and with stored ones.

  --path tiled|full|both  the way to train (both): a single one for /usr/bin/time -v, which sees the
                          memory of the whole process
  --steps N               training steps of each path (25)
  --batch N               words of a batch (8192)
  --dtype f32|f16|bf16    the type of the weights (f32); all arithmetic is in f32
  --help                  this text

WGRAD_DEVICE=cpu|gpu chooses the device.";

pub struct Options {
    pub paths: Vec<Path>,
    pub steps: usize,
    pub batch: usize,
    pub dtype: DType,
}

/// A way to compute the gradients from the hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Tiled,
    Full,
}

impl Path {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiled => "tiled",
            Self::Full => "full",
        }
    }

    pub fn logits(self) -> Logits {
        match self {
            Self::Tiled => Logits::Tiled,
            Self::Full => Logits::Full,
        }
    }
}

impl Options {
    /// Returns `None` if help is requested.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            paths: vec![Path::Tiled, Path::Full],
            steps: 25,
            batch: 8192,
            dtype: DType::F32,
        };
        while let Some(argument) = arguments.next() {
            if matches!(argument.as_str(), "--help" | "-h") {
                return Ok(None);
            }
            if !["--path", "--steps", "--batch", "--dtype"].contains(&argument.as_str()) {
                return Err(format!("unknown argument {argument:?}; --help tells what there is"));
            }
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            match argument.as_str() {
                "--path" => options.paths = paths(&value)?,
                "--dtype" => options.dtype = dtype(&value)?,
                "--steps" => options.steps = positive(&argument, &value)?,
                _ => options.batch = positive(&argument, &value)?,
            }
        }
        Ok(Some(options))
    }
}

fn paths(value: &str) -> Result<Vec<Path>, String> {
    match value {
        "tiled" => Ok(vec![Path::Tiled]),
        "full" => Ok(vec![Path::Full]),
        "both" => Ok(vec![Path::Tiled, Path::Full]),
        _ => Err(format!("--path is tiled, full or both, not {value:?}")),
    }
}

fn positive(argument: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("{argument} is a number from 1, not {value:?}"))
}

fn dtype(value: &str) -> Result<DType, String> {
    match value {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        _ => Err(format!("--dtype is f32, f16 or bf16, not {value:?}")),
    }
}
