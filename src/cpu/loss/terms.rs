//! Losses that are sums of terms, on top of a pointwise activation: one pass over memory, in blocks that
//! stay in the cache.

use pulp::NullaryFnOnce;

use super::super::halves::{Values, ValuesMut};
use super::super::parallel::{sum, vectorised};
use super::super::pointwise;
use super::forms::{self, Evaluation as FormsEvaluation, Fill, FormsMemory, Shift, With};
use super::{Pass, Row};
use crate::backend::{Argument, Binary, Unary};
use wgrad_formula::formulas::losses::weighted;
use wgrad_formula::formulas::{LossTerm, LossVisitor, Pair};

/// The elements of a block.
const BLOCK: usize = 1024;

/// What a thread keeps from block to block.
struct Memory {
    y: [f32; BLOCK],
    dy: [f32; BLOCK],
    targets: [f32; BLOCK],
    /// Ones, unless there is something else that goes with each element.
    extra: [f32; BLOCK],
    weights: [f32; BLOCK],
    losses: [f32; BLOCK],
    /// g'(z), and what is moved with y.
    slopes: [f32; BLOCK],
    moved: [f32; BLOCK],
    /// For losses of forms alone.
    forms: Option<Box<FormsMemory>>,
}

impl Pass<'_> {
    pub(super) fn terms<'a>(&self, pair: Pair, rows: impl Iterator<Item = Row<'a>>) {
        let block = [0.0; BLOCK];
        let mut memory = Memory {
            y: block,
            dy: block,
            targets: block,
            extra: [1.0; BLOCK],
            weights: block,
            losses: block,
            slopes: block,
            moved: block,
            forms: (pair.argument == Argument::Forms).then(FormsMemory::new),
        };
        for row in rows {
            self.term_row(pair, row, &mut memory);
        }
    }

    fn term_row(&self, pair: Pair, mut row: Row<'_>, memory: &mut Memory) {
        let counts = self.targets.row(row.number).is_some();
        let mut total = 0.0;
        let block = if memory.forms.is_some() { forms::BLOCK } else { BLOCK };
        for start in (0..row.z.len()).step_by(block) {
            let end = row.z.len().min(start + block);
            total += self.term_block(pair, &mut row, start..end, memory);
        }
        if let Some(loss) = row.loss {
            let scaled = (f64::from(self.scale) * total) as f32;
            *loss = if counts { scaled } else { 0.0 };
        }
    }

    /// What the terms of a block add up to.
    fn term_block(
        &self,
        pair: Pair,
        row: &mut Row<'_>,
        range: std::ops::Range<usize>,
        memory: &mut Memory,
    ) -> f64 {
        let (start, length) = (range.start, range.len());
        let Memory { y, dy, targets: target, extra, weights, losses, slopes, moved, forms } =
            memory;
        let [y, dy, target, extra, weights, losses, slopes, moved] =
            [y, dy, target, extra, weights, losses, slopes, moved]
                .map(|block| &mut block[..length]);
        let z = &row.z[range.clone()];
        let has_y = !row.y.is_empty();
        let composed = !pair.is_of_logits();
        let has_outputs = (composed && forms.is_none()) || has_y;
        if has_outputs {
            y.copy_from_slice(z);
            pointwise::forward(pair.activation, y);
        }
        if has_y {
            row.y[range.clone()].copy_from_slice(y);
        }
        let (wants_terms, wants_dz) = (!row.terms.is_empty(), !row.dz.is_empty());
        let Some(target_row) = self.targets.row(row.number) else {
            for output in [&mut *row.terms, &mut *row.dz] {
                if !output.is_empty() {
                    output[range.clone()].fill(0.0);
                }
            }
            return 0.0;
        };
        let targets = target_row.block(start, target);
        let extra = self.targets.extra(row.number, start, extra);
        // A row with a single label is compared with its output alone: the others have no part.
        let label = self.targets.single_label(target_row);
        let weights = self.targets.weights_of_terms(row.number, target_row, start, weights);
        let dz = if wants_dz { &mut row.dz[range.clone()] } else { &mut [] };
        let given = [z, targets, extra, weights.map_or(&[][..], |weights| weights)];
        let total = if let Some(forms) = forms {
            pair.activation.visit(Fill { z, forms });
            let evaluation = FormsEvaluation {
                forms,
                targets,
                weights,
                scale: self.scale,
                wants_total: row.loss.is_some(),
                losses,
                slopes: &mut *dz,
            };
            pair.term.visit_forms(evaluation).unwrap_or(f64::NAN)
        } else {
            let is_moved = matches!(pair.argument, Argument::Difference | Argument::Margin);
            let (mut targets, mut extra) = (targets, extra);
            if is_moved {
                let output = ValuesMut::F32(slopes);
                pointwise::unary(Unary::Derivative, pair.activation, Values::F32(z), output);
                let with = match pair.argument {
                    Argument::Difference => {
                        moved.copy_from_slice(targets);
                        With::Targets(moved)
                    }
                    _ => With::Margins { margins: moved, targets },
                };
                pair.activation.visit(Shift { z, slopes, y: &mut *y, with });
                match pair.argument {
                    Argument::Difference => targets = moved,
                    _ => extra = moved,
                }
            }
            let block = Block {
                argument: if composed { &*y } else { z },
                targets,
                extra,
                weights,
                scale: self.scale,
                wants_total: row.loss.is_some(),
                losses,
                terms: if wants_terms { &mut row.terms[range.clone()] } else { &mut [] },
                slopes: match (wants_dz, composed) {
                    (false, _) => &mut [],
                    (true, true) => &mut *dy,
                    (true, false) => &mut *dz,
                },
            };
            let total = pair.term.visit(block);
            if wants_dz && is_moved {
                for ((dz, dy), slope) in dz.iter_mut().zip(dy).zip(slopes) {
                    *dz = *dy * *slope;
                }
            } else if wants_dz && composed {
                let inputs = [Values::F32(z), Values::F32(dy)];
                let output = ValuesMut::F32(&mut *dz);
                pointwise::binary(Binary::Backward, pair.activation, inputs, output);
            }
            total
        };
        if let Some(label) = label {
            for (i, dz) in dz.iter_mut().enumerate() {
                let undefined = z[i].is_nan() || has_outputs && y[i].is_nan();
                *dz = if start + i != label && !undefined { 0.0 } else { *dz };
            }
        }
        let terms = row.terms.get_mut(range).unwrap_or_default();
        if total.is_finite() && vectorised(AllFinite([&*terms, &*dz])) {
            return total;
        }
        self.in_f64(pair, given, [terms, dz], total)
    }

    /// What is out of the range of f32 before it is scaled, and may be in it then, once more: the terms, dE/dz
    /// and the total, as they are given.
    #[cold]
    fn in_f64(
        &self,
        pair: Pair,
        [z, targets, extra, weights]: [&[f32]; 4],
        [terms, dz]: [&mut [f32]; 2],
        total: f64,
    ) -> f64 {
        let scale = f64::from(self.scale);
        let mut exact_total = 0.0;
        for (i, &z) in z.iter().enumerate() {
            let weight = f64::from(weights.get(i).copied().unwrap_or(1.0));
            let (term, slope) = pair.at(z.into(), targets[i].into(), extra[i].into());
            let (term, slope) = (weighted(weight, term), weighted(weight, slope));
            exact_total += term;
            if let Some(output) = terms.get_mut(i).filter(|output| !output.is_finite()) {
                *output = (scale * term) as f32;
            }
            if let Some(output) = dz.get_mut(i).filter(|output| !output.is_finite()) {
                *output = (scale * slope) as f32;
            }
        }
        if total.is_finite() { total } else { exact_total }
    }
}

struct AllFinite<'a>([&'a [f32]; 2]);

impl NullaryFnOnce for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        self.0.iter().all(|values| values.iter().fold(true, |all, value| all & value.is_finite()))
    }
}

/// A block of elements, and where its terms and slopes go: nowhere for empty slices.
pub(super) struct Block<'a> {
    pub(super) argument: &'a [f32],
    pub(super) targets: &'a [f32],
    pub(super) extra: &'a [f32],
    pub(super) weights: Option<&'a [f32]>,
    pub(super) scale: f32,
    pub(super) wants_total: bool,
    /// Memory for what is added up.
    pub(super) losses: &'a mut [f32],
    pub(super) terms: &'a mut [f32],
    pub(super) slopes: &'a mut [f32],
}

impl LossVisitor<f32> for Block<'_> {
    type Output = f64;

    fn visit<F: LossTerm<f32>>(self, formula: F) -> f64 {
        vectorised(Evaluation { formula, block: self })
    }
}

struct Evaluation<'a, F> {
    formula: F,
    block: Block<'a>,
}

impl<F: LossTerm<f32>> NullaryFnOnce for Evaluation<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { formula, block } = self;
        let Block { argument, targets, extra, weights, scale, wants_total, losses, terms, slopes } =
            block;
        let inputs = [argument, targets, extra];
        let mut total = 0.0;
        if wants_total || !terms.is_empty() {
            each(inputs, losses, Value(formula));
            if let Some(weights) = weights {
                for (loss, &weight) in losses.iter_mut().zip(weights) {
                    *loss = weighted(weight, *loss);
                }
            }
            for (output, loss) in terms.iter_mut().zip(&*losses) {
                *output = scale * loss;
            }
            total = if wants_total { sum(losses) } else { 0.0 };
        }
        if !slopes.is_empty() {
            let factor = if weights.is_some() { 1.0 } else { scale };
            each(inputs, slopes, Slope { formula, factor });
            if let Some(weights) = weights {
                for (slope, &weight) in slopes.iter_mut().zip(weights) {
                    *slope = scale * weighted(weight, *slope);
                }
            }
        }
        total
    }
}

/// What is computed of each element. Not a closure: whatever its length, it has to become a part of the
/// loop.
trait Term: Copy {
    fn of(self, y: f32, t: f32, extra: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Value<F>(F);

impl<F: LossTerm<f32>> Term for Value<F> {
    #[inline(always)]
    fn of(self, y: f32, t: f32, extra: f32) -> f32 {
        self.0.loss(y, t, extra)
    }
}

#[derive(Clone, Copy)]
struct Slope<F> {
    formula: F,
    factor: f32,
}

impl<F: LossTerm<f32>> Term for Slope<F> {
    #[inline(always)]
    fn of(self, y: f32, t: f32, extra: f32) -> f32 {
        self.factor * self.formula.gradient(y, t, extra)
    }
}

/// The term of each element, NaN where an input is.
#[inline(always)]
fn each([y, t, extra]: [&[f32]; 3], output: &mut [f32], term: impl Term) {
    let mut any_undefined = false;
    for (((output, &y), &t), &extra) in output.iter_mut().zip(y).zip(t).zip(extra) {
        *output = term.of(y, t, extra);
        any_undefined |= y.is_nan() | t.is_nan() | extra.is_nan();
    }
    if any_undefined {
        for (((output, &y), &t), &extra) in output.iter_mut().zip(y).zip(t).zip(extra) {
            let undefined = y.is_nan() | t.is_nan() | extra.is_nan();
            *output = if undefined { f32::NAN } else { *output };
        }
    }
}
