//! Losses for which a row with a label has a single term: those that are 0 when the target is 0.

use pulp::NullaryFnOnce;

use super::super::parallel::vectorised;
use super::{Outputs, Pass};
use wgrad_formula::formulas::losses::{CrossEntropy, Nll, weighted};
use wgrad_formula::formulas::{LossTerm, Pair, TermFunction};

impl Pass<'_> {
    /// Whether each row has only one term. If all terms are wanted, they are computed one by one.
    pub(super) fn has_single_terms(&self, pair: Pair, outputs: &Outputs<'_>) -> bool {
        let targets = self.targets;
        let has_weights_of_rows = targets.weights.is_none_or(|weights| weights.column == 0);
        pair.term.is_zero_at_zero()
            && targets.are_single_labels()
            && targets.extra.is_none()
            && has_weights_of_rows
            && pair.is_of_logits()
            && outputs.terms.is_empty()
    }

    /// Runs a task whose rows have single terms. If it contains NaN, which affects the result in
    /// any place, all terms are computed.
    pub(super) fn single_terms(
        &self,
        pair: Pair,
        [first, count]: [usize; 2],
        outputs: Outputs<'_>,
    ) {
        let width = self.rows.width;
        let z = &self.z[first * width..(first + count) * width];
        if vectorised(AnyNan(z)) {
            return self.terms(pair, self.one_by_one(first, count, outputs));
        }
        let Outputs { losses, y, dz, .. } = outputs;
        if !y.is_empty() {
            y.copy_from_slice(z);
        }
        dz.fill(0.0);
        let number = self.first_row + first;
        let rows = Rows { pass: self, pair, number, z, losses, dz };
        match pair.term {
            TermFunction::Nll { .. } => vectorised(Evaluation { formula: Nll, rows }),
            _ => vectorised(Evaluation { formula: CrossEntropy, rows }),
        }
    }
}

struct AnyNan<'a>(&'a [f32]);

impl NullaryFnOnce for AnyNan<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        self.0.iter().fold(false, |any, value| any | value.is_nan())
    }
}

/// Rows starting at this number, and the destinations of their losses and slopes; results for
/// empty slices are not wanted.
struct Rows<'a> {
    pass: &'a Pass<'a>,
    pair: Pair,
    number: usize,
    z: &'a [f32],
    losses: &'a mut [f32],
    dz: &'a mut [f32],
}

struct Evaluation<'a, F> {
    formula: F,
    rows: Rows<'a>,
}

impl<F: LossTerm<f32>> NullaryFnOnce for Evaluation<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { formula, rows: Rows { pass, pair, number, z, losses, dz } } = self;
        let (targets, scale, width) = (pass.targets, pass.scale, pass.rows.width);
        losses.fill(0.0);
        let exact = |y: f32, t: f32| pair.at(y.into(), t.into(), 1.0);
        for (i, row) in z.chunks(width.max(1)).enumerate() {
            let Some(target) = targets.row(number + i) else { continue };
            let Some((label, y)) = target.label().and_then(|at| Some((at, *row.get(at)?))) else {
                continue;
            };
            let (t, weight) = (target.at(label), targets.row_weight(number + i));
            if let Some(loss) = losses.get_mut(i) {
                let term = formula.loss(y, t, 1.0);
                let found = weighted(weight, term);
                // A term that is out of the range of f32 may be in range after scaling.
                let exact = || f64::from(weight) * exact(y, t).0;
                let term = if found.is_finite() { found.into() } else { exact() };
                *loss = (f64::from(scale) * term) as f32;
            }
            if let Some(slope) = dz.get_mut(i * width + label) {
                let gradient = formula.gradient(y, t, 1.0);
                let scaled = scale * weighted(weight, gradient);
                let exact = || f64::from(scale) * f64::from(weight) * exact(y, t).1;
                *slope = if scaled.is_finite() { scaled } else { exact() as f32 };
            }
        }
    }
}
