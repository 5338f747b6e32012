//! Matrix products and column sums, over windows of parts of matrices.

use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{Input, Window, groups, input, pieces, window};
use super::operations::{WORKGROUP, ZERO, rows_window, run};
use crate::activation::Activation;
use crate::backend::{Bias, Matrix, Product, Rows};
use crate::error::Result;

/// The rows that an invocation of the column-sum kernel adds up.
const COLUMN_CHUNK: usize = 64;

/// The sum over all rows, to the output from the offset on.
pub(super) fn column_sum(
    context: &Arc<Context>,
    source: &Buffer,
    rows: Rows,
    output: &Buffer,
    offset: usize,
    accumulate: bool,
) -> Result<()> {
    let Rows { count, width } = rows;
    if width == 0 {
        return Ok(());
    }
    let source = input(context, source, &[output], rows.elements())?;
    let kernel = Kernel::new(Template::ColumnSum).constant("CHUNK", COLUMN_CHUNK as f64);
    let fitting = context.window_rows("a tensor", width)?;
    let sum_rows = |first: usize, length: usize, sums: &Buffer, at: usize, accumulates: bool| {
        // The sum of no rows is written too.
        let elements = length.div_ceil(COLUMN_CHUNK).max(1) * width;
        let rows = rows_window(&source, first, length, width);
        let sums = window(sums, at, elements);
        let parameters =
            [length as u32, width as u32, ZERO, rows.base, sums.base, u32::from(accumulates)];
        let dispatch = groups(elements.div_ceil(WORKGROUP));
        run(context, &kernel, &[rows.binding, sums.binding], &parameters, dispatch)
    };
    if count <= COLUMN_CHUNK && count <= fitting {
        return sum_rows(0, count, output, offset, accumulate);
    }
    if fitting < COLUMN_CHUNK {
        // Rows so long that a window holds few: each window is added to the sum of those before.
        for (first, length) in pieces(count, fitting) {
            sum_rows(first, length, output, offset, accumulate || first > 0)?;
        }
        return Ok(());
    }
    let chunks = count.div_ceil(COLUMN_CHUNK);
    let partial = context.workspace(chunks * width)?;
    for (first, length) in pieces(count, fitting / COLUMN_CHUNK * COLUMN_CHUNK) {
        sum_rows(first, length, &partial, first / COLUMN_CHUNK * width, false)?;
    }
    column_sum(context, &partial, Rows { count: chunks, width }, output, offset, accumulate)
}

/// The rows and columns that a workgroup of the matrix product computes.
const TILE: usize = 32;

/// The rows or columns that a dispatch covers: a dimension ends at 65 535 workgroups.
const REACH: usize = 65_535 * TILE;

/// The terms that a dispatch of the matrix product adds up, at most. Longer sums are continued: that
/// loses fewer digits, and lavapipe silently ends a kernel's loops after 65 535 iterations.
const INNER: usize = 1 << 14;

/// A matrix on the GPU, of which the kernel sees a part at a time.
struct Operand<'a> {
    buffer: Input<'a>,
    matrix: Matrix<'a>,
}

impl<'a> Operand<'a> {
    /// A factor of this shape: a copy, where the output lies in the same buffer.
    fn new(
        context: &Arc<Context>,
        matrix: Matrix<'a>,
        output: &Buffer,
        rows: usize,
        columns: usize,
    ) -> Result<Self> {
        let elements = matrix.range(rows, columns).end;
        let buffer = input(context, matrix.storage.gpu()?, &[output], elements)?;
        Ok(Self { buffer, matrix })
    }

    /// The rows, of this many columns, that a window of so many elements holds.
    fn fitting(&self, columns: usize, elements: usize) -> usize {
        elements.saturating_sub(columns) / self.matrix.stride.max(1) + 1
    }

    /// The part of this shape that begins at this row and column.
    fn window(&self, row: usize, column: usize, rows: usize, columns: usize) -> Window<'_> {
        let range = self.matrix.at(row, column).range(rows, columns);
        window(&self.buffer, range.start, range.len())
    }

    /// The steps from a row to the next and from a column to the next.
    fn steps(&self) -> (u32, u32) {
        let stride = self.matrix.stride as u32;
        if self.matrix.transposed { (1, stride) } else { (stride, 1) }
    }
}

pub(super) fn matmul(context: &Arc<Context>, product: Product<'_>) -> Result<()> {
    let Product { rows, inner, columns, epilogue, accumulate, .. } = product;
    let output = product.output.storage.gpu()?;
    let a = Operand::new(context, product.a, output, rows, inner)?;
    let b = Operand::new(context, product.b, output, inner, columns)?;
    let sums = Operand { buffer: Input::Original(output), matrix: product.output };
    let bias = epilogue.bias.map(|Bias { storage, offset }| {
        let row = Matrix { offset, ..Matrix::whole(storage, columns) };
        Operand::new(context, row, output, 1, columns)
    });
    let bias = bias.transpose()?;

    // The longer the rows that a matrix is stored in, the fewer of them a window holds.
    let seen = context.window_elements();
    let mut inner_step = inner.min(INNER).min(seen);
    let mut column_step = columns.min(REACH).min(seen);
    if b.matrix.transposed {
        column_step = column_step.min(b.fitting(inner_step, seen));
    }
    let mut row_step = rows.min(REACH).min(seen).min(sums.fitting(column_step, seen));
    if a.matrix.transposed {
        inner_step = inner_step.min(a.fitting(row_step, seen));
    } else {
        row_step = row_step.min(a.fitting(inner_step, seen));
    }
    if !b.matrix.transposed {
        inner_step = inner_step.min(b.fitting(column_step, seen));
    }
    // Nothing to add up still makes an output: the bias, or zeros.
    let inner_pieces: Vec<(usize, usize)> =
        if inner == 0 { vec![(0, 0)] } else { pieces(inner, inner_step).collect() };
    let ((a_row, a_inner), (b_inner, b_column)) = (a.steps(), b.steps());
    let partial = Kernel::new(Template::MatMul).activation(&Activation::Identity);
    let complete = Kernel::new(Template::MatMul).activation(epilogue.activation);

    for (row, row_count) in pieces(rows, row_step) {
        for (column, column_count) in pieces(columns, column_step) {
            for (position, &(k, k_count)) in inner_pieces.iter().enumerate() {
                let last = position + 1 == inner_pieces.len();
                let a = a.window(row, k, row_count, k_count);
                let b = b.window(k, column, k_count, column_count);
                let sums = sums.window(row, column, row_count, column_count);
                let bias = bias.as_ref().filter(|_| last);
                // Without a bias the binding is not read.
                let bias_window = match bias {
                    Some(bias) => bias.window(0, column, 1, column_count),
                    None => window(b.binding.buffer, 0, 1),
                };
                let parameters = [
                    row_count as u32,
                    column_count as u32,
                    k_count as u32,
                    ZERO,
                    a_row,
                    a_inner,
                    b_inner,
                    b_column,
                    product.output.stride as u32,
                    a.base,
                    b.base,
                    bias_window.base,
                    sums.base,
                    u32::from(bias.is_some()),
                    u32::from(accumulate || position > 0),
                ];
                let bindings = [a.binding, b.binding, bias_window.binding, sums.binding];
                let tiles = |count: usize| count.div_ceil(TILE) as u32;
                let dispatch = [tiles(column_count), tiles(row_count), 1];
                let kernel = if last { &complete } else { &partial };
                run(context, kernel, &bindings, &parameters, dispatch)?;
            }
        }
    }
    Ok(())
}
