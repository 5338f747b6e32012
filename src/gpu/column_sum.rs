//! Column sums, over windows of matrices.

use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, input, pieces, window};
use super::operations::{WORKGROUP, ZERO, rows_window, run};
use super::parameters::parameters;
use crate::backend::Rows;
use crate::error::Result;

/// The number of rows that an invocation of the column-sum kernel adds up. Not measured: other numbers.
const COLUMN_CHUNK: usize = 64;

parameters! {
    struct ColumnSumParameters {
        rows: u32,
        width: u32,
        zero: u32,
        input_base: u32,
        output_base: u32,
        accumulates: u32,
    }
}

/// Writes the sum over all rows to the output, from the offset on.
pub(super) fn column_sum(
    context: &Arc<Context>,
    source: &Arc<Buffer>,
    rows: Rows,
    output: &Arc<Buffer>,
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
    let sum_rows =
        |first: usize, length: usize, sums: &Arc<Buffer>, at: usize, accumulates: bool| {
            // The sum of no rows is written, too.
            let elements = length.div_ceil(COLUMN_CHUNK).max(1) * width;
            let rows = rows_window(&source, first, length, width);
            let sums = window(sums, at, elements);
            let parameters = ColumnSumParameters {
                rows: length as u32,
                width: width as u32,
                zero: ZERO,
                input_base: rows.base,
                output_base: sums.base,
                accumulates: u32::from(accumulates),
            };
            let dispatch = groups(elements.div_ceil(WORKGROUP));
            run(context, &kernel, &[rows.binding, sums.binding], &parameters, dispatch)
        };
    if count <= COLUMN_CHUNK && count <= fitting {
        return sum_rows(0, count, output, offset, accumulate);
    }
    if fitting < COLUMN_CHUNK {
        // The rows are so long that a window holds few of them: each window is added to the sum of those before.
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
