//! Work along the lines of tensors: their rows along any axis.

use rayon::prelude::*;

use super::parallel::SERIAL;
use crate::backend::Lines;

/// Memory that a thread keeps from line to line.
#[derive(Default)]
pub(super) struct Scratch {
    /// For the function that is run.
    pub(super) copies: [Vec<f32>; 2],
    tile: Vec<f32>,
}

/// Neighbouring lines, at most, that a thread takes where a block is shared among them.
const STRIP: usize = 64;

/// Neighbouring lines that are made contiguous together: what a cache line holds.
const TILE: usize = 16;

/// The elements of a tile that should not be exceeded.
const TILE_ELEMENTS: usize = 1 << 17;

/// Runs the function for each line of the output, with the index of the line's first element and the
/// same line of each input. All lines are contiguous for it.
pub(super) fn over_lines<const N: usize>(
    output: &mut [f32],
    inputs: [&[f32]; N],
    lines: Lines,
    run: impl Fn(usize, [&[f32]; N], &mut [f32], &mut Scratch) + Send + Sync,
) {
    let block = lines.block();
    if output.is_empty() || block == 0 {
        return;
    }
    let over_block = |scratch: &mut Scratch, (number, output): (usize, &mut [f32])| {
        let start = number * block;
        if lines.inner == 1 {
            let inputs = inputs.map(|input| &input[start..start + block]);
            return run(start, inputs, output, scratch);
        }
        let strip = Strip { start, pieces: output.chunks_mut(lines.inner).collect() };
        strip.run(inputs, lines.inner, scratch, &run);
    };
    if output.len() < SERIAL {
        let mut scratch = Scratch::default();
        output.chunks_mut(block).enumerate().for_each(|block| over_block(&mut scratch, block));
    } else if lines.inner == 1 || lines.outer >= rayon::current_num_threads() {
        let blocks = output.par_chunks_mut(block).enumerate();
        let blocks = blocks.with_min_len(SERIAL.div_ceil(2 * block));
        blocks.for_each_init(Scratch::default, over_block);
    } else {
        for (number, output) in output.chunks_mut(block).enumerate() {
            strips(number * block, output, lines)
                .into_par_iter()
                .for_each_init(Scratch::default, |scratch, strip| {
                    strip.run(inputs, lines.inner, scratch, &run)
                });
        }
    }
}

/// Neighbouring lines of the output: piece i holds their elements i.
struct Strip<'a> {
    /// The index of the first line's first element.
    start: usize,
    pieces: Vec<&'a mut [f32]>,
}

/// The strips of a block.
fn strips(start: usize, block: &mut [f32], lines: Lines) -> Vec<Strip<'_>> {
    let strip = |number| {
        let pieces = Vec::with_capacity(lines.width);
        Strip { start: start + number * STRIP, pieces }
    };
    let mut strips: Vec<Strip<'_>> = (0..lines.inner.div_ceil(STRIP)).map(strip).collect();
    for across in block.chunks_mut(lines.inner) {
        let pieces = across.chunks_mut(STRIP);
        strips.iter_mut().zip(pieces).for_each(|(strip, piece)| strip.pieces.push(piece));
    }
    strips
}

impl Strip<'_> {
    fn run<const N: usize>(
        mut self,
        inputs: [&[f32]; N],
        inner: usize,
        scratch: &mut Scratch,
        run: &impl Fn(usize, [&[f32]; N], &mut [f32], &mut Scratch),
    ) {
        let width = self.pieces.len();
        let count = self.pieces.first().map_or(0, |piece| piece.len());
        let together = (TILE_ELEMENTS / width.max(1)).clamp(1, TILE);
        let mut tile = std::mem::take(&mut scratch.tile);
        tile.resize((N + 1) * together * width, 0.0);
        let (output, input) = tile.split_at_mut(together * width);
        for first in (0..count).step_by(together) {
            let lines = together.min(count - first);
            let start = self.start + first;
            for (input, copy) in inputs.iter().zip(input.chunks_mut(together * width)) {
                for i in 0..width {
                    let neighbours = &input[start + i * inner..][..lines];
                    neighbours.iter().enumerate().for_each(|(n, &z)| copy[n * width + i] = z);
                }
            }
            for (n, output) in output.chunks_mut(width).take(lines).enumerate() {
                let line = |k: usize| &input[(k * together + n) * width..][..width];
                run(start + n, std::array::from_fn(line), output, scratch);
            }
            for (i, piece) in self.pieces.iter_mut().enumerate() {
                let neighbours = piece[first..first + lines].iter_mut().enumerate();
                neighbours.for_each(|(n, y)| *y = output[n * width + i]);
            }
        }
        scratch.tile = tile;
    }
}
