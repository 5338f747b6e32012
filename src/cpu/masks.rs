//! Masks that are repeated over axes, and rows in which they keep nothing.

use crate::backend::parallel::{CHUNK, over_pieces_of};
use crate::backend::{AXES, Lines};

/// The elements of a tensor that is repeated, and its strides along the axes.
#[derive(Clone, Copy)]
pub(super) struct Repeated<'a> {
    pub(super) values: &'a [f32],
    pub(super) strides: [usize; AXES],
}

impl<'a> Repeated<'a> {
    /// Its elements along a row of the last axis.
    fn row(self, lengths: [usize; AXES], row: usize) -> impl Iterator<Item = f32> + 'a {
        let (mut rest, mut start) = (row, 0);
        for axis in (0..AXES - 1).rev() {
            start += rest % lengths[axis] * self.strides[axis];
            rest /= lengths[axis];
        }
        let Self { values, strides } = self;
        (0..lengths[AXES - 1]).map(move |column| values[start + column * strides[AXES - 1]])
    }
}

/// Writes rows of the last axis, on all cores.
fn over_rows(
    lengths: [usize; AXES],
    output: &mut [f32],
    write: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    let width = lengths[AXES - 1].max(1);
    over_pieces_of(output, CHUNK.div_ceil(width) * width, |start, rows| {
        rows.chunks_mut(width).zip(start / width..).for_each(|(output, row)| write(row, output));
    });
}

/// A mask of 1 and 0 for each element.
pub(super) fn expand(
    lengths: [usize; AXES],
    [kept, added]: [Option<Repeated<'_>>; 2],
    causal: bool,
    output: &mut [f32],
) {
    over_rows(lengths, output, |row, output| {
        output.fill(1.0);
        if let Some(kept) = kept {
            let values = kept.row(lengths, row);
            output.iter_mut().zip(values).filter(|it| it.1 == 0.0).for_each(|it| *it.0 = 0.0);
        }
        if let Some(added) = added {
            let values = added.row(lengths, row);
            let excluded = |it: &(&mut f32, f32)| it.1 == f32::NEG_INFINITY;
            output.iter_mut().zip(values).filter(excluded).for_each(|it| *it.0 = 0.0);
        }
        if causal {
            let seen = (row % lengths[AXES - 2] + 1).min(output.len());
            output[seen..].fill(0.0);
        }
    });
}

/// `output = scale·z + added`
pub(super) fn add(
    lengths: [usize; AXES],
    z: &[f32],
    scale: f32,
    added: Repeated<'_>,
    output: &mut [f32],
) {
    over_rows(lengths, output, |row, output| {
        let z = &z[row * lengths[AXES - 1]..][..output.len()];
        for ((output, z), added) in output.iter_mut().zip(z).zip(added.row(lengths, row)) {
            *output = scale * z + added;
        }
    });
}

/// Fills the lines in which the mask keeps nothing.
pub(super) fn fill_empty(mask: &[f32], lines: Lines, fill: f32, output: &mut [f32]) {
    let Lines { width, inner, .. } = lines;
    let block = lines.block().max(1);
    over_pieces_of(output, CHUNK.div_ceil(block) * block, |start, output| {
        for (output, start) in output.chunks_mut(block).zip((start..).step_by(block)) {
            for line in 0..inner {
                let kept = |i: usize| mask[(start + line + i * inner) % mask.len()] != 0.0;
                if !(0..width).any(kept) {
                    output[line..].iter_mut().step_by(inner).for_each(|it| *it = fill);
                }
            }
        }
    });
}
