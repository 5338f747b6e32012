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

/// What becomes of an output y and an element of the vector, with sums over their row.
///
/// Where the kernel `SHIFTS`, the vector is taken relative to its element at an output that outweighs all
/// others, so that no 1 − p is taken from a p that was rounded to 1. Where there is none, it is taken relative
/// to about what the terms add up to, so that little is taken from it afterwards.
pub(super) struct ProductKernel<O, T, S, E, const SHIFTS: bool> {
    /// The sum is divided by the number of outputs that are positive.
    pub(super) projects: bool,
    /// An output without a part in the sums.
    pub(super) nothing: f32,
    /// Whether an output has more weight in the sum than all others together.
    pub(super) outweighs: O,
    pub(super) term: T,
    /// What the sum stands for, with the output that outweighs all others and the vector's element there, or
    /// zeros.
    pub(super) totals: S,
    pub(super) element: E,
    pub(super) slope: f32,
}

/// A vector relative to a number, times a power of two where that keeps it finite.
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
    fn to(origin: f32) -> Self {
        let scale = Self::scale_for(origin);
        if origin.is_finite() { Self { scale, origin: scale * origin } } else { Self::NONE }
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

impl<O, T, S, E, const SHIFTS: bool> ProductKernel<O, T, S, E, SHIFTS>
where
    O: Fn(f32) -> bool + Sync,
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

    /// Adds an output and the vector's element there to what is known of a row before its sum.
    #[inline(always)]
    fn add_to(&self, apart: &mut Apart, y: f32, v: f32) {
        apart.vector += self.vector_apart(y, v);
        apart.other += self.other_apart(y, v);
    }

    /// By bits: a choice becomes branches in loops over a few elements.
    #[inline(always)]
    fn vector_apart(&self, y: f32, v: f32) -> f32 {
        f32::from_bits(v.to_bits() & u32::from((self.outweighs)(y)).wrapping_neg())
    }

    #[inline(always)]
    fn other_apart(&self, y: f32, v: f32) -> f32 {
        if SHIFTS { (self.term)(y, v) } else { self.vector_apart(y, y) }
    }

    /// The shift of a row of which so many outputs are positive.
    #[inline(always)]
    fn shift(&self, apart: Apart, support: f32) -> Shift {
        match SHIFTS {
            true if apart.vector != 0.0 => Shift::to(apart.vector),
            true => Shift::to(apart.other / support),
            false => Shift::NONE,
        }
    }

    #[inline(always)]
    fn term(&self, y: f32, v: f32, shift: Shift) -> f32 {
        (self.term)(y, if SHIFTS { shift.apply(v) } else { v })
    }

    /// What a row's elements are computed with, from the sum.
    #[inline(always)]
    fn row(&self, apart: Apart, shift: Shift, total: f32) -> Row {
        let (shift, total) = if SHIFTS { shift.beside(total) } else { (shift, total) };
        let totals = (self.totals)(total, apart.other, apart.vector);
        Row { shift, slope: self.slope / shift.scale, totals }
    }

    #[inline(always)]
    fn element(&self, y: f32, v: f32, row: Row) -> f32 {
        let v = if SHIFTS { row.shift.apply(v) } else { v };
        row.slope * (self.element)(y, v, row.totals)
    }
}

/// What is known of a row before its sum: sums without much care, as they are of one number, or as any number
/// near it will do.
#[derive(Clone, Copy, Default)]
struct Apart {
    /// The vector's element at the output that outweighs all others, or 0. A 0 there needs no shift.
    vector: f32,
    /// That output, or 0; where the kernel shifts, the sum of the terms instead.
    other: f32,
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

impl<O, T, S, E, const SHIFTS: bool> Kernel<2> for ProductKernel<O, T, S, E, SHIFTS>
where
    O: Fn(f32) -> bool + Sync,
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
        let (mut vectors, mut others) = ([0.0f32; LANES], [0.0f32; LANES]);
        let mut support = [0.0f32; LANES];
        for (y, vector) in y.into_iter().zip(vector) {
            for (y, vector) in y.iter().zip(vector) {
                for lane in 0..LANES {
                    let mut apart = Apart { vector: vectors[lane], other: others[lane] };
                    self.add_to(&mut apart, y[lane], vector[lane]);
                    Apart { vector: vectors[lane], other: others[lane] } = apart;
                }
            }
        }
        if self.projects {
            for y in y.into_iter().flatten() {
                for lane in 0..LANES {
                    support[lane] += if y[lane] > 0.0 { 1.0 } else { 0.0 };
                }
            }
        }
        for sums in [&mut vectors, &mut others, &mut support] {
            across::<ACROSS, _>(sums, |a, b| a + b);
        }
        let apart = |lane: usize| Apart { vector: vectors[lane], other: others[lane] };
        let divisor = |lane: usize| if self.projects { support[lane].max(1.0) } else { 1.0 };
        let (mut scale, mut origin) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..lines(ACROSS) {
            let shift = self.shift(apart(lane), divisor(lane));
            Shift { scale: scale[lane], origin: origin[lane] } = shift;
        }
        for values in [&mut scale, &mut origin] {
            across::<ACROSS, _>(values, |first, _| first);
        }
        let shift = |lane: usize| Shift { scale: scale[lane], origin: origin[lane] };
        let mut totals = Totals::<ACROSS>::ZERO;
        for (y, vector) in y.into_iter().zip(vector) {
            add(&mut totals, y.len(), |i, lane| {
                self.term(y[i][lane], vector[i][lane], shift(lane))
            });
        }
        let mut rows = RowSet::<LANES>::ZERO;
        for lane in 0..lines(ACROSS) {
            let total = (totals.of_lane(lane) / f64::from(divisor(lane))) as f32;
            rows.set(lane, self.row(apart(lane), shift(lane), total));
        }
        combine::<ACROSS, _>([y, vector], output, |lane| {
            let row = rows.row(lane);
            move |y, v| self.element(y, v, row)
        });
    }
}

/// The product for short rows, `BY_ELEMENTS` or by vectors.
struct ShortProduct<'a, K, const BY_ELEMENTS: bool>(&'a K);

impl<O, T, S, E, const SHIFTS: bool, const BY_ELEMENTS: bool> ShortKernel<2>
    for ShortProduct<'_, ProductKernel<O, T, S, E, SHIFTS>, BY_ELEMENTS>
where
    O: Fn(f32) -> bool + Sync,
    T: Fn(f32, f32) -> f32 + Sync,
    S: Fn(f32, f32, f32) -> RowTotals<f32> + Sync,
    E: Fn(f32, f32, RowTotals<f32>) -> f32 + Sync,
{
    type Scratch = ();

    #[inline(always)]
    fn run_group(&self, rows: Rows, [y, vector]: [&[f32]; 2], output: &mut [f32], (): &mut ()) {
        let count = output.len() / rows.width;
        let apart = self.0.apart(rows, count, [y, vector]);
        // Short rows are not projected.
        let mut shifts = [Shift::NONE; GROUP];
        for n in 0..GROUP {
            shifts[n] = self.0.shift(apart[n], 1.0);
        }
        let mut sums = [RowSum::ZERO; GROUP];
        for (n, sum) in sums.iter_mut().enumerate().take(count) {
            *sum = self.0.sum_of_row(rows, [rows.row(y, n), rows.row(vector, n)], shifts[n]);
        }
        let totals = RowSum::totals(&sums);
        let mut set = RowSet::<GROUP>::ZERO;
        for n in 0..GROUP {
            set.set(n, self.0.row(apart[n], shifts[n], totals[n] as f32));
        }
        for (n, output) in output.chunks_exact_mut(rows.width).enumerate() {
            let inputs = [rows.row(y, n), rows.row(vector, n)];
            self.0.combine_row::<BY_ELEMENTS>(output, inputs, set.row(n));
        }
    }
}

impl<O, T, S, E, const SHIFTS: bool> ProductKernel<O, T, S, E, SHIFTS>
where
    O: Fn(f32) -> bool + Sync,
    T: Fn(f32, f32) -> f32 + Sync,
    S: Fn(f32, f32, f32) -> RowTotals<f32> + Sync,
    E: Fn(f32, f32, RowTotals<f32>) -> f32 + Sync,
{
    /// What a few outputs, and the vector there, add to what is known of a row.
    #[inline(always)]
    fn few_apart(&self, y: &Few, v: &Few) -> [Few; 2] {
        let (mut vectors, mut others) = ([0.0; FEW], [0.0; FEW]);
        for i in 0..FEW {
            vectors[i] = self.vector_apart(y[i], v[i]);
        }
        for i in 0..FEW {
            others[i] = self.other_apart(y[i], v[i]);
        }
        [vectors, others]
    }

    /// What is known of each of some rows before its sum.
    #[inline(always)]
    fn apart(&self, rows: Rows, count: usize, [y, v]: [&[f32]; 2]) -> [Apart; GROUP] {
        let (mut vectors, mut others) = ([[0.0f32; FEW]; GROUP], [[0.0f32; FEW]; GROUP]);
        for n in 0..count {
            let ((whole_y, last_y), (whole_v, last_v)) =
                (parts(rows.row(y, n)), parts(rows.row(v, n)));
            let (mut vector, mut other) = ([0.0f32; FEW], [0.0f32; FEW]);
            for (y, v) in whole_y.iter().zip(whole_v) {
                let [vectors, others] = self.few_apart(y, v);
                for i in 0..FEW {
                    vector[i] += vectors[i];
                }
                for i in 0..FEW {
                    other[i] += others[i];
                }
            }
            if let (Some(y), Some(v)) = (last_y, last_v) {
                let [vectors, others] = self.few_apart(y, v);
                let (vectors, others) = (rows.only_new(&vectors), rows.only_new(&others));
                for i in 0..FEW {
                    vector[i] += vectors[i];
                }
                for i in 0..FEW {
                    other[i] += others[i];
                }
            }
            (vectors[n], others[n]) = (vector, other);
        }
        let vectors = fold_rows(&vectors, |a, b| a + b);
        let others = fold_rows(&others, |a, b| a + b);
        let mut apart = [Apart { vector: 0.0, other: 0.0 }; GROUP];
        for n in 0..GROUP {
            apart[n] = Apart { vector: vectors[n], other: others[n] };
        }
        apart
    }

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
