//! The output layer, formula by formula.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::loss::{Loss, Unit};
use crate::reduction::Reduction;

use super::{backward, forward, loss_term, loss_term_gradient, matmul};

/// What the outputs are compared with.
#[derive(Clone, Copy, Debug)]
pub enum TargetValues<'a> {
    /// A number for each output, [B, K].
    Dense(&'a [f64]),
    /// The index of a class for each row, `[B]`.
    Labels(&'a [i32]),
}

impl TargetValues<'_> {
    /// The target of one output with the loss's label smoothing, or nothing where the row is ignored.
    fn at(&self, loss: &Loss, row: usize, column: usize, classes: usize) -> Option<f64> {
        let smoothing = f64::from(loss.label_smoothing());
        let target = match self {
            Self::Dense(values) => values[row * classes + column],
            Self::Labels(labels) if Some(labels[row]) == loss.ignore_index() => return None,
            Self::Labels(labels) => f64::from(labels[row] == column as i32),
        };
        Some((1.0 - smoothing) * target + smoothing / classes as f64)
    }
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
    pub targets: TargetValues<'a>,
    /// The number of inputs M.
    pub inputs: usize,
}

impl Problem<'_> {
    /// The rows of x, where all slices go together.
    fn batch(&self) -> Result<usize> {
        const OP: &str = "reference output layer";
        let (inputs, classes) = (self.inputs, self.b.len());
        if inputs == 0 || classes == 0 || self.w.len() != inputs * classes {
            let expected = format!("w of {inputs} inputs times {classes} classes, both at least 1");
            return Err(Error::shape(OP, expected, self.w.len()));
        }
        let batch = self.x.len() / inputs;
        if self.x.len() != batch * inputs {
            let expected = format!("x of whole rows of {inputs}");
            return Err(Error::shape(OP, expected, self.x.len()));
        }
        let (expected, found) = match self.targets {
            TargetValues::Dense(values) => (batch * classes, values.len()),
            TargetValues::Labels(labels) => (batch, labels.len()),
        };
        if expected != found {
            return Err(Error::shape(OP, format!("{expected} targets"), found));
        }
        Ok(batch)
    }
}

/// The loss, the output and every gradient of a [`Problem`].
#[derive(Clone, Debug)]
pub struct Gradients {
    /// E.
    pub loss: f64,
    /// g(x·w + b), [B, K].
    pub y: Vec<f64>,
    /// dE/dz, [B, K].
    pub dz: Vec<f64>,
    /// dE/dw, [M, K].
    pub dw: Vec<f64>,
    /// dE/db, `[K]`.
    pub db: Vec<f64>,
    /// dE/dx, [B, M].
    pub dx: Vec<f64>,
}

/// E, y and all gradients of an output layer, composed of the single formulas.
///
/// # Errors
/// [`Error::ShapeMismatch`] where the slices do not go together, or there are no inputs or classes.
pub fn output_layer(problem: &Problem<'_>) -> Result<Gradients> {
    let (inputs, classes) = (problem.inputs, problem.b.len());
    let batch = problem.batch()?;
    let mut z = matmul(problem.x, problem.w, batch, inputs, classes);
    for row in z.chunks_mut(classes) {
        row.iter_mut().zip(problem.b).for_each(|(z, b)| *z += b);
    }
    let y = forward(problem.activation, &z, classes);

    let target =
        |index: usize| problem.targets.at(problem.loss, index / classes, index % classes, classes);
    let counted = (0..batch).filter(|row| target(row * classes).is_some()).count();
    let divisor = match (problem.reduction, problem.loss.unit()) {
        (Reduction::Sum | Reduction::None, _) => 1.0,
        (Reduction::BatchMean, _) => batch as f64,
        (Reduction::Mean, Unit::Element) => (batch * classes) as f64,
        (Reduction::Mean, Unit::Row) => counted as f64,
    };
    let term = |(index, &y): (usize, &f64)| target(index).map(|t| loss_term(problem.loss, y, t));
    let loss = y.iter().enumerate().filter_map(term).sum::<f64>() / divisor;
    let slope = |(index, &y): (usize, &f64)| {
        target(index).map_or(0.0, |t| loss_term_gradient(problem.loss, y, t) / divisor)
    };
    let dy: Vec<f64> = y.iter().enumerate().map(slope).collect();

    let dz = backward(problem.activation, &z, &dy, classes);
    let dw = matmul(&transpose(problem.x, inputs), &dz, inputs, batch, classes);
    let db = (0..classes).map(|k| dz.iter().skip(k).step_by(classes).sum()).collect();
    let dx = matmul(&dz, &transpose(problem.w, classes), batch, classes, inputs);
    Ok(Gradients { loss, y, dz, dw, db, dx })
}

fn transpose(matrix: &[f64], columns: usize) -> Vec<f64> {
    let column = |k: usize| matrix.iter().skip(k).step_by(columns.max(1)).copied();
    (0..columns).flat_map(column).collect()
}
