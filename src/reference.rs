//! The formulas in plain Rust, so that anyone can check any result.
//!
//! The functions of this module compute in `f64`, one value after the other, with nothing clever:
//! they are the oracle of the tests. Underneath, each formula is written once, generic over
//! [`Real`]; the CPU backend runs the same formulas in `f32`.
//!
//! ```
//! use wgrad::{Activation, reference};
//! let y = reference::forward(&Activation::Softmax, &[0.0, 0.0, 1.0, 3.0], 2);
//! assert_eq!(y[..2], [0.5, 0.5]);
//! ```

pub use wgrad_formula::formulas::{LossOfForms, LossTerm, Pointwise, Rowwise, activations, losses};
pub use wgrad_formula::numbers::{Real, Sum};
pub use wgrad_formula::reference::{
    Gradients, LossGradient, TargetValues, Targets, matmul, prelu, prelu_backward,
};

use wgrad_formula::formulas::{Head, Map, Pair};
use wgrad_formula::reference as exact;

use crate::activation::Activation;
use crate::error::Result;
use crate::loss::Loss;
use crate::reduction::Reduction;

/// `g(z)` for rows of the given length (of any length for pointwise activations).
pub fn forward(activation: &Activation, z: &[f64], row: usize) -> Vec<f64> {
    exact::forward(activation.function(), z, row)
}

/// `g'(z)` of a pointwise activation; NaN for a row-wise one, which has a Jacobian.
pub fn derivative(activation: &Activation, z: f64) -> f64 {
    at(activation, Map::Derivative, z)
}

/// `g''(z)` of a pointwise activation; NaN for a row-wise one.
pub fn second_derivative(activation: &Activation, z: f64) -> f64 {
    at(activation, Map::SecondDerivative, z)
}

/// `g'(z)` from `y = g(z)`, where that is possible.
pub fn derivative_from_output(activation: &Activation, y: f64) -> Option<f64> {
    activation.has_derivative_from_output().then(|| at(activation, Map::DerivativeFromOutput, y))
}

/// `dE/dz` from z and `dE/dy`, for rows of the given length.
pub fn backward(activation: &Activation, z: &[f64], dy: &[f64], row: usize) -> Vec<f64> {
    exact::backward(activation.function(), z, dy, row)
}

/// `∂y_i/∂z_j` of one row, row-major [K, K]; diagonal for pointwise activations.
pub fn jacobian(activation: &Activation, z: &[f64]) -> Vec<f64> {
    exact::jacobian(activation.function(), z)
}

/// `value·g(gate)`, an output of a gated unit with a pointwise activation.
pub fn gated(activation: &Activation, value: f64, gate: f64) -> f64 {
    let function = activation.function().pointwise();
    function.map_or(f64::NAN, |function| exact::gated(function, value, gate))
}

/// What a gated unit gives back for `dE/dy`: dE/dvalue and dE/dgate.
pub fn gated_backward(activation: &Activation, value: f64, gate: f64, dy: f64) -> (f64, f64) {
    let function = activation.function().pointwise();
    let nan = (f64::NAN, f64::NAN);
    function.map_or(nan, |function| exact::gated_backward(function, value, gate, dy))
}

fn at(activation: &Activation, map: Map, x: f64) -> f64 {
    activation.function().pointwise().map_or(f64::NAN, |function| function.at(map, x))
}

/// A row-wise activation of one row, with its temperature T and its mask: the function is applied to
/// z / T, and elements that are excluded take no part in it.
///
/// An excluded output is 0 (−∞ for log_softmax), a constant: all its derivatives are 0, and dE/dy
/// and dz count nothing there. A row that has no value, as it holds NaN or +∞ or nothing but −∞, is NaN;
/// so is one with everything excluded. Pointwise activations give NaN.
///
/// ```
/// use wgrad::{Activation, reference::Row};
///
/// let row = Row::new(Activation::Sparsemax).temperature(0.5).mask(&[true, true, false]);
/// assert_eq!(row.forward(&[0.25, 0.0, 9.0]), [0.75, 0.25, 0.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// `None` for a pointwise activation.
    row: Option<exact::Row<'a>>,
}

impl<'a> Row<'a> {
    /// At the temperature 1, with nothing excluded.
    pub const fn new(activation: Activation) -> Self {
        match activation.row_function() {
            Some(function) => Self { row: Some(exact::Row::new(function)) },
            None => Self { row: None },
        }
    }

    /// At another temperature, T > 0.
    pub const fn temperature(self, temperature: f64) -> Self {
        match self.row {
            Some(row) => Self { row: Some(row.temperature(temperature)) },
            None => self,
        }
    }

    /// Which elements are kept; one that is missing is.
    pub const fn mask(self, mask: &'a [bool]) -> Self {
        match self.row {
            Some(row) => Self { row: Some(row.mask(mask)) },
            None => self,
        }
    }

    /// `y = g(z)`.
    pub fn forward(&self, z: &[f64]) -> Vec<f64> {
        self.evaluate(z.len(), |row| row.forward(z))
    }

    /// `dE/dz` from z and `dE/dy`: the product Jᵀ·dy.
    pub fn backward(&self, z: &[f64], dy: &[f64]) -> Vec<f64> {
        self.evaluate(z.len(), |row| row.backward(z, dy))
    }

    /// `J·dz`: how y changes along dz.
    pub fn jvp(&self, z: &[f64], dz: &[f64]) -> Vec<f64> {
        self.evaluate(z.len(), |row| row.jvp(z, dz))
    }

    /// `∂y_i/∂z_j`, row-major [K, K].
    pub fn jacobian(&self, z: &[f64]) -> Vec<f64> {
        self.evaluate(z.len(), |row| row.jacobian(z))
    }

    fn evaluate(&self, width: usize, of: impl FnOnce(&exact::Row<'a>) -> Vec<f64>) -> Vec<f64> {
        self.row.as_ref().map_or_else(|| vec![f64::NAN; width], of)
    }
}

/// A loss and its data: y of shape [B, classes].
#[derive(Clone, Copy, Debug)]
pub struct LossProblem<'a> {
    /// The loss.
    pub loss: &'a Loss,
    /// How it becomes one number.
    pub reduction: Reduction,
    /// The outputs, row-major.
    pub y: &'a [f64],
    /// The length of a row.
    pub classes: usize,
    /// The targets.
    pub targets: Targets<'a>,
}

/// A loss and its gradient, formula by formula.
///
/// ```
/// use wgrad::reference::{LossProblem, Targets, loss};
/// use wgrad::{Loss, Reduction};
///
/// let problem = LossProblem {
///     loss: &Loss::cross_entropy_with_logits(),
///     reduction: Reduction::Mean,
///     y: &[1e4, -1e4],
///     classes: 2,
///     targets: Targets::labels(&[1]),
/// };
/// let found = loss(&problem)?;
/// assert_eq!((found.loss, found.dy), (2e4, vec![1.0, -1.0]));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) if the slices do not go together.
pub fn loss(problem: &LossProblem<'_>) -> Result<LossGradient> {
    let LossProblem { loss, reduction, y, classes, targets } = *problem;
    let loss = loss.function();
    let data = exact::LossData { loss, reduction, arguments: y, classes, targets, z_loss: 0.0 };
    exact::loss(Head::of_output(loss.formula), &data)
}

/// The term that the loss adds up for one output y and one target t; NaN where either is NaN, and for a
/// loss that is not a sum of terms.
pub fn loss_term(loss: &Loss, y: f64, t: f64) -> f64 {
    term(loss, y, t).0
}

/// Its derivative with respect to y.
pub fn loss_term_gradient(loss: &Loss, y: f64, t: f64) -> f64 {
    term(loss, y, t).1
}

fn term(loss: &Loss, y: f64, t: f64) -> (f64, f64) {
    let term = loss.function().formula.terms();
    term.map_or((f64::NAN, f64::NAN), |term| Pair::of_output(term).at(y, t, 1.0))
}

/// An output layer and its data: x of shape [batch, inputs], w of shape [inputs, classes].
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The activation g.
    pub activation: &'a Activation,
    /// The loss.
    pub loss: &'a Loss,
    /// How the loss becomes one number.
    pub reduction: Reduction,
    /// The inputs, row-major.
    pub x: &'a [f64],
    /// The weights, row-major.
    pub w: &'a [f64],
    /// The bias of each class; zeros where there is none.
    pub b: &'a [f64],
    /// The targets.
    pub targets: Targets<'a>,
    /// The number of inputs M.
    pub inputs: usize,
    /// The coefficient of the z-loss; 0 for none.
    pub z_loss: f64,
}

/// E, y and all gradients of an output layer, composed of the single formulas; from the logits where
/// [`crate::OutputLayer`] fuses the pair.
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) if the slices do not go together, or there are no inputs or classes.
pub fn output_layer(problem: &Problem<'_>) -> Result<Gradients> {
    let Problem { activation, loss, reduction, x, w, b, targets, inputs, z_loss } = *problem;
    let (activation, loss) = (activation.function(), loss.function());
    exact::output_layer(&exact::Problem {
        activation,
        loss,
        reduction,
        x,
        w,
        b,
        targets,
        inputs,
        z_loss,
    })
}
