//! Functions as polynomials on intervals.
//!
//! A processor with AVX-512 looks 16 numbers up in a table of 32 by one instruction, so that each of 16
//! arguments has a polynomial of its own. That takes fewer operations than an exponential and a division,
//! and errs less: the coefficients come from the formula in f64, when a function is used for the first
//! time.
//!
//! Whatever an element's neighbours are, its result is the same.

#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(target_arch = "x86_64")]
mod fit;
#[cfg(target_arch = "x86_64")]
mod table;
#[cfg(target_arch = "x86_64")]
mod vectors;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use absent::Evaluator;
#[cfg(target_arch = "x86_64")]
pub(super) use vectors::Evaluator;
