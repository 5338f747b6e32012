//! Products of the Jacobians of row-wise activations with vectors.

use std::ops::RangeInclusive;

use super::lines::{Kernel, over_lines};
use super::parallel::{LANES, Lanes, Totals, across, lines};
use super::rowwise::{add, undefined};
use super::short_rows::{
    FEW, Few, GROUP, RowSum, Rows, ShortKernel, are_short, over_short_rows, parts,
};
use crate::backend::Lines;

/// The widths of rows that are too short to be spread over all lanes.
const WIDTHS: RangeInclusive<usize> = FEW..=255;

/// The width from which such a row is worked at by elements: a loop over so many vectors would become one over
/// their first elements, one over their second ones and so on.
const LONG: usize = 8 * FEW;

/// What becomes of an output y and an element of the vector, with a sum over their row.
pub(super) struct ProductKernel<T, E> {
    /// The sum is divided by the number of outputs that are positive.
    pub(super) projects: bool,
    pub(super) term: T,
    pub(super) element: E,
    pub(super) slope: f32,
}

impl<T, E> ProductKernel<T, E>
where
    T: Fn(f32, f32) -> f32 + Sync,
    E: Fn(f32, f32, f32) -> f32 + Sync,
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

impl<T, E> Kernel<2> for ProductKernel<T, E>
where
    T: Fn(f32, f32) -> f32 + Sync,
    E: Fn(f32, f32, f32) -> f32 + Sync,
{
    fn nothing(&self) -> [f32; 2] {
        [0.0; 2]
    }

    /// Whatever the line is, an excluded element is a constant.
    fn excluded(&self) -> Option<f32> {
        Some(0.0)
    }

    #[inline(always)]
    fn run<const ACROSS: bool>(&self, [y, vector]: [[&[Lanes]; 2]; 2], output: [&mut [Lanes]; 2]) {
        let Self { projects, term, element, slope } = self;
        let (mut totals, mut support) = (Totals::<ACROSS>::ZERO, [0.0f32; LANES]);
        for (y, vector) in y.into_iter().zip(vector) {
            add(&mut totals, y.len(), |i, lane| term(y[i][lane], vector[i][lane]));
        }
        if *projects {
            for y in y.into_iter().flatten() {
                for lane in 0..LANES {
                    support[lane] += if y[lane] > 0.0 { 1.0 } else { 0.0 };
                }
            }
            across::<ACROSS, _>(&mut support, |a, b| a + b);
        }
        let mut means = [0.0; LANES];
        for lane in 0..lines(ACROSS) {
            let total = totals.of_lane(lane);
            let mean = if *projects { total / f64::from(support[lane].max(1.0)) } else { total };
            means[lane] = mean as f32;
        }
        combine::<ACROSS, _>([y, vector], output, |lane| {
            let mean = means[lane];
            move |y, v| slope * element(y, v, mean)
        });
    }
}

/// The product for short rows, `BY_ELEMENTS` or by vectors.
struct ShortProduct<'a, K, const BY_ELEMENTS: bool>(&'a K);

impl<T, E, const BY_ELEMENTS: bool> ShortKernel<2>
    for ShortProduct<'_, ProductKernel<T, E>, BY_ELEMENTS>
where
    T: Fn(f32, f32) -> f32 + Sync,
    E: Fn(f32, f32, f32) -> f32 + Sync,
{
    type Scratch = ();

    #[inline(always)]
    fn run_group(&self, rows: Rows, [y, vector]: [&[f32]; 2], output: &mut [f32], (): &mut ()) {
        let mut sums = [RowSum::ZERO; GROUP];
        for (n, sum) in sums.iter_mut().enumerate().take(output.len() / rows.width) {
            *sum = self.0.sum_of_row(rows, [rows.row(y, n), rows.row(vector, n)]);
        }
        let totals = RowSum::totals(&sums);
        for (n, output) in output.chunks_exact_mut(rows.width).enumerate() {
            let inputs = [rows.row(y, n), rows.row(vector, n)];
            self.0.combine_row::<BY_ELEMENTS>(output, inputs, totals[n] as f32);
        }
    }
}

impl<T, E> ProductKernel<T, E>
where
    T: Fn(f32, f32) -> f32,
    E: Fn(f32, f32, f32) -> f32,
{
    /// Adds up the terms of a row.
    #[inline(always)]
    fn sum_of_row(&self, rows: Rows, [y, v]: [&[f32]; 2]) -> RowSum {
        let ((whole_y, last_y), (whole_v, last_v)) = (parts(y), parts(v));
        let mut sum = RowSum::ZERO;
        let (pairs_y, odd_y) = whole_y.as_chunks::<2>();
        let (pairs_v, odd_v) = whole_v.as_chunks::<2>();
        for ([y, next_y], [v, next_v]) in pairs_y.iter().zip(pairs_v) {
            let (mut terms, next) = (self.terms(y, v), self.terms(next_y, next_v));
            for i in 0..FEW {
                terms[i] += next[i];
            }
            sum.add(&terms);
        }
        if let ([y], [v]) = (odd_y, odd_v) {
            sum.add(&self.terms(y, v));
        }
        if let (Some(y), Some(v)) = (last_y, last_v) {
            sum.add(&rows.only_new(&self.terms(y, v)));
        }
        sum
    }

    #[inline(always)]
    fn terms(&self, y: &Few, v: &Few) -> Few {
        let mut terms = [0.0; FEW];
        for i in 0..FEW {
            terms[i] = (self.term)(y[i], v[i]);
        }
        terms
    }

    /// Sets the outputs of a row; NaN where it holds one.
    #[inline(always)]
    fn combine_row<const BY_ELEMENTS: bool>(
        &self,
        output: &mut [f32],
        [y, v]: [&[f32]; 2],
        total: f32,
    ) {
        let ((whole_y, last_y), (whole_v, last_v)) = (parts(y), parts(v));
        let mut any_nan = false;
        let whole = output.as_chunks_mut::<FEW>().0;
        if BY_ELEMENTS {
            let elements = whole_y.as_flattened().iter().zip(whole_v.as_flattened());
            for (output, (y, v)) in whole.as_flattened_mut().iter_mut().zip(elements) {
                *output = self.slope * (self.element)(*y, *v, total);
                any_nan |= y.is_nan() | v.is_nan();
            }
        } else {
            for ((output, y), v) in whole.iter_mut().zip(whole_y).zip(whole_v) {
                any_nan |= self.combine_few(output, y, v, total);
            }
        }
        if let (Some(output), Some(y), Some(v)) = (output.last_chunk_mut(), last_y, last_v) {
            any_nan |= self.combine_few(output, y, v, total);
        }
        if any_nan {
            output.fill(f32::NAN);
        }
    }

    /// Sets a few outputs; whether there is a NaN.
    #[inline(always)]
    fn combine_few(&self, output: &mut Few, y: &Few, v: &Few, total: f32) -> bool {
        let Self { element, slope, .. } = self;
        let mut any_nan = false;
        for i in 0..FEW {
            output[i] = slope * element(y[i], v[i], total);
            any_nan |= y[i].is_nan() | v[i].is_nan();
        }
        any_nan
    }
}
