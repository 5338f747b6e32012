//! Clipping of gradients, as dispatches of kernels.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, pieces, window};
use super::operations::{ZERO, run};
use super::parameters::parameters;
use crate::backend::Storage;
use crate::error::Result;

/// The number of elements whose squares a workgroup adds up. Not measured: other numbers.
const CHUNK: usize = 4096;

/// The number of elements that a workgroup of the clipping kernels handles, four for each invocation, as in their
/// WGSL. Not measured: other numbers.
const CLIPPED: usize = 1024;

parameters! {
    struct SquareSumsParameters { elements: u32, zero: u32, input_base: u32, output_base: u32, }
}

parameters! {
    struct ClipFactorParameters {
        chunks: u32,
        zero: u32,
        max_norm: f32,
        mantissa: f32,
        exponent: i32,
    }
}

parameters! {
    struct ClipNormParameters { elements: u32, zero: u32, base: u32, }
}

parameters! {
    struct ClipValueParameters { elements: u32, zero: u32, base: u32, limit: f32, }
}

pub(super) fn norm(
    context: &Arc<Context>,
    gradients: &[(&Storage, usize)],
    max_norm: f32,
    norm: &Arc<Buffer>,
) -> Result<()> {
    let chunks: usize = gradients.iter().map(|(_, elements)| elements.div_ceil(CHUNK)).sum();
    // Each chunk has a maximum and a sum, and a kernel sees all of them at once.
    context.window_rows("the sums of squares of a norm", 2 * chunks)?;
    let sums = context.workspace(2 * chunks)?;
    let factors = context.workspace(2)?;

    let kernel = Kernel::new(Template::SquareSums).constant("CHUNK", CHUNK as f64);
    let step = context.window_elements() / CHUNK * CHUNK;
    let mut chunk = 0;
    for (gradient, elements) in gradients {
        for (start, length) in pieces(*elements, step) {
            let count = length.div_ceil(CHUNK);
            let input = window(gradient.gpu()?, start, length);
            let sums = window(&sums, 2 * chunk, 2 * count);
            let parameters = SquareSumsParameters {
                elements: length as u32,
                zero: ZERO,
                input_base: input.base,
                output_base: sums.base,
            };
            run(context, &kernel, &[input.binding, sums.binding], &parameters, groups(count))?;
            chunk += count;
        }
    }

    let kernel = Kernel::new(Template::ClipFactor);
    let bindings = [window(&sums, 0, 2 * chunks), window(norm, 0, 1), window(&factors, 0, 2)];
    let (mantissa, exponent) = normalised(max_norm);
    let parameters =
        ClipFactorParameters { chunks: chunks as u32, zero: ZERO, max_norm, mantissa, exponent };
    run(context, &kernel, &bindings.map(|window| window.binding), &parameters, groups(1))?;

    let kernel = Kernel::new(Template::ClipNorm);
    for (gradient, elements) in gradients {
        for (start, length) in pieces(*elements, context.window_elements()) {
            let values = window(gradient.gpu()?, start, length);
            let bindings = [window(&factors, 0, 2).binding, values.binding];
            let parameters =
                ClipNormParameters { elements: length as u32, zero: ZERO, base: values.base };
            run(context, &kernel, &bindings, &parameters, groups(length.div_ceil(CLIPPED)))?;
        }
    }
    Ok(())
}

/// A finite number as mantissa · 2^exponent. The mantissa is 0 or from 1 to 2: a driver may treat a subnormal
/// number as 0.
fn normalised(number: f32) -> (f32, i32) {
    let wide = f64::from(number);
    if wide == 0.0 || !wide.is_finite() {
        return (number, 0);
    }
    let exponent = (wide.to_bits() >> 52) as i32 - 1023;
    ((wide / 2f64.powi(exponent)) as f32, exponent)
}

pub(super) fn value(context: &Context, gradients: &[(&Storage, usize)], limit: f32) -> Result<()> {
    let kernel = Kernel::new(Template::ClipValue);
    for (gradient, elements) in gradients {
        for (start, length) in pieces(*elements, context.window_elements()) {
            let values = window(gradient.gpu()?, start, length);
            let elements = length as u32;
            let parameters = ClipValueParameters { elements, zero: ZERO, base: values.base, limit };
            let dispatch = groups(length.div_ceil(CLIPPED));
            run(context, &kernel, &[values.binding], &parameters, dispatch)?;
        }
    }
    Ok(())
}
