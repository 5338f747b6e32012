//! Gated units, as dispatches of kernels.

use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, input};
use super::operations::{RowPass, WORKGROUP, ZERO, rows_window, run};
use super::parameters::parameters;
use crate::backend::GatedCall;
use crate::error::Result;

parameters! {
    struct GatedParameters {
        elements: u32,
        width: u32,
        zero: u32,
        value_offset: u32,
        gate_offset: u32,
        x_base: u32,
        y_base: u32,
        dx_base: u32,
    }
}

impl GatedParameters {
    /// The parameters for `count` rows; in the backward pass `y_base` is the base of dy.
    fn new(call: GatedCall, count: usize, [x_base, y_base, dx_base]: [u32; 3]) -> Self {
        let width = call.rows.width;
        let (value, gate) = call.offsets();
        Self {
            elements: (count * width) as u32,
            width: width as u32,
            zero: ZERO,
            value_offset: value as u32,
            gate_offset: gate as u32,
            x_base,
            y_base,
            dx_base,
        }
    }
}

pub(super) fn forward(
    context: &Arc<Context>,
    call: GatedCall,
    x: &Arc<Buffer>,
    y: &Arc<Buffer>,
) -> Result<()> {
    let (rows, width) = (call.input_rows(), call.rows.width);
    let x = input(context, x, &[y], rows.elements())?;
    let kernel = Kernel::new(Template::GatedForward).activation(call.function);
    for (first, count) in (RowPass { rows, output_width: width, loops: None }).windows(context)? {
        let x = rows_window(&x, first, count, rows.width);
        let y = rows_window(y, first, count, width);
        let parameters = GatedParameters::new(call, count, [x.base, y.base, 0]);
        let dispatch = groups((count * width).div_ceil(WORKGROUP));
        run(context, &kernel, &[x.binding, y.binding], &parameters, dispatch)?;
    }
    Ok(())
}

pub(super) fn backward(
    context: &Arc<Context>,
    call: GatedCall,
    [x, dy]: [&Arc<Buffer>; 2],
    dx: &Arc<Buffer>,
) -> Result<()> {
    let (rows, width) = (call.input_rows(), call.rows.width);
    let x = input(context, x, &[dx], rows.elements())?;
    let dy = input(context, dy, &[dx], call.rows.elements())?;
    let kernel = Kernel::new(Template::GatedBackward).activation(call.function);
    for (first, count) in
        (RowPass { rows, output_width: rows.width, loops: None }).windows(context)?
    {
        let x = rows_window(&x, first, count, rows.width);
        let dy = rows_window(&dy, first, count, width);
        let dx = rows_window(dx, first, count, rows.width);
        let parameters = GatedParameters::new(call, count, [x.base, dy.base, dx.base]);
        let dispatch = groups((count * width).div_ceil(WORKGROUP));
        run(context, &kernel, &[x.binding, dy.binding, dx.binding], &parameters, dispatch)?;
    }
    Ok(())
}
