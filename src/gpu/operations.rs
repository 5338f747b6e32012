//! Each primitive as dispatches of kernels, over windows if a tensor is larger than a binding.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::halves::{copy_odd, shares_last_word};
use super::kernel::{HELD, Kernel, Template};
use super::operand::{
    self, Window, groups, input, pieces, vector_input, vector_output, vector_window, window,
};
use super::parameters::{Parameters, parameters};
use super::recorder::{Binding, PARAMETERS};
use crate::backend::DeviceKind;
use crate::backend::{Rows, Storage};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// The number of invocations in a workgroup of the kernels that count them in one dimension: the most that every
/// device supports. Not measured: fewer.
pub(super) const WORKGROUP: usize = 256;

/// The kernels' parameter `zero`, whose value the optimiser must not know: see shaders/math.wgsl.
pub(super) const ZERO: u32 = 0;

/// Records a kernel with the parameters that its row of the table names, and the numbers of its functions.
pub(super) fn run<P: Parameters>(
    context: &Context,
    kernel: &Kernel,
    bindings: &[Binding<'_>],
    parameters: &P,
    groups: [u32; 3],
) -> Result<()> {
    let pipeline = context.pipelines.get(context, kernel)?;
    debug_assert_eq!(pipeline.parameters(), P::LAYOUT, "{}", kernel.label());
    let mut bytes = Vec::with_capacity(PARAMETERS);
    bytes.extend_from_slice(bytemuck::bytes_of(parameters));
    for (_, number) in &kernel.numbers {
        bytes.extend_from_slice(bytemuck::bytes_of(number));
    }
    context.record(|recorder| recorder.dispatch(context, &pipeline, bindings, &bytes, groups))
}

parameters! {
    struct PointwiseParameters { vectors: u32, zero: u32, }
}

/// `output = kernel(inputs)`, element by element, for inputs of one type.
pub(super) fn pointwise<const N: usize>(
    context: &Arc<Context>,
    kernel: Kernel,
    inputs: [&Storage; N],
    output: &Storage,
    elements: usize,
) -> Result<()> {
    let types = [inputs[0].dtype(), output.dtype()];
    let kernel = kernel.types(types);
    let [input_words, output_words] = types.map(|dtype| dtype.words(elements));
    let destination = output.gpu_words()?;
    let shared = types[1].is_half() && shares_last_word(destination, elements);
    let whole = shared.then(|| context.workspace(output_words)).transpose()?;
    let output = whole.as_ref().unwrap_or(destination);
    let output = vector_output(context, output, output_words, false)?;
    let held =
        inputs.map(|input| vector_input(context, input.gpu_words()?, &[&output], input_words));
    let inputs = held.into_iter().collect::<Result<Vec<_>>>()?;
    for (start, length) in pieces(elements, context.window_elements()) {
        let window =
            |buffer, dtype: DType| vector_window(buffer, dtype.words(start), dtype.words(length));
        let mut bindings: Vec<Binding<'_>> =
            inputs.iter().map(|buffer| window(buffer, types[0])).collect();
        bindings.push(window(&output, types[1]));
        let vectors = length.div_ceil(4);
        let dispatch = groups(vectors.div_ceil(WORKGROUP));
        let parameters = PointwiseParameters { vectors: vectors as u32, zero: ZERO };
        run(context, &kernel, &bindings, &parameters, dispatch)?;
    }
    output.finish(context)?;
    whole.map_or(Ok(()), |whole| copy_odd(context, &whole, destination, elements))
}

/// Keeps those f32 numbers which round to what a storage of halves holds, and widens the others.
pub(super) fn refresh(
    context: &Arc<Context>,
    rounded: &Storage,
    exact: &Storage,
    elements: usize,
) -> Result<()> {
    let dtype = rounded.dtype();
    let kernel = Kernel::new(Template::Refresh).types([dtype; 2]);
    let exact = exact.gpu()?;
    let rounded = vector_input(context, rounded.gpu_words()?, &[exact], dtype.words(elements))?;
    for (start, length) in pieces(elements, context.window_elements()) {
        let bindings = [
            vector_window(&rounded, dtype.words(start), dtype.words(length)),
            vector_window(exact, start, length),
        ];
        let vectors = length.div_ceil(4);
        let parameters = PointwiseParameters { vectors: vectors as u32, zero: ZERO };
        run(context, &kernel, &bindings, &parameters, groups(vectors.div_ceil(WORKGROUP)))?;
    }
    Ok(())
}

/// Copies all elements to a storage of the same type. The half that shares the last word of an odd number of f16 stays as
/// it is.
pub(super) fn copy(context: &Arc<Context>, from: &Storage, to: &Storage) -> Result<()> {
    let (dtype, elements) = (from.dtype(), from.elements());
    let (from, to) = (from.gpu_words()?, to.gpu_words()?);
    if elements == 0 {
        return Ok(());
    }
    // A buffer cannot be copied to itself.
    let from = input(context, from, &[to], dtype.words(elements))?;
    if dtype.is_half() && shares_last_word(to, elements) {
        return copy_odd(context, &from, to, elements);
    }
    operand::copy(context, &from, to, (dtype.words(elements) * size_of::<u32>()) as u64)
}

/// The length of the rows that an invocation on a processor handles alone: at most `ALONE`, or `ALONE_ONCE` if it
/// passes over the row once; less if it makes so many passes that it would read more than `ALONE_WORK` elements.
/// Reductions among invocations are slow on a processor; but loops are bounded there, and one reduction after a
/// single pass over a row that is cut from a tensor costs less than a thread without work. Measured on llvmpipe:
/// barriers were nine tenths of the time of row-wise kernels; mse of 2^20 elements, in rows of 4096, takes 2.8 ms
/// instead of 11.6 with vec4s and shared rows. Not measured: other values.
const ALONE: usize = 4096;
const ALONE_ONCE: usize = 1024;
const ALONE_WORK: usize = 1 << 17;
const ALONE_LEAST: usize = 8;

/// The number of invocations that work on one row together, each of which passes over it `passes` times.
pub(super) fn lanes(context: &Context, width: usize, passes: usize) -> usize {
    let most = if passes == 1 { ALONE_ONCE } else { ALONE };
    let each = match context.policy.for_processors {
        true => (ALONE_WORK / passes.max(1)).clamp(ALONE_LEAST, most),
        false => HELD,
    };
    width.div_ceil(each).next_power_of_two().min(WORKGROUP)
}

/// A kernel that works on whole rows, which it sees in windows one after the other.
pub(super) struct RowPass {
    pub(super) rows: Rows,
    /// The number of elements that it writes for a row.
    pub(super) output_width: usize,
    pub(super) loops: Option<Loops>,
}

/// The width of the rows that invocations loop over, and how often they do.
pub(super) struct Loops {
    pub(super) width: usize,
    pub(super) passes: usize,
}

impl Loops {
    /// Fails if a row is too long: lavapipe silently ends the loops of a kernel after 65 535 iterations.
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
    /// The windows as (first row, number of rows): none if there is nothing to write.
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

pub(super) fn row_groups(rows: usize, lanes: usize) -> [u32; 3] {
    groups(rows.div_ceil(WORKGROUP / lanes))
}

pub(super) fn rows_window(
    buffer: &Arc<Buffer>,
    first: usize,
    count: usize,
    width: usize,
) -> Window<'_> {
    window(buffer, first * width, count * width)
}

/// The number of elements that an invocation and a workgroup of the sum kernel add up. Not measured: other numbers.
const SUM_ROUNDS: usize = 16;
const SUM_CHUNK: usize = SUM_ROUNDS * WORKGROUP;

parameters! {
    struct SumParameters { elements: u32, zero: u32, output_base: u32, }
}

pub(super) fn sum(
    context: &Arc<Context>,
    input: &Arc<Buffer>,
    output: &Arc<Buffer>,
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
        let parameters =
            SumParameters { elements: length as u32, zero: ZERO, output_base: sums.base };
        run(context, &kernel, &[input.binding, sums.binding], &parameters, groups(count))?;
    }
    match &partial {
        Some(partial) => sum(context, partial, output, chunks),
        None => Ok(()),
    }
}
