//! Ignored rows of a batch, which count in no result, as dispatches over windows of elements.

use std::sync::Arc;

use super::buffer::OnGpu;
use super::context::Context;
use super::halves::window_of;
use super::kernel::{Kernel, Template};
use super::operand::{groups, pieces, window};
use super::operations::{WORKGROUP, run};
use super::parameters::parameters;
use super::recorder::Binding;
use crate::backend::{Ignored, Rows, Storage};
use crate::dtype::DType;
use crate::error::Result;

parameters! {
    struct IgnoredRowsParameters {
        elements: u32,
        width: u32,
        column: u32,
        ignore_index: i32,
        labels_base: u32,
        input_base: u32,
        output_base: u32,
    }
}

/// Copies rows to the beginning of the output, with zeros in place of ignored rows.
pub(super) fn keep(
    context: &Arc<Context>,
    ignored: Ignored<'_>,
    input: &Storage,
    first_row: usize,
    rows: Rows,
    output: &Storage,
) -> Result<()> {
    let (dtype, input, output) = (input.dtype(), input.gpu_words()?, output.gpu()?);
    let kernel = Kernel::new(Template::KeepRows).types([dtype, DType::F32]);
    for (start, length) in pieces(rows.elements(), context.window_elements()) {
        let input = window_of(input, dtype, first_row * rows.width + start, length);
        let output = window(output, start, length);
        let place = Place { first_row, width: rows.width, start, length };
        place.run(
            context,
            ignored,
            &kernel,
            &[input.binding, output.binding],
            [input.base, output.base],
        )?;
    }
    Ok(())
}

/// Overwrites ignored rows with zeros.
pub(super) fn clear(
    context: &Arc<Context>,
    ignored: Ignored<'_>,
    output: &Storage,
    first_row: usize,
    rows: Rows,
) -> Result<()> {
    let output = output.gpu()?;
    let kernel = Kernel::new(Template::ClearRows);
    for (start, length) in pieces(rows.elements(), context.window_elements()) {
        let output = window(output, first_row * rows.width + start, length);
        let place = Place { first_row, width: rows.width, start, length };
        place.run(context, ignored, &kernel, &[output.binding], [0, output.base])?;
    }
    Ok(())
}

/// A window of the elements of rows. `start` counts from the first element of the row `first_row`.
struct Place {
    first_row: usize,
    width: usize,
    start: usize,
    length: usize,
}

impl Place {
    fn run(
        &self,
        context: &Arc<Context>,
        ignored: Ignored<'_>,
        kernel: &Kernel,
        tensors: &[Binding<'_>],
        [input_base, output_base]: [u32; 2],
    ) -> Result<()> {
        let Self { first_row, width, start, length } = *self;
        let (row, column) = (start / width, start % width);
        let labels =
            window(ignored.labels.gpu()?, first_row + row, (column + length).div_ceil(width));
        let parameters = IgnoredRowsParameters {
            elements: length as u32,
            width: width as u32,
            column: column as u32,
            ignore_index: ignored.label,
            labels_base: labels.base,
            input_base,
            output_base,
        };
        let bindings: Vec<Binding<'_>> =
            std::iter::once(labels.binding).chain(tensors.iter().copied()).collect();
        run(context, kernel, &bindings, &parameters, groups(length.div_ceil(WORKGROUP)))
    }
}
