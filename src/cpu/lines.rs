//! Work along the lines of tensors, which are their rows along any axis.

use pulp::NullaryFnOnce;

use super::parallel::{
    LANES, Lanes, SERIAL, on_all_threads_with, over_pieces_with, stream_piece, vectorised,
    vectorised_here,
};
use super::rest::Rest;
use super::transpose::Transposition;
use crate::backend::Lines;

/// An operation on lines, each independent of the others.
pub(super) trait Kernel<const N: usize>: Sync {
    /// The number that has no effect on a line, for each input. It fills places without an element
    /// and places that the mask excludes.
    fn nothing(&self) -> [f32; N];

    /// The output for an element that the mask excludes, if that does not follow from `nothing`.
    fn excluded(&self) -> Option<f32>;

    /// If `ACROSS`, processes one line across the lanes, with LANES consecutive elements at a time;
    /// otherwise one line in each lane. In both cases the lines come in two parts.
    fn run<const ACROSS: bool>(&self, inputs: [[&[Lanes]; 2]; N], output: [&mut [Lanes]; 2]);
}

/// The maximum number of elements of a line for which lines are put side by
/// side and processed together.
pub(super) const NARROW: usize = LANES - 1;

/// The same maximum, for lines that already lie side by side in memory.
const BESIDE: usize = 2048;

/// The maximum number of neighbouring lines that a thread takes if threads share a block.
const STRIP: usize = LANES;

/// The number of neighbouring lines that are made contiguous together:
/// as many as a cache line holds.
const TOGETHER: usize = 16;

/// Runs the kernel for each line of the output and the same line of each input. If there is a mask,
/// it excludes the elements for which it is 0; it is repeated over the lines.
pub(super) fn over_lines<K: Kernel<N>, const N: usize>(
    kernel: &K,
    output: &mut [f32],
    inputs: [&[f32]; N],
    lines: Lines,
    mask: Option<&[f32]>,
) {
    // The kernel's code is compiled once for each layout of a line; everything around it is shared.
    let run = |across: bool, inputs: &[[&[Lanes]; 2]; N], output: &mut [&mut [Lanes]; 2]| {
        if across {
            vectorised_here(Laid::<_, N, true> { kernel, inputs, output });
        } else {
            vectorised_here(Laid::<_, N, false> { kernel, inputs, output });
        }
    };
    let kernel = AnyKernel { nothing: kernel.nothing(), excluded: kernel.excluded(), run: &run };
    over_lines_by(&kernel, output, inputs, lines, mask);
}

/// A kernel's code for lines in one layout.
struct Laid<'a, 'b, K, const N: usize, const ACROSS: bool> {
    kernel: &'a K,
    inputs: &'a [[&'a [Lanes]; 2]; N],
    output: &'a mut [&'b mut [Lanes]; 2],
}

impl<K: Kernel<N>, const N: usize, const ACROSS: bool> NullaryFnOnce
    for Laid<'_, '_, K, N, ACROSS>
{
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let [first, last] = self.output;
        self.kernel.run::<ACROSS>(*self.inputs, [first, last]);
    }
}

/// Runs a kernel on one line across the lanes, or on one line in each lane.
type Code<'a, const N: usize> =
    &'a (dyn Fn(bool, &[[&[Lanes]; 2]; N], &mut [&mut [Lanes]; 2]) + Sync);

/// A kernel whose type is erased.
struct AnyKernel<'a, const N: usize> {
    nothing: [f32; N],
    excluded: Option<f32>,
    run: Code<'a, N>,
}

fn over_lines_by<const N: usize>(
    kernel: &AnyKernel<'_, N>,
    output: &mut [f32],
    inputs: [&[f32]; N],
    lines: Lines,
    mask: Option<&[f32]>,
) {
    let block = lines.block();
    if output.is_empty() || block == 0 {
        return;
    }
    let run = |start: usize, count: usize, destination: Destination<'_>, scratch: &mut Scratch| {
        let first = start / block * lines.inner + start % block;
        vectorised(Task { kernel, inputs, lines, mask, start, first, count, destination, scratch });
    };
    let is_serial = output.len() < SERIAL;
    if is_serial || lines.inner == 1 || lines.outer >= rayon::current_num_threads() {
        // Take whole tiles of lines.
        let tile = if block <= NARROW { LANES } else { 1 };
        let blocks = (stream_piece(output.len()) / block).next_multiple_of(tile).max(1);
        over_pieces_with(output, blocks * block, Scratch::default, |scratch, start, output| {
            let count = output.len() / block * lines.inner;
            let destination = Destination::Blocks { output, inner: lines.inner };
            run(start, count, destination, scratch);
        });
    } else {
        for (number, output) in output.chunks_mut(block).enumerate() {
            let strips = strips(output, lines).into_iter().enumerate();
            on_all_threads_with(strips, Scratch::default, |scratch, (strip, pieces)| {
                let count = pieces.first().map_or(0, |piece| piece.len());
                let start = number * block + strip * STRIP;
                run(start, count, Destination::Strip { pieces }, scratch);
            });
        }
    }
}

/// Memory that a thread keeps from one line to the next.
#[derive(Default)]
struct Scratch {
    input: Vec<Lanes>,
    output: Vec<Lanes>,
    transposition: Transposition,
}

/// Sets consecutive elements, starting at index `start`, to the value if
/// the repeated mask is 0 there.
#[inline(always)]
fn exclude(mask: &[f32], start: usize, values: &mut [f32], value: f32) {
    let (mut values, mut mask_rest) = (values, &mask[start % mask.len()..]);
    while !values.is_empty() {
        let (now, later) = values.split_at_mut(values.len().min(mask_rest.len()));
        for (to, mask) in now.iter_mut().zip(mask_rest) {
            *to = if *mask == 0.0 { value } else { *to };
        }
        (values, mask_rest) = (later, mask);
    }
}

/// Like [`exclude`], for elements whose indices are this far apart.
#[inline(always)]
fn exclude_apart(mask: &[f32], start: usize, apart: usize, values: &mut [f32], value: f32) {
    if apart == 1 {
        return exclude(mask, start, values, value);
    }
    for (i, to) in values.iter_mut().enumerate() {
        *to = if mask[(start + i * apart) % mask.len()] == 0.0 { value } else { *to };
    }
}

/// The destination of the results.
enum Destination<'a> {
    /// Whole blocks of lines.
    Blocks { output: &'a mut [f32], inner: usize },
    /// Neighbouring lines of a block: piece i holds element i of each.
    Strip { pieces: Vec<&'a mut [f32]> },
}

impl Destination<'_> {
    /// Element i of each of this number of neighbouring lines, the first of
    /// which begins at this offset.
    #[inline(always)]
    fn at(&mut self, offset: usize, i: usize, count: usize) -> &mut [f32] {
        match self {
            Self::Blocks { output, inner } => &mut output[offset + i * *inner..][..count],
            Self::Strip { pieces } => &mut pieces[i][offset..][..count],
        }
    }
}

/// The strips of a block.
fn strips(block: &mut [f32], lines: Lines) -> Vec<Vec<&mut [f32]>> {
    let strip = |_| Vec::with_capacity(lines.width);
    let mut strips: Vec<Vec<&mut [f32]>> = (0..lines.inner.div_ceil(STRIP)).map(strip).collect();
    for across in block.chunks_mut(lines.inner) {
        strips
            .iter_mut()
            .zip(across.chunks_mut(STRIP))
            .for_each(|(strip, piece)| strip.push(piece));
    }
    strips
}

/// A task: some lines, one after the other.
struct Task<'a, const N: usize> {
    kernel: &'a AnyKernel<'a, N>,
    inputs: [&'a [f32]; N],
    lines: Lines,
    mask: Option<&'a [f32]>,
    /// The index of the first line's first element; `first` is that line's number.
    start: usize,
    first: usize,
    count: usize,
    destination: Destination<'a>,
    scratch: &'a mut Scratch,
}

impl<const N: usize> NullaryFnOnce for Task<'_, N> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let Lines { width, inner, .. } = self.lines;
        if width <= NARROW || (inner > 1 && width <= BESIDE) {
            return self.side_by_side();
        }
        if inner == 1 && self.mask.is_none() {
            return self.in_place();
        }
        self.one_by_one();
    }
}

/// Lines that lie side by side in memory.
#[derive(Clone, Copy)]
struct Run {
    /// The lane of the first line, among the lines that are processed together.
    lane: usize,
    count: usize,
    /// The index of the first line's first element.
    start: usize,
}

impl<const N: usize> Task<'_, N> {
    /// The runs that make up this number of lines, starting at line `first`.
    #[inline(always)]
    fn runs(lines: Lines, first: usize, count: usize) -> impl Iterator<Item = Run> {
        let mut lane = 0;
        std::iter::from_fn(move || {
            let line = first + lane;
            let (block, beside) = (line / lines.inner, line % lines.inner);
            let run = Run {
                lane,
                count: (count - lane).min(lines.inner - beside),
                start: block * lines.block() + beside,
            };
            lane += run.count;
            (run.count > 0).then_some(run)
        })
    }

    /// Processes one line in each lane.
    #[inline(always)]
    fn side_by_side(&mut self) {
        let width = self.lines.width;
        let mut input = std::mem::take(&mut self.scratch.input);
        let mut output = std::mem::take(&mut self.scratch.output);
        input.resize(N * width, [0.0; LANES]);
        output.resize(width, [0.0; LANES]);
        for first in (0..self.count).step_by(LANES) {
            let count = LANES.min(self.count - first);
            for (k, tile) in input.chunks_exact_mut(width).enumerate() {
                self.load_lanes(k, first, count, tile);
            }
            let tile = |k: usize| [&input[k * width..(k + 1) * width], &[]];
            (self.kernel.run)(false, &std::array::from_fn(tile), &mut [&mut output, &mut []]);
            self.store_lanes(first, count, &output);
        }
        (self.scratch.input, self.scratch.output) = (input, output);
    }

    /// Loads some lines of an input into the lanes.
    #[inline(always)]
    fn load_lanes(&mut self, k: usize, first: usize, count: usize, tile: &mut [Lanes]) {
        let Lines { width, inner, .. } = self.lines;
        let (values, nothing) = (self.inputs[k], self.kernel.nothing[k]);
        if inner == 1 {
            let start = self.start + first * width;
            let rows = &values[start..start + count * width];
            let change = self.mask.map(|mask| {
                #[inline(always)]
                move |rows: &mut [f32]| exclude(mask, start, rows, nothing)
            });
            return self.scratch.transposition.rows_to_lanes(rows, nothing, change, tile);
        }
        if count < LANES {
            tile.fill([nothing; LANES]);
        }
        for Run { lane, count, start } in Self::runs(self.lines, self.first + first, count) {
            for (i, to) in tile.iter_mut().enumerate() {
                let (start, to) = (start + i * inner, &mut to[lane..lane + count]);
                to.copy_from_slice(&values[start..start + count]);
                if let Some(mask) = self.mask {
                    exclude(mask, start, to, nothing);
                }
            }
        }
    }

    /// Stores the contents of the lanes in the output.
    #[inline(always)]
    fn store_lanes(&mut self, first: usize, count: usize, tile: &[Lanes]) {
        let Lines { width, inner, .. } = self.lines;
        let excluded = self.mask.zip(self.kernel.excluded);
        if inner == 1 {
            let (offset, count) = (first * width, count * width);
            let to = self.destination.at(offset, 0, count);
            self.scratch.transposition.lanes_to_rows(tile, to);
            if let Some((mask, value)) = excluded {
                exclude(mask, self.start + offset, to, value);
            }
            return;
        }
        for Run { lane, count, start } in Self::runs(self.lines, self.first + first, count) {
            for (i, from) in tile.iter().enumerate() {
                let to = self.destination.at(start - self.start, i, count);
                to.copy_from_slice(&from[lane..lane + count]);
                if let Some((mask, value)) = excluded {
                    exclude(mask, start + i * inner, to, value);
                }
            }
        }
    }

    /// Processes contiguous lines that are not narrow across the lanes, one after the other. Only
    /// the elements that do not fill the lanes are copied, to the end of the lanes, so that whole
    /// vectors are read and written.
    #[inline(always)]
    fn in_place(&mut self) {
        let Destination::Blocks { output, .. } = &mut self.destination else { return };
        let width = self.lines.width;
        let pieces = usize::from(!width.is_multiple_of(LANES));
        let (rest, nothing) = (Rest::of_rows(width), self.kernel.nothing.map(|n| [n; LANES]));
        let (mut last, mut last_output) = (nothing.map(|nothing| [nothing]), [[0.0; LANES]]);
        for (n, output) in output.chunks_exact_mut(width).enumerate() {
            let start = self.start + n * width;
            let rows = self.inputs.map(|values| &values[start..start + width]);
            if pieces > 0 {
                for k in 0..N {
                    if let Some(end) = rows[k].last_chunk() {
                        last[k] = [rest.choose(end, &nothing[k])];
                    }
                }
            }
            let inputs = std::array::from_fn(|k| [rows[k].as_chunks().0, &last[k][..pieces]]);
            let whole = output.as_chunks_mut().0;
            (self.kernel.run)(true, &inputs, &mut [whole, &mut last_output[..pieces]]);
            if let (1, Some(end)) = (pieces, output.last_chunk_mut()) {
                *end = rest.choose(&last_output[0], end);
            }
        }
    }

    /// Processes one line after the other across the lanes, from a copy.
    #[inline(always)]
    fn one_by_one(&mut self) {
        let (lines, inner, width) = (self.lines, self.lines.inner, self.lines.width);
        let pieces = width.div_ceil(LANES);
        let Scratch { input, output, .. } = &mut *self.scratch;
        input.resize(N * TOGETHER * pieces, [0.0; LANES]);
        output.resize(TOGETHER * pieces, [0.0; LANES]);
        let together = if inner == 1 { 1 } else { TOGETHER };
        let mut first = 0;
        while let Some(run) = Self::runs(lines, self.first + first, self.count - first).next() {
            let Run { count, start, .. } = run;
            let count = count.min(together);
            let nothing = self.kernel.nothing;
            for (k, copies) in input.chunks_exact_mut(TOGETHER * pieces).enumerate() {
                let copies = copies.as_flattened_mut();
                let values = self.inputs[k];
                if inner == 1 {
                    copies[..width].copy_from_slice(&values[start..start + width]);
                } else {
                    for i in 0..width {
                        let from = &values[start + i * inner..][..count];
                        let to = copies[i..].iter_mut().step_by(pieces * LANES);
                        to.zip(from).for_each(|(to, from)| *to = *from);
                    }
                }
                for (n, copy) in copies.chunks_exact_mut(pieces * LANES).take(count).enumerate() {
                    copy[width..].fill(nothing[k]);
                    if let Some(mask) = self.mask {
                        exclude_apart(mask, start + n, inner, &mut copy[..width], nothing[k]);
                    }
                }
            }
            for (n, output) in output.chunks_exact_mut(pieces).take(count).enumerate() {
                let line = |k: usize| [&input[(k * TOGETHER + n) * pieces..][..pieces], &[]];
                (self.kernel.run)(true, &std::array::from_fn(line), &mut [output, &mut []]);
                if let (Some(mask), Some(value)) = (self.mask, self.kernel.excluded) {
                    let output = &mut output.as_flattened_mut()[..width];
                    exclude_apart(mask, start + n, inner, output, value);
                }
            }
            let output = output.as_flattened();
            let offset = start - self.start;
            if let (Destination::Blocks { output: to, .. }, 1) = (&mut self.destination, inner) {
                to[offset..offset + width].copy_from_slice(&output[..width]);
            } else {
                for i in 0..width {
                    let to = self.destination.at(offset, i, count).iter_mut();
                    let from = output[i..].iter().step_by(pieces * LANES);
                    to.zip(from).for_each(|(to, from)| *to = *from);
                }
            }
            first += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds the line's sum to each of its elements. With whole numbers every sum is exact.
    struct PlusSum;

    impl Kernel<1> for PlusSum {
        fn nothing(&self) -> [f32; 1] {
            [0.0]
        }

        fn excluded(&self) -> Option<f32> {
            Some(-1.0)
        }

        fn run<const ACROSS: bool>(&self, [z]: [[&[Lanes]; 2]; 1], y: [&mut [Lanes]; 2]) {
            let mut sums = [0.0; LANES];
            for z in z.into_iter().flatten() {
                sums.iter_mut().zip(z).for_each(|(sum, z)| *sum += z);
            }
            if ACROSS {
                sums = [sums.iter().sum(); LANES];
            }
            for (y, z) in y.into_iter().flatten().zip(z.into_iter().flatten()) {
                (0..LANES).for_each(|lane| y[lane] = z[lane] + sums[lane]);
            }
        }
    }

    fn check(lines: Lines, mask: Option<&[f32]>) {
        let Lines { width, inner, .. } = lines;
        let z: Vec<f32> = (0..lines.elements()).map(|i| (i * 37 % 17) as f32).collect();
        let keeps = |index: usize| mask.is_none_or(|mask| mask[index % mask.len()] != 0.0);
        let mut expected = vec![0.0; z.len()];
        for line in 0..lines.outer * inner {
            let start = line / inner * lines.block() + line % inner;
            let places = || (0..width).map(|i| start + i * inner);
            let sum: f32 = places().filter(|&at| keeps(at)).map(|at| z[at]).sum();
            places().for_each(|at| expected[at] = if keeps(at) { z[at] + sum } else { -1.0 });
        }
        let mut found = vec![f32::NAN; z.len()];
        over_lines(&PlusSum, &mut found, [&z], lines, mask);
        assert!(found == expected, "{lines:?}, a mask: {}", mask.is_some());
    }

    #[test]
    fn every_line_is_found_however_it_lies() {
        for width in [1, 10, NARROW, NARROW + 1, LANES, 100, 3 * LANES, BESIDE, BESIDE + 1] {
            for (outer, inner) in
                [(1, 1), (3, 1), (200, 1), (1, 3), (70, 2), (5, LANES), (1, 150), (2, 1000)]
            {
                let lines = Lines { outer, width, inner };
                check(lines, None);
                let mask: Vec<f32> = (0..lines.block()).map(|i| (i % 3) as f32).collect();
                check(lines, Some(&mask));
                check(lines, Some(&mask[..inner]));
            }
        }
    }
}
