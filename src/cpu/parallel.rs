//! Work on all cores, with the widest instructions that the processor has.

use std::sync::{Mutex, PoisonError};
use std::thread;

use pulp::NullaryFnOnce;
use rayon::prelude::*;

/// Elements below which handing work to other threads costs more than it saves.
pub(super) const SERIAL: usize = 1 << 15;

/// Elements that a thread takes at a time: they stay in its cache.
pub(super) const CHUNK: usize = 1 << 14;

/// Runs code compiled for the processor's vector instructions.
///
/// Everything that the code calls has to be `#[inline(always)]` to be compiled for them too.
#[inline(always)]
pub(super) fn vectorised<T>(code: impl NullaryFnOnce<Output = T>) -> T {
    pulp::Arch::new().dispatch(code)
}

/// Runs the function over equal pieces of the output, each with the index of its first element.
pub(super) fn over_pieces(
    output: &mut [f32],
    piece: usize,
    run: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    let piece = piece.max(1);
    if output.len() < SERIAL || output.len() <= piece {
        output.chunks_mut(piece).enumerate().for_each(|(i, output)| run(i * piece, output));
    } else {
        let pieces = output.par_chunks_mut(piece).enumerate();
        pieces.for_each(|(i, output)| run(i * piece, output));
    }
}

/// Runs the function over pieces of the output on so many threads, none of them rayon's: while one of
/// those waits it takes up other work, which may wait for a lock that the caller holds.
pub(super) fn over_pieces_apart(
    output: &mut [f32],
    piece: usize,
    threads: usize,
    run: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    let piece = piece.max(1);
    let pieces = Mutex::new(output.chunks_mut(piece).enumerate());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((i, output)) = next() {
            run(i * piece, output);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where the system has no more threads, those that there are do the work.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

/// The width of the partial sums that loops keep side by side.
const LANES: usize = 16;

/// The elements after which the partial sums are added to the f64 totals: the fewer, the less their
/// rounding adds up.
const BLOCK: usize = 128;

/// The sum of f(i) for i in 0..length: vectorised, in a fixed order, with an f64 on top.
#[inline(always)]
pub(super) fn sum_of(length: usize, f: impl Fn(usize) -> f32) -> f64 {
    let mut totals = [0.0; LANES];
    let mut start = 0;
    while start < length {
        let end = (start + BLOCK).min(length);
        let mut lanes = [0.0f32; LANES];
        let mut i = start;
        while i + LANES <= end {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum += f(i + lane);
            }
            i += LANES;
        }
        for (lane, i) in (i..end).enumerate() {
            lanes[lane] += f(i);
        }
        for (total, lane) in totals.iter_mut().zip(lanes) {
            *total += f64::from(lane);
        }
        start = end;
    }
    totals.iter().sum()
}

/// The greatest element, −∞ for none, NaN where one is NaN.
#[inline(always)]
pub(super) fn maximum(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut undefined = [false; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let value = chunk[lane];
            lanes[lane] = if value > lanes[lane] { value } else { lanes[lane] };
            undefined[lane] |= value.is_nan();
        }
    }
    let any_nan = undefined.contains(&true) || rest.iter().any(|value| value.is_nan());
    let all = lanes.iter().chain(rest).copied();
    if any_nan { f32::NAN } else { all.fold(f32::NEG_INFINITY, f32::max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_maxima_of_any_length() {
        for length in (0..70).chain([1023, 1024, 1025, 100_000]) {
            let values: Vec<f32> = (0..length).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let exact: f64 = values.iter().map(|&value| f64::from(value)).sum();
            assert_eq!(sum_of(length, |i| values[i]), exact);
            let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(maximum(&values), greatest);
        }
        for position in [0, 15, 16, 40] {
            let mut values = vec![1.0; 41];
            values[position] = f32::NAN;
            assert!(maximum(&values).is_nan());
        }
    }
}
