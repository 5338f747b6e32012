//! The limits of this machine: the rate of a copy, and of multiply-adds in registers.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Copies on all threads.
pub fn copy(from: &[f32], to: &mut [f32]) {
    // One piece for each thread, but none so small that handing it over takes longer than the copy.
    let piece = from.len().div_ceil(rayon::current_num_threads()).max(1 << 15);
    if piece >= from.len() {
        return to.copy_from_slice(from);
    }
    let pieces = to.par_chunks_mut(piece).zip(from.par_chunks(piece));
    pieces.for_each(|(to, from)| to.copy_from_slice(from));
}

/// Runs about `operations` operations of multiply-adds on all threads, and returns their exact number. A
/// multiply-add counts as two.
pub fn multiply_adds(operations: f64) -> f64 {
    let threads = rayon::current_num_threads();
    let each = operations / threads as f64;
    let of_thread = |_| Arch::new().dispatch(MultiplyAdds { operations: each });
    (0..threads).into_par_iter().map(of_thread).sum()
}

struct MultiplyAdds {
    operations: f64,
}

/// The number of independent sums: enough to fill every pipeline, and few enough for the registers.
const SUMS: usize = 12;

impl WithSimd for MultiplyAdds {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let round = (2 * SUMS * S::F32_LANES) as f64;
        let rounds = (self.operations / round).ceil() as usize;
        let factor = simd.splat_f32s(std::hint::black_box(0.999));
        let term = simd.splat_f32s(std::hint::black_box(0.001));
        let mut sums = [term; SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        let total = sums.into_iter().reduce(|a, b| simd.add_f32s(a, b)).unwrap_or(term);
        std::hint::black_box(simd.reduce_sum_f32s(total));
        rounds as f64 * round
    }
}
