//! Floor 0: plain data.

pub mod error;
pub mod names;
pub mod parameters;
pub mod reduction;

pub use error::{Error, Result};
pub use reduction::Reduction;
