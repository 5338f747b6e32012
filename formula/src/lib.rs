//! The formulas of [wgrad](https://docs.rs/wgrad): activations, losses and their derivatives, each written once,
//! generic over the precision, and a reference in plain `f64` that any result can be compared with.
//!
//! The modules are floors of a house, from the ground up: a module uses those above it in this list, never one
//! below.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 0 | [`data`] | errors, reductions, names and parameters |
//! | 1 | [`numbers`] | the precisions, and their elementary functions |
//! | 2 | [`expression`] | formulas of a user as graphs: parsed, simplified, derived, compiled |
//! | 2 | [`formulas`] | the functions of the catalogue, and the pairs of them that are one function |
//! | 3 | [`reference`](mod@reference) | the reference in `f64` |
//!
//! Programs use wgrad, which re-exports the items that are meant for them. The rest of this crate
//! may change with each version.

pub mod data;
pub mod expression;
pub mod formulas;
pub mod numbers;
pub mod reference;
