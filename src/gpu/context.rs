//! What the parts of the GPU backend share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::buffer::{Buffer, TENSOR_USAGES};
use super::conversions::Conversions;
use super::disk_cache::DiskCache;
use super::faults::{Faults, guarded};
use super::pipeline::{Pipelines, layout_entry};
use super::recorder::Recorder;
use super::subgroups::{Subgroups, are_avoided};
use super::upload::Uploads;
use super::variant::as_on_gpus;
use crate::device::{DeviceInfo, DeviceKind};
use crate::error::{Error, Result};
use crate::pool::{Pool, Purpose, class_of};

/// What wgpu answers to a poll, or that it panicked.
type Asked = std::thread::Result<std::result::Result<wgpu::PollStatus, wgpu::PollError>>;

pub(super) struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: DeviceInfo,
    pub(super) faults: Arc<Faults>,
    /// Whether the device was opened with cooperative matrices of 16 x 16 halves.
    cooperative_matrices: bool,
    pub(super) pipelines: Pipelines,
    /// The buffers of tensors.
    pub(super) pool: Pool<wgpu::Buffer>,
    /// The buffers that read-backs are mapped from.
    pub(super) staging: Pool<wgpu::Buffer>,
    pub(super) uploads: Arc<Uploads>,
    /// Found out when the first kernel with halves is compiled.
    conversions: OnceLock<Conversions>,
    /// Found out when the first kernel is compiled that works on rows.
    subgroups: OnceLock<Option<Subgroups>>,
    recorder: Mutex<Recorder>,
}

impl Context {
    pub(super) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: DeviceInfo,
        faults: Arc<Faults>,
        disk: Option<DiskCache>,
        cooperative_matrices: bool,
    ) -> Self {
        let recorder = Mutex::new(Recorder::new(&device));
        Self {
            device,
            queue,
            info,
            faults,
            cooperative_matrices,
            pipelines: Pipelines::new(disk),
            pool: Pool::new(),
            staging: Pool::new(),
            uploads: Arc::new(Pool::new()),
            conversions: OnceLock::new(),
            subgroups: OnceLock::new(),
            recorder,
        }
    }

    /// Which conversions of halves the device does right; waits for it at the first time. None where that
    /// fails: what went wrong shows when the kernel runs.
    pub(super) fn conversions(&self) -> Conversions {
        *self.conversions.get_or_init(|| Conversions::of(self).unwrap_or_default())
    }

    /// What the invocations of a row reach each other by on a GPU; waits for it at the first time. On a
    /// processor they are loops, and workgroup memory is memory.
    pub(super) fn subgroups(&self) -> Option<Subgroups> {
        if self.info.kind == DeviceKind::Software && !as_on_gpus() || are_avoided() {
            return None;
        }
        *self.subgroups.get_or_init(|| Subgroups::of(self).unwrap_or_default())
    }

    /// Whether products of halves may be left to cooperative matrices: subgroups are as they need them.
    pub(super) fn cooperates(&self) -> bool {
        self.cooperative_matrices && self.subgroups() == Some(Subgroups::usual())
    }

    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the function with the open batch, unless the device has something to report. Waits first
    /// where too much is under way.
    pub(super) fn record<T>(&self, run: impl FnOnce(&mut Recorder) -> Result<T>) -> Result<T> {
        // wgpu runs the host's callbacks while it is polled: no lock may be held.
        let excess = self.recorder().excess();
        if excess.is_some() {
            self.wait(excess)?;
        }
        self.record_at_once(run)
    }

    /// [`record`](Self::record) that never waits.
    pub(super) fn record_at_once<T>(
        &self,
        run: impl FnOnce(&mut Recorder) -> Result<T>,
    ) -> Result<T> {
        self.faults.check()?;
        let result = run(&mut self.recorder());
        result.map_err(|error| self.explain(error))
    }

    /// The error itself, or the loss of the device that it follows from.
    pub(super) fn explain(&self, error: Error) -> Error {
        // wgpu tells of a loss only when it is polled.
        let _ = self.poll(wgpu::PollType::Poll);
        self.faults.check_fatal().err().unwrap_or(error)
    }

    /// A buffer that an operation needs while it runs.
    pub(super) fn workspace(self: &Arc<Self>, elements: usize) -> Result<Arc<Buffer>> {
        self.allocate(elements, Purpose::Workspace)
    }

    pub(super) fn allocate(
        self: &Arc<Self>,
        elements: usize,
        purpose: Purpose,
    ) -> Result<Arc<Buffer>> {
        self.faults.check()?;
        let (bytes, limit) = (self.info.tensor_bytes(elements)?, self.info.max_tensor_bytes);
        let class = class_of(bytes).min(limit & !255).max(bytes.next_multiple_of(16).min(limit));
        let create = || self.create_buffer("wgrad tensor", class, TENSOR_USAGES);
        let taken = match self.pool.take(class, purpose, create) {
            // What the GPU still works with is freed when it is done.
            Err(Error::OutOfMemory { .. }) => {
                self.record_at_once(|recorder| recorder.submit(self).map(drop))?;
                self.wait(None)?;
                self.staging.trim();
                self.uploads.trim();
                self.pool.take(class, purpose, create)
            }
            other => other,
        };
        let taken = taken.map_err(|error| self.explain(error))?;
        Ok(Arc::new(Buffer::pooled(self, taken, class, purpose)))
    }

    pub(super) fn create_buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        // What the host writes is mapped until it has.
        let mapped_at_creation = usage.contains(wgpu::BufferUsages::MAP_WRITE);
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation };
        guarded(&self.device, size, || self.device.create_buffer(&descriptor))
    }

    /// That a buffer of the caller's belongs to this device: wgpu tells when it is bound.
    pub(super) fn check_ownership(&self, buffer: &Buffer) -> Result<()> {
        let bound = guarded(&self.device, 0, || {
            let storage = wgpu::BufferBindingType::Storage { read_only: false };
            let entry = layout_entry(0, storage, None);
            let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("wgrad tensor_from_buffer"),
                entries: &[entry],
            });
            let binding = wgpu::BufferBinding {
                buffer: buffer.raw(),
                offset: 0,
                size: wgpu::BufferSize::new(size_of::<f32>() as u64),
            };
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgrad tensor_from_buffer"),
                layout: &layout,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(binding),
                }],
            })
        });
        bound.map(drop).map_err(|error| self.explain(error))
    }

    /// Blocks until a submission is done; the last one where none is named.
    pub(super) fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        if !self.is_soon_done(&submission_index) {
            self.poll(wgpu::PollType::Wait { submission_index, timeout: None })?;
        }
        self.faults.check()
    }

    /// Whether a submission is done before long. A GPU often is sooner than a thread that sleeps is woken;
    /// on a software adapter the processor has better things to do than to ask.
    fn is_soon_done(&self, submission_index: &Option<wgpu::SubmissionIndex>) -> bool {
        const SOON: Duration = Duration::from_micros(200);
        if cfg!(target_arch = "wasm32") || self.info.kind == DeviceKind::Software {
            return false;
        }
        let start = Instant::now();
        while start.elapsed() < SOON {
            let (submission_index, timeout) = (submission_index.clone(), Some(Duration::ZERO));
            let poll = wgpu::PollType::Wait { submission_index, timeout };
            match self.ask(poll) {
                Ok(Ok(_)) => return true,
                Ok(Err(wgpu::PollError::Timeout)) => std::thread::yield_now(),
                // What is wrong is told by the call that waits.
                _ => return false,
            }
        }
        false
    }

    /// Lets wgpu run what is due, and tells only of the loss of the device.
    pub(super) fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        match self.ask(poll) {
            Ok(Ok(_)) => {}
            // A submission that wgpu does not know was never made: its device was lost before.
            Ok(Err(error)) => self.faults.lose(error.to_string()),
            Err(_) => self.faults.lose("the driver stopped while wgrad waited for it"),
        }
        self.faults.check_fatal()
    }

    /// wgpu panics where the device is lost while it waits; the caller has to read an error. A program that
    /// aborts on panics aborts here.
    fn ask(&self, poll: wgpu::PollType) -> Asked {
        catch_unwind(AssertUnwindSafe(|| self.device.poll(poll)))
    }
}
