//! Losses that are sums of terms, on top of softmax or softmin: the twin of
//! shaders/kernels/row_terms.wgsl, which explains how the slopes are taken from the outputs to z.

use pulp::NullaryFnOnce;

use super::super::parallel::{sum_of, vectorised};
use super::super::rowwise::Call;
use super::forms::{BLOCK, FormsMemory};
use super::terms::{Block, Input};
use super::{Outputs, Pass, Row};
use crate::backend::{Lines, RowCall, Temperature};
use wgrad_formula::formulas::activations::Forms;
use wgrad_formula::formulas::{RowFunction, TermFunction, View};
use wgrad_formula::numbers::Real;
use wgrad_formula::numbers::{difference, exp_difference, ln_1p};

/// Below this, the sum of the other outputs may have lost digits.
const LEAST_OTHERS: f32 = 1e-30;

/// The values that the outputs of a row have in common.
#[derive(Clone, Copy)]
struct Top {
    /// The index of the output that is greater than ½, called the top.
    index: Option<usize>,
    /// 1 − p of the top, which is the sum of the others, and its logarithm.
    others: f32,
    log_others: f32,
    /// The greatest argument, and the logarithm of the sum of the exponentials relative to it.
    maximum: f32,
    log_sum: f32,
    /// The greatest argument of the others, and the sum of their exponentials relative to it, if
    /// the outputs are too small to give these.
    second: Option<(f32, f32)>,
    /// The sign of the arguments: −1 for softmin.
    sign: f32,
}

impl Top {
    fn of(y: &[f32], z: &[f32], sign: f32, view: View) -> Self {
        let index = y.iter().position(|&p| p > 0.5);
        let beside = |term: &dyn Fn(usize) -> f32| {
            let mut sum = 0.0;
            for i in (0..y.len()).filter(|&i| Some(i) != index) {
                sum += f64::from(term(i));
            }
            sum as f32
        };
        let sum = |values: &[f32]| values.iter().map(|&p| f64::from(p)).sum::<f64>();
        let others = index.map_or(0.0, |i| (sum(&y[..i]) + sum(&y[i + 1..])) as f32);
        let mut top =
            Self { index, others, log_others: 0.0, maximum: 0.0, log_sum: 0.0, second: None, sign };
        if view != View::Logarithms {
            return top;
        }
        let x = |i: usize| sign * z[i];
        let greatest = |a: f32, i: usize| if x(i) > a { x(i) } else { a };
        top.maximum = (0..z.len()).fold(f32::NEG_INFINITY, greatest);
        top.log_sum = match index {
            Some(_) => ln_1p(others / (1.0 - others)),
            None => -y.iter().fold(0.0f32, |a, &p| if p > a { p } else { a }).ln(),
        };
        top.log_others = Real::ln(others);
        if index.is_some() && others < LEAST_OTHERS {
            let others = (0..z.len()).filter(|&i| Some(i) != index);
            let second = others.fold(f32::NEG_INFINITY, greatest);
            let sum = beside(&|i| relative(x(i), second));
            top.log_others = (second - top.maximum) + (Real::ln(sum) - top.log_sum);
            top.second = Some((second, sum));
        }
        top
    }

    /// The forms of the top.
    fn forms(&self, p: f32) -> Forms<f32> {
        Forms {
            y: p,
            rest: self.others,
            log: -self.log_sum,
            log_rest: self.log_others,
            slope: p * self.others,
            log_slope: self.others,
            rest_slope: p,
        }
    }

    /// p / (1 − p_top) of an output other than the top.
    #[inline(always)]
    fn share(&self, p: f32, z: f32) -> f32 {
        match self.second {
            Some((second, sum)) => relative(self.sign * z, second) / sum,
            None => p / self.others,
        }
    }
}

/// e^(x − second); 1 if both are −∞.
fn relative(x: f32, second: f32) -> f32 {
    if x == second { 1.0 } else { exp_difference(difference(x, second)) }
}

/// Memory that a thread keeps from one block to the next.
struct Memory {
    forms: Box<FormsMemory>,
    y: [f32; BLOCK],
    targets: [f32; BLOCK],
    shifted: [f32; BLOCK],
    extra: [f32; BLOCK],
    margins: [f32; BLOCK],
    weights: [f32; BLOCK],
    losses: [f32; BLOCK],
    tops: Vec<Top>,
}

impl Pass<'_> {
    /// Runs one task, for these rows.
    pub(super) fn simplex(
        &self,
        function: RowFunction,
        term: TermFunction,
        [first, count]: [usize; 2],
        outputs: Outputs<'_>,
    ) {
        let width = self.rows.width;
        let range = first * width..(first + count) * width;
        let z = &self.z[range];
        let mut scratch = Vec::new();
        let Outputs { losses, y, dz, .. } = outputs;
        let y = if y.is_empty() {
            scratch.resize(z.len(), 0.0);
            &mut scratch[..]
        } else {
            y
        };
        let lines = Lines { outer: count, width, inner: 1 };
        let temperature = Temperature::ONE;
        Call::new(RowCall { function, lines, temperature, mask: None }, None).forward(z, y);
        let sign = if function == RowFunction::Softmin { -1.0 } else { 1.0 };
        let terms = SimplexTerms { pass: self, sign, term };
        terms.run([first, count], Outputs { losses, y, dz, terms: &mut [] });
    }
}

/// A loss of terms on top of softmax or softmin.
struct SimplexTerms<'a> {
    pass: &'a Pass<'a>,
    /// The sign of the arguments: −1 for softmin.
    sign: f32,
    term: TermFunction,
}

impl SimplexTerms<'_> {
    /// Processes these rows, whose outputs have been computed.
    fn run(&self, [first, count]: [usize; 2], outputs: Outputs<'_>) {
        let (width, view) = (self.pass.rows.width, self.term.view());
        let block = [0.0; BLOCK];
        let mut memory = Memory {
            forms: FormsMemory::new(),
            y: block,
            targets: block,
            shifted: block,
            extra: [1.0; BLOCK],
            margins: block,
            weights: block,
            losses: block,
            tops: Vec::new(),
        };
        // Process narrow rows together, unless some may be ignored.
        let together = (BLOCK / width.max(1)).min(count);
        if view != View::Logarithms && together > 1 && !self.pass.targets.are_labels() {
            for (group, outputs) in outputs.tasks(count, width, together).enumerate() {
                let first = first + group * together;
                self.simplex_group(view, self.pass.first_row + first, outputs, &mut memory);
            }
            return;
        }
        for row in self.pass.one_by_one(first, count, outputs) {
            self.simplex_row(view, row, &mut memory);
        }
    }

    /// Processes several rows, starting at this number, with their outputs, for a loss that takes
    /// no logarithms. The sum of their losses is stored as the loss of the first row.
    fn simplex_group(&self, view: View, number: usize, outputs: Outputs<'_>, memory: &mut Memory) {
        let Outputs { losses, y, dz, .. } = outputs;
        let (width, length) = (self.pass.rows.width, y.len());
        let sign = self.sign;
        let Memory {
            y: offsets,
            targets,
            shifted,
            extra,
            margins,
            weights,
            losses: terms,
            tops,
            ..
        } = memory;
        let [offsets, shifted, margins, scaled, terms] =
            [offsets, shifted, margins, weights, terms].map(|block| &mut block[..length]);
        let (scratch, ones) = (&mut targets[..width], &mut extra[..width]);
        tops.clear();
        offsets.copy_from_slice(y);
        for (row, y) in y.chunks_exact(width).enumerate() {
            let top = Top::of(y, &[], sign, view);
            let range = row * width..(row + 1) * width;
            let (number, [t, margin, offset]) = (
                number + row,
                [&mut *shifted, &mut *margins, &mut *offsets]
                    .map(|block| &mut block[range.clone()]),
            );
            if let Some(targets) = self.pass.targets.row(number) {
                t.copy_from_slice(targets.block(0, scratch));
            }
            margin.copy_from_slice(self.pass.targets.extra(number, 0, ones));
            if let Some(weights) = self.pass.targets.weights(number, 0, scratch) {
                scaled[range].copy_from_slice(weights);
            }
            if let Some(index) = top.index {
                match view {
                    View::Difference => (offset[index], t[index]) = (-top.others, t[index] - 1.0),
                    View::Margin => (offset[index], margin[index]) = (-top.others, 1.0 - t[index]),
                    View::Output | View::Logarithms => {}
                }
            }
            tops.push(top);
        }
        let block = Block {
            input: Input::Outputs { argument: offsets, targets: shifted, extra: margins },
            weights: self.pass.targets.weights.is_some().then_some(&*scaled),
            scale: self.pass.scale,
            wants_total: !losses.is_empty(),
            losses: terms,
            terms: &mut [],
            slopes: &mut *dz,
        };
        let total = block.evaluate(self.term);
        losses.fill(0.0);
        if let Some(first) = losses.first_mut() {
            *first = (f64::from(self.pass.scale) * total) as f32;
        }
        if !dz.is_empty() {
            vectorised(Chain { y, z: y, tops, view, width, dz });
        }
    }

    fn simplex_row(&self, view: View, row: Row<'_>, memory: &mut Memory) {
        let Row { number, z, loss, y, dz, .. } = row;
        let (counts, is_nan) =
            (self.pass.targets.row(number).is_some(), y.iter().any(|y| y.is_nan()));
        if !counts || is_nan {
            let value = if counts { f32::NAN } else { 0.0 };
            dz.fill(value);
            if let Some(loss) = loss {
                *loss = value;
            }
            return;
        }
        let top = Top::of(y, z, self.sign, view);
        let mut total = 0.0;
        for start in (0..y.len()).step_by(BLOCK) {
            let range = start..y.len().min(start + BLOCK);
            let slopes = if dz.is_empty() { &mut [][..] } else { &mut dz[range.clone()] };
            let place = Place { number, start, wants_total: loss.is_some() };
            let [y, z] = [&y[range.clone()], &z[range]];
            total += match view {
                View::Logarithms => self.logarithms_block(place, [y, z], top, slopes, memory),
                _ => self.outputs_block(place, y, (view, top), slopes, memory),
            };
        }
        if let Some(loss) = loss {
            *loss = (f64::from(self.pass.scale) * total) as f32;
        }
        if !dz.is_empty() {
            vectorised(Chain { y, z, tops: &[top], view, width: y.len(), dz });
        }
    }

    /// Computes the slopes dE/du of a block.
    fn logarithms_block(
        &self,
        place: Place,
        [y, z]: [&[f32]; 2],
        top: Top,
        slopes: &mut [f32],
        memory: &mut Memory,
    ) -> f64 {
        let Place { number, start, wants_total } = place;
        let Some(targets) = self.pass.targets.row(number) else { return 0.0 };
        vectorised(Fill { y, z, top, forms: &mut memory.forms });
        if let Some(index) = place.within(top.index, y.len()) {
            memory.forms.set(index, top.forms(y[index]));
        }
        let [target, weights, losses] =
            [&mut memory.targets, &mut memory.weights, &mut memory.losses]
                .map(|block| &mut block[..y.len()]);
        let targets_of_block = targets.block(start, target);
        let block = Block {
            input: Input::Forms { forms: &memory.forms, targets: targets_of_block },
            weights: self.pass.targets.weights_of_terms(number, targets, start, weights),
            scale: self.pass.scale,
            wants_total,
            losses,
            terms: &mut [],
            slopes,
        };
        block.evaluate(self.term)
    }

    /// Computes the slopes dE/dy of a block.
    fn outputs_block(
        &self,
        place: Place,
        y: &[f32],
        (view, top): (View, Top),
        slopes: &mut [f32],
        memory: &mut Memory,
    ) -> f64 {
        let Place { number, start, wants_total } = place;
        let Some(targets) = self.pass.targets.row(number) else { return 0.0 };
        let Memory {
            y: offsets, targets: target, shifted, extra, margins, weights, losses, ..
        } = memory;
        let [offsets, target, shifted, extra, margins, weights, losses] =
            [offsets, target, shifted, extra, margins, weights, losses]
                .map(|block| &mut block[..y.len()]);
        let mut argument = y;
        let weights = self.pass.targets.weights_of_terms(number, targets, start, weights);
        let mut targets = targets.block(start, target);
        let mut extra = self.pass.targets.extra(number, start, extra);
        if let Some(index) = place.within(top.index, y.len()) {
            let t = targets[index];
            if matches!(view, View::Difference | View::Margin) {
                offsets.copy_from_slice(y);
                offsets[index] = -top.others;
                argument = offsets;
            }
            if view == View::Difference {
                shifted.copy_from_slice(targets);
                shifted[index] = t - 1.0;
                targets = shifted;
            }
            if view == View::Margin {
                margins.copy_from_slice(extra);
                margins[index] = 1.0 - t;
                extra = margins;
            }
        }
        let block = Block {
            input: Input::Outputs { argument, targets, extra },
            weights,
            scale: self.pass.scale,
            wants_total,
            losses,
            terms: &mut [],
            slopes,
        };
        block.evaluate(self.term)
    }
}

/// A block of a row: the row's number, the block's first column, and whether the loss is wanted.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    start: usize,
    wants_total: bool,
}

impl Place {
    /// The index of a column in the block of this length.
    fn within(self, column: Option<usize>, length: usize) -> Option<usize> {
        column.and_then(|column| column.checked_sub(self.start)).filter(|&i| i < length)
    }
}

/// Computes the forms of outputs other than the top.
struct Fill<'a> {
    y: &'a [f32],
    z: &'a [f32],
    top: Top,
    forms: &'a mut FormsMemory,
}

impl NullaryFnOnce for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { y, z, top, forms } = self;
        for (i, (&p, &z)) in y.iter().zip(z).enumerate().take(BLOCK) {
            let rest = 1.0 - p;
            let far = (top.sign * z - top.maximum) - top.log_sum;
            let near = Real::ln(p);
            let log = if p > LEAST_OTHERS { near } else { far };
            let log_rest = -ln_1p(p / rest);
            let slope = p * rest;
            forms
                .set(i, Forms { y: p, rest, log, log_rest, slope, log_slope: rest, rest_slope: p });
        }
    }
}

/// 1 − p of an output other than the top; for the top, any value except 0.
#[inline(always)]
fn rest(p: f32) -> f32 {
    let rest = 1.0 - p;
    if rest < 0.5 { 0.5 } else { rest }
}

/// Replaces the slopes of rows by dE/dz. The slopes are dE/du for a loss that takes logarithms, and
/// otherwise dE/dy, in which case z does not matter.
struct Chain<'a> {
    y: &'a [f32],
    z: &'a [f32],
    tops: &'a [Top],
    view: View,
    width: usize,
    dz: &'a mut [f32],
}

impl NullaryFnOnce for Chain<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { y, z, tops, view, width, dz } = self;
        let inputs = y.chunks_exact(width).zip(z.chunks_exact(width));
        for ((dz, (y, z)), &top) in dz.chunks_exact_mut(width).zip(inputs).zip(tops) {
            top.chain(view, [y, z], dz);
        }
    }
}

impl Top {
    /// Replaces the slopes of one row.
    #[inline(always)]
    fn chain(self, view: View, [y, z]: [&[f32]; 2], dz: &mut [f32]) {
        let [y, z] = [&y[..dz.len()], &z[..dz.len()]];
        if let [dz] = dz {
            // A single output is 1 whatever z is.
            *dz = if dz.is_nan() { *dz } else { 0.0 };
            return;
        }
        if view != View::Logarithms {
            // Take the slopes relative to the slope of the greatest output, which may be nearly 1.
            let greatest = |best: usize, i: usize| if y[i] > y[best] { i } else { best };
            let origin = dz[self.index.unwrap_or_else(|| (0..y.len()).fold(0, greatest))];
            let slopes = &*dz;
            let total = sum_of(dz.len(), |i| (slopes[i] - origin) * y[i]) as f32;
            for (dz, &p) in dz.iter_mut().zip(y) {
                *dz = self.sign * (p * ((*dz - origin) - total));
            }
            return;
        }
        let of_top = self.index.map_or(0.0, |index| dz[index]);
        // Leave the top out of the sum.
        if let Some(index) = self.index {
            dz[index] = 0.0;
        }
        for (dz, &p) in dz.iter_mut().zip(y) {
            *dz /= rest(p);
        }
        let slopes = &*dz;
        let total = sum_of(dz.len(), |i| slopes[i]) as f32;
        for ((dz, &p), &z) in dz.iter_mut().zip(y).zip(z) {
            let taken = self.share(p, z) * of_top;
            let taken = if self.index.is_some() { taken } else { 0.0 };
            *dz = self.sign * ((*dz - taken) - p * total);
        }
        if let Some(index) = self.index {
            dz[index] = self.sign * (of_top - y[index] * total);
        }
    }
}
