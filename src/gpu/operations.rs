//! Each primitive as dispatches of kernels, over windows where a tensor is larger than a binding.

use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{
    Window, groups, input, pieces, vector_input, vector_output, vector_window, window,
};
use super::recorder::Binding;
use crate::activation::Activation;
use crate::backend::{Epilogue, Product, Rows, SgdStep};
use crate::device::DeviceKind;
use crate::error::{Error, Result};

/// Invocations in a workgroup of the kernels that count them in one dimension.
pub(super) const WORKGROUP: usize = 256;

/// The kernels' parameter `zero`, which the optimiser must not know: see shaders/math.wgsl.
pub(super) const ZERO: u32 = 0;

pub(super) fn run(
    context: &Context,
    kernel: &Kernel<'_>,
    bindings: &[Binding<'_>],
    parameters: &[u32],
    groups: [u32; 3],
) -> Result<()> {
    let pipeline = context.kernels.get(context, kernel)?;
    let parameters = bytemuck::cast_slice(parameters);
    context.record(|recorder| recorder.dispatch(context, &pipeline, bindings, parameters, groups))
}

/// `output = kernel(inputs)`, element by element.
pub(super) fn pointwise<const N: usize>(
    context: &Arc<Context>,
    kernel: &Kernel<'_>,
    inputs: [&Buffer; N],
    output: &Buffer,
    elements: usize,
) -> Result<()> {
    let output = vector_output(context, output, elements, false)?;
    let held = inputs.map(|buffer| vector_input(context, buffer, &[&output], elements));
    let inputs = held.into_iter().collect::<Result<Vec<_>>>()?;
    for (start, length) in pieces(elements, context.window_elements()) {
        let mut bindings: Vec<Binding<'_>> =
            inputs.iter().map(|buffer| vector_window(buffer, start, length)).collect();
        bindings.push(vector_window(&output, start, length));
        let vectors = length.div_ceil(4);
        let dispatch = groups(vectors.div_ceil(WORKGROUP));
        run(context, kernel, &bindings, &[vectors as u32, ZERO], dispatch)?;
    }
    output.finish(context)
}

pub(super) fn sgd(
    context: &Arc<Context>,
    step: SgdStep,
    gradient: &Buffer,
    weights: &Buffer,
    velocity: &Buffer,
    elements: usize,
) -> Result<()> {
    let weights = vector_output(context, weights, elements, true)?;
    let gradient = vector_input(context, gradient, &[&weights, velocity], elements)?;
    let kernel = Kernel::new(Template::Sgd);
    for (start, length) in pieces(elements, context.window_elements()) {
        let bindings =
            [&*gradient, &*weights, velocity].map(|buffer| vector_window(buffer, start, length));
        let vectors = length.div_ceil(4);
        let rates = [step.learning_rate, step.momentum, step.weight_decay].map(f32::to_bits);
        let parameters = [vectors as u32, ZERO, rates[0], rates[1], rates[2]];
        run(context, &kernel, &bindings, &parameters, groups(vectors.div_ceil(WORKGROUP)))?;
    }
    weights.finish(context)
}

/// The invocations that work on one row together.
pub(super) fn lanes(width: usize) -> usize {
    width.div_ceil(8).next_power_of_two().min(WORKGROUP)
}

/// A kernel that works on whole rows, and the windows of them that it sees one after the other.
pub(super) struct RowPass {
    pub(super) rows: Rows,
    /// What it writes for a row.
    pub(super) output_width: usize,
    pub(super) loops: Option<Loops>,
}

/// That invocations loop along rows of this width so many times.
pub(super) struct Loops {
    pub(super) width: usize,
    pub(super) passes: usize,
}

impl Loops {
    /// Lavapipe silently ends the loops of a kernel after 65 535 iterations: no row may be longer.
    fn check(&self, context: &Context) -> Result<()> {
        const ITERATIONS: usize = 65_535;
        // A pass may end in reductions among the invocations.
        const REDUCTIONS: usize = 24;
        let longest = (ITERATIONS / self.passes - REDUCTIONS) * WORKGROUP;
        if context.info.kind != DeviceKind::Software || self.width <= longest {
            return Ok(());
        }
        let bytes = |elements: usize| (elements * size_of::<f32>()) as u64;
        Err(Error::TooLarge {
            what: "a row of a row-wise function on a software adapter".to_owned(),
            bytes: bytes(self.width),
            limit: bytes(longest),
        })
    }
}

impl RowPass {
    /// The windows as (first row, rows): none where there is nothing to write.
    pub(super) fn windows(
        &self,
        context: &Context,
    ) -> Result<impl Iterator<Item = (usize, usize)> + use<>> {
        let Rows { count, width } = self.rows;
        if count == 0 || self.output_width == 0 {
            return Ok(pieces(0, 1));
        }
        if let Some(loops) = &self.loops {
            loops.check(context)?;
        }
        Ok(pieces(count, context.window_rows("a tensor", width.max(self.output_width))?))
    }
}

pub(super) fn with_lanes(kernel: Kernel<'_>, width: usize) -> Kernel<'_> {
    kernel.constant("LANES", lanes(width) as f64)
}

pub(super) fn row_groups(rows: usize, width: usize) -> [u32; 3] {
    groups(rows.div_ceil(WORKGROUP / lanes(width)))
}

pub(super) fn rows_window(buffer: &Buffer, first: usize, count: usize, width: usize) -> Window<'_> {
    window(buffer, first * width, count * width)
}

/// The elements that an invocation of the sum kernel adds up, and a workgroup.
const SUM_ROUNDS: usize = 16;
const SUM_CHUNK: usize = SUM_ROUNDS * WORKGROUP;

pub(super) fn sum(
    context: &Arc<Context>,
    input: &Buffer,
    output: &Buffer,
    elements: usize,
) -> Result<()> {
    let kernel = Kernel::new(Template::Sum).constant("ROUNDS", SUM_ROUNDS as f64);
    let step = context.window_elements() / SUM_CHUNK * SUM_CHUNK;
    let chunks = elements.div_ceil(SUM_CHUNK);
    let partial = if chunks > 1 { Some(context.workspace(chunks)?) } else { None };
    let sums = partial.as_ref().unwrap_or(output);
    for (start, length) in pieces(elements, step) {
        let count = length.div_ceil(SUM_CHUNK);
        let input = window(input, start, length);
        let sums = window(sums, start / SUM_CHUNK, count);
        let parameters = [length as u32, ZERO, sums.base];
        run(context, &kernel, &[input.binding, sums.binding], &parameters, groups(count))?;
    }
    match &partial {
        Some(partial) => sum(context, partial, output, chunks),
        None => Ok(()),
    }
}

/// The rows that an invocation of the column-sum kernel adds up.
const COLUMN_CHUNK: usize = 64;

pub(super) fn column_sum(
    context: &Arc<Context>,
    input: &Buffer,
    output: &Buffer,
    rows: Rows,
) -> Result<()> {
    let Rows { count, width } = rows;
    let kernel = Kernel::new(Template::ColumnSum).constant("CHUNK", COLUMN_CHUNK as f64);
    let fitting = context.window_rows("a tensor", width)?;
    let sum_rows = |first: usize, length: usize, sums: &Buffer, at: usize, accumulates: bool| {
        let sums_count = length.div_ceil(COLUMN_CHUNK);
        let input = rows_window(input, first, length, width);
        let sums = rows_window(sums, at, sums_count, width);
        let parameters =
            [length as u32, width as u32, ZERO, input.base, sums.base, u32::from(accumulates)];
        let dispatch = groups((sums_count * width).div_ceil(WORKGROUP));
        run(context, &kernel, &[input.binding, sums.binding], &parameters, dispatch)
    };
    if fitting < COLUMN_CHUNK {
        // Rows so long that a window holds few: each window is added to the sum of those before.
        for (first, length) in pieces(count, fitting) {
            sum_rows(first, length, output, 0, first > 0)?;
        }
        return Ok(());
    }
    let chunks = count.div_ceil(COLUMN_CHUNK);
    let partial = if chunks > 1 { Some(context.workspace(chunks * width)?) } else { None };
    let sums = partial.as_ref().unwrap_or(output);
    for (first, length) in pieces(count, fitting / COLUMN_CHUNK * COLUMN_CHUNK) {
        sum_rows(first, length, sums, first / COLUMN_CHUNK, false)?;
    }
    match &partial {
        Some(partial) => column_sum(context, partial, output, Rows { count: chunks, width }),
        None => Ok(()),
    }
}

/// The rows and columns that a workgroup of the matrix product computes.
const TILE: usize = 32;

/// The rows or columns that a dispatch covers: a dimension ends at 65 535 workgroups.
const REACH: usize = 65_535 * TILE;

/// The terms that a dispatch of the matrix product adds up, at most. Longer sums are continued: that
/// loses fewer digits, and lavapipe silently ends a kernel's loops after 65 535 iterations.
const INNER: usize = 1 << 14;

pub(super) fn matmul(
    context: &Arc<Context>,
    product: Product,
    a: &Buffer,
    b: &Buffer,
    epilogue: Epilogue<'_>,
    output: &Buffer,
) -> Result<()> {
    let Product { rows, inner, columns, transpose_a, transpose_b } = product;
    let a = input(context, a, &[output], rows * inner)?;
    let b = input(context, b, &[output], inner * columns)?;
    let bias = epilogue.bias.map(|bias| bias.gpu()).transpose()?;
    let bias = bias.map(|bias| input(context, bias, &[output], columns)).transpose()?;

    // Each operand is seen through windows of whole stored rows.
    let a_step = context.window_rows("a matrix", if transpose_a { rows } else { inner })?;
    let b_step = context.window_rows("a matrix", if transpose_b { inner } else { columns })?;
    let output_step = context.window_rows("a matrix", columns)?;
    let row_step = if transpose_a { output_step } else { a_step.min(output_step) }.min(REACH);
    let column_step = if transpose_b { b_step.min(REACH) } else { REACH };
    let inner_step = match (transpose_a, transpose_b) {
        (true, false) => a_step.min(b_step),
        (true, true) => a_step,
        (false, false) => b_step,
        (false, true) => INNER,
    }
    .min(INNER);
    // Nothing to add up still makes an output: the bias, or zeros.
    let inner_pieces: Vec<(usize, usize)> =
        if inner == 0 { vec![(0, 0)] } else { pieces(inner, inner_step).collect() };
    let (a_row, a_inner) = if transpose_a { (1, rows) } else { (inner, 1) };
    let (b_inner, b_column) = if transpose_b { (1, inner) } else { (columns, 1) };
    let partial = Kernel::new(Template::MatMul).activation(&Activation::Identity);
    let complete = Kernel::new(Template::MatMul).activation(epilogue.activation);

    for (row, row_count) in pieces(rows, row_step) {
        for (column, column_count) in pieces(columns, column_step) {
            for (position, &(k, k_count)) in inner_pieces.iter().enumerate() {
                let last = position + 1 == inner_pieces.len();
                let (a_window, a_skip) = if transpose_a {
                    (rows_window(&a, k, k_count, rows), row)
                } else {
                    (rows_window(&a, row, row_count, inner), k)
                };
                let (b_window, b_skip) = if transpose_b {
                    (rows_window(&b, column, column_count, inner), k)
                } else {
                    (rows_window(&b, k, k_count, columns), column)
                };
                let sums = rows_window(output, row, row_count, columns);
                let bias = bias.as_deref().filter(|_| last);
                // Without a bias the binding is not read.
                let bias_window = match bias {
                    Some(bias) => window(bias, column, column_count),
                    None => window(&b, 0, 1),
                };
                let parameters = [
                    row_count as u32,
                    column_count as u32,
                    k_count as u32,
                    ZERO,
                    a_row as u32,
                    a_inner as u32,
                    b_inner as u32,
                    b_column as u32,
                    columns as u32,
                    a_window.base + a_skip as u32,
                    b_window.base + b_skip as u32,
                    bias_window.base,
                    sums.base + column as u32,
                    u32::from(bias.is_some()),
                    u32::from(position > 0),
                ];
                let bindings =
                    [a_window.binding, b_window.binding, bias_window.binding, sums.binding];
                let tiles = |count: usize| count.div_ceil(TILE) as u32;
                let dispatch = [tiles(column_count), tiles(row_count), 1];
                let kernel = if last { &complete } else { &partial };
                run(context, kernel, &bindings, &parameters, dispatch)?;
            }
        }
    }
    Ok(())
}
