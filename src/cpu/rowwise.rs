//! Work along rows: the softmax family, and its fusion with cross-entropy.

use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::loss::{TargetRow, Targets};
use super::math::{exp_difference, ln_1p};
use super::parallel::{SERIAL, maximum, sum_of, vectorised};
use crate::activation::{Activation, RowwiseVisitor};
use crate::reference::Rowwise;
use crate::reference::activations::{RowSum, Shifted};

pub(super) fn forward(activation: &Activation, z: &[f32], y: &mut [f32], width: usize) {
    activation.visit_rowwise(Forward { z, y, width });
}

pub(super) fn backward(
    activation: &Activation,
    y: &[f32],
    dy: &[f32],
    dz: &mut [f32],
    width: usize,
) {
    activation.visit_rowwise(Backward { y, dy, dz, width });
}

pub(super) fn jacobian(activation: &Activation, y: &[f32], output: &mut [f32], width: usize) {
    activation.visit_rowwise(Jacobian { y, output, width });
}

/// What a row adds up to, relative to its greatest element.
#[derive(Clone, Copy)]
struct Statistics {
    maximum: f32,
    /// Σ e^(z_j − maximum), less the 1 of the maximum itself: small where one element dominates.
    rest: f32,
}

impl Statistics {
    /// Nothing for a row with NaN or +∞, or with nothing but −∞. The exponentials of the elements,
    /// relative to the greatest, are left in the second slice.
    #[inline(always)]
    fn of(z: &[f32], exponentials: &mut [f32]) -> Option<Self> {
        let maximum = maximum(z);
        if !maximum.is_finite() {
            return None;
        }
        for (e, &z) in exponentials.iter_mut().zip(z) {
            *e = exp_difference(z, maximum);
        }
        let below = |i: usize| if z[i] == maximum { 0.0 } else { exponentials[i] };
        let ties = sum_of(z.len(), |i| if z[i] == maximum { 1.0 } else { 0.0 });
        let rest = sum_of(z.len(), below) + (ties - 1.0);
        Some(Self { maximum, rest: rest as f32 })
    }

    #[inline(always)]
    fn sums(self) -> RowSum<f32> {
        RowSum { sum: 1.0 + self.rest, log_sum: ln_1p(self.rest) }
    }
}

/// Runs the function for each row of the output, with its number.
fn over_rows(output: &mut [f32], width: usize, run: impl Fn(usize, &mut [f32]) + Send + Sync) {
    if output.len() < SERIAL {
        output.chunks_mut(width.max(1)).enumerate().for_each(|(row, output)| run(row, output));
    } else {
        let rows = output.par_chunks_mut(width.max(1)).enumerate();
        rows.with_min_len(SERIAL.div_ceil(2 * width)).for_each(|(row, output)| run(row, output));
    }
}

/// The row with this number.
fn row_of(values: &[f32], row: usize, width: usize) -> &[f32] {
    &values[row * width..(row + 1) * width]
}

struct Forward<'a> {
    z: &'a [f32],
    y: &'a mut [f32],
    width: usize,
}

impl RowwiseVisitor<f32> for Forward<'_> {
    type Output = ();

    fn visit<F: Rowwise<f32>>(self, formula: F) {
        let (z, width) = (self.z, self.width);
        over_rows(self.y, width, |row, y| {
            vectorised(ForwardRow { formula, z: row_of(z, row, width), y });
        });
    }
}

struct ForwardRow<'a, F> {
    formula: F,
    z: &'a [f32],
    y: &'a mut [f32],
}

impl<F: Rowwise<f32>> NullaryFnOnce for ForwardRow<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Some(statistics) = Statistics::of(self.z, self.y) else {
            return self.y.fill(f32::NAN);
        };
        let sums = statistics.sums();
        for (y, &z) in self.y.iter_mut().zip(self.z) {
            let element = Shifted { difference: z - statistics.maximum, exponential: *y };
            *y = self.formula.forward(element, sums);
        }
    }
}

struct Backward<'a> {
    y: &'a [f32],
    dy: &'a [f32],
    dz: &'a mut [f32],
    width: usize,
}

impl RowwiseVisitor<f32> for Backward<'_> {
    type Output = ();

    fn visit<F: Rowwise<f32>>(self, formula: F) {
        let (y, dy, width) = (self.y, self.dy, self.width);
        over_rows(self.dz, width, |row, dz| {
            let (y, dy) = (row_of(y, row, width), row_of(dy, row, width));
            vectorised(BackwardRow { formula, y, dy, dz });
        });
    }
}

struct BackwardRow<'a, F> {
    formula: F,
    y: &'a [f32],
    dy: &'a [f32],
    dz: &'a mut [f32],
}

impl<F: Rowwise<f32>> NullaryFnOnce for BackwardRow<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { formula, y, dy, dz } = self;
        // One length for all, so that the loops need no checks.
        let (y, dy) = (&y[..dz.len()], &dy[..dz.len()]);
        let undefined = y.iter().chain(dy).any(|value| value.is_nan());
        if undefined {
            return dz.fill(f32::NAN);
        }
        let total = sum_of(dz.len(), |i| formula.backward_term(y[i], dy[i])) as f32;
        for ((dz, &y), &dy) in dz.iter_mut().zip(y).zip(dy) {
            *dz = formula.backward(y, dy, total);
        }
    }
}

struct Jacobian<'a> {
    y: &'a [f32],
    output: &'a mut [f32],
    width: usize,
}

impl RowwiseVisitor<f32> for Jacobian<'_> {
    type Output = ();

    fn visit<F: Rowwise<f32>>(self, formula: F) {
        let (y, width) = (self.y, self.width);
        // A row of the output is ∂y_i/∂z for one i.
        over_rows(self.output, width, |index, output| {
            let (y, i) = (row_of(y, index / width, width), index % width);
            for (j, output) in output.iter_mut().enumerate() {
                let value = formula.jacobian(y[i], y[j], i == j);
                *output = if y[i].is_nan() || y[j].is_nan() { f32::NAN } else { value };
            }
        });
    }
}

/// The logits of a softmax with cross-entropy, and where its results go: nowhere for empty slices.
pub(super) struct SoftmaxCrossEntropy<'a> {
    pub(super) z: &'a [f32],
    pub(super) width: usize,
    pub(super) targets: Targets<'a>,
    pub(super) scale: f32,
    pub(super) losses: &'a mut [f32],
    pub(super) y: &'a mut [f32],
    pub(super) dz: &'a mut [f32],
}

impl SoftmaxCrossEntropy<'_> {
    pub(super) fn run(self) {
        let Self { z, width, targets, scale, losses, y, dz } = self;
        let rows = z.len() / width.max(1);
        let per_task = SERIAL.div_ceil(width.max(1));
        let tasks: Vec<_> = pieces(losses, rows, 1, per_task)
            .zip(pieces(y, rows, width, per_task))
            .zip(pieces(dz, rows, width, per_task))
            .enumerate()
            .collect();
        let run = |(task, ((losses, y), dz)): RowsTask<'_>| {
            let mut scratch = vec![0.0; width];
            let first = task * per_task;
            for (offset, row) in (first..rows.min(first + per_task)).enumerate() {
                vectorised(SoftmaxCrossEntropyRow {
                    z: row_of(z, row, width),
                    target: targets.row(row),
                    scale,
                    scratch: &mut scratch,
                    loss: losses.get_mut(offset),
                    y: y.get_mut(offset * width..(offset + 1) * width),
                    dz: dz.get_mut(offset * width..(offset + 1) * width),
                });
            }
        };
        if tasks.len() > 1 {
            tasks.into_par_iter().for_each(run);
        } else {
            tasks.into_iter().for_each(run);
        }
    }
}

/// The number of a piece of rows, and its losses, y and dz.
type RowsTask<'a> = (usize, ((&'a mut [f32], &'a mut [f32]), &'a mut [f32]));

/// The output cut into pieces of whole rows; as many empty pieces where it is not wanted.
fn pieces(
    output: &mut [f32],
    rows: usize,
    width: usize,
    per_piece: usize,
) -> impl Iterator<Item = &mut [f32]> {
    let count = rows.div_ceil(per_piece);
    output
        .chunks_mut((per_piece * width).max(1))
        .chain(std::iter::repeat_with(Default::default))
        .take(count)
}

struct SoftmaxCrossEntropyRow<'a> {
    z: &'a [f32],
    target: Option<TargetRow<'a>>,
    scale: f32,
    scratch: &'a mut [f32],
    loss: Option<&'a mut f32>,
    y: Option<&'a mut [f32]>,
    dz: Option<&'a mut [f32]>,
}

impl NullaryFnOnce for SoftmaxCrossEntropyRow<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { z, target, scale, scratch, loss, y, dz } = self;
        let statistics = Statistics::of(z, scratch);
        let sums = statistics.map(Statistics::sums);
        if let Some(y) = y {
            match sums {
                Some(sums) => {
                    y.iter_mut().zip(&*scratch).for_each(|(y, e)| *y = e / sums.sum);
                }
                None => y.fill(f32::NAN),
            }
        }
        // An ignored row counts in nothing, a NaN in it included.
        let Some(target) = target else {
            if let Some(loss) = loss {
                *loss = 0.0;
            }
            return dz.unwrap_or_default().fill(0.0);
        };
        let mass = target.mass(z.len());
        let (Some(statistics), Some(sums), false) = (statistics, sums, mass.is_nan()) else {
            if let Some(loss) = loss {
                *loss = f32::NAN;
            }
            return dz.unwrap_or_default().fill(f32::NAN);
        };
        if let Some(loss) = loss {
            let term = |i: usize| {
                let t = target.at(i);
                let term = t * (sums.log_sum - (z[i] - statistics.maximum));
                if t == 0.0 { 0.0 } else { term }
            };
            *loss = (f64::from(scale) * sum_of(z.len(), term)) as f32;
        }
        if let Some(dz) = dz {
            // 1 − y of an element that dominates its row, without the cancellation.
            let others = statistics.rest / sums.sum;
            for (i, (dz, e)) in dz.iter_mut().zip(&*scratch).enumerate() {
                let (p, t) = (e / sums.sum, target.at(i));
                let dominant = (mass - t) - mass * others;
                *dz = scale * if p > 0.5 { dominant } else { p * mass - t };
            }
        }
    }
}
