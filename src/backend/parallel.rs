//! Work on all cores, with the widest instructions of the processor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{hint, thread};

use pulp::{NullaryFnOnce, WithSimd};

/// Below this number of elements, handing work to other threads costs more than it saves.
pub(crate) const SERIAL: usize = 1 << 15;

/// The minimum number of elements that a thread takes at a time; they stay in its cache.
pub(crate) const CHUNK: usize = 1 << 14;

/// The maximum number of elements in a piece that is read and written once.
const STREAM: usize = 1 << 16;

/// The number of pieces per thread, unless they would be too small. With several, threads that
/// start late or are slow get fewer pieces.
const PIECES: usize = 8;

/// The number of elements in a piece, if this many elements are read and written once,
/// from one end to the other. In a tensor of megabytes, larger pieces are faster than
/// pieces of [`CHUNK`] by a twentieth.
pub(crate) fn stream_piece(elements: usize) -> usize {
    // Asking for the number of threads the first time starts them, so avoid it for short work.
    if elements < SERIAL {
        return CHUNK;
    }
    (elements / (PIECES * rayon::current_num_threads())).clamp(CHUNK, STREAM)
}

/// The number of times that a thread checks whether the others are done
/// before it sleeps: about 100 µs.
const SPINS: usize = 1 << 12;

/// Runs code compiled for the processor's vector instructions.
///
/// Everything that the code calls must be `#[inline(always)]`, so that it is compiled for these
/// instructions too. This function is not inlined, so that there is one copy of the code for each
/// instruction set, no matter how many places run it.
#[inline(never)]
pub(crate) fn vectorised<T>(code: impl WithSimd<Output = T>) -> T {
    vectorised_here(code)
}

/// Like [`vectorised`], for code that is run from one place only, so often
/// that the cost of a call matters.
#[inline(always)]
pub(crate) fn vectorised_here<T>(code: impl WithSimd<Output = T>) -> T {
    pulp::Arch::new().dispatch(code)
}

/// Runs code compiled for AVX2 or AVX-512 on x86-64, and for any processor elsewhere.
/// Returns the code if an x86-64 processor has neither instruction set. It is for code
/// that is run from one place only.
///
/// If the code is returned, the caller works element by element. Without a fused multiply-add
/// instruction, multiply-adds are calls, so most formulas take as long as they would in a
/// vectorised loop, and that loop would only add compile time. A cheap formula like relu takes
/// about a nanosecond per element, where such a loop takes a tenth of that in the cache.
#[inline(always)]
pub(crate) fn vectorised_or_back<C: NullaryFnOnce>(code: C) -> Result<C::Output, C> {
    #[cfg(target_arch = "x86_64")]
    return match pulp::Arch::new() {
        pulp::Arch::V4(simd) => Ok(simd.vectorize(code)),
        pulp::Arch::V3(simd) => Ok(simd.vectorize(code)),
        _ => Err(code),
    };
    #[cfg(not(target_arch = "x86_64"))]
    Ok(pulp::Arch::new().dispatch(code))
}

/// Runs the function over equal pieces of the output, each with the index of its first element.
pub(crate) fn over_pieces<T: Send>(output: &mut [T], run: impl Fn(usize, &mut [T]) + Send + Sync) {
    let piece = stream_piece(output.len());
    over_pieces_of(output, piece, run);
}

/// Like [`over_pieces`], with pieces of this length.
pub(crate) fn over_pieces_of<T: Send>(
    output: &mut [T],
    piece: usize,
    run: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    over_pieces_with(output, piece, || (), |(), start, output| run(start, output));
}

/// Like [`over_pieces_of`], with a state that each thread creates first.
pub(crate) fn over_pieces_with<T: Send, S>(
    output: &mut [T],
    piece: usize,
    init: impl Fn() -> S + Sync,
    run: impl Fn(&mut S, usize, &mut [T]) + Sync,
) {
    // Short work takes the shortest path.
    match output.len() {
        0 => {}
        length if length <= piece => run(&mut init(), 0, output),
        _ => each_piece(output, piece.max(1), &init, &run),
    }
}

/// Calls through pointers, so that there is one copy for all functions;
/// each call does a lot of work.
fn each_piece<T: Send, S>(
    output: &mut [T],
    piece: usize,
    init: &(dyn Fn() -> S + Sync),
    run: &(dyn Fn(&mut S, usize, &mut [T]) + Sync),
) {
    let is_serial = output.len() < SERIAL;
    let pieces = output.chunks_mut(piece).enumerate();
    if is_serial {
        let mut state = init();
        pieces.for_each(|(i, output)| run(&mut state, i * piece, output));
    } else {
        on_all_threads_with(pieces, init, |state, (i, output)| run(state, i * piece, output));
    }
}

/// The function's results for the pieces of the input, in order. They do not depend on the threads.
pub(crate) fn of_pieces<T: Sync, R: Default + Send>(
    input: &[T],
    piece: usize,
    run: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let pieces = input.chunks(piece);
    if input.len() < SERIAL {
        return pieces.map(run).collect();
    }
    let mut results: Vec<R> = pieces.clone().map(|_| R::default()).collect();
    let tasks = results.iter_mut().zip(pieces);
    on_all_threads(tasks, |(result, piece)| *result = run(piece));
    results
}

/// Runs the function on each item, on all threads.
pub(crate) fn on_all_threads<T: Send>(items: impl Iterator<Item = T>, run: impl Fn(T) + Sync) {
    on_all_threads_with(items, || (), |(), item| run(item));
}

/// Like [`on_all_threads`], with a state that each thread creates first.
///
/// Each thread begins with neighbouring items, because streams are faster than scattered pieces,
/// and continues with the items of other threads. The calling thread takes its share even if it is
/// not one of rayon's threads, so it need not wait until others have woken up. At the end it spins
/// for a while, because sleeping and being woken takes longer than the last pieces of most work.
pub(crate) fn on_all_threads_with<T: Send, S>(
    items: impl Iterator<Item = T>,
    init: impl Fn() -> S + Sync,
    run: impl Fn(&mut S, T) + Sync,
) {
    let threads = rayon::current_num_threads();
    let queues = shares(items.collect(), threads);
    on_each_thread(threads, &|thread| {
        let mut state = None;
        for n in 0..threads {
            let queue = &queues[(thread + n) % threads];
            while let Some(item) = next(queue) {
                run(state.get_or_insert_with(&init), item);
            }
        }
    });
}

/// Runs the function once on each thread, passing it the thread's number.
fn on_each_thread(threads: usize, work: &(dyn Fn(usize) + Sync)) {
    let unfinished = AtomicUsize::new(threads - 1);
    rayon::in_place_scope(|scope| {
        let unfinished = &unfinished;
        for thread in 1..threads {
            scope.spawn(move |_| {
                work(thread);
                unfinished.fetch_sub(1, Ordering::Release);
            });
        }
        work(0);
        // One of rayon's threads has other work to do in the meantime, so it does not spin.
        if rayon::current_thread_index().is_none() {
            let is_unfinished = |_: &usize| unfinished.load(Ordering::Acquire) > 0;
            (0..SPINS).take_while(is_unfinished).for_each(|_| hint::spin_loop());
        }
    });
}

/// The items in their order, cut into equal shares for this number of threads.
fn shares<T>(items: Vec<T>, threads: usize) -> Vec<Mutex<impl Iterator<Item = T>>> {
    let share = items.len().div_ceil(threads);
    let mut items = items.into_iter();
    let mut queue = || items.by_ref().take(share).collect::<Vec<_>>().into_iter();
    (0..threads).map(|_| Mutex::new(queue())).collect()
}

/// Takes the next item; no other thread gets the same one.
fn next<I: Iterator>(queue: &Mutex<I>) -> Option<I::Item> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Runs the function over pieces of the output on this number of threads, none of them rayon's. A
/// rayon thread that waits takes up other work, which may wait for a lock that the caller holds.
pub(crate) fn over_pieces_apart(
    output: &mut [f32],
    piece: usize,
    threads: usize,
    run: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    let piece = piece.max(1);
    let pieces = Mutex::new(output.chunks_mut(piece).enumerate());
    let work = || {
        while let Some((i, output)) = next(&pieces) {
            run(i * piece, output);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // If the system cannot start more threads, the existing ones do the work.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

/// The number of lanes that loops process side by side. It is large enough that the compiler keeps
/// the loops over lanes and turns them into loops over vectors on any processor.
pub(crate) const LANES: usize = 64;

/// Numbers side by side, one per lane.
pub(crate) type Lanes = [f32; LANES];

/// The number of terms that a lane adds up in f32 before the partial sum goes to the f64 totals:
/// the fewer, the less rounding error accumulates.
const TERMS: usize = 2;

/// The number of terms before the totals, for a line `ACROSS` the lanes or a line in each lane. A
/// line in one lane has all its terms there, and none of them is rounded away.
pub(crate) const fn terms(across: bool) -> usize {
    if across { TERMS } else { 1 }
}

/// The number of lanes that hold a separate line: only the first, if a line runs `ACROSS` them.
pub(crate) const fn lines(across: bool) -> usize {
    if across { 1 } else { LANES }
}

/// Combines all lanes, in a fixed order.
#[inline(always)]
fn fold<T: Copy>(mut lanes: [T; LANES], f: impl Fn(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = f(*low, *high));
        half /= 2;
    }
    lanes[0]
}

/// Combines the values that the lanes hold of one line, and gives the result to all lanes.
#[inline(always)]
pub(crate) fn across<const ACROSS: bool, T: Copy>(lanes: &mut [T; LANES], f: impl Fn(T, T) -> T) {
    if ACROSS {
        *lanes = [fold(*lanes, f); LANES];
    }
}

/// The number of f64 sums for one line across the lanes: a vector of them. Lanes
/// this far apart are added first.
const APART: usize = 8;

/// The f64 sums of lines: one line in each lane, or one line `ACROSS` the lanes.
pub(crate) struct Totals<const ACROSS: bool>([f64; LANES]);

impl<const ACROSS: bool> Totals<ACROSS> {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);

    /// Adds a term of each lane.
    #[inline(always)]
    pub(crate) fn add(&mut self, term: impl Fn(usize) -> f32) {
        if ACROSS {
            for (lane, total) in self.0[..APART].iter_mut().enumerate() {
                let term = |n: usize| f64::from(term(n * APART + lane));
                let first = (term(0) + term(1)) + (term(2) + term(3));
                let second = (term(4) + term(5)) + (term(6) + term(7));
                *total += first + second;
            }
        } else {
            for (lane, total) in self.0.iter_mut().enumerate() {
                *total += f64::from(term(lane));
            }
        }
    }

    /// The sum of the line in this lane; for one line across the lanes,
    /// the first lane gives the sum.
    #[inline(always)]
    pub(crate) fn of_lane(&self, lane: usize) -> f64 {
        if ACROSS {
            // Without the fence, the compiler may find pairs in the sum
            // below and add vectors of two.
            let sums = hint::black_box(std::array::from_fn::<_, APART, _>(|n| self.0[n]));
            let [a, b, c, d, e, f, g, h] = sums;
            ((a + e) + (c + g)) + ((b + f) + (d + h))
        } else {
            self.0[lane]
        }
    }
}

/// The sum of f(i) for i in 0..length: vectorised, in a fixed order, with f64 totals.
#[inline(always)]
pub(crate) fn sum_of(length: usize, f: impl Fn(usize) -> f32) -> f64 {
    let mut totals = [0.0; LANES];
    let mut start = 0;
    while start < length {
        let end = (start + TERMS * LANES).min(length);
        let mut lanes = [0.0f32; LANES];
        let mut i = start;
        while i + LANES <= end {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum += f(i + lane);
            }
            i += LANES;
        }
        for (lane, i) in lanes.iter_mut().zip(i..end) {
            *lane += f(i);
        }
        for (total, lane) in totals.iter_mut().zip(lanes) {
            *total += f64::from(lane);
        }
        start = end;
    }
    fold(totals, |a, b| a + b)
}

/// The sum of the elements of a slice, in the same manner.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    let mut totals = Totals::<true>::ZERO;
    let (pairs, rest) = values.as_chunks::<{ 2 * LANES }>();
    for pair in pairs {
        totals.add(|lane| pair[lane] + pair[lane + LANES]);
    }
    totals.of_lane(0) + rest.iter().copied().map(f64::from).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_in_one_share() {
        for count in [0, 1, 3, 7, 8, 100] {
            let queues = shares((0..count).collect(), 3);
            let found: Vec<usize> =
                queues.iter().flat_map(|queue| std::iter::from_fn(move || next(queue))).collect();
            assert!(found.into_iter().eq(0..count), "{count}");
        }
    }

    #[test]
    fn sums_of_any_length() {
        for length in (0..70).chain([1023, 1024, 1025, 100_000]) {
            let values: Vec<f32> = (0..length).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let exact: f64 = values.iter().map(|&value| f64::from(value)).sum();
            assert_eq!(sum_of(length, |i| values[i]), exact);
            assert_eq!(sum(&values), exact);
        }
    }
}
