//! Losses on top of an activation.

mod forms;
mod margin;
mod simplex;
mod single;
mod softmax;
mod targets;
mod terms;
mod tile;

pub(super) use targets::{Strided, TargetValues, Targets};
pub(super) use tile::Tile;

use super::lines::NARROW;
use super::parallel::{SERIAL, on_all_threads};
use crate::backend::Rows;
use wgrad_formula::formulas::losses::weighted;
use wgrad_formula::formulas::{Head, RowFunction};

/// A loss on top of an activation, and the destinations of its results; results for
/// empty slices are not wanted.
pub(super) struct Pass<'a> {
    pub(super) head: Head,
    /// Empty if dz holds z and is to be overwritten.
    pub(super) z: &'a [f32],
    pub(super) rows: Rows,
    /// The row of the targets that corresponds to the first row of z.
    pub(super) first_row: usize,
    pub(super) targets: Targets<'a>,
    pub(super) scale: f32,
    pub(super) z_loss: f32,
    pub(super) outputs: Outputs<'a>,
}

/// The loss of each row, and the terms, y and dE/dz of each element.
#[derive(Default)]
pub(super) struct Outputs<'a> {
    pub(super) losses: &'a mut [f32],
    pub(super) terms: &'a mut [f32],
    pub(super) y: &'a mut [f32],
    pub(super) dz: &'a mut [f32],
}

/// One row, and the destinations of its results.
struct Row<'a> {
    /// The row's number among the targets.
    number: usize,
    /// Empty if dz holds z.
    z: &'a [f32],
    loss: Option<&'a mut f32>,
    terms: &'a mut [f32],
    y: &'a mut [f32],
    dz: &'a mut [f32],
}

impl Pass<'_> {
    pub(super) fn run(mut self) {
        let Rows { count, width } = self.rows;
        // Each task has whole rows, and enough of them to be worth a thread.
        let per_task = SERIAL.div_ceil(width.max(1)).max(1);
        let outputs = std::mem::take(&mut self.outputs);
        let tasks: Vec<Outputs<'_>> = outputs.tasks(count, width, per_task).collect();
        let run = |(task, outputs): (usize, Outputs<'_>)| {
            let first = task * per_task;
            self.run_rows(first, count.min(first + per_task) - first, outputs);
        };
        if tasks.len() > 1 {
            on_all_threads(tasks.into_iter().enumerate(), run);
        } else {
            tasks.into_iter().enumerate().for_each(run);
        }
    }

    /// Runs one task, for these rows.
    fn run_rows(&self, first: usize, count: usize, outputs: Outputs<'_>) {
        let is_narrow = self.rows.width <= NARROW;
        match self.head {
            Head::RowTerms { function, term } => {
                self.simplex(function, term, [first, count], outputs);
            }
            Head::Terms(pair) if self.has_single_terms(pair, &outputs) => {
                self.single_terms(pair, [first, count], outputs);
            }
            Head::Terms(pair) => self.terms(pair, self.one_by_one(first, count, outputs)),
            Head::LogSumExp { .. } if is_narrow => {
                self.narrow_softmax_cross_entropy(first, count, outputs);
            }
            Head::LogSumExp { .. } => {
                self.softmax_cross_entropy(self.one_by_one(first, count, outputs));
            }
            Head::Margins { p, margin } => {
                self.multi_margin(p, margin, self.one_by_one(first, count, outputs));
            }
        }
    }

    /// Whether the output is the logarithm of softmax.
    fn takes_logarithm(&self) -> bool {
        self.head.activation() == RowFunction::LogSoftmax.into()
    }

    fn one_by_one<'a>(
        &'a self,
        first: usize,
        count: usize,
        outputs: Outputs<'a>,
    ) -> impl Iterator<Item = Row<'a>> {
        let width = self.rows.width;
        let Outputs { losses, terms, y, dz } = outputs;
        let mut losses = losses.iter_mut();
        let [mut terms, mut y, mut dz] =
            [terms, y, dz].map(|output| output.chunks_mut(width.max(1)));
        let mut z = self.z.get(first * width..).unwrap_or_default().chunks(width.max(1));
        (0..count).map(move |i| Row {
            number: self.first_row + first + i,
            z: z.next().unwrap_or_default(),
            loss: losses.next(),
            terms: terms.next().unwrap_or_default(),
            y: y.next().unwrap_or_default(),
            dz: dz.next().unwrap_or_default(),
        })
    }
}

impl<'a> Outputs<'a> {
    /// Cuts the outputs into pieces of whole rows; the pieces are empty if an output is not wanted.
    fn tasks(self, rows: usize, width: usize, per_task: usize) -> impl Iterator<Item = Self> {
        let pieces = |output: &'a mut [f32], width: usize| {
            let pieces = output.chunks_mut((per_task * width).max(1));
            pieces.chain(std::iter::repeat_with(Default::default))
        };
        let elements =
            pieces(self.terms, width).zip(pieces(self.y, width)).zip(pieces(self.dz, width));
        let tasks = pieces(self.losses, 1).zip(elements).take(rows.div_ceil(per_task));
        tasks.map(|(losses, ((terms, y), dz))| Self { losses, terms, y, dz })
    }
}

/// The loss of a row times its scale, which combines the reduction and the row's weight. With a
/// weight of 0, even an infinite loss becomes 0; with a mean over an infinite weight, it does not.
#[inline(always)]
fn scaled(reduction: f32, scale: f32, loss: f64) -> f32 {
    let scale = f64::from(scale);
    (if reduction == 0.0 { scale * loss } else { weighted(scale, loss) }) as f32
}

/// The weight of each row in a mean: its own weight times the weight of its
/// label, or 0 if it is ignored.
pub(super) fn row_weights(targets: Targets<'_>, output: &mut [f32]) {
    for (row, output) in output.iter_mut().enumerate() {
        let weight = targets.row(row).map(|target| target.label_weight() * targets.row_weight(row));
        *output = weight.unwrap_or(0.0);
    }
}
