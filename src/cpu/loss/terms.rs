//! Losses that are sums of terms, on top of a pointwise activation: one pass over memory, in blocks that
//! stay in the cache.

use pulp::NullaryFnOnce;

use super::super::halves::{Values, ValuesMut};
use super::super::parallel::{sum, vectorised, vectorised_here, vectorised_or_back};
use super::super::pointwise;
use super::forms::{self, Elements as FormsElements, Fill, FormsMemory, Shift};
use super::{Pass, Row};
use crate::backend::{Argument, Binary, Unary};
use wgrad_formula::formulas::losses::weighted;
use wgrad_formula::formulas::{LossTerm, LossVisitor, Pair, TermFunction};

/// The number of elements in a block.
const BLOCK: usize = 1024;

/// Memory that a thread keeps from one block to the next: room for a block in each array.
struct Memory<'a> {
    y: &'a mut [f32],
    dy: &'a mut [f32],
    targets: &'a mut [f32],
    /// Ones, unless each element has an extra input.
    extra: &'a mut [f32],
    weights: &'a mut [f32],
    losses: &'a mut [f32],
    /// g'(z), and the value that is shifted together with y.
    slopes: &'a mut [f32],
    moved: &'a mut [f32],
    /// Only for losses that are computed from forms.
    forms: Option<Box<FormsMemory>>,
}

impl Pass<'_> {
    pub(super) fn terms<'a>(&self, pair: Pair, rows: impl Iterator<Item = Row<'a>>) {
        // No larger than needed: to clear whole blocks takes longer than a small loss.
        let length = self.rows.width.clamp(1, BLOCK);
        let mut arrays = vec![0.0; 8 * length];
        let mut arrays = arrays.chunks_exact_mut(length);
        let mut array = || arrays.next().unwrap_or_default();
        let extra = array();
        extra.fill(1.0);
        let mut memory = Memory {
            y: array(),
            dy: array(),
            targets: array(),
            extra,
            weights: array(),
            losses: array(),
            slopes: array(),
            moved: array(),
            forms: (pair.argument == Argument::Forms).then(FormsMemory::new),
        };
        for row in rows {
            self.term_row(pair, row, &mut memory);
        }
    }

    fn term_row(&self, pair: Pair, mut row: Row<'_>, memory: &mut Memory<'_>) {
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

    /// Computes a block, and returns the sum of its terms.
    fn term_block(
        &self,
        pair: Pair,
        row: &mut Row<'_>,
        range: std::ops::Range<usize>,
        memory: &mut Memory<'_>,
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
            let output = ValuesMut::F32(y);
            pointwise::unary(Unary::Forward, pair.activation, Values::F32(z), output);
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
        // A row with a single label is compared only with the output of its
        // label; the others have no effect.
        let label = self.targets.single_label(target_row);
        let weights = self.targets.weights_of_terms(row.number, target_row, start, weights);
        let dz = if wants_dz { &mut row.dz[range.clone()] } else { &mut [] };
        let given = [z, targets, extra, weights.map_or(&[][..], |weights| weights)];
        let is_moved = matches!(pair.argument, Argument::Difference | Argument::Margin);
        let input = if let Some(forms) = forms {
            pair.activation.visit(Fill { z, forms });
            Input::Forms { forms, targets }
        } else if is_moved {
            let output = ValuesMut::F32(slopes);
            pointwise::unary(Unary::Derivative, pair.activation, Values::F32(z), output);
            pair.activation.visit(Shift { z, slopes, y: &mut *y, limits: &mut *moved });
            let limits = moved.iter_mut().zip(targets);
            if pair.argument == Argument::Difference {
                limits.for_each(|(limit, t)| *limit = t - *limit);
                Input::Outputs { argument: y, targets: moved, extra }
            } else {
                limits.for_each(|(limit, t)| *limit = 1.0 - t * *limit);
                Input::Outputs { argument: y, targets, extra: moved }
            }
        } else {
            Input::Outputs { argument: if composed { y } else { z }, targets, extra }
        };
        let is_chained = composed && matches!(input, Input::Outputs { .. });
        let block = Block {
            input,
            weights,
            scale: self.scale,
            wants_total: row.loss.is_some(),
            losses,
            terms: if wants_terms { &mut row.terms[range.clone()] } else { &mut [] },
            slopes: match (wants_dz, is_chained) {
                (false, _) => &mut [],
                (true, true) => &mut *dy,
                (true, false) => &mut *dz,
            },
        };
        let total = block.evaluate(pair.term);
        if wants_dz && is_moved {
            for ((dz, dy), slope) in dz.iter_mut().zip(dy).zip(slopes) {
                *dz = *dy * *slope;
            }
        } else if wants_dz && is_chained {
            let inputs = [Values::F32(z), Values::F32(dy)];
            let output = ValuesMut::F32(&mut *dz);
            pointwise::binary(Binary::Backward, pair.activation, inputs, output);
        }
        if let Some(label) = label {
            for (i, dz) in dz.iter_mut().enumerate() {
                let undefined = z[i].is_nan() || has_outputs && y[i].is_nan();
                *dz = if start + i != label && !undefined { 0.0 } else { *dz };
            }
        }
        let terms = row.terms.get_mut(range).unwrap_or_default();
        let is_finite = |values: &[f32]| values.is_empty() || vectorised(AllFinite(values));
        if total.is_finite() && is_finite(terms) && is_finite(dz) {
            return total;
        }
        self.in_f64(pair, given, [terms, dz], total)
    }

    /// Recomputes in f64 the values that are out of the range of f32 before scaling, because they
    /// may be in range afterwards: the given terms, dE/dz and total.
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

struct AllFinite<'a>(&'a [f32]);

impl NullaryFnOnce for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        self.0.iter().fold(true, |all, value| all & value.is_finite())
    }
}

/// The inputs of the terms of a block.
pub(super) enum Input<'a> {
    Outputs { argument: &'a [f32], targets: &'a [f32], extra: &'a [f32] },
    Forms { forms: &'a FormsMemory, targets: &'a [f32] },
}

/// The quantity to compute for each element.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Loss,
    /// The derivative times this factor.
    Slope(f32),
}

/// A block of elements, and the destinations of its terms and slopes; results for
/// empty slices are not wanted.
pub(super) struct Block<'a> {
    pub(super) input: Input<'a>,
    pub(super) weights: Option<&'a [f32]>,
    pub(super) scale: f32,
    pub(super) wants_total: bool,
    /// Memory for the values that are added up.
    pub(super) losses: &'a mut [f32],
    pub(super) terms: &'a mut [f32],
    pub(super) slopes: &'a mut [f32],
}

impl Block<'_> {
    /// Writes the terms and slopes, and returns the sum of the terms; NaN if the loss has
    /// no formula for such an input.
    #[inline(always)]
    pub(super) fn evaluate(self, term: TermFunction) -> f64 {
        let Self { input, weights, scale, wants_total, losses, terms, slopes } = self;
        let compute = |order: Order, output: &mut [f32]| match input {
            Input::Outputs { argument, targets, extra } => {
                term.visit(Elements { order, inputs: [argument, targets, extra], output });
                Some(())
            }
            Input::Forms { forms, targets } => {
                term.visit_forms(FormsElements { order, forms, targets, output })
            }
        };
        let mut total = 0.0;
        if wants_total || !terms.is_empty() {
            if compute(Order::Loss, losses).is_none() {
                return f64::NAN;
            }
            total = vectorised_here(Finish { losses, weights, scale, wants_total, terms });
        }
        if !slopes.is_empty() {
            let factor = if weights.is_some() { 1.0 } else { scale };
            if compute(Order::Slope(factor), slopes).is_none() {
                return f64::NAN;
            }
            if let Some(weights) = weights {
                vectorised(Weigh { slopes, weights, scale });
            }
        }
        total
    }
}

/// Weights the losses, writes the scaled ones if they are wanted, and returns the sum of the
/// unscaled ones if it is wanted.
struct Finish<'a> {
    losses: &'a mut [f32],
    weights: Option<&'a [f32]>,
    scale: f32,
    wants_total: bool,
    terms: &'a mut [f32],
}

impl NullaryFnOnce for Finish<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { losses, weights, scale, wants_total, terms } = self;
        for (loss, &weight) in losses.iter_mut().zip(weights.unwrap_or_default()) {
            *loss = weighted(weight, *loss);
        }
        for (term, loss) in terms.iter_mut().zip(&*losses) {
            *term = scale * loss;
        }
        if wants_total { sum(losses) } else { 0.0 }
    }
}

struct Weigh<'a> {
    slopes: &'a mut [f32],
    weights: &'a [f32],
    scale: f32,
}

impl NullaryFnOnce for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (slope, &weight) in self.slopes.iter_mut().zip(self.weights) {
            *slope = self.scale * weighted(weight, *slope);
        }
    }
}

/// Computes each element from an output, the target and the extra input; NaN if one of them is NaN.
struct Elements<'a> {
    order: Order,
    inputs: [&'a [f32]; 3],
    output: &'a mut [f32],
}

impl LossVisitor<f32> for Elements<'_> {
    type Output = ();

    fn visit<F: LossTerm<f32>>(self, formula: F) {
        let Self { order, inputs, output } = self;
        match order {
            Order::Loss => apply(Value(formula), inputs, output),
            Order::Slope(factor) => apply(Slope { formula, factor }, inputs, output),
        }
    }
}

#[inline(never)]
fn apply(term: impl Term, inputs: [&[f32]; 3], output: &mut [f32]) {
    let each = Each { term, inputs, output };
    if let Err(Each { term, inputs: [y, t, extra], output }) = vectorised_or_back(each) {
        one_by_one(output, &|i| {
            let (y, t, extra) = (y[i], t[i], extra[i]);
            let undefined = y.is_nan() | t.is_nan() | extra.is_nan();
            if undefined { f32::NAN } else { term.of(y, t, extra) }
        });
    }
}

/// Writes f(i) to each element i. This is not inlined, so that there is one loop for all functions.
#[inline(never)]
pub(super) fn one_by_one(output: &mut [f32], f: &dyn Fn(usize) -> f32) {
    output.iter_mut().enumerate().for_each(|(i, output)| *output = f(i));
}

/// A function of each element. This is not a closure, because it must become part of
/// the loop whatever its length.
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

struct Each<'a, T> {
    term: T,
    inputs: [&'a [f32]; 3],
    output: &'a mut [f32],
}

impl<T: Term> NullaryFnOnce for Each<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { term, inputs: [y, t, extra], output } = self;
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
}
