//! Losses and their gradients.

use super::parallel::{CHUNK, over_pieces, sum_of};
use crate::loss::{Loss, LossVisitor};
use crate::reference::LossTerm;

/// What a loss compares with, for rows of `width` outputs.
#[derive(Clone, Copy)]
pub(super) struct Targets<'a> {
    pub(super) values: TargetValues<'a>,
    pub(super) width: usize,
    pub(super) smoothing: f32,
    pub(super) ignore_index: Option<i32>,
}

#[derive(Clone, Copy)]
pub(super) enum TargetValues<'a> {
    Dense(&'a [f32]),
    Labels(&'a [i32]),
}

impl<'a> Targets<'a> {
    /// The targets of one row; nothing where it is ignored.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> Option<TargetRow<'a>> {
        let values = match self.values {
            TargetValues::Dense(values) => {
                let start = row * self.width;
                RowValues::Dense(&values[start..values.len().min(start + self.width)])
            }
            TargetValues::Labels(labels) if Some(labels[row]) == self.ignore_index => return None,
            TargetValues::Labels(labels) => RowValues::Label(labels[row] as usize),
        };
        let share = self.smoothing / self.width as f32;
        Some(TargetRow { values, keep: 1.0 - self.smoothing, share })
    }
}

/// The targets of one row, smoothed.
#[derive(Clone, Copy)]
pub(super) struct TargetRow<'a> {
    values: RowValues<'a>,
    keep: f32,
    share: f32,
}

#[derive(Clone, Copy)]
enum RowValues<'a> {
    Dense(&'a [f32]),
    Label(usize),
}

impl TargetRow<'_> {
    #[inline(always)]
    pub(super) fn at(&self, column: usize) -> f32 {
        match self.values {
            RowValues::Dense(values) => self.keep * values[column] + self.share,
            RowValues::Label(label) => self.share + if label == column { self.keep } else { 0.0 },
        }
    }

    /// What the targets of the row add up to.
    #[inline(always)]
    pub(super) fn mass(&self, width: usize) -> f32 {
        match self.values {
            RowValues::Dense(_) => sum_of(width, |column| self.at(column)) as f32,
            RowValues::Label(_) => 1.0,
        }
    }
}

/// The scaled loss of each row.
pub(super) fn rows(loss: &Loss, scale: f32, y: &[f32], targets: Targets<'_>, output: &mut [f32]) {
    loss.visit(Rows { scale, y, targets, output });
}

/// The scaled dE/dy.
pub(super) fn gradient(
    loss: &Loss,
    scale: f32,
    y: &[f32],
    targets: Targets<'_>,
    output: &mut [f32],
) {
    loss.visit(Gradient { scale, y, targets, output });
}

struct Rows<'a> {
    scale: f32,
    y: &'a [f32],
    targets: Targets<'a>,
    output: &'a mut [f32],
}

impl LossVisitor<f32> for Rows<'_> {
    type Output = ();

    fn visit<F: LossTerm<f32>>(self, formula: F) {
        let Self { scale, y, targets, output } = self;
        let width = targets.width;
        let row_loss = |row: usize| {
            let Some(target) = targets.row(row) else { return 0.0 };
            let y = &y[row * width..y.len().min((row + 1) * width)];
            let term = |i: usize| {
                let (y, t) = (y[i], target.at(i));
                let term = formula.loss(y, t);
                if y.is_nan() || t.is_nan() { f32::NAN } else { term }
            };
            (f64::from(scale) * sum_of(y.len(), term)) as f32
        };
        // An output element is a whole row of work.
        let rows_per_piece = CHUNK.div_ceil(width.max(1));
        let run = |start: usize, output: &mut [f32]| {
            output.iter_mut().enumerate().for_each(|(i, output)| *output = row_loss(start + i));
        };
        if y.len() < super::parallel::SERIAL {
            run(0, output);
        } else {
            use rayon::prelude::*;
            let pieces = output.par_chunks_mut(rows_per_piece).enumerate();
            pieces.for_each(|(piece, output)| run(piece * rows_per_piece, output));
        }
    }
}

struct Gradient<'a> {
    scale: f32,
    y: &'a [f32],
    targets: Targets<'a>,
    output: &'a mut [f32],
}

impl LossVisitor<f32> for Gradient<'_> {
    type Output = ();

    fn visit<F: LossTerm<f32>>(self, formula: F) {
        let Self { scale, y, targets, output } = self;
        let width = targets.width.max(1);
        let piece = CHUNK.div_ceil(width) * width;
        over_pieces(output, piece, |start, output| {
            for (i, output) in output.chunks_mut(width).enumerate() {
                let row = start / width + i;
                let Some(target) = targets.row(row) else {
                    output.fill(0.0);
                    continue;
                };
                let y = &y[row * width..(row + 1) * width];
                for (i, (output, &y)) in output.iter_mut().zip(y).enumerate() {
                    let t = target.at(i);
                    let slope = scale * formula.gradient(y, t);
                    *output = if y.is_nan() || t.is_nan() { f32::NAN } else { slope };
                }
            }
        });
    }
}
