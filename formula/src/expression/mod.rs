//! Expressions: formulas of a user, their derivatives, and the code that computes them.

mod builder;
mod custom;
mod derivative;
mod graph;
mod names;
mod parse;
mod print;
mod program;
mod wgsl;

pub use builder::Expression;
pub use custom::{Custom, Derived, Of, PARAMETERS, QuotedCall, parse_call, parse_quoted};
pub use derivative::{NODES, With};
pub use graph::{Binary, Comparison, Graph, Id, Node, Unary};
pub use names::{ACTIVATIONS, Bound, Named, build, recognise};
pub use parse::Trouble;
pub use print::Names;
pub use program::{
    Operand, Operation, Program, SLOTS, Sign, Step, binary_value, integer_power, parts_value,
    times_value, unary_value,
};
