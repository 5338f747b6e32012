//! Products of the Jacobians of row-wise activations with vectors.

use super::lines::{Kernel, over_lines};
use super::parallel::{LANES, Lanes, Totals, across, lines};
use super::rowwise::{add, combine};
use super::short_rows::{
    FEW, Few, GROUP, RowSum, Rows, ShortKernel, are_short, over_short_rows, parts,
};
use crate::backend::Lines;

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
        if are_short(lines) && mask.is_none() && !self.projects {
            return over_short_rows(self, output, [y, vector], lines.width);
        }
        over_lines(self, output, [y, vector], lines, mask);
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

impl<T, E> ShortKernel<2> for ProductKernel<T, E>
where
    T: Fn(f32, f32) -> f32 + Sync,
    E: Fn(f32, f32, f32) -> f32 + Sync,
{
    #[inline(always)]
    fn run_group(&self, rows: Rows, [y, vector]: [&[f32]; 2], output: &mut [f32]) {
        let mut sums = [RowSum::ZERO; GROUP];
        for (n, sum) in sums.iter_mut().enumerate().take(output.len() / rows.width) {
            *sum = self.sum_of_row(rows, [rows.row(y, n), rows.row(vector, n)]);
        }
        let totals = RowSum::totals(&sums);
        for (n, output) in output.chunks_exact_mut(rows.width).enumerate() {
            self.combine_row(output, [rows.row(y, n), rows.row(vector, n)], totals[n] as f32);
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
        let Self { term, .. } = self;
        let ((whole_y, last_y), (whole_v, last_v)) = (parts(y), parts(v));
        let mut sum = RowSum::ZERO;
        let (pairs_y, odd_y) = whole_y.as_chunks::<2>();
        let (pairs_v, odd_v) = whole_v.as_chunks::<2>();
        for ([y, next_y], [v, next_v]) in pairs_y.iter().zip(pairs_v) {
            let mut terms = [0.0; FEW];
            for i in 0..FEW {
                terms[i] = term(y[i], v[i]) + term(next_y[i], next_v[i]);
            }
            sum.add(&terms);
        }
        if let ([y], [v]) = (odd_y, odd_v) {
            let mut terms = [0.0; FEW];
            for i in 0..FEW {
                terms[i] = term(y[i], v[i]);
            }
            sum.add(&terms);
        }
        if let (Some(y), Some(v)) = (last_y, last_v) {
            let mut terms = [0.0; FEW];
            for i in 0..FEW {
                terms[i] = term(y[i], v[i]);
            }
            sum.add(&rows.only_new(&terms));
        }
        sum
    }

    /// Sets the outputs of a row; NaN where it holds one.
    #[inline(always)]
    fn combine_row(&self, output: &mut [f32], [y, v]: [&[f32]; 2], total: f32) {
        let ((whole_y, last_y), (whole_v, last_v)) = (parts(y), parts(v));
        let mut any_nan = false;
        let whole = output.as_chunks_mut().0;
        for ((output, y), v) in whole.iter_mut().zip(whole_y).zip(whole_v) {
            any_nan |= self.combine_few(output, y, v, total);
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
