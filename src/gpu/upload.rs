//! Buffers that the host writes and the GPU reads.

use std::sync::Arc;

use super::context::Context;
use crate::backend::{Pool, Purpose};
use crate::error::{Error, Result};

/// The pool of upload buffers, which stay mapped while they are unused.
pub(super) type Uploads = Pool<wgpu::Buffer>;

const UPLOAD_USAGES: wgpu::BufferUsages =
    wgpu::BufferUsages::MAP_WRITE.union(wgpu::BufferUsages::COPY_SRC);

/// Bytes for the GPU, in a buffer of their own. If a buffer is left from before, it is memory that the GPU and
/// the system already know. wgpu's own uploads each take new memory, which the system has to hand out page by
/// page.
pub(super) struct Upload {
    pool: Arc<Uploads>,
    class: u64,
    buffer: wgpu::Buffer,
}

impl Upload {
    pub(super) fn new(context: &Context, bytes: &[u8]) -> Result<Self> {
        let length = bytes.len() as u64;
        let (pool, class) = (Arc::clone(&context.uploads), context.class_of(length));
        let create = || context.create_buffer("wgrad upload", class, UPLOAD_USAGES);
        let buffer = pool.take(class, Purpose::Workspace, create)?;
        match buffer.get_mapped_range_mut(..length) {
            Ok(mut range) => range.copy_from_slice(bytes),
            Err(error) => {
                pool.lose(class, Purpose::Workspace);
                return Err(Error::Gpu { description: error.to_string() });
            }
        }
        buffer.unmap();
        Ok(Self { pool, class, buffer })
    }

    pub(super) const fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Gives the buffer up: the caller may submit the work that reads it at any time.
    pub(super) fn release(self) {
        self.pool.lose(self.class, Purpose::Workspace);
    }

    /// Returns the buffer to the pool once the GPU has read it. The work that reads it has been submitted.
    pub(super) fn reclaim(self) {
        let Self { pool, class, buffer } = self;
        buffer.clone().map_async(wgpu::MapMode::Write, .., move |result| {
            if result.is_err() {
                return pool.lose(class, Purpose::Workspace);
            }
            pool.give(class, Purpose::Workspace, buffer);
        });
    }
}
