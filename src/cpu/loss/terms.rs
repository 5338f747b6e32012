//! Losses that are sums of terms, on top of a pointwise activation: one pass over memory, in blocks that
//! stay in the cache.

use pulp::NullaryFnOnce;

use super::super::halves::{Values, ValuesMut};
use super::super::parallel::{sum, vectorised};
use super::super::pointwise;
use super::{Pass, Row};
use crate::backend::Binary;
use crate::loss::LossVisitor;
use crate::reference::{self, LossTerm};

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
}

impl Pass<'_> {
    pub(super) fn terms<'a>(&self, rows: impl Iterator<Item = Row<'a>>) {
        let block = [0.0; BLOCK];
        let mut memory = Memory {
            y: block,
            dy: block,
            targets: block,
            extra: [1.0; BLOCK],
            weights: block,
            losses: block,
        };
        for row in rows {
            self.term_row(row, &mut memory);
        }
    }

    fn term_row(&self, mut row: Row<'_>, memory: &mut Memory) {
        let counts = self.targets.row(row.number).is_some();
        let mut total = 0.0;
        for start in (0..row.z.len()).step_by(BLOCK) {
            let end = row.z.len().min(start + BLOCK);
            total += self.term_block(&mut row, start..end, memory);
        }
        if let Some(loss) = row.loss {
            let scaled = (f64::from(self.scale) * total) as f32;
            *loss = if counts { scaled } else { 0.0 };
        }
    }

    /// What the terms of a block add up to.
    fn term_block(
        &self,
        row: &mut Row<'_>,
        range: std::ops::Range<usize>,
        memory: &mut Memory,
    ) -> f64 {
        let (start, length) = (range.start, range.len());
        let Memory { y, dy, targets: target, extra, weights, losses } = memory;
        let [y, dy, target, extra, weights, losses] =
            [y, dy, target, extra, weights, losses].map(|block| &mut block[..length]);
        let z = &row.z[range.clone()];
        let has_y = !row.y.is_empty();
        let composed = self.is_composed();
        if composed || has_y {
            y.copy_from_slice(z);
            pointwise::forward(self.activation, y);
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
        let weights = self.targets.weights(row.number, start, weights);
        let dz = if wants_dz { &mut row.dz[range.clone()] } else { &mut [] };
        let argument = if composed { &*y } else { z };
        let block = Block {
            argument,
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
        let total = self.formula.visit(block).unwrap_or(f64::NAN);
        if wants_dz && composed {
            let inputs = [Values::F32(z), Values::F32(dy)];
            pointwise::binary(Binary::Backward, self.activation, inputs, ValuesMut::F32(dz));
        }
        let terms = row.terms.get_mut(range).unwrap_or_default();
        let overflowed = !total.is_finite() || !vectorised(AllFinite([&*terms, &*dz]));
        if !overflowed {
            return total;
        }
        let weights = weights.map_or(&[][..], |weights| weights);
        self.in_f64([z, argument, targets, extra, weights], [terms, dz], total)
    }

    /// What is out of the range of f32 before it is scaled, and may be in it then, once more: the terms, dE/dz
    /// and the total, as they are given.
    #[cold]
    fn in_f64(
        &self,
        [z, argument, targets, extra, weights]: [&[f32]; 5],
        [terms, dz]: [&mut [f32]; 2],
        total: f64,
    ) -> f64 {
        let scale = f64::from(self.scale);
        let mut exact_total = 0.0;
        for (i, &z) in z.iter().enumerate() {
            let weight = f64::from(weights.get(i).copied().unwrap_or(1.0));
            let (y, slope) = match self.is_composed() {
                false => (argument[i].into(), 1.0),
                // Where the function has no value in f32, the loss has none either.
                true if argument[i].is_nan() => (f64::NAN, f64::NAN),
                true => {
                    let y = reference::value(self.activation, z.into());
                    (y, reference::derivative(self.activation, z.into()))
                }
            };
            let (term, gradient) =
                reference::term(self.formula, y, targets[i].into(), extra[i].into());
            exact_total += weight * term;
            if let Some(output) = terms.get_mut(i).filter(|output| !output.is_finite()) {
                *output = (scale * weight * term) as f32;
            }
            if let Some(output) = dz.get_mut(i).filter(|output| !output.is_finite()) {
                *output = (scale * weight * gradient * slope) as f32;
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
struct Block<'a> {
    argument: &'a [f32],
    targets: &'a [f32],
    extra: &'a [f32],
    weights: Option<&'a [f32]>,
    scale: f32,
    wants_total: bool,
    /// Memory for what is added up.
    losses: &'a mut [f32],
    terms: &'a mut [f32],
    slopes: &'a mut [f32],
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
                for (loss, weight) in losses.iter_mut().zip(weights) {
                    *loss *= weight;
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
                for (slope, weight) in slopes.iter_mut().zip(weights) {
                    *slope = scale * (weight * *slope);
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
