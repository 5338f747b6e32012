//! Products of vectors and the Jacobians of row-wise activations.

use std::ops::RangeInclusive;

use super::lines::{Kernel, over_lines};
use super::parallel::{LANES, Lanes, Totals, across, lines};
use super::rowwise::undefined;
use super::short_rows::{
    FEW, Few, GROUP, RowSum, Rows, ShortKernel, are_short, fold_rows, over_short_rows, parts,
};
use crate::backend::Lines;
use wgrad_formula::formulas::activations::RowTotals;

/// The widths of rows that are too short to be spread over all lanes.
const WIDTHS: RangeInclusive<usize> = FEW..=255;

/// From this width on, short rows are processed by elements. In a loop over that many
/// vectors, the compiler would instead vectorise over their first elements, then
/// their second elements, and so on.
const LONG: usize = 8 * FEW;

/// A function of an output y, an element of the vector, and sums over their row.
///
/// If the formula `SHIFTS`, the vector is taken relative to its element at the output that
/// outweighs all others, so that 1 − p is never computed from a p that was rounded to 1.
/// Rows without such an output need no other pass than the sum, and give the same results
/// beside rows with such an output.
pub(super) trait ProductFormula: Sync {
    const SHIFTS: bool;
    /// Whether the sum is divided by the number of positive outputs.
    const PROJECTS: bool;
    /// An output that has no effect on the sums.
    const NOTHING: f32;

    /// Whether an output has more weight in the sum than all others together.
    fn outweighs(&self, y: f32) -> bool;

    /// The term of the sum. If the formula does not shift, an output that
    /// outweighs all others is left out.
    fn term(&self, y: f32, v: f32) -> f32;

    /// The totals that belong to the sum, given the output that outweighs all others and the
    /// vector's element there, or zeros.
    fn totals(&self, total: f32, y: f32, v: f32) -> RowTotals<f32>;

    fn element(&self, y: f32, v: f32, totals: RowTotals<f32>) -> f32;
}

pub(super) struct ProductKernel<F> {
    pub(super) formula: F,
    pub(super) slope: f32,
}

/// A vector relative to a number, scaled by a power of two if that keeps it finite.
#[derive(Clone, Copy)]
struct Shift {
    scale: f32,
    origin: f32,
}

impl Shift {
    const NONE: Self = Self { scale: 1.0, origin: 0.0 };

    /// Differences of numbers below this do not overflow. What scaling loses of a small number
    /// would be lost anyway next to a number above this.
    const LARGE: f32 = 1.267_650_6e30;

    #[inline(always)]
    fn scale_for(value: f32) -> f32 {
        if value.abs() >= Self::LARGE { 0.25 } else { 1.0 }
    }

    #[inline(always)]
    fn to(origin: f32) -> Self {
        let scale = Self::scale_for(origin);
        if origin.is_finite() { Self { scale, origin: scale * origin } } else { Self::NONE }
    }

    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        self.scale * value - self.origin
    }

    /// Rescales the shift and the total, so that elements minus the total do not overflow.
    #[inline(always)]
    fn beside(self, total: f32) -> (Self, f32) {
        let scale = if self.scale == 1.0 { Self::scale_for(total) } else { 1.0 };
        (Self { scale: scale * self.scale, origin: scale * self.origin }, scale * total)
    }
}

/// The data of several rows.
struct RowSet<const N: usize> {
    scale: [f32; N],
    origin: [f32; N],
    slope: [f32; N],
    total: [f32; N],
    whole: [f32; N],
    others: [f32; N],
}

impl<const N: usize> RowSet<N> {
    const ZERO: Self = Self {
        scale: [0.0; N],
        origin: [0.0; N],
        slope: [0.0; N],
        total: [0.0; N],
        whole: [0.0; N],
        others: [0.0; N],
    };

    #[inline(always)]
    fn row(&self, n: usize) -> Row {
        let (total, whole, others) = (self.total[n], self.whole[n], self.others[n]);
        Row {
            shift: Shift { scale: self.scale[n], origin: self.origin[n] },
            slope: self.slope[n],
            totals: RowTotals { total, whole, others },
        }
    }

    #[inline(always)]
    fn set(&mut self, n: usize, row: Row) {
        self.scale[n] = row.shift.scale;
        self.origin[n] = row.shift.origin;
        self.slope[n] = row.slope;
        self.total[n] = row.totals.total;
        self.whole[n] = row.totals.whole;
        self.others[n] = row.totals.others;
    }
}

/// The data from which the elements of a row are computed.
#[derive(Clone, Copy)]
struct Row {
    shift: Shift,
    slope: f32,
    totals: RowTotals<f32>,
}

impl<F: ProductFormula> ProductKernel<F> {
    /// Computes the product for each line.
    pub(super) fn over(
        &self,
        output: &mut [f32],
        [y, vector]: [&[f32]; 2],
        lines: Lines,
        mask: Option<&[f32]>,
    ) {
        let inputs = [y, vector];
        if F::PROJECTS || !are_short(lines, WIDTHS) || mask.is_some() {
            over_lines(self, output, inputs, lines, mask);
        } else if lines.width < LONG {
            over_short_rows(&ShortProduct::<_, false>(self), output, inputs, lines.width);
        } else {
            over_short_rows(&ShortProduct::<_, true>(self), output, inputs, lines.width);
        }
    }

    /// Whether rows with these greatest outputs and these sums need no special treatment: no output
    /// outweighs all others, and no element minus a total overflows.
    #[inline(always)]
    fn are_plain<const N: usize, const M: usize>(
        &self,
        greatest: &[f32; N],
        totals: &[f32; M],
    ) -> bool {
        let mut any = false;
        for y in greatest {
            any |= self.formula.outweighs(*y);
        }
        if F::SHIFTS {
            for total in totals {
                any |= total.abs() >= Shift::LARGE;
            }
        }
        !any
    }

    /// All bits set if the output outweighs all others. In loops over a few elements, a
    /// choice would become branches.
    #[inline(always)]
    fn outweighing(&self, y: f32) -> u32 {
        u32::from(self.formula.outweighs(y)).wrapping_neg()
    }

    /// The value if the output outweighs all others, else 0.
    #[inline(always)]
    fn where_outweighing(&self, y: f32, value: f32) -> f32 {
        f32::from_bits(value.to_bits() & self.outweighing(y))
    }

    #[inline(always)]
    fn shift(&self, apart: Apart) -> Shift {
        if F::SHIFTS { Shift::to(apart.vector) } else { Shift::NONE }
    }

    #[inline(always)]
    fn term<const PLAIN: bool>(&self, y: f32, v: f32, shift: Shift) -> f32 {
        if PLAIN {
            self.formula.term(y, v)
        } else if F::SHIFTS {
            self.formula.term(y, shift.apply(v))
        } else {
            let term = self.formula.term(y, v);
            f32::from_bits(term.to_bits() & !self.outweighing(y))
        }
    }

    /// The data of a row, from its sum.
    #[inline(always)]
    fn row(&self, apart: Apart, shift: Shift, total: f32) -> Row {
        let (shift, total) = if F::SHIFTS { shift.beside(total) } else { (shift, total) };
        let totals = self.formula.totals(total, apart.output, apart.vector);
        Row { shift, slope: self.slope / shift.scale, totals }
    }

    /// The data of a row without an output that outweighs all others.
    #[inline(always)]
    fn plain_row(&self, total: f32) -> Row {
        Row { shift: Shift::NONE, slope: self.slope, totals: RowTotals::of(total) }
    }

    /// The data of a projected row, relative to its mean, including the part of
    /// the mean that rounding removed.
    #[inline(always)]
    fn projected_row(&self, mean: f64) -> Row {
        let shift = Shift::to(mean as f32);
        let total = f64::from(shift.scale) * mean - f64::from(shift.origin);
        Row { shift, slope: self.slope / shift.scale, totals: RowTotals::of(total as f32) }
    }

    /// An element of a row; the element of a `PLAIN` row depends only on the row's total.
    #[inline(always)]
    fn element<const PLAIN: bool>(&self, y: f32, v: f32, row: Row) -> f32 {
        if PLAIN {
            return self.slope * self.formula.element(y, v, RowTotals::of(row.totals.total));
        }
        let v = if F::SHIFTS { row.shift.apply(v) } else { v };
        row.slope * self.formula.element(y, v, row.totals)
    }
}

/// The output that outweighs all others and the vector's element there, or zeros.
#[derive(Clone, Copy, Default)]
struct Apart {
    output: f32,
    vector: f32,
}

/// Sets each output to f(x, y), with a separate f for each lane; lines that contain NaN become NaN.
#[inline(always)]
fn combine<const ACROSS: bool, F: Fn(f32, f32) -> f32>(
    inputs: [[&[Lanes]; 2]; 2],
    [first, last]: [&mut [Lanes]; 2],
    f: impl Fn(usize) -> F,
) {
    let mut any_nan = false;
    let [x, y] = inputs;
    for ((output, x), y) in [&mut *first, &mut *last].into_iter().zip(x).zip(y) {
        if ACROSS {
            // One f serves all lanes.
            let f = f(0);
            let elements = x.as_flattened().iter().zip(y.as_flattened());
            for (output, (&x, &y)) in output.as_flattened_mut().iter_mut().zip(elements) {
                *output = f(x, y);
                any_nan |= x.is_nan() | y.is_nan();
            }
        } else {
            for ((output, x), y) in output.iter_mut().zip(x).zip(y) {
                for lane in 0..LANES {
                    output[lane] = f(lane)(x[lane], y[lane]);
                    any_nan |= x[lane].is_nan() | y[lane].is_nan();
                }
            }
        }
    }
    if any_nan {
        let undefined = undefined::<ACROSS>(inputs.into_iter().flatten().flatten(), |value| value);
        for output in [first, last].into_iter().flatten() {
            for lane in 0..LANES {
                output[lane] = if undefined[lane] { f32::NAN } else { output[lane] };
            }
        }
    }
}

impl<F: ProductFormula> Kernel<2> for ProductKernel<F> {
    fn nothing(&self) -> [f32; 2] {
        [F::NOTHING, 0.0]
    }

    /// An excluded element is a constant, whatever the line is.
    fn excluded(&self) -> Option<f32> {
        Some(0.0)
    }

    #[inline(always)]
    fn run<const ACROSS: bool>(&self, inputs: [[&[Lanes]; 2]; 2], output: [&mut [Lanes]; 2]) {
        let mut greatest = [f32::NEG_INFINITY; LANES];
        let sums = self.sums::<ACROSS, true>(inputs, &mut greatest, |_| Shift::NONE);
        let rows = if F::PROJECTS {
            self.projected_rows(inputs[0], sums)
        } else {
            let mut totals = [0.0; LANES];
            for (lane, total) in totals.iter_mut().enumerate().take(lines(ACROSS)) {
                *total = sums.of_lane(lane) as f32;
            }
            if self.are_plain(&greatest, &totals) {
                return combine::<ACROSS, _>(inputs, output, |lane| {
                    let row = self.plain_row(totals[lane]);
                    move |y, v| self.element::<true>(y, v, row)
                });
            }
            self.rows::<ACROSS>(inputs, &greatest)
        };
        combine::<ACROSS, _>(inputs, output, |lane| {
            let row = rows.row(lane);
            move |y, v| self.element::<false>(y, v, row)
        });
    }
}

impl<F: ProductFormula> ProductKernel<F> {
    /// Adds up the terms of lines. If nothing is known of them (`PLAIN`), also finds the
    /// greatest outputs of the lanes.
    #[inline(always)]
    fn sums<const ACROSS: bool, const PLAIN: bool>(
        &self,
        [y, vector]: [[&[Lanes]; 2]; 2],
        greatest: &mut Lanes,
        shift: impl Fn(usize) -> Shift,
    ) -> Totals<ACROSS> {
        let mut totals = Totals::<ACROSS>::ZERO;
        for (y, v) in y.into_iter().zip(vector) {
            let term =
                |i: usize, lane: usize| self.term::<PLAIN>(y[i][lane], v[i][lane], shift(lane));
            // This adds like `add`, and finds the greatest outputs on the way.
            let pairs = if ACROSS { y.len() / 2 } else { 0 };
            for i in 0..pairs {
                let (first, second) = (2 * i, 2 * i + 1);
                totals.add(|lane| term(first, lane) + term(second, lane));
                if PLAIN {
                    for lane in 0..LANES {
                        greatest[lane] = greater(y[first][lane], greatest[lane]);
                        greatest[lane] = greater(y[second][lane], greatest[lane]);
                    }
                }
            }
            for (i, y) in y.iter().enumerate().skip(2 * pairs) {
                totals.add(|lane| term(i, lane));
                if PLAIN {
                    for lane in 0..LANES {
                        greatest[lane] = greater(y[lane], greatest[lane]);
                    }
                }
            }
        }
        totals
    }

    /// The data of lines that are projected.
    #[inline(always)]
    fn projected_rows<const ACROSS: bool>(
        &self,
        y: [&[Lanes]; 2],
        sums: Totals<ACROSS>,
    ) -> RowSet<LANES> {
        let mut support = [0.0f32; LANES];
        for y in y.into_iter().flatten() {
            for lane in 0..LANES {
                support[lane] += if y[lane] > 0.0 { 1.0 } else { 0.0 };
            }
        }
        across::<ACROSS, _>(&mut support, |a, b| a + b);
        let mut rows = RowSet::<LANES>::ZERO;
        for (lane, support) in support.iter().enumerate().take(lines(ACROSS)) {
            let mean = sums.of_lane(lane) / f64::from(support.max(1.0));
            rows.set(lane, self.projected_row(mean));
        }
        rows
    }

    /// The data of lines, if one of the greatest outputs outweighs all others.
    #[inline(always)]
    fn rows<const ACROSS: bool>(
        &self,
        inputs: [[&[Lanes]; 2]; 2],
        greatest: &Lanes,
    ) -> RowSet<LANES> {
        let (mut outputs, mut vectors) = ([0.0f32; LANES], [0.0f32; LANES]);
        if ACROSS {
            let apart = self.find(inputs, greatest);
            Apart { output: outputs[0], vector: vectors[0] } = apart;
        } else {
            let [y, vector] = inputs;
            for (y, vector) in y.into_iter().zip(vector) {
                for (y, vector) in y.iter().zip(vector) {
                    for lane in 0..LANES {
                        outputs[lane] += self.where_outweighing(y[lane], y[lane]);
                        vectors[lane] += self.where_outweighing(y[lane], vector[lane]);
                    }
                }
            }
        }
        let apart = |lane: usize| Apart { output: outputs[lane], vector: vectors[lane] };
        let (mut scale, mut origin) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..lines(ACROSS) {
            Shift { scale: scale[lane], origin: origin[lane] } = self.shift(apart(lane));
        }
        let first = Shift { scale: scale[0], origin: origin[0] };
        let shift = |lane: usize| match ACROSS {
            true => first,
            false => Shift { scale: scale[lane], origin: origin[lane] },
        };
        let sums = self.sums::<ACROSS, false>(inputs, &mut [0.0; LANES], shift);
        let mut rows = RowSet::<LANES>::ZERO;
        for lane in 0..lines(ACROSS) {
            let total = sums.of_lane(lane) as f32;
            rows.set(lane, self.row(apart(lane), shift(lane), total));
        }
        rows
    }

    /// Finds the output that outweighs all others in a line across the lanes, in the
    /// lane where it is the greatest.
    #[inline(always)]
    fn find(&self, [y, vector]: [[&[Lanes]; 2]; 2], greatest: &Lanes) -> Apart {
        let Some(lane) = greatest.iter().position(|y| self.formula.outweighs(*y)) else {
            return Apart::default();
        };
        for (y, vector) in y.into_iter().zip(vector) {
            for (y, vector) in y.iter().zip(vector) {
                if self.formula.outweighs(y[lane]) {
                    return Apart { output: y[lane], vector: vector[lane] };
                }
            }
        }
        Apart::default()
    }
}

#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The product for short rows, processed `BY_ELEMENTS` or by vectors.
struct ShortProduct<'a, K, const BY_ELEMENTS: bool>(&'a K);

impl<F: ProductFormula, const BY_ELEMENTS: bool> ShortKernel<2>
    for ShortProduct<'_, ProductKernel<F>, BY_ELEMENTS>
{
    type Scratch = ();

    #[inline(always)]
    fn run_group(&self, rows: Rows, [y, vector]: [&[f32]; 2], output: &mut [f32], (): &mut ()) {
        let count = output.len() / rows.width;
        // Short rows are never projected.
        let (mut greatest, mut sums) = ([f32::NEG_INFINITY; FEW], [RowSum::ZERO; GROUP]);
        for (n, sum) in sums.iter_mut().enumerate().take(count) {
            let inputs = [rows.row(y, n), rows.row(vector, n)];
            *sum = self.0.sum_of_row::<true>(rows, inputs, Shift::NONE, &mut greatest);
        }
        let totals = RowSum::totals(&sums).map(|total| total as f32);
        if self.0.are_plain(&greatest, &totals) {
            for (n, output) in output.chunks_exact_mut(rows.width).enumerate() {
                let inputs = [rows.row(y, n), rows.row(vector, n)];
                let row = self.0.plain_row(totals[n]);
                self.0.combine_row::<BY_ELEMENTS, true>(output, inputs, row);
            }
            return;
        }
        let set = self.0.short_rows(rows, count, [y, vector]);
        for (n, output) in output.chunks_exact_mut(rows.width).enumerate() {
            let inputs = [rows.row(y, n), rows.row(vector, n)];
            self.0.combine_row::<true, false>(output, inputs, set.row(n));
        }
    }
}

impl<F: ProductFormula> ProductKernel<F> {
    /// The data of rows in which an output may outweigh all others.
    #[inline(always)]
    fn short_rows(&self, rows: Rows, count: usize, [y, v]: [&[f32]; 2]) -> RowSet<GROUP> {
        let vectors = self.outweighing_of_rows(rows, count, y, v);
        // If the kernel shifts, nothing depends on the output itself.
        let outputs = if F::SHIFTS { vectors } else { self.outweighing_of_rows(rows, count, y, y) };
        let apart = |n: usize| Apart { output: outputs[n], vector: vectors[n] };
        let (mut scale, mut origin) = ([0.0; GROUP], [0.0; GROUP]);
        for n in 0..GROUP {
            Shift { scale: scale[n], origin: origin[n] } = self.shift(apart(n));
        }
        let shift = |n: usize| Shift { scale: scale[n], origin: origin[n] };
        let mut sums = [RowSum::ZERO; GROUP];
        for (n, sum) in sums.iter_mut().enumerate().take(count) {
            let inputs = [rows.row(y, n), rows.row(v, n)];
            *sum = self.sum_of_row::<false>(rows, inputs, shift(n), &mut [0.0; FEW]);
        }
        let totals = RowSum::totals(&sums);
        let mut set = RowSet::<GROUP>::ZERO;
        for (n, total) in totals.into_iter().enumerate() {
            set.set(n, self.row(apart(n), shift(n), total as f32));
        }
        set
    }

    /// For each of several rows, the value at the output that outweighs all others, or 0.
    #[inline(always)]
    fn outweighing_of_rows(
        &self,
        rows: Rows,
        count: usize,
        y: &[f32],
        values: &[f32],
    ) -> [f32; GROUP] {
        let mut found = [[0.0f32; FEW]; GROUP];
        for (n, found) in found.iter_mut().enumerate().take(count) {
            let (whole_y, last_y) = parts(rows.row(y, n));
            let (whole, last) = parts(rows.row(values, n));
            let mut sums = [0.0; FEW];
            for (y, values) in whole_y.iter().zip(whole) {
                for i in 0..FEW {
                    sums[i] += self.where_outweighing(y[i], values[i]);
                }
            }
            if let (Some(y), Some(values)) = (last_y, last) {
                let mut last = [0.0; FEW];
                for i in 0..FEW {
                    last[i] = self.where_outweighing(y[i], values[i]);
                }
                let last = rows.only_new(&last);
                for i in 0..FEW {
                    sums[i] += last[i];
                }
            }
            *found = sums;
        }
        fold_rows(&found, |a, b| a + b)
    }

    /// Adds up the terms of a row, and finds the greatest outputs.
    #[inline(always)]
    fn sum_of_row<const PLAIN: bool>(
        &self,
        rows: Rows,
        [y, v]: [&[f32]; 2],
        shift: Shift,
        greatest: &mut Few,
    ) -> RowSum {
        let ((whole_y, last_y), (whole_v, last_v)) = (parts(y), parts(v));
        let mut sum = RowSum::ZERO;
        let (pairs_y, odd_y) = whole_y.as_chunks::<2>();
        let (pairs_v, odd_v) = whole_v.as_chunks::<2>();
        for ([y, next_y], [v, next_v]) in pairs_y.iter().zip(pairs_v) {
            let (mut terms, next) =
                (self.terms::<PLAIN>(y, v, shift), self.terms::<PLAIN>(next_y, next_v, shift));
            for i in 0..FEW {
                terms[i] += next[i];
            }
            sum.add(&terms);
            for i in 0..FEW {
                greatest[i] = greater(greater(y[i], next_y[i]), greatest[i]);
            }
        }
        if let ([y], [v]) = (odd_y, odd_v) {
            sum.add(&self.terms::<PLAIN>(y, v, shift));
            for i in 0..FEW {
                greatest[i] = greater(y[i], greatest[i]);
            }
        }
        if let (Some(y), Some(v)) = (last_y, last_v) {
            sum.add(&rows.only_new(&self.terms::<PLAIN>(y, v, shift)));
            for i in 0..FEW {
                greatest[i] = greater(y[i], greatest[i]);
            }
        }
        sum
    }

    #[inline(always)]
    fn terms<const PLAIN: bool>(&self, y: &Few, v: &Few, shift: Shift) -> Few {
        let mut terms = [0.0; FEW];
        for i in 0..FEW {
            terms[i] = self.term::<PLAIN>(y[i], v[i], shift);
        }
        terms
    }

    /// Sets the outputs of a row; all become NaN if the row contains NaN.
    #[inline(always)]
    fn combine_row<const BY_ELEMENTS: bool, const PLAIN: bool>(
        &self,
        output: &mut [f32],
        [y, v]: [&[f32]; 2],
        row: Row,
    ) {
        let ((whole_y, last_y), (whole_v, last_v)) = (parts(y), parts(v));
        let mut any_nan = false;
        let whole = output.as_chunks_mut::<FEW>().0;
        if BY_ELEMENTS {
            let elements = whole_y.as_flattened().iter().zip(whole_v.as_flattened());
            for (output, (y, v)) in whole.as_flattened_mut().iter_mut().zip(elements) {
                *output = self.element::<PLAIN>(*y, *v, row);
                any_nan |= y.is_nan() | v.is_nan();
            }
        } else {
            for ((output, y), v) in whole.iter_mut().zip(whole_y).zip(whole_v) {
                any_nan |= self.combine_few::<PLAIN>(output, y, v, row);
            }
        }
        if let (Some(output), Some(y), Some(v)) = (output.last_chunk_mut(), last_y, last_v) {
            any_nan |= self.combine_few::<PLAIN>(output, y, v, row);
        }
        if any_nan {
            output.fill(f32::NAN);
        }
    }

    /// Sets a few outputs, and returns whether there is a NaN.
    #[inline(always)]
    fn combine_few<const PLAIN: bool>(&self, output: &mut Few, y: &Few, v: &Few, row: Row) -> bool {
        let mut any_nan = false;
        for i in 0..FEW {
            output[i] = self.element::<PLAIN>(y[i], v[i], row);
            any_nan |= y[i].is_nan() | v[i].is_nan();
        }
        any_nan
    }
}
