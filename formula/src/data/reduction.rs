//! The reduction of a loss to one number.

use std::fmt;
use std::str::FromStr;

use super::error::Error;
use super::names::{same_name, unknown_name};

/// The way in which the terms of a loss are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Not at all: the result is the loss of each element, or of each row for losses on rows.
    None,
    /// Their sum.
    Sum,
    /// Their mean, as in PyTorch: over all elements for losses on elements, and over the
    /// rows that are not ignored for losses on rows. It is correct whenever f32 can hold it,
    /// even if f32 cannot hold the sum.
    #[default]
    Mean,
    /// Their sum, divided by the length of the first axis, B.
    BatchMean,
}

impl Reduction {
    const NAMES: [&'static str; 4] = ["none", "sum", "mean", "batch_mean"];
    const ALL: [Self; 4] = [Self::None, Self::Sum, Self::Mean, Self::BatchMean];
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::NAMES[*self as usize])
    }
}

crate::as_text!(Reduction, "a reduction");

impl FromStr for Reduction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let index = Self::NAMES.iter().position(|name| same_name(name, text.trim()));
        index
            .map(|index| Self::ALL[index])
            .ok_or_else(|| unknown_name("reduction", text, &Self::NAMES))
    }
}
