//! The forward pass of row-wise activations, for rows that are too short
//! to be spread over all lanes.

use std::ops::RangeInclusive;

use super::rowwise::{ForwardKernel, Row, RowSet, inverse};
use super::short_rows::{FEW, Few, GROUP, RowSum, Rows, ShortKernel, fold_rows, parts};
use wgrad_formula::formulas::Rowwise;

/// The widths of rows for which this code is the fastest.
pub(super) const WIDTHS: RangeInclusive<usize> = 24..=255;

/// A sum whose part beyond its greatest term, 1, is smaller than this has too few digits.
const FEW_DIGITS: f64 = 1.0 / 16384.0;

/// The vectors of a group's rows; each row's vectors are followed by its exponentials.
#[derive(Default)]
pub(super) struct Copies(Vec<Few>);

impl<F: Rowwise<f32>, const SCALED: bool> ForwardKernel<F, SCALED> {
    /// Copies the rows' vectors, and finds the greatest element of each row: NaN if one is NaN.
    #[inline(always)]
    fn copy(&self, rows: Rows, z: &[f32], copies: &mut [Few]) -> [f32; GROUP] {
        let vectors = rows.vectors();
        let mut greatest = [[f32::NEG_INFINITY; FEW]; GROUP];
        let mut any_nan = false;
        let pairs = z.chunks_exact(rows.width).zip(copies.chunks_exact_mut(2 * vectors));
        for ((row, copy), greatest) in pairs.zip(&mut greatest) {
            let (whole, last) = parts(row);
            let mut here = [f32::NEG_INFINITY; FEW];
            for (z, copy) in whole.iter().chain(last).zip(&mut copy[..vectors]) {
                *copy = *z;
                for i in 0..FEW {
                    let z = self.argument(z[i]);
                    any_nan |= z.is_nan();
                    here[i] = if z > here[i] { z } else { here[i] };
                }
            }
            *greatest = here;
        }
        let mut maxima = fold_rows(&greatest, |a, b| if a > b { a } else { b });
        if any_nan {
            for (maximum, row) in maxima.iter_mut().zip(z.chunks_exact(rows.width)) {
                *maximum = if row.iter().any(|z| z.is_nan()) { f32::NAN } else { *maximum };
            }
        }
        maxima
    }

    /// The sum of each row's exponentials, minus the 1 of the greatest.
    #[inline(always)]
    fn rests(rows: Rows, copies: &[Few]) -> [f64; GROUP] {
        let vectors = rows.vectors();
        let exponentials = || copies.chunks_exact(2 * vectors).map(|copy| &copy[vectors..]);
        let mut sums = [RowSum::ZERO; GROUP];
        for (sum, e) in sums.iter_mut().zip(exponentials()) {
            *sum = rows.sum(e, |e| *e);
        }
        let mut rests = RowSum::totals(&sums).map(|total| total - 1.0);
        if F::TAKES_LOGARITHM {
            for (rest, e) in rests.iter_mut().zip(exponentials()) {
                if *rest < FEW_DIGITS {
                    // Only the greatest is 1 here.
                    *rest = rows.sum(e, |e| e.map(|e| if e < 1.0 { e } else { 0.0 })).total();
                }
            }
        }
        rests
    }

    #[inline(always)]
    fn outputs(&self, z: &Few, e: &Few, row: Row, y: &mut Few) {
        for i in 0..FEW {
            y[i] = self.output(z[i], e[i], row);
        }
    }
}

impl<F: Rowwise<f32>, const SCALED: bool> ShortKernel<1> for ForwardKernel<F, SCALED> {
    type Scratch = Copies;

    #[inline(always)]
    fn run_group(&self, rows: Rows, [z]: [&[f32]; 1], output: &mut [f32], copies: &mut Copies) {
        let vectors = rows.vectors();
        let copies = &mut copies.0;
        copies.resize(2 * vectors * GROUP, [0.0; FEW]);
        let maxima = self.copy(rows, z, copies);
        // Loop over elements, here and below: loops over this few at a
        // time would not be vectorised.
        for (copy, maximum) in copies.chunks_exact_mut(2 * vectors).zip(maxima) {
            let (z, e) = copy.split_at_mut(vectors);
            for (e, z) in e.as_flattened_mut().iter_mut().zip(z.as_flattened()) {
                *e = self.exponential(*z, maximum);
            }
        }
        let rests = Self::rests(rows, copies);
        let mut set = RowSet::<GROUP>::ZERO;
        // This is the number of rows in a group, which the compiler must
        // not know for the same reason.
        for n in 0..GROUP.min(rows.width) {
            set.set(n, self.row(maxima[n], rests[n] as f32, inverse(rests[n])));
        }
        let pairs = output.chunks_exact_mut(rows.width).zip(copies.chunks_exact(2 * vectors));
        for (n, (output, copy)) in pairs.enumerate() {
            let row = set.row(n);
            let (z, e) = copy.split_at(vectors);
            let y = output.as_chunks_mut::<FEW>().0;
            let pairs = z[..y.len()].as_flattened().iter().zip(e[..y.len()].as_flattened());
            for (y, (z, e)) in y.as_flattened_mut().iter_mut().zip(pairs) {
                *y = self.output(*z, *e, row);
            }
            if let (Some(z), Some(e), Some(y)) =
                (rows.last(z), rows.last(e), output.last_chunk_mut())
            {
                self.outputs(z, e, row, y);
            }
        }
    }
}
