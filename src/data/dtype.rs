//! Types of elements.

use std::fmt;

/// The way in which a tensor's elements are stored. The arithmetic is always in f32.
///
/// ```
/// use wgrad::DType;
/// assert_eq!((DType::F16.bytes(), DType::F16.to_string()), (2, "f16".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum DType {
    /// IEEE's binary32.
    #[default]
    F32,
    /// IEEE's binary16, [`half::f16`]: half the bytes, three digits, up to 65 504.
    F16,
    /// The upper half of an f32, [`half::bf16`]: two digits, and the range of f32.
    BF16,
}

impl DType {
    /// The number of bytes of an element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// Whether two elements share a word.
    pub(crate) const fn is_half(self) -> bool {
        match self {
            Self::F32 => false,
            Self::F16 | Self::BF16 => true,
        }
    }

    /// The number of 32-bit words that store this number of elements.
    pub(crate) const fn words(self, elements: usize) -> usize {
        match self {
            Self::F32 => elements,
            Self::F16 | Self::BF16 => elements.div_ceil(2),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
        })
    }
}
