//! Prelu with a weight for each channel, as dispatches of kernels.

use std::sync::Arc;

use super::buffer::Buffer;
use super::column_sum::column_sum;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, input, pieces, window};
use super::operations::{RowPass, WORKGROUP, ZERO, lanes, row_groups, rows_window, run, sum};
use super::parameters::parameters;
use crate::backend::{Channels, Rows};
use crate::error::Result;

/// The number of elements of a row that are added up together. Not measured: other numbers.
const SEGMENT: usize = 4096;

parameters! {
    struct PreluParameters {
        elements: u32,
        width: u32,
        channels: u32,
        zero: u32,
        first_channel: u32,
        z_base: u32,
        weight_base: u32,
        dy_base: u32,
        output_base: u32,
        segment: u32,
        segments: u32,
        sums_base: u32,
    }
}

parameters! {
    struct RowSumParameters {
        count: u32,
        segments: u32,
        segment: u32,
        width: u32,
        zero: u32,
        input_base: u32,
        output_base: u32,
    }
}

impl Channels {
    /// The windows of whole rows, as (first row, number of rows, number of elements).
    fn windows(self, context: &Context) -> Result<impl Iterator<Item = (usize, usize, usize)>> {
        // The kernels see the whole weight at once.
        context.window_rows("a weight", self.channels)?;
        let rows = self.rows();
        let pass = RowPass { rows, output_width: rows.width, loops: None };
        let elements = move |first: usize, count: usize| {
            (count * rows.width).min(self.elements - first * rows.width)
        };
        Ok(pass.windows(context)?.map(move |(first, count)| (first, count, elements(first, count))))
    }
}

pub(super) fn forward(
    context: &Arc<Context>,
    channels: Channels,
    [z, weight]: [&Arc<Buffer>; 2],
    y: &Arc<Buffer>,
) -> Result<()> {
    let z = input(context, z, &[y], channels.elements)?;
    let weight = input(context, weight, &[y], channels.channels)?;
    let kernel = Kernel::new(Template::PreluForward);
    for (first, _, elements) in channels.windows(context)? {
        let start = first * channels.width;
        let z = window(&z, start, elements);
        let weight = window(&weight, 0, channels.channels);
        let y = window(y, start, elements);
        let parameters = PreluParameters {
            elements: elements as u32,
            width: channels.width as u32,
            channels: channels.channels as u32,
            zero: ZERO,
            first_channel: (first % channels.channels) as u32,
            z_base: z.base,
            weight_base: weight.base,
            dy_base: 0,
            output_base: y.base,
            segment: 1,
            segments: 1,
            sums_base: 0,
        };
        let bindings = [z.binding, weight.binding, y.binding];
        run(context, &kernel, &bindings, &parameters, groups(elements.div_ceil(WORKGROUP)))?;
    }
    Ok(())
}

pub(super) fn backward(
    context: &Arc<Context>,
    channels: Channels,
    [z, weight, dy]: [&Arc<Buffer>; 3],
    [dz, dweight]: [&Arc<Buffer>; 2],
) -> Result<()> {
    let outputs = [dz, dweight];
    let z = input(context, z, &outputs, channels.elements)?;
    let weight = input(context, weight, &outputs, channels.channels)?;
    let dy = input(context, dy, &outputs, channels.elements)?;
    let Rows { count: rows, width } = channels.rows();
    let segments = width.div_ceil(SEGMENT);
    let sums = context.workspace(rows * segments)?;
    let length = width.min(SEGMENT);
    let lanes = lanes(context, length, 1);
    let kernel = Kernel::new(Template::PreluBackward).constant("LANES", lanes as f64);
    for (first, count, elements) in channels.windows(context)? {
        let start = first * width;
        let [z, dy, dz] = [&z, &dy, dz].map(|buffer| window(buffer, start, elements));
        let weight = window(&weight, 0, channels.channels);
        let sums = rows_window(&sums, first, count, segments);
        let parameters = PreluParameters {
            elements: elements as u32,
            width: width as u32,
            channels: channels.channels as u32,
            zero: ZERO,
            first_channel: (first % channels.channels) as u32,
            z_base: z.base,
            weight_base: weight.base,
            dy_base: dy.base,
            output_base: dz.base,
            segment: SEGMENT as u32,
            segments: segments as u32,
            sums_base: sums.base,
        };
        let bindings = [z.binding, weight.binding, dy.binding, dz.binding, sums.binding];
        run(context, &kernel, &bindings, &parameters, row_groups(count * segments, lanes))?;
    }
    let row_sums = sum_rows(context, sums, Rows { count: rows, width: segments })?;
    if channels.channels == 1 {
        return sum(context, &row_sums, dweight, rows);
    }
    let across = Rows { count: rows / channels.channels, width: channels.channels };
    column_sum(context, &row_sums, across, dweight, 0, false)
}

/// The sum of each row.
fn sum_rows(context: &Arc<Context>, input: Arc<Buffer>, rows: Rows) -> Result<Arc<Buffer>> {
    let Rows { count, width } = rows;
    if width == 1 {
        return Ok(input);
    }
    let segments = width.div_ceil(SEGMENT);
    let output = context.workspace(count * segments)?;
    let length = width.min(SEGMENT);
    let lanes = lanes(context, length, 1);
    let kernel = Kernel::new(Template::RowSum).constant("LANES", lanes as f64);
    for (first, count) in pieces(count, context.window_rows("a tensor", width)?) {
        let input = rows_window(&input, first, count, width);
        let output = rows_window(&output, first, count, segments);
        let parameters = RowSumParameters {
            count: (count * segments) as u32,
            segments: segments as u32,
            segment: SEGMENT as u32,
            width: width as u32,
            zero: ZERO,
            input_base: input.base,
            output_base: output.base,
        };
        let bindings = [input.binding, output.binding];
        run(context, &kernel, &bindings, &parameters, row_groups(count * segments, lanes))?;
    }
    sum_rows(context, output, Rows { count, width: segments })
}
