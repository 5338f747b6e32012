//! Floor 0: plain data that every other floor uses.

pub(crate) mod dtype;
pub(crate) mod lines;
pub(crate) mod shape;
