//! Each primitive as dispatches of kernels, over windows where a tensor is larger than a binding.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::halves::{copy_odd, shares_last_word};
use super::kernel::{HELD, Kernel, Template};
use super::operand::{Window, groups, pieces, vector_input, vector_output, vector_window, window};
use super::recorder::Binding;
use super::variant::as_on_gpus;
use crate::backend::DeviceKind;
use crate::backend::{Rows, Storage};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Invocations in a workgroup of the kernels that count them in one dimension.
pub(super) const WORKGROUP: usize = 256;

/// The kernels' parameter `zero`, which the optimiser must not know: see shaders/math.wgsl.
pub(super) const ZERO: u32 = 0;

pub(super) fn run(
    context: &Context,
    kernel: &Kernel,
    bindings: &[Binding<'_>],
    parameters: &[u32],
    groups: [u32; 3],
) -> Result<()> {
    let pipeline = context.pipelines.get(context, kernel)?;
    let numbers = kernel.numbers.iter().map(|(_, number)| number.to_bits());
    let parameters: Vec<u32> = parameters.iter().copied().chain(numbers).collect();
    let parameters = bytemuck::cast_slice(&parameters);
    context.record(|recorder| recorder.dispatch(context, &pipeline, bindings, parameters, groups))
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
    let shared = types[1] == DType::F16 && shares_last_word(destination, elements);
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
        run(context, &kernel, &bindings, &[vectors as u32, ZERO], dispatch)?;
    }
    output.finish(context)?;
    whole.map_or(Ok(()), |whole| copy_odd(context, &whole, destination, elements))
}

/// The invocations that work on one row together, passing along it so many times.
pub(super) fn lanes(context: &Context, width: usize, passes: usize) -> usize {
    // On a processor reductions among invocations are dear; but loops are bounded there, and after a
    // single pass over a row that is cut from a tensor, one reduction is less than a thread without work.
    let alone = context.info.kind == DeviceKind::Software && !as_on_gpus();
    let most = if passes == 1 { 1024 } else { 4096 };
    let each = if alone { ((1 << 17) / passes.max(1)).clamp(8, most) } else { HELD };
    width.div_ceil(each).next_power_of_two().min(WORKGROUP)
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

/// The elements that an invocation of the sum kernel adds up, and a workgroup.
const SUM_ROUNDS: usize = 16;
const SUM_CHUNK: usize = SUM_ROUNDS * WORKGROUP;

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
        let parameters = [length as u32, ZERO, sums.base];
        run(context, &kernel, &[input.binding, sums.binding], &parameters, groups(count))?;
    }
    match &partial {
        Some(partial) => sum(context, partial, output, chunks),
        None => Ok(()),
    }
}
