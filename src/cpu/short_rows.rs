//! Contiguous rows that are too short to be spread over all lanes, and long
//! enough for their own vectors.

use std::ops::RangeInclusive;

use pulp::NullaryFnOnce;

use super::parallel::{over_pieces_of, stream_piece, vectorised};
use super::rest::Rest;
use crate::backend::Lines;

/// The number of elements of a row that are processed together.
pub(super) const FEW: usize = 16;

pub(super) type Few = [f32; FEW];

/// The number of rows that are processed together: values of which each row has one are
/// computed for all of them at once.
pub(super) const GROUP: usize = 16;

/// Whether the lines are contiguous rows with one of these widths.
pub(super) fn are_short(lines: Lines, widths: RangeInclusive<usize>) -> bool {
    lines.inner == 1 && widths.contains(&lines.width)
}

/// An operation on short rows, each independent of the others.
pub(super) trait ShortKernel<const N: usize>: Sync {
    /// Memory that is kept from one group to the next.
    type Scratch: Default;

    /// Computes up to [`GROUP`] rows.
    fn run_group(
        &self,
        rows: Rows,
        inputs: [&[f32]; N],
        output: &mut [f32],
        scratch: &mut Self::Scratch,
    );
}

/// Runs the kernel for each row of the output and the same row of each input.
pub(super) fn over_short_rows<const N: usize>(
    kernel: &impl ShortKernel<N>,
    output: &mut [f32],
    inputs: [&[f32]; N],
    width: usize,
) {
    let piece = (stream_piece(output.len()) / (GROUP * width)).max(1) * GROUP * width;
    over_pieces_of(output, piece, |start, output| {
        let inputs = inputs.map(|values| &values[start..start + output.len()]);
        vectorised(Task { kernel, inputs, output, width });
    });
}

struct Task<'a, K, const N: usize> {
    kernel: &'a K,
    inputs: [&'a [f32]; N],
    output: &'a mut [f32],
    width: usize,
}

impl<K: ShortKernel<N>, const N: usize> NullaryFnOnce for Task<'_, K, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let rows = Rows::new(self.width);
        let mut scratch = K::Scratch::default();
        for (n, output) in self.output.chunks_mut(GROUP * self.width).enumerate() {
            let start = n * GROUP * self.width;
            let inputs = self.inputs.map(|values| &values[start..start + output.len()]);
            self.kernel.run_group(rows, inputs, output, &mut scratch);
        }
    }
}

/// The division of rows into vectors. If the last vector would not be full, it is taken from the
/// end of the row, and shares elements with the vector before it.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) width: usize,
    rest: Rest<FEW>,
}

impl Rows {
    #[inline(always)]
    fn new(width: usize) -> Self {
        Self { width, rest: Rest::of_rows(width) }
    }

    /// The number of vectors in a row.
    #[inline(always)]
    pub(super) fn vectors(self) -> usize {
        self.width.div_ceil(FEW)
    }

    /// The last of these vectors, if it shares elements with the one before.
    #[inline(always)]
    pub(super) fn last(self, vectors: &[Few]) -> Option<&Few> {
        vectors.get(self.width / FEW)
    }

    /// The sum of the function's results for these vectors.
    #[inline(always)]
    pub(super) fn sum(self, vectors: &[Few], f: impl Fn(&Few) -> Few) -> RowSum {
        let mut sum = RowSum::ZERO;
        vectors[..self.width / FEW].iter().for_each(|vector| sum.add(&f(vector)));
        if let Some(last) = self.last(vectors) {
            sum.add(&self.only_new(&f(last)));
        }
        sum
    }

    /// Row n of the group.
    #[inline(always)]
    pub(super) fn row(self, values: &[f32], n: usize) -> &[f32] {
        &values[n * self.width..(n + 1) * self.width]
    }

    /// The elements of the last vector that no other vector has; 0 in the other places.
    #[inline(always)]
    pub(super) fn only_new(self, last: &Few) -> Few {
        self.rest.choose(last, &[0.0; FEW])
    }
}

/// The whole vectors of a row, and the overlapping last one if elements remain.
#[inline(always)]
pub(super) fn parts(row: &[f32]) -> (&[Few], Option<&Few>) {
    let (whole, rest) = row.as_chunks();
    (whole, row.last_chunk().filter(|_| !rest.is_empty()))
}

/// The sum of a row, in several parts.
#[derive(Clone, Copy)]
pub(super) struct RowSum([f64; FEW / 2]);

impl RowSum {
    pub(super) const ZERO: Self = Self([0.0; FEW / 2]);

    #[inline(always)]
    pub(super) fn add(&mut self, terms: &Few) {
        for i in 0..FEW / 2 {
            self.0[i] += f64::from(terms[i]) + f64::from(terms[i + FEW / 2]);
        }
    }

    pub(super) fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The sums of rows. Pairs of neighbours in all rows are added at a time, as vectors can do it.
    #[inline(always)]
    pub(super) fn totals(rows: &[Self; GROUP]) -> [f64; GROUP] {
        let eights = rows.map(|row| row.0);
        fold_eights(eights.as_flattened(), |a, b| a + b)
    }
}

/// Combines the elements of each row in pairs, then pairs of the results, and so on.
#[inline(always)]
pub(super) fn fold_rows(rows: &[Few; GROUP], f: impl Fn(f32, f32) -> f32 + Copy) -> [f32; GROUP] {
    fold_eights(&of_pairs::<_, { 8 * GROUP }>(rows.as_flattened(), f), f)
}

/// Combines eight elements of each row in the same way.
#[inline(always)]
fn fold_eights<T: Copy + Default>(eights: &[T], f: impl Fn(T, T) -> T + Copy) -> [T; GROUP] {
    let fours = of_pairs::<_, { 4 * GROUP }>(eights, f);
    let twos = of_pairs::<_, { 2 * GROUP }>(&fours, f);
    of_pairs(&twos, f)
}

#[inline(always)]
fn of_pairs<T: Copy + Default, const N: usize>(values: &[T], f: impl Fn(T, T) -> T) -> [T; N] {
    let mut results = [T::default(); N];
    for (result, [a, b]) in results.iter_mut().zip(values.as_chunks::<2>().0) {
        *result = f(*a, *b);
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds the row's sum to each of its elements. With whole numbers every sum is exact.
    struct PlusSum;

    impl ShortKernel<1> for PlusSum {
        type Scratch = ();

        fn run_group(&self, rows: Rows, [z]: [&[f32]; 1], output: &mut [f32], (): &mut ()) {
            let mut sums = [RowSum::ZERO; GROUP];
            for (n, sum) in sums.iter_mut().enumerate().take(output.len() / rows.width) {
                let (whole, last) = parts(rows.row(z, n));
                whole.iter().for_each(|z| sum.add(z));
                last.into_iter().for_each(|z| sum.add(&rows.only_new(z)));
            }
            let totals = RowSum::totals(&sums);
            for (n, output) in output.chunks_exact_mut(rows.width).enumerate() {
                let z = rows.row(z, n);
                output.iter_mut().zip(z).for_each(|(y, z)| *y = z + totals[n] as f32);
            }
        }
    }

    #[test]
    fn every_row_has_its_own_sum() {
        for width in FEW..=255 {
            for count in [1, GROUP - 1, GROUP, 3 * GROUP + 5, 700] {
                let z: Vec<f32> = (0..count * width).map(|i| (i * 37 % 17) as f32).collect();
                let expected: Vec<f32> = z
                    .chunks(width)
                    .flat_map(|row| row.iter().map(|z| z + row.iter().sum::<f32>()))
                    .collect();
                let mut found = vec![f32::NAN; z.len()];
                over_short_rows(&PlusSum, &mut found, [&z], width);
                assert!(found == expected, "{count} x {width}");
            }
        }
    }
}
