//! The memory of tensors on a GPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::context::Context;
use crate::pool::Purpose;

pub(super) const TENSOR_USAGES: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// A wgpu buffer that goes back to the pool when its tensor is dropped.
///
/// That is safe while recorded work still uses it: what is recorded later runs later.
pub(crate) struct Buffer {
    raw: wgpu::Buffer,
    context: Arc<Context>,
    /// The size class in the pool and what it counts as; nothing for a buffer of the caller's.
    pooled: Option<(u64, Purpose)>,
    /// Whether the last vec4 may be written whole.
    padded: bool,
    /// The batch of recorded work that used the buffer last.
    last_batch: AtomicU64,
}

impl Buffer {
    /// `last_batch` is the open one where the buffer comes out of the pool: it may be in use.
    pub(super) fn pooled(
        context: &Arc<Context>,
        raw: wgpu::Buffer,
        class: u64,
        purpose: Purpose,
        last_batch: u64,
    ) -> Self {
        let context = Arc::clone(context);
        let last_batch = AtomicU64::new(last_batch);
        Self { raw, context, pooled: Some((class, purpose)), padded: true, last_batch }
    }

    pub(super) fn adopted(context: &Arc<Context>, raw: wgpu::Buffer, elements: usize) -> Self {
        let padded = elements.is_multiple_of(4);
        let context = Arc::clone(context);
        Self { raw, context, pooled: None, padded, last_batch: AtomicU64::new(u64::MAX) }
    }

    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// Whether the buffer is the caller's.
    pub(crate) fn is_adopted(&self) -> bool {
        self.pooled.is_none()
    }

    pub(super) fn is_padded(&self) -> bool {
        self.padded
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.raw == other.raw
    }

    pub(super) fn mark_used(&self, batch: u64) {
        if !self.is_adopted() {
            self.last_batch.store(batch, Ordering::Relaxed);
        }
    }

    /// Whether the open batch may use the buffer. Always for a buffer of the caller's.
    pub(super) fn is_used_in(&self, batch: u64) -> bool {
        self.is_adopted() || self.last_batch.load(Ordering::Relaxed) == batch
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some((class, purpose)) = self.pooled {
            self.context.pool.give(class, purpose, self.raw.clone());
        }
    }
}
