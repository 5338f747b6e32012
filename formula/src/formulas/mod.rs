//! Floor 2: the functions of the catalogue, as plain data and as formulas that are generic over the precision.
//!
//! A user's call is converted to a [`Function`] and a [`LossFunction`] once;
//! everything below computes those.

mod activation_rows;
pub mod activations;
mod function;
mod loss;
mod loss_rows;
pub mod losses;
pub mod pair;

pub use activations::{Pointwise, Rowwise};
pub use function::{
    Function, Map, PointwiseFunction, PointwiseVisitor, RowFunction, RowwiseVisitor,
};
pub use loss::{FormsVisitor, Formula, LossFunction, LossVisitor, TermFunction, Unit, View};
pub use losses::{LossOfForms, LossTerm};
pub use pair::{Argument, Head, Pair};
