//! The memory of tensors on a GPU.

use std::any::Any;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::context::Context;
use super::recorder::ALIGNMENT;
use crate::backend::{Bounds, Contents, Purpose, Storage, Use};
use crate::dtype::DType;
use crate::error::Result;

pub(super) const TENSOR_USAGES: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// The bytes of a word.
const WORD: u64 = size_of::<u32>() as u64;

/// A wgpu buffer that goes back to the pool when its last tensor is dropped, unless the caller has access to it.
///
/// That is safe even if recorded work still uses the buffer: work that is recorded later runs later.
struct Memory {
    raw: wgpu::Buffer,
    context: Arc<Context>,
    /// The size class in the pool and what the buffer counts as; `None` for a buffer of the caller's.
    pooled: Option<(u64, Purpose)>,
    /// The bounds of the values that the host wrote; `None` if recorded work writes to the buffer.
    bounds: Mutex<Option<Bounds>>,
    /// The last piece of recorded work that writes to the buffer; 0 if none does.
    written_by: AtomicU64,
    /// Whether the caller has access to the buffer, and may write to it or destroy it.
    shared: AtomicBool,
}

/// A wgpu buffer, or a part of one.
pub(crate) struct Buffer {
    memory: Arc<Memory>,
    /// The words that this is of the wgpu buffer.
    words: Range<usize>,
    /// Whether this is a part of its memory.
    part: bool,
}

impl Buffer {
    pub(super) fn pooled(
        context: &Arc<Context>,
        raw: wgpu::Buffer,
        class: u64,
        purpose: Purpose,
    ) -> Self {
        let words = 0..(raw.size() / WORD) as usize;
        let pooled = Some((class, purpose));
        Self { memory: Arc::new(Memory::new(context, raw, pooled)), words, part: false }
    }

    /// These words of a buffer of the caller's.
    pub(super) fn adopted(context: &Arc<Context>, raw: wgpu::Buffer, words: Range<usize>) -> Self {
        Self { memory: Arc::new(Memory::new(context, raw, None)), words, part: false }
    }

    /// These words of the buffer.
    fn part(&self, words: Range<usize>) -> Self {
        let first = self.words.start;
        let words = first + words.start..first + words.end;
        Self { memory: Arc::clone(&self.memory), words, part: true }
    }

    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.memory.raw
    }

    /// The byte of the wgpu buffer at which this begins.
    pub(super) fn offset(&self) -> u64 {
        self.words.start as u64 * WORD
    }

    /// Whether a kernel can see it: bindings begin at multiples of the alignment.
    pub(super) fn is_aligned(&self) -> bool {
        self.offset().is_multiple_of(ALIGNMENT as u64)
    }

    /// The bounds of the elements, if the host wrote them. Those of a part are not known.
    fn bounds(&self) -> Option<Bounds> {
        let known = *self.memory.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|_| !self.part && !self.is_shared())
    }

    /// Notes that this piece of work writes to the buffer, and the bounds that its elements will have; `None` if
    /// these are not known. To be called while the write is being recorded, so that writes and bounds have the
    /// same order.
    pub(super) fn set_written(&self, piece: u64, bounds: Option<Bounds>) {
        self.memory.written_by.store(piece, Ordering::Relaxed);
        let bounds = bounds.filter(|_| !self.part);
        *self.memory.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// The last piece of recorded work that writes to the buffer or, if this is a part, anywhere in its memory; 0 if
    /// none does.
    pub(super) fn written_by(&self) -> u64 {
        self.memory.written_by.load(Ordering::Relaxed)
    }

    /// The piece of recorded work without which a piece that writes to all of this leaves something unwritten; 0 if there
    /// is none: the rest of the memory of a part is as the last write left it.
    pub(super) fn written_beside(&self) -> u64 {
        if self.part { self.written_by() } else { 0 }
    }

    /// Whether the caller has access to the buffer, and may have destroyed it.
    pub(super) fn is_shared(&self) -> bool {
        self.memory.shared.load(Ordering::Relaxed)
    }

    /// Whether something else may lie behind the elements.
    pub(super) fn is_bounded(&self) -> bool {
        self.part || self.memory.pooled.is_none()
    }

    /// Whether the last vec4 may be written whole.
    pub(super) fn is_padded(&self) -> bool {
        !self.is_bounded() || self.words.len().is_multiple_of(4)
    }

    /// Whether both are of the same wgpu buffer, for example one of the caller's.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory) || self.raw() == other.raw()
    }
}

impl Memory {
    fn new(context: &Arc<Context>, raw: wgpu::Buffer, pooled: Option<(u64, Purpose)>) -> Self {
        Self {
            raw,
            context: Arc::clone(context),
            pooled,
            bounds: Mutex::default(),
            written_by: AtomicU64::new(0),
            shared: AtomicBool::new(pooled.is_none()),
        }
    }
}

impl Contents for Arc<Buffer> {
    fn bounds(&self, _dtype: DType, _elements: usize) -> Option<Bounds> {
        Buffer::bounds(self)
    }

    fn buffer(&self) -> Option<&wgpu::Buffer> {
        Some(self.raw())
    }

    fn share(&self) {
        self.memory.shared.store(true, Ordering::Relaxed);
    }

    fn is_adopted(&self) -> bool {
        self.memory.pooled.is_none()
    }

    fn memory(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::<Memory>::clone(&self.memory)
    }

    fn span(&self) -> Range<usize> {
        self.words.clone()
    }

    fn part(&self, words: Range<usize>) -> Arc<dyn Contents> {
        Arc::new(Arc::new(Buffer::part(self, words)))
    }

    fn is_direct(&self, _used: Use) -> bool {
        self.is_aligned()
    }
}

/// A storage that belongs to this backend.
pub(super) trait OnGpu {
    /// The buffer of a storage of f32.
    fn gpu(&self) -> Result<&Arc<Buffer>>;
    /// The buffer, whatever the type of the elements.
    fn gpu_words(&self) -> Result<&Arc<Buffer>>;
}

impl OnGpu for Storage {
    fn gpu(&self) -> Result<&Arc<Buffer>> {
        self.contents()
    }

    fn gpu_words(&self) -> Result<&Arc<Buffer>> {
        self.words()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self.pooled {
            // The caller may write to it at any time, or has destroyed it.
            Some((class, purpose)) if *self.shared.get_mut() => {
                self.context.pool.lose(class, purpose);
            }
            Some((class, purpose)) => self.context.pool.give(class, purpose, self.raw.clone()),
            None => {}
        }
    }
}
