//! What the parts of the GPU backend share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buffer::{Buffer, TENSOR_USAGES};
use super::faults::{Faults, guarded};
use super::kernel::Kernels;
use super::recorder::Recorder;
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::pool::{Pool, class_of};

pub(super) struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: DeviceInfo,
    pub(super) faults: Arc<Faults>,
    pub(super) kernels: Kernels,
    /// The buffers of tensors.
    pub(super) pool: Pool<wgpu::Buffer>,
    /// The buffers that read-backs are mapped from.
    pub(super) staging: Pool<wgpu::Buffer>,
    recorder: Mutex<Recorder>,
}

impl Context {
    pub(super) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: DeviceInfo,
        faults: Arc<Faults>,
    ) -> Self {
        let recorder = Mutex::new(Recorder::new(&device));
        Self {
            device,
            queue,
            info,
            faults,
            kernels: Kernels::default(),
            pool: Pool::new(),
            staging: Pool::new(),
            recorder,
        }
    }

    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the function with the open batch, unless the device has something to report.
    pub(super) fn record<T>(&self, run: impl FnOnce(&mut Recorder) -> Result<T>) -> Result<T> {
        self.faults.check()?;
        run(&mut self.recorder()).map_err(|error| self.explain(error))
    }

    /// The error itself, or the loss of the device that it follows from.
    pub(super) fn explain(&self, error: Error) -> Error {
        // wgpu tells of a loss only when it is polled.
        let _ = self.poll(wgpu::PollType::Poll);
        self.faults.check().err().unwrap_or(error)
    }

    pub(super) fn allocate(self: &Arc<Self>, elements: usize) -> Result<Buffer> {
        self.faults.check()?;
        let bytes = elements as u64 * size_of::<f32>() as u64;
        let limit = self.info.max_tensor_bytes;
        if bytes > limit {
            return Err(Error::TooLarge { what: "a tensor".to_owned(), bytes, limit });
        }
        let class = class_of(bytes).min(limit & !255).max(bytes.next_multiple_of(16).min(limit));
        let taken = self
            .pool
            .take(class, || self.create_buffer("wgrad tensor", class, TENSOR_USAGES))
            .map_err(|error| self.explain(error))?;
        let last_batch = if taken.reused { self.recorder().batch() } else { u64::MAX };
        Ok(Buffer::pooled(self, taken.buffer, class, last_batch))
    }

    pub(super) fn create_buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        guarded(&self.device, size, || self.device.create_buffer(&descriptor))
    }

    /// Blocks until a submission is done; the last one where none is named.
    pub(super) fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index, timeout: None })?;
        self.faults.check()
    }

    fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        // wgpu panics where the device is lost while it waits; the caller has to read an error.
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(poll))) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let description = error.to_string();
                Err(self.faults.check().err().unwrap_or(Error::Gpu { description }))
            }
            Err(_) => {
                self.faults.lose("the driver stopped while wgrad waited for it");
                self.faults.check()
            }
        }
    }
}
