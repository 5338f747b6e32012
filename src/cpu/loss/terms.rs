//! Losses that are sums of terms, on top of a pointwise activation: one pass over memory, in blocks that
//! stay in the cache.

use pulp::NullaryFnOnce;

use super::super::parallel::{sum_of, vectorised};
use super::super::pointwise;
use super::{Pass, Row};
use crate::activation::Activation;
use crate::backend::{Argument, Binary};
use crate::loss::LossVisitor;
use crate::reference::LossTerm;

/// The elements of a block.
const BLOCK: usize = 1024;

type Memory = [f32; BLOCK];

impl Pass<'_> {
    pub(super) fn terms<'a>(&self, rows: impl Iterator<Item = Row<'a>>) {
        let mut memory = [[0.0; BLOCK]; 6];
        for row in rows {
            self.term_row(row, &mut memory);
        }
    }

    fn term_row(&self, mut row: Row<'_>, memory: &mut [Memory; 6]) {
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
        memory: &mut [Memory; 6],
    ) -> f64 {
        let (start, length) = (range.start, range.len());
        let [y, dy, target, extra, weights, values] =
            memory.each_mut().map(|memory| &mut memory[..length]);
        let z = &row.z[range.clone()];
        let has_y = !row.y.is_empty();
        let composed =
            self.argument == Argument::Output && *self.activation != Activation::Identity;
        if composed || has_y {
            y.copy_from_slice(z);
            pointwise::forward(self.activation, y);
        }
        if has_y {
            row.y[range.clone()].copy_from_slice(y);
        }
        let (wants_terms, wants_dz) = (!row.terms.is_empty(), !row.dz.is_empty());
        let Some(targets) = self.targets.row(row.number) else {
            for output in [&mut *row.terms, &mut *row.dz] {
                if !output.is_empty() {
                    output[range.clone()].fill(0.0);
                }
            }
            return 0.0;
        };
        let dz = if wants_dz { &mut row.dz[range.clone()] } else { &mut [] };
        let block = Block {
            argument: if composed { y } else { z },
            targets: targets.block(start, target),
            extra: self.targets.extra(row.number, start, extra),
            weights: self.targets.weights(row.number, start, weights),
            scale: self.scale,
            wants_total: row.loss.is_some(),
            values,
            terms: if wants_terms { &mut row.terms[range] } else { &mut [] },
            slopes: match (wants_dz, composed) {
                (false, _) => &mut [],
                (true, true) => &mut *dy,
                (true, false) => &mut *dz,
            },
        };
        let total = self.formula.visit(block).unwrap_or(f64::NAN);
        if wants_dz && composed {
            pointwise::binary(Binary::Backward, self.activation, [z, dy], dz);
        }
        total
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
    /// Room for the weighted terms, not scaled.
    values: &'a mut [f32],
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

impl<F: LossTerm<f32>> Evaluation<'_, F> {
    #[inline(always)]
    fn term(&self, i: usize) -> f32 {
        let Block { argument, targets, extra, .. } = &self.block;
        self.defined(i, self.formula.loss(argument[i], targets[i], extra[i]))
    }

    #[inline(always)]
    fn slope(&self, i: usize) -> f32 {
        let Block { argument, targets, extra, .. } = &self.block;
        self.defined(i, self.formula.gradient(argument[i], targets[i], extra[i]))
    }

    /// The value, or NaN where something that it was computed from is.
    #[inline(always)]
    fn defined(&self, i: usize, value: f32) -> f32 {
        let Block { argument, targets, extra, .. } = &self.block;
        let undefined = argument[i].is_nan() || targets[i].is_nan() || extra[i].is_nan();
        if undefined { f32::NAN } else { value }
    }
}

impl<F: LossTerm<f32>> NullaryFnOnce for Evaluation<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn call(mut self) -> f64 {
        let length = self.block.argument.len();
        // One length for all, so that the loops need no checks.
        self.block.targets = &self.block.targets[..length];
        self.block.extra = &self.block.extra[..length];
        let weights = self.block.weights.map(|weights| &weights[..length]);
        let values = std::mem::take(&mut self.block.values);
        let terms = std::mem::take(&mut self.block.terms);
        let slopes = std::mem::take(&mut self.block.slopes);
        let (scale, wants_total) = (self.block.scale, self.block.wants_total);
        // Each function in one place, so that it is compiled for vectors there.
        if wants_total || !terms.is_empty() {
            for (i, value) in values.iter_mut().enumerate() {
                *value = self.term(i);
            }
            weigh(values, weights);
        }
        for (output, &value) in terms.iter_mut().zip(&*values) {
            *output = scale * value;
        }
        for (i, output) in slopes.iter_mut().enumerate() {
            *output = self.slope(i);
        }
        weigh(slopes, weights);
        for output in slopes {
            *output *= scale;
        }
        if wants_total { sum_of(length, |i| values[i]) } else { 0.0 }
    }
}

#[inline(always)]
fn weigh(values: &mut [f32], weights: Option<&[f32]>) {
    for (value, weight) in values.iter_mut().zip(weights.unwrap_or_default()) {
        *value *= weight;
    }
}
