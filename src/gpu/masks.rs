//! Masks that are repeated over axes, and rows in which they keep nothing.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{Window, groups, input, pieces, window};
use super::operations::{Loops, RowPass, WORKGROUP, ZERO, run};
use super::parameters::parameters;
use crate::backend::{AXES, EmptyRowsOf, Lines, Mask, Repeated, RepeatedOf, Rows, Storage};
use crate::error::{Error, Result};

parameters! {
    struct BroadcastParameters {
        elements: u32,
        zero: u32,
        first: u32,
        kinds: u32,
        scale: f32,
        input_base: u32,
        kept_base: u32,
        added_base: u32,
        output_base: u32,
        length0: u32,
        length1: u32,
        length2: u32,
        length3: u32,
        length4: u32,
        length5: u32,
        kept0: u32,
        kept1: u32,
        kept2: u32,
        kept3: u32,
        kept4: u32,
        kept5: u32,
        added0: u32,
        added1: u32,
        added2: u32,
        added3: u32,
        added4: u32,
        added5: u32,
    }
}

parameters! {
    struct FillEmptyRowsParameters {
        lines: u32,
        zero: u32,
        width: u32,
        inner: u32,
        first: u32,
        mask_elements: u32,
        mask_base: u32,
        output_base: u32,
        fill: f32,
    }
}

const HAS_KEPT: u32 = 1;
const HAS_ADDED: u32 = 2;
const IS_CAUSAL: u32 = 4;

/// The whole of a tensor that is repeated.
fn whole<'a>(context: &Context, of: &'a Repeated<'_>) -> Result<Window<'a>> {
    if of.elements <= context.window_elements() {
        return Ok(window(of.storage.gpu()?, 0, of.elements));
    }
    let bytes = |elements: usize| (elements * size_of::<f32>()) as u64;
    Err(Error::TooLarge {
        what: "a mask that is repeated".to_owned(),
        bytes: bytes(of.elements),
        limit: bytes(context.window_elements()),
    })
}

/// The parameters of a window of the output.
fn place(
    lengths: [usize; AXES],
    (first, elements): (usize, usize),
    [kept, added]: [(u32, [usize; AXES]); 2],
) -> Result<BroadcastParameters> {
    if u32::try_from(first + elements).is_err() {
        return Err(Error::TooLarge {
            what: "a tensor with a mask that is repeated".to_owned(),
            bytes: (first + elements) as u64 * 4,
            limit: u64::from(u32::MAX) * 4,
        });
    }
    let [length0, length1, length2, length3, length4, length5] = lengths.map(|it| it as u32);
    let (kept_base, kept) = kept;
    let (added_base, added) = added;
    let [kept0, kept1, kept2, kept3, kept4, kept5] = kept.map(|it| it as u32);
    let [added0, added1, added2, added3, added4, added5] = added.map(|it| it as u32);
    Ok(BroadcastParameters {
        elements: elements as u32,
        zero: ZERO,
        first: first as u32,
        kinds: 0,
        scale: 1.0,
        input_base: 0,
        kept_base,
        added_base,
        output_base: 0,
        length0,
        length1,
        length2,
        length3,
        length4,
        length5,
        kept0,
        kept1,
        kept2,
        kept3,
        kept4,
        kept5,
        added0,
        added1,
        added2,
        added3,
        added4,
        added5,
    })
}

/// A mask of 1 and 0 for each element.
pub(super) fn expand(
    context: &Arc<Context>,
    lengths: [usize; AXES],
    [kept, added]: [Option<Repeated<'_>>; 2],
    causal: bool,
    output: &Storage,
) -> Result<()> {
    let kernel = Kernel::new(Template::ExpandMask);
    let output = output.gpu()?;
    let unused = context.workspace(1)?;
    for (first, length) in pieces(lengths.iter().product(), context.window_elements()) {
        let of = |of: &'_ Option<Repeated<'_>>| of.map_or([0; AXES], |of| of.strides);
        let [kept_window, added_window] = [&kept, &added]
            .map(|it| it.as_ref().map_or(Ok(window(&unused, 0, 1)), |it| whole(context, it)));
        let (kept_window, added_window) = (kept_window?, added_window?);
        let sources = [(kept_window.base, of(&kept)), (added_window.base, of(&added))];
        let written = window(output, first, length);
        let flag = |is: bool, bit: u32| if is { bit } else { 0 };
        let parameters = BroadcastParameters {
            kinds: flag(kept.is_some(), HAS_KEPT)
                | flag(added.is_some(), HAS_ADDED)
                | flag(causal, IS_CAUSAL),
            output_base: written.base,
            ..place(lengths, (first, length), sources)?
        };
        let bindings = [kept_window.binding, added_window.binding, written.binding];
        run(context, &kernel, &bindings, &parameters, groups(length.div_ceil(WORKGROUP)))?;
    }
    Ok(())
}

/// `output = scale·input + added`
pub(super) fn add(
    context: &Arc<Context>,
    lengths: [usize; AXES],
    z: &Storage,
    scale: f32,
    added: &RepeatedOf<&Storage>,
    output: &Storage,
) -> Result<()> {
    let kernel = Kernel::new(Template::AddBroadcast);
    let output = output.gpu()?;
    let elements = lengths.iter().product();
    let z = input(context, z.gpu()?, &[output], elements)?;
    for (first, length) in pieces(elements, context.window_elements()) {
        let bias = whole(context, added)?;
        let (read, written) = (window(&z, first, length), window(output, first, length));
        let sources = [(0, [0; AXES]), (bias.base, added.strides)];
        let parameters = BroadcastParameters {
            scale,
            input_base: read.base,
            output_base: written.base,
            ..place(lengths, (first, length), sources)?
        };
        let bindings = [read.binding, bias.binding, written.binding];
        run(context, &kernel, &bindings, &parameters, groups(length.div_ceil(WORKGROUP)))?;
    }
    Ok(())
}

/// Fills the lines in which the mask keeps nothing.
pub(super) fn fill_empty(context: &Arc<Context>, rows: &EmptyRowsOf<&Storage>) -> Result<()> {
    let &EmptyRowsOf { mask: Mask { storage, elements }, lines, fill, output } = rows;
    let Lines { outer, width, inner } = lines;
    let kernel = Kernel::new(Template::FillEmptyRows);
    let (mask, output): (&Arc<Buffer>, &Arc<Buffer>) = (storage.gpu()?, output.gpu()?);
    let block = lines.block();
    let loops = Some(Loops { width: 1, passes: 1 });
    let rows = Rows { count: outer, width: block };
    for (first, count) in (RowPass { rows, output_width: block, loops }).windows(context)? {
        let (start, length) = (first * block, count * block);
        // A mask of the whole tensor is seen through the same window.
        let (mask, first, period) = match elements == lines.elements() {
            true => (window(mask, start, length), 0, length),
            false => (window(mask, 0, elements), start % elements, elements),
        };
        let written = window(output, start, length);
        let parameters = FillEmptyRowsParameters {
            lines: (count * inner) as u32,
            zero: ZERO,
            width: width as u32,
            inner: inner as u32,
            first: first as u32,
            mask_elements: period as u32,
            mask_base: mask.base,
            output_base: written.base,
            fill,
        };
        let bindings = [mask.binding, written.binding];
        let dispatched = groups((count * inner).div_ceil(WORKGROUP));
        run(context, &kernel, &bindings, &parameters, dispatched)?;
    }
    Ok(())
}
