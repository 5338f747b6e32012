//! The buffers that are bound to a kernel, and the windows through which it sees them.

use std::ops::Deref;
use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::recorder::{ALIGNMENT, Binding};
use crate::error::{Error, Result};

/// A kernel's output: the destination itself, or a buffer that is copied to it afterwards.
pub(super) struct Output<'a> {
    destination: &'a Arc<Buffer>,
    scratch: Option<Arc<Buffer>>,
    bytes: u64,
}

impl Deref for Output<'_> {
    type Target = Arc<Buffer>;

    fn deref(&self) -> &Arc<Buffer> {
        self.scratch.as_ref().unwrap_or(self.destination)
    }
}

impl Output<'_> {
    /// Records the copy to the destination if one is needed.
    pub(super) fn finish(self, context: &Context) -> Result<()> {
        let Some(scratch) = &self.scratch else { return Ok(()) };
        copy(context, scratch, self.destination, self.bytes)
    }
}

fn bytes_of(elements: usize) -> u64 {
    elements as u64 * size_of::<f32>() as u64
}

/// Records a copy of the first bytes.
pub(super) fn copy(
    context: &Context,
    from: &Arc<Buffer>,
    to: &Arc<Buffer>,
    bytes: u64,
) -> Result<()> {
    context.check_shared(from)?;
    context.check_shared(to)?;
    context.record(|recorder| recorder.copy(from, to, bytes))
}

/// An input as it is now: a copy of it if the kernel writes to the same buffer.
pub(super) fn input(
    context: &Arc<Context>,
    buffer: &Arc<Buffer>,
    outputs: &[&Arc<Buffer>],
    elements: usize,
) -> Result<Arc<Buffer>> {
    if !outputs.iter().any(|output| output.is(buffer)) {
        return Ok(Arc::clone(buffer));
    }
    duplicate(context, buffer, elements)
}

/// An input of a kernel that reads whole vec4s.
pub(super) fn vector_input(
    context: &Arc<Context>,
    buffer: &Arc<Buffer>,
    outputs: &[&Arc<Buffer>],
    elements: usize,
) -> Result<Arc<Buffer>> {
    if !buffer.is_padded() {
        return duplicate(context, buffer, elements);
    }
    input(context, buffer, outputs, elements)
}

/// An output of a kernel that writes whole vec4s, although a caller's buffer may go on behind the tensor. With
/// `keep`, the kernel also reads it.
pub(super) fn vector_output<'a>(
    context: &Arc<Context>,
    destination: &'a Arc<Buffer>,
    elements: usize,
    keep: bool,
) -> Result<Output<'a>> {
    let scratch = match (destination.is_padded(), keep) {
        (true, _) => None,
        (false, true) => Some(duplicate(context, destination, elements)?),
        (false, false) => Some(context.workspace(elements)?),
    };
    Ok(Output { destination, scratch, bytes: bytes_of(elements) })
}

/// A copy in the workspace.
pub(super) fn duplicate(
    context: &Arc<Context>,
    buffer: &Arc<Buffer>,
    elements: usize,
) -> Result<Arc<Buffer>> {
    let duplicate = context.workspace(elements)?;
    copy(context, buffer, &duplicate, bytes_of(elements))?;
    Ok(duplicate)
}

/// A part of a buffer that may begin anywhere: its binding begins at the last multiple of the alignment before it.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) binding: Binding<'a>,
    /// The index of the part's first element in the binding.
    pub(super) base: u32,
}

/// The window of the elements from `start` on.
pub(super) fn window(buffer: &Arc<Buffer>, start: usize, elements: usize) -> Window<'_> {
    let aligned = start - start % (ALIGNMENT / size_of::<f32>());
    let bytes = bytes_of(start - aligned + elements).max(size_of::<f32>() as u64);
    let binding = Binding { buffer, offset: bytes_of(aligned), bytes };
    Window { binding, base: (start - aligned) as u32 }
}

/// The binding of the elements from `start` on, in whole vec4s; `start` is a multiple of the alignment.
pub(super) fn vector_window(buffer: &Arc<Buffer>, start: usize, elements: usize) -> Binding<'_> {
    let bytes = bytes_of(elements.next_multiple_of(4));
    Binding { buffer, offset: bytes_of(start), bytes }
}

impl Context {
    /// The number of elements that a kernel can see at once, wherever they begin.
    pub(super) fn window_elements(&self) -> usize {
        // Kernels count in u32, and a window may begin up to an alignment early.
        let bytes = self.info.max_binding_bytes.min(1 << 31) - ALIGNMENT as u64;
        (bytes / size_of::<f32>() as u64) as usize & !(ALIGNMENT - 1)
    }

    /// The number of rows of this width that a kernel can see at once.
    pub(super) fn window_rows(&self, what: &str, width: usize) -> Result<usize> {
        let rows = self.window_elements() / width.max(1);
        if rows > 0 {
            return Ok(rows);
        }
        Err(Error::TooLarge {
            what: format!("a row of {what}"),
            bytes: bytes_of(width),
            limit: bytes_of(self.window_elements()),
        })
    }
}

/// Cuts 0..total into pieces of at most `step`, as (start, length).
pub(super) fn pieces(total: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..total).step_by(step.max(1)).map(move |start| (start, step.min(total - start)))
}

/// The dimensions of a dispatch of this many workgroups: two of them, as each ends at 65 535.
pub(super) fn groups(count: usize) -> [u32; 3] {
    let y = count.div_ceil(65_535).max(1);
    [count.div_ceil(y) as u32, y as u32, 1]
}
