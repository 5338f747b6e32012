//! Row-wise activations along any axis, as dispatches of kernels.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::halves::window_of;
use super::kernel::{HELD, Kernel, Template};
use super::operand::{Window, groups, input, pieces, window};
use super::operations::{Loops, RowPass, WORKGROUP, ZERO, lanes, run};
use super::parameters::parameters;
use super::recorder::Binding;
use crate::backend::{Lines, RowCall, RowProduct, Rows};
use crate::dtype::DType;
use crate::error::{Error, Result};
use wgrad_formula::formulas::{Rowwise, RowwiseVisitor};

parameters! {
    struct RowParameters {
        rows: u32,
        width: u32,
        inner: u32,
        zero: u32,
        input_base: u32,
        vector_base: u32,
        output_base: u32,
        first_row: u32,
        mask_base: u32,
        mask_first: u32,
        mask_period: u32,
        prescale: f32,
        inverse: f32,
        inverse_lost: f32,
        slope: f32,
    }
}

/// The number of neighbouring lines that neighbouring invocations read, if there are as many, so that they read whole
/// cache lines; and the number of elements of a line for which it gets one more invocation all the same. Not
/// measured: other numbers.
const SIDE_BY_SIDE: usize = 32;
const LONG_SHARE: usize = 512;

/// How the invocations of a workgroup are spread over the lines.
#[derive(Clone, Copy)]
struct Spread {
    /// The number of invocations that work on one line together.
    lanes: usize,
    /// The distance between two of them in the workgroup.
    step: usize,
}

impl Spread {
    fn of(context: &Context, lines: Lines, passes: usize) -> Self {
        let lanes = lanes(context, lines.width, passes);
        if lines.inner == 1 {
            return Self { lanes, step: 1 };
        }
        let side_by_side = lines.inner.next_power_of_two().min(SIDE_BY_SIDE);
        let long = (lines.width / LONG_SHARE).next_power_of_two().min(lanes);
        let lanes = lanes.min(WORKGROUP / side_by_side).max(long).min(WORKGROUP);
        Self { lanes, step: WORKGROUP / lanes }
    }

    fn groups(self, lines: usize) -> [u32; 3] {
        groups(lines.div_ceil(WORKGROUP / self.lanes))
    }
}

/// A kernel of a row-wise activation, which works on windows of whole blocks one after the other.
struct Pass<'a> {
    context: &'a Context,
    call: RowCall<'a>,
    dtype: DType,
    spread: Spread,
    kernel: Kernel,
    mask: Option<Arc<Buffer>>,
}

/// A window of blocks, with its first line and its number of lines in the output.
struct Place {
    start: usize,
    elements: usize,
    first_line: usize,
    rows: usize,
}

impl<'a> Pass<'a> {
    fn new(
        context: &'a Arc<Context>,
        template: Template,
        call: RowCall<'a>,
        dtype: DType,
        spread: Spread,
        output: &Arc<Buffer>,
    ) -> Result<Self> {
        let flag = |condition: bool| f64::from(u8::from(condition));
        let kernel = Kernel::new(template)
            .activation(call.function)
            .types([dtype; 2])
            .constant("LANES", spread.lanes as f64)
            .constant("LANE_STEP", spread.step as f64)
            .constant("MASKED", flag(call.mask.is_some()))
            .constant("SCALED", flag(!call.temperature.is_one()));
        let mask = match call.mask {
            Some(mask) => Some(input(context, mask.storage.gpu()?, &[output], mask.elements)?),
            None => None,
        };
        Ok(Self { context, call, dtype, spread, kernel, mask })
    }

    /// The windows of whole blocks, as (first block, number of blocks).
    fn blocks(&self, passes: usize) -> Result<impl Iterator<Item = (usize, usize)> + use<>> {
        let Lines { outer, width, .. } = self.call.lines;
        let block = self.call.lines.block();
        let rows = Rows { count: outer, width: block };
        let loops = Some(Loops { width, passes });
        RowPass { rows, output_width: block, loops }.windows(self.context)
    }

    /// The mask for a window of the tensor: the mask's window, the index in it that belongs to the first element, and
    /// the period.
    fn mask(&self, place: &Place) -> Result<Option<(Window<'_>, usize, usize)>> {
        let (Some(mask), Some(described)) = (&self.mask, self.call.mask) else { return Ok(None) };
        let period = described.elements;
        if period == self.call.lines.elements() {
            let window = window(mask, place.start, place.elements);
            return Ok(Some((window, 0, place.elements)));
        }
        if period > self.context.window_elements() {
            let bytes = |elements: usize| (elements * size_of::<f32>()) as u64;
            return Err(Error::TooLarge {
                what: "a mask smaller than its tensor".to_owned(),
                bytes: bytes(period),
                limit: bytes(self.context.window_elements()),
            });
        }
        Ok(Some((window(mask, 0, period), place.start % period, period)))
    }

    /// Runs the kernel on one window of its inputs and its output.
    fn run(&self, place: &Place, inputs: &[&Arc<Buffer>], output: Window<'_>) -> Result<()> {
        let Lines { width, inner, .. } = self.call.lines;
        let temperature = self.call.temperature;
        let place_in = |buffer| window_of(buffer, self.dtype, place.start, place.elements);
        let base = |index: usize| inputs.get(index).map_or(0, |buffer| place_in(buffer).base);
        // If there is no mask, the binding is not read.
        let unmasked = || (window(inputs[0], 0, 1), 0, 1);
        let (mask, mask_first, mask_period) = self.mask(place)?.unwrap_or_else(unmasked);
        let parameters = RowParameters {
            rows: place.rows as u32,
            width: width as u32,
            inner: inner as u32,
            zero: ZERO,
            input_base: base(0),
            vector_base: base(1),
            output_base: output.base,
            first_row: place.first_line as u32,
            mask_base: mask.base,
            mask_first: mask_first as u32,
            mask_period: mask_period as u32,
            prescale: temperature.prescale,
            inverse: temperature.inverse,
            inverse_lost: temperature.inverse_lost,
            slope: temperature.slope,
        };
        let mut bindings: Vec<Binding<'_>> = vec![mask.binding];
        bindings.extend(inputs.iter().map(|buffer| place_in(buffer).binding));
        bindings.push(output.binding);
        run(self.context, &self.kernel, &bindings, &parameters, self.spread.groups(place.rows))
    }

    /// Runs the kernel on all blocks, for an output that has the shape of the input.
    fn run_all(&self, passes: usize, inputs: &[&Arc<Buffer>], output: &Arc<Buffer>) -> Result<()> {
        let block = self.call.lines.block();
        for (first, count) in self.blocks(passes)? {
            let (start, elements) = (first * block, count * block);
            let rows = count * self.call.lines.inner;
            let place = Place { start, elements, first_line: 0, rows };
            self.run(&place, inputs, window_of(output, self.dtype, start, elements))?;
        }
        Ok(())
    }
}

/// The number of loops that the forward kernel makes over a row.
struct Passes;

impl RowwiseVisitor<f32> for Passes {
    type Output = usize;

    fn visit<F: Rowwise<f32>>(self, _formula: F) -> usize {
        // ROUNDS in shaders/kernels/row_statistics.wgsl.
        if F::PROJECTS { 2 + 64 } else { 3 }
    }
}

/// Whether rows can be read as whole vec4s: every row and every window then begins with one.
pub(super) fn in_vectors(lines: Lines) -> bool {
    lines.inner == 1 && lines.width.is_multiple_of(4)
}

pub(super) fn forward(
    context: &Arc<Context>,
    call: RowCall<'_>,
    dtype: DType,
    z: &Arc<Buffer>,
    y: &Arc<Buffer>,
) -> Result<()> {
    let z = input(context, z, &[y], dtype.words(call.lines.elements()))?;
    let passes = call.function.visit(Passes);
    let spread = Spread::of(context, call.lines, passes);
    let held = call.lines.width <= HELD * spread.lanes;
    let template = Template::RowForward { vectors: in_vectors(call.lines), held };
    Pass::new(context, template, call, dtype, spread, y)?.run_all(passes, &[&z], y)
}

pub(super) fn product(
    context: &Arc<Context>,
    product: RowProduct,
    call: RowCall<'_>,
    dtype: DType,
    [y, vector]: [&Arc<Buffer>; 2],
    output: &Arc<Buffer>,
) -> Result<()> {
    let words = dtype.words(call.lines.elements());
    let y = input(context, y, &[output], words)?;
    let vector = input(context, vector, &[output], words)?;
    let spread = Spread::of(context, call.lines, 3);
    let template = Template::RowProduct { product, vectors: in_vectors(call.lines) };
    let pass = Pass::new(context, template, call, dtype, spread, output)?;
    pass.run_all(3, &[&y, &vector], output)
}

pub(super) fn jacobian(
    context: &Arc<Context>,
    call: RowCall<'_>,
    y: &Arc<Buffer>,
    output: &Arc<Buffer>,
) -> Result<()> {
    let Lines { width, inner, .. } = call.lines;
    let block = call.lines.block();
    let y = input(context, y, &[output], call.lines.elements())?;
    // The rows of the output are contiguous.
    let spread = Spread { lanes: lanes(context, width, 2), step: 1 };
    let pass = Pass::new(context, Template::RowJacobian, call, DType::F32, spread, output)?;
    for (first, count) in pass.blocks(2)? {
        let square = width.saturating_mul(width);
        let step = context.window_rows("a Jacobian", square)?;
        for (first_line, lines) in pieces(count * inner, step) {
            let (start, elements) = (first * block, count * block);
            let place = Place { start, elements, first_line, rows: lines * width };
            let output_start = (first * inner + first_line) * square;
            pass.run(&place, &[&y], window(output, output_start, lines * square))?;
        }
    }
    Ok(())
}
