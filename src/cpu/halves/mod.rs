//! Slices of f32, f16 or bf16, for kernels that compute with f32.

mod convert;

pub(super) use convert::Half;
use half::{bf16, f16};

use super::cell::{OnCpu, Snapshot};
use super::parallel::{CHUNK, over_pieces, over_pieces_with};
use crate::backend::{Lines, Storage};
use crate::dtype::DType;
use crate::error::Result;

/// The number of halves that are converted at a time: the first-level
/// cache holds a few such blocks.
const BLOCK: usize = 1024;

/// The elements of a tensor, held for as long as an operation runs.
pub(super) struct Held {
    words: Snapshot,
    dtype: DType,
    elements: usize,
}

impl Held {
    pub(super) fn new(storage: &Storage) -> Result<Self> {
        let words = storage.cpu_words()?.snapshot()?;
        Ok(Self { words, dtype: storage.dtype(), elements: storage.elements() })
    }

    pub(super) fn values(&self) -> Values<'_> {
        match self.dtype {
            DType::F32 => Values::F32(&self.words),
            DType::F16 => Values::F16(&bytemuck::cast_slice(&self.words)[..self.elements]),
            DType::BF16 => Values::BF16(&bytemuck::cast_slice(&self.words)[..self.elements]),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

impl<'a> Values<'a> {
    /// The values from `start` on.
    pub(super) fn from(self, start: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[start..]),
            Self::F16(values) => Self::F16(&values[start..]),
            Self::BF16(values) => Self::BF16(&values[start..]),
        }
    }

    /// The values from `start` on, as many as the buffer holds; values of 16 bits
    /// are converted into the buffer.
    fn wide<'b>(self, start: usize, buffer: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let range = start..start + buffer.len();
        match self {
            Self::F32(values) => &values[range],
            Self::F16(values) => {
                f16::widen(&values[range], buffer);
                buffer
            }
            Self::BF16(values) => {
                bf16::widen(&values[range], buffer);
                buffer
            }
        }
    }
}

/// The elements of a tensor that is being written.
pub(super) enum ValuesMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [f16]),
    BF16(&'a mut [bf16]),
}

impl ValuesMut<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::BF16(values) => values.len(),
        }
    }
}

/// Lets the function write all elements of a tensor.
pub(super) fn overwrite<T>(storage: &Storage, write: impl FnOnce(ValuesMut<'_>) -> T) -> Result<T> {
    storage.cpu_words()?.overwrite(|words| match storage.dtype() {
        DType::F16 => {
            write(ValuesMut::F16(&mut bytemuck::cast_slice_mut(words)[..storage.elements()]))
        }
        DType::BF16 => {
            write(ValuesMut::BF16(&mut bytemuck::cast_slice_mut(words)[..storage.elements()]))
        }
        DType::F32 => write(ValuesMut::F32(words)),
    })
}

/// Computes a piece of an output from the same pieces of the inputs.
type Run<'a, const N: usize> = &'a (dyn Fn([&[f32]; N], &mut [f32]) + Sync);

/// Writes an output piece by piece, on all cores.
pub(super) fn map<const N: usize>(inputs: [Values<'_>; N], output: ValuesMut<'_>, run: Run<'_, N>) {
    let length = BLOCK.min(output.len());
    let buffers = || vec![0.0; N * length];
    match (output, all_wide(inputs)) {
        (ValuesMut::F32(output), Some(inputs)) => {
            over_pieces(output, |start, output| {
                run(inputs.map(|input| &input[start..start + output.len()]), output);
            });
        }
        (ValuesMut::F32(output), None) => {
            over_pieces_with(output, CHUNK, buffers, |buffers, start, output| {
                for (index, output) in output.chunks_mut(BLOCK).enumerate() {
                    block(inputs, start + index * BLOCK, buffers, output, run);
                }
            });
        }
        (ValuesMut::F16(output), _) => map_halves(inputs, output, run),
        (ValuesMut::BF16(output), _) => map_halves(inputs, output, run),
    }
}

fn map_halves<const N: usize, H: Half>(inputs: [Values<'_>; N], output: &mut [H], run: Run<'_, N>) {
    let length = BLOCK.min(output.len());
    let memory = || (vec![0.0; N * length], vec![0.0; length]);
    over_pieces_with(output, CHUNK, memory, |(buffers, result), start, output| {
        for (index, output) in output.chunks_mut(BLOCK).enumerate() {
            let result = &mut result[..output.len()];
            block(inputs, start + index * BLOCK, buffers, result, run);
            H::narrow(result, output);
        }
    });
}

/// Writes a block from inputs of any type.
fn block<const N: usize>(
    inputs: [Values<'_>; N],
    start: usize,
    buffers: &mut [f32],
    output: &mut [f32],
    run: Run<'_, N>,
) {
    let mut buffers = buffers.chunks_exact_mut(output.len());
    let inputs = inputs.map(|values| values.wide(start, buffers.next().unwrap_or_default()));
    run(inputs, output);
}

/// The inputs, if none of them needs conversion.
fn all_wide<const N: usize>(inputs: [Values<'_>; N]) -> Option<[&[f32]; N]> {
    let is_wide = |values: &Values<'_>| matches!(values, Values::F32(_));
    let wide = |values| match values {
        Values::F32(values) => values,
        Values::F16(_) | Values::BF16(_) => &[],
    };
    inputs.iter().all(is_wide).then(|| inputs.map(wide))
}

/// The number of elements in the rows of halves that are converted at a time,
/// if rows are shorter than this.
const ROWS: usize = 4 * BLOCK;

/// Writes contiguous rows of halves, several at a time, on all cores. The function computes rows of
/// the output from the same rows of the inputs.
pub(super) fn map_rows<const N: usize>(
    inputs: [&Storage; N],
    output: &Storage,
    lines: Lines,
    run: impl Fn([&[f32]; N], &mut [f32], Lines) + Sync,
) -> Result<()> {
    let held = inputs.map(Held::new).into_iter().collect::<Result<Vec<_>>>()?;
    overwrite(output, |output| match output {
        ValuesMut::F16(output) => map_rows_of(&held, output, lines, run),
        ValuesMut::BF16(output) => map_rows_of(&held, output, lines, run),
        ValuesMut::F32(_) => {}
    })
}

fn map_rows_of<const N: usize, H: Half>(
    held: &[Held],
    output: &mut [H],
    lines: Lines,
    run: impl Fn([&[f32]; N], &mut [f32], Lines) + Sync,
) {
    let whole_rows = |elements: usize| (elements / lines.width.max(1)).max(1) * lines.width.max(1);
    let block = whole_rows(ROWS);
    let (piece, memory) = (whole_rows(CHUNK), Vec::new);
    over_pieces_with(output, piece, memory, |memory: &mut Vec<f32>, start, output| {
        let length = block.min(output.len());
        memory.resize((N + 1) * length, 0.0);
        for (index, output) in output.chunks_mut(block).enumerate() {
            let mut buffers = memory.chunks_mut(length).map(|buffer| &mut buffer[..output.len()]);
            let inputs = std::array::from_fn(|input| {
                let buffer = buffers.next().unwrap_or_default();
                held[input].values().wide(start + index * block, buffer)
            });
            let result = buffers.next().unwrap_or_default();
            run(inputs, result, Lines { outer: output.len() / lines.width, ..lines });
            H::narrow(result, output);
        }
    });
}

/// Keeps those numbers which round to what a tensor of halves holds, and widens the others.
pub(super) fn refresh(rounded: Values<'_>, exact: &mut [f32]) {
    match rounded {
        Values::F32(values) => exact.copy_from_slice(values),
        Values::F16(halves) => refresh_halves(halves, exact),
        Values::BF16(halves) => refresh_halves(halves, exact),
    }
}

fn refresh_halves<H: Half + PartialEq>(halves: &[H], exact: &mut [f32]) {
    let memory = || (vec![H::zeroed(); BLOCK], vec![0.0; BLOCK]);
    over_pieces_with(exact, CHUNK, memory, |(rounded, widened), start, exact| {
        for (index, exact) in exact.chunks_mut(BLOCK).enumerate() {
            let halves = &halves[start + index * BLOCK..][..exact.len()];
            let (rounded, widened) = (&mut rounded[..exact.len()], &mut widened[..exact.len()]);
            H::narrow(exact, rounded);
            H::widen(halves, widened);
            for (place, exact) in exact.iter_mut().enumerate() {
                // A NaN equals nothing.
                if rounded[place] != halves[place] {
                    *exact = widened[place];
                }
            }
        }
    });
}
