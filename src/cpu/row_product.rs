//! Products of the Jacobians of row-wise activations with vectors.

use std::ops::RangeInclusive;

use super::lines::{Kernel, over_lines};
use super::parallel::{LANES, Lanes, Totals, across, lines};
use super::rowwise::{add, undefined};
use super::short_rows::{
    FEW, Few, GROUP, RowSum, Rows, ShortKernel, are_short, fold_rows, over_short_rows, parts,
};
use crate::backend::Lines;
use crate::reference::activations::RowTotals;

/// The widths of rows that are too short to be spread over all lanes.
const WIDTHS: RangeInclusive<usize> = FEW..=255;

/// The width from which such a row is worked at by elements: a loop over so many vectors would become one over
/// their first elements, one over their second ones and so on.
const LONG: usize = 8 * FEW;

/// What becomes of an output y and an element of the vector, with sums over their row. Where the kernel
/// `SHIFTS`, the vector is taken relative to its element at the greatest output.
pub(super) struct ProductKernel<T, S, E, const SHIFTS: bool> {
    /// The sum is divided by the number of outputs that are positive.
    pub(super) projects: bool,
    /// An output without a part in the sums.
    pub(super) nothing: f32,
    pub(super) term: T,
    /// What the sum stands for, with the greatest output and the vector's element there.
    pub(super) totals: S,
    pub(super) element: E,
    pub(super) slope: f32,
}

/// A vector relative to one of its elements, times a power of two where that keeps it finite.
#[derive(Clone, Copy)]
struct Shift {
    scale: f32,
    origin: f32,
}

impl Shift {
    const NONE: Self = Self { scale: 1.0, origin: 0.0 };

    /// Numbers below have differences that do not overflow; what is lost of a number that is small enough to
    /// be lost next to one above is nothing.
    const LARGE: f32 = 1.267_650_6e30;

    #[inline(always)]
    fn scale_for(value: f32) -> f32 {
        if value.abs() >= Self::LARGE { 0.25 } else { 1.0 }
    }

    #[inline(always)]
    fn to(element: f32) -> Self {
        let scale = Self::scale_for(element);
        if element.is_finite() { Self { scale, origin: scale * element } } else { Self::NONE }
    }

    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        self.scale * value - self.origin
    }

    /// The shift and the total again, so that elements less the total do not overflow.
    #[inline(always)]
    fn beside(self, total: f32) -> (Self, f32) {
        let scale = if self.scale == 1.0 { Self::scale_for(total) } else { 1.0 };
        (Self { scale: scale * self.scale, origin: scale * self.origin }, scale * total)
    }
}

/// What there is of several rows.
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

/// What the elements of a row are computed with.
#[derive(Clone, Copy)]
struct Row {
    shift: Shift,
    slope: f32,
    totals: RowTotals<f32>,
}

impl<T, S, E, const SHIFTS: bool> ProductKernel<T, S, E, SHIFTS>
where
    T: Fn(f32, f32) -> f32 + Sync,
    S: Fn(f32, f32, f32) -> RowTotals<f32> + Sync,
    E: Fn(f32, f32, RowTotals<f32>) -> f32 + Sync,
{
    /// The product for each line.
    pub(super) fn over(
        &self,
        output: &mut [f32],
        [y, vector]: [&[f32]; 2],
        lines: Lines,
        mask: Option<&[f32]>,
    ) {
        let inputs = [y, vector];
        if !are_short(lines, WIDTHS) || mask.is_some() || self.projects {
            over_lines(self, output, inputs, lines, mask);
        } else if lines.width < LONG {
            over_short_rows(&ShortProduct::<_, false>(self), output, inputs, lines.width);
        } else {
            over_short_rows(&ShortProduct::<_, true>(self), output, inputs, lines.width);
        }
    }

    /// The shift to the vector's element at the greatest output.
    #[inline(always)]
    fn shift(at_greatest: f32) -> Shift {
        if SHIFTS { Shift::to(at_greatest) } else { Shift::NONE }
    }

    #[inline(always)]
    fn term(&self, y: f32, v: f32, shift: Shift) -> f32 {
        (self.term)(y, if SHIFTS { shift.apply(v) } else { v })
    }

    /// What a row's elements are computed with, from its greatest output, the vector there and the sum.
    #[inline(always)]
    fn row(&self, y: f32, v: f32, total: f32) -> Row {
        let (shift, total) = match SHIFTS {
            true => Self::shift(v).beside(total),
            false => (Shift::NONE, total),
        };
        let totals = (self.totals)(total, y, v);
        Row { shift, slope: self.slope / shift.scale, totals }
    }

    #[inline(always)]
    fn element(&self, y: f32, v: f32, row: Row) -> f32 {
        let v = if SHIFTS { row.shift.apply(v) } else { v };
        row.slope * (self.element)(y, v, row.totals)
    }
}

/// The greater of two outputs, with the vector's elements there.
#[inline(always)]
fn greater(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    if b.0 > a.0 { b } else { a }
}

/// The greatest output of each line, and an element of the vector where it is.
#[inline(always)]
fn greatest<const ACROSS: bool>(y: [&[Lanes]; 2], vector: [&[Lanes]; 2]) -> [Lanes; 2] {
    let (mut greatest, mut at_greatest) = ([f32::NEG_INFINITY; LANES], [0.0; LANES]);
    for (y, vector) in y.into_iter().zip(vector) {
        // Several at once: what is kept of all lanes is in memory.
        let ((fours, rest), (vectors, vector_rest)) = (y.as_chunks::<4>(), vector.as_chunks::<4>());
        for (y, v) in fours.iter().zip(vectors) {
            for lane in 0..LANES {
                let at = |i: usize| (y[i][lane], v[i][lane]);
                let found = greater(greater(at(0), at(1)), greater(at(2), at(3)));
                (greatest[lane], at_greatest[lane]) =
                    greater((greatest[lane], at_greatest[lane]), found);
            }
        }
        for (y, v) in rest.iter().zip(vector_rest) {
            for lane in 0..LANES {
                (greatest[lane], at_greatest[lane]) =
                    greater((greatest[lane], at_greatest[lane]), (y[lane], v[lane]));
            }
        }
    }
    if ACROSS {
        let mut of_line = greatest;
        across::<ACROSS, _>(&mut of_line, |a, b| if b > a { b } else { a });
        for lane in 0..LANES {
            let is_there = greatest[lane] == of_line[lane];
            at_greatest[lane] = if is_there { at_greatest[lane] } else { f32::NEG_INFINITY };
        }
        across::<ACROSS, _>(&mut at_greatest, |a, b| if b > a { b } else { a });
        greatest = of_line;
    }
    [greatest, at_greatest]
}

/// Sets each output to f(x, y), with an f for each lane; NaN in lines that hold it.
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
            // One for all.
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

impl<T, S, E, const SHIFTS: bool> Kernel<2> for ProductKernel<T, S, E, SHIFTS>
where
    T: Fn(f32, f32) -> f32 + Sync,
    S: Fn(f32, f32, f32) -> RowTotals<f32> + Sync,
    E: Fn(f32, f32, RowTotals<f32>) -> f32 + Sync,
{
    fn nothing(&self) -> [f32; 2] {
        [self.nothing, 0.0]
    }

    /// Whatever the line is, an excluded element is a constant.
    fn excluded(&self) -> Option<f32> {
        Some(0.0)
    }

    #[inline(always)]
    fn run<const ACROSS: bool>(&self, [y, vector]: [[&[Lanes]; 2]; 2], output: [&mut [Lanes]; 2]) {
        let [greatest, at_greatest] = greatest::<ACROSS>(y, vector);
        let (mut scale, mut origin) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            Shift { scale: scale[lane], origin: origin[lane] } = Self::shift(at_greatest[lane]);
        }
        let (mut totals, mut support) = (Totals::<ACROSS>::ZERO, [0.0f32; LANES]);
        for (y, vector) in y.into_iter().zip(vector) {
            add(&mut totals, y.len(), |i, lane| {
                let shift = Shift { scale: scale[lane], origin: origin[lane] };
                self.term(y[i][lane], vector[i][lane], shift)
            });
        }
        if self.projects {
            for y in y.into_iter().flatten() {
                for lane in 0..LANES {
                    support[lane] += if y[lane] > 0.0 { 1.0 } else { 0.0 };
                }
            }
            across::<ACROSS, _>(&mut support, |a, b| a + b);
        }
        let mut rows = RowSet::<LANES>::ZERO;
        for lane in 0..lines(ACROSS) {
            let total = totals.of_lane(lane);
            let divisor = if self.projects { f64::from(support[lane].max(1.0)) } else { 1.0 };
            let total = (total / divisor) as f32;
            rows.set(lane, self.row(greatest[lane], at_greatest[lane], total));
        }
        combine::<ACROSS, _>([y, vector], output, |lane| {
            let row = rows.row(lane);
            move |y, v| self.element(y, v, row)
        });
    }
}

/// The product for short rows, `BY_ELEMENTS` or by vectors.
struct ShortProduct<'a, K, const BY_ELEMENTS: bool>(&'a K);

impl<T, S, E, const SHIFTS: bool, const BY_ELEMENTS: bool> ShortKernel<2>
    for ShortProduct<'_, ProductKernel<T, S, E, SHIFTS>, BY_ELEMENTS>
where
    T: Fn(f32, f32) -> f32 + Sync,
    S: Fn(f32, f32, f32) -> RowTotals<f32> + Sync,
    E: Fn(f32, f32, RowTotals<f32>) -> f32 + Sync,
{
    type Scratch = ();

    #[inline(always)]
    fn run_group(&self, rows: Rows, [y, vector]: [&[f32]; 2], output: &mut [f32], (): &mut ()) {
        let count = output.len() / rows.width;
        let [greatest, at_greatest] = greatest_of_rows(rows, count, [y, vector]);
        let mut sums = [RowSum::ZERO; GROUP];
        for (n, sum) in sums.iter_mut().enumerate().take(count) {
            let shift = ProductKernel::<T, S, E, SHIFTS>::shift(at_greatest[n]);
            *sum = self.0.sum_of_row(rows, [rows.row(y, n), rows.row(vector, n)], shift);
        }
        let totals = RowSum::totals(&sums);
        let mut set = RowSet::<GROUP>::ZERO;
        for n in 0..GROUP {
            set.set(n, self.0.row(greatest[n], at_greatest[n], totals[n] as f32));
        }
        for (n, output) in output.chunks_exact_mut(rows.width).enumerate() {
            let inputs = [rows.row(y, n), rows.row(vector, n)];
            self.0.combine_row::<BY_ELEMENTS>(output, inputs, set.row(n));
        }
    }
}

/// The greatest output of each of some rows, and an element of the vector where it is.
#[inline(always)]
fn greatest_of_rows(rows: Rows, count: usize, [y, vector]: [&[f32]; 2]) -> [[f32; GROUP]; 2] {
    let mut greatest = [[f32::NEG_INFINITY; FEW]; GROUP];
    let mut at_greatest = [[0.0; FEW]; GROUP];
    for n in 0..count {
        let ((whole_y, last_y), (whole_v, last_v)) =
            (parts(rows.row(y, n)), parts(rows.row(vector, n)));
        let (mut here, mut at) = ([f32::NEG_INFINITY; FEW], [0.0; FEW]);
        for (y, v) in whole_y.iter().chain(last_y).zip(whole_v.iter().chain(last_v)) {
            for i in 0..FEW {
                (here[i], at[i]) = greater((here[i], at[i]), (y[i], v[i]));
            }
        }
        (greatest[n], at_greatest[n]) = (here, at);
    }
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let of_rows = fold_rows(&greatest, larger);
    for ((at, greatest), of_row) in at_greatest.iter_mut().zip(&greatest).zip(of_rows) {
        for i in 0..FEW {
            at[i] = if greatest[i] == of_row { at[i] } else { f32::NEG_INFINITY };
        }
    }
    [of_rows, fold_rows(&at_greatest, larger)]
}

impl<T, S, E, const SHIFTS: bool> ProductKernel<T, S, E, SHIFTS>
where
    T: Fn(f32, f32) -> f32 + Sync,
    S: Fn(f32, f32, f32) -> RowTotals<f32> + Sync,
    E: Fn(f32, f32, RowTotals<f32>) -> f32 + Sync,
{
    /// Adds up the terms of a row.
    #[inline(always)]
    fn sum_of_row(&self, rows: Rows, [y, v]: [&[f32]; 2], shift: Shift) -> RowSum {
        let ((whole_y, last_y), (whole_v, last_v)) = (parts(y), parts(v));
        let mut sum = RowSum::ZERO;
        let (pairs_y, odd_y) = whole_y.as_chunks::<2>();
        let (pairs_v, odd_v) = whole_v.as_chunks::<2>();
        for ([y, next_y], [v, next_v]) in pairs_y.iter().zip(pairs_v) {
            let (mut terms, next) = (self.terms(y, v, shift), self.terms(next_y, next_v, shift));
            for i in 0..FEW {
                terms[i] += next[i];
            }
            sum.add(&terms);
        }
        if let ([y], [v]) = (odd_y, odd_v) {
            sum.add(&self.terms(y, v, shift));
        }
        if let (Some(y), Some(v)) = (last_y, last_v) {
            sum.add(&rows.only_new(&self.terms(y, v, shift)));
        }
        sum
    }

    #[inline(always)]
    fn terms(&self, y: &Few, v: &Few, shift: Shift) -> Few {
        let mut terms = [0.0; FEW];
        for i in 0..FEW {
            terms[i] = self.term(y[i], v[i], shift);
        }
        terms
    }

    /// Sets the outputs of a row; NaN where it holds one.
    #[inline(always)]
    fn combine_row<const BY_ELEMENTS: bool>(
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
                *output = self.element(*y, *v, row);
                any_nan |= y.is_nan() | v.is_nan();
            }
        } else {
            for ((output, y), v) in whole.iter_mut().zip(whole_y).zip(whole_v) {
                any_nan |= self.combine_few(output, y, v, row);
            }
        }
        if let (Some(output), Some(y), Some(v)) = (output.last_chunk_mut(), last_y, last_v) {
            any_nan |= self.combine_few(output, y, v, row);
        }
        if any_nan {
            output.fill(f32::NAN);
        }
    }

    /// Sets a few outputs; whether there is a NaN.
    #[inline(always)]
    fn combine_few(&self, output: &mut Few, y: &Few, v: &Few, row: Row) -> bool {
        let mut any_nan = false;
        for i in 0..FEW {
            output[i] = self.element(y[i], v[i], row);
            any_nan |= y[i].is_nan() | v[i].is_nan();
        }
        any_nan
    }
}
