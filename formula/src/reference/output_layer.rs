//! The output layer, formula by formula.

use super::loss::{LossData, Targets, loss};
use super::{backward, forward, matmul, sum};
use crate::data::{Error, Reduction, Result};
use crate::formulas::{Function, Head, LossFunction};

/// An output layer and its data: x of shape [batch, inputs], w of shape [inputs, classes].
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The activation g.
    pub activation: Function,
    /// The loss.
    pub loss: LossFunction,
    /// The reduction of the loss to one number.
    pub reduction: Reduction,
    /// The inputs, row-major.
    pub x: &'a [f64],
    /// The weights, row-major.
    pub w: &'a [f64],
    /// The bias of each class; zeros if there is none.
    pub b: &'a [f64],
    /// The targets.
    pub targets: Targets<'a>,
    /// The number of inputs M.
    pub inputs: usize,
    /// The coefficient of the z-loss; 0 for none.
    pub z_loss: f64,
}

impl Problem<'_> {
    /// The number of rows of x; an error if the slices do not match.
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

/// E, y and all gradients of an output layer, composed of the single formulas; computed from the
/// logits for a pair that is one function of them.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the slices do not match, or if there are no inputs or classes.
pub fn output_layer(problem: &Problem<'_>) -> Result<Gradients> {
    let (inputs, classes) = (problem.inputs, problem.b.len());
    let batch = problem.batch()?;
    let mut z = matmul(problem.x, problem.w, batch, inputs, classes);
    for row in z.chunks_mut(classes) {
        row.iter_mut().zip(problem.b).for_each(|(z, b)| *z += b);
    }
    let y = forward(problem.activation, &z, classes);

    // If there is a formula for the loss as a function of z, use it, because y may be rounded to 0.
    let of_z = Head::of_pair(problem.activation, problem.loss.formula);
    let head = of_z.unwrap_or(Head::of_output(problem.loss.formula));
    let data = LossData {
        loss: problem.loss,
        reduction: problem.reduction,
        arguments: if of_z.is_some() { &z } else { &y },
        classes,
        targets: problem.targets,
        z_loss: problem.z_loss,
    };
    let evaluated = loss(head, &data)?;
    let (loss, slopes) = (evaluated.loss, evaluated.dy);
    let mut dz =
        if of_z.is_some() { slopes } else { backward(problem.activation, &z, &slopes, classes) };
    // This also holds where y has no value, and where x or w is infinite.
    let clear_ignored = |matrix: &mut [f64], width: usize| {
        let rows = matrix.chunks_mut(width).zip(&evaluated.counts);
        rows.filter(|(_, counts)| !**counts).for_each(|(row, _)| row.fill(0.0));
    };
    clear_ignored(&mut dz, classes);
    let mut x = problem.x.to_vec();
    clear_ignored(&mut x, inputs);
    let dw = matmul(&transpose(&x, inputs), &dz, inputs, batch, classes);
    let db = (0..classes).map(|k| sum(dz.iter().skip(k).step_by(classes).copied())).collect();
    let mut dx = matmul(&dz, &transpose(problem.w, classes), batch, classes, inputs);
    clear_ignored(&mut dx, inputs);
    Ok(Gradients { loss, y, dz, dw, db, dx })
}

fn transpose(matrix: &[f64], columns: usize) -> Vec<f64> {
    let column = |k: usize| matrix.iter().skip(k).step_by(columns.max(1)).copied();
    (0..columns).flat_map(column).collect()
}
