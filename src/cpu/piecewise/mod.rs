//! Functions as polynomials on intervals.
//!
//! A processor with AVX-512 looks up 16 numbers in a table of 32 with one instruction, so each
//! of 16 arguments can have its own polynomial. This takes fewer operations than an exponential
//! and a division, and is more accurate: the coefficients are computed from the formula in f64,
//! when a function is first used.
//!
//! An element's result does not depend on its neighbours.

#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(target_arch = "x86_64")]
mod fit;
#[cfg(target_arch = "x86_64")]
mod table;
#[cfg(target_arch = "x86_64")]
mod vectors;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use absent::{Evaluator, Tabulated};
#[cfg(target_arch = "x86_64")]
pub(super) use table::Tabulated;
#[cfg(target_arch = "x86_64")]
pub(super) use vectors::Evaluator;
