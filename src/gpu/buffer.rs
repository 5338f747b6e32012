//! The memory of tensors on a GPU.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::context::Context;
use crate::backend::{Bounds, Contents, Purpose, Storage};
use crate::dtype::DType;
use crate::error::Result;

pub(super) const TENSOR_USAGES: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// A wgpu buffer that goes back to the pool when its tensor is dropped, unless the caller has access to it.
///
/// That is safe even if recorded work still uses the buffer: work that is recorded later runs later.
pub(crate) struct Buffer {
    raw: wgpu::Buffer,
    context: Arc<Context>,
    /// The size class in the pool and what the buffer counts as; `None` for a buffer of the caller's.
    pooled: Option<(u64, Purpose)>,
    /// Whether the last vec4 may be written whole.
    padded: bool,
    /// The bounds of the values that the host wrote; `None` if recorded work writes to the buffer.
    bounds: Mutex<Option<Bounds>>,
    /// The last piece of recorded work that writes to the buffer; 0 if none does.
    written_by: AtomicU64,
    /// Whether the caller has access to the buffer, and may write to it or destroy it.
    shared: AtomicBool,
}

impl Buffer {
    pub(super) fn pooled(
        context: &Arc<Context>,
        raw: wgpu::Buffer,
        class: u64,
        purpose: Purpose,
    ) -> Self {
        let context = Arc::clone(context);
        Self {
            raw,
            context,
            pooled: Some((class, purpose)),
            padded: true,
            bounds: Mutex::default(),
            written_by: AtomicU64::new(0),
            shared: AtomicBool::new(false),
        }
    }

    pub(super) fn adopted(context: &Arc<Context>, raw: wgpu::Buffer, elements: usize) -> Self {
        Self {
            raw,
            context: Arc::clone(context),
            pooled: None,
            padded: elements.is_multiple_of(4),
            bounds: Mutex::default(),
            written_by: AtomicU64::new(0),
            shared: AtomicBool::new(true),
        }
    }

    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// The bounds of the elements, if the host wrote them.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        let known = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|_| !self.is_shared())
    }

    /// Notes that this piece of work writes to the buffer, and the bounds that its elements will have; `None` if
    /// these are not known. To be called while the write is being recorded, so that writes and bounds have the
    /// same order.
    pub(super) fn set_written(&self, piece: u64, bounds: Option<Bounds>) {
        self.written_by.store(piece, Ordering::Relaxed);
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// The last piece of recorded work that writes to the buffer; 0 if none does.
    pub(super) fn written_by(&self) -> u64 {
        self.written_by.load(Ordering::Relaxed)
    }

    /// Whether the caller has access to the buffer, and may have destroyed it.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// Whether the buffer belongs to the caller.
    pub(crate) fn is_adopted(&self) -> bool {
        self.pooled.is_none()
    }

    pub(super) fn is_padded(&self) -> bool {
        self.padded
    }

    /// Whether both are the same wgpu buffer, for example one of the caller's.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.raw == other.raw
    }
}

impl Contents for Arc<Buffer> {
    fn bounds(&self, _dtype: DType, _elements: usize) -> Option<Bounds> {
        Buffer::bounds(self)
    }

    fn buffer(&self) -> Option<&wgpu::Buffer> {
        Some(&self.raw)
    }

    fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    fn is_adopted(&self) -> bool {
        Buffer::is_adopted(self)
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

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.pooled {
            // The caller may write to it at any time, or has destroyed it.
            Some((class, purpose)) if self.is_shared() => self.context.pool.lose(class, purpose),
            Some((class, purpose)) => self.context.pool.give(class, purpose, self.raw.clone()),
            None => {}
        }
    }
}
