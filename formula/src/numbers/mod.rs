//! Floor 1: the precisions that formulas are written for, and their elementary functions.

mod real;
mod single;
mod special;

pub use real::{Real, Sum};
#[doc(hidden)]
pub use single::{difference, exp_difference, finite_difference, ln_1p};
// A sealed part of `Real`, which others cannot implement.
pub(crate) use special::Special;
