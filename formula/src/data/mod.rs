//! Floor 0: plain data.

mod as_text;
pub mod error;
pub mod names;
pub mod parameters;
pub mod reduction;

pub use error::{Error, Result};
pub use reduction::Reduction;
