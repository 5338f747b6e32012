//! What the parts of the GPU backend share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::buffer::{Buffer, TENSOR_USAGES};
use super::conversions::Conversions;
use super::disk_cache::DiskCache;
use super::faults::{Faults, GONE, guarded, is_lost, unusable};
use super::pipeline::{Pipelines, layout_entry};
use super::policy::Policy;
use super::poller::{self, Poller};
use super::recorder::Recorder;
use super::subgroups::Subgroups;
use super::upload::Uploads;
use crate::backend::{DeviceInfo, DeviceKind};
use crate::backend::{Pool, Purpose, class_of};
use crate::error::{Error, Result};

pub(super) struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: DeviceInfo,
    pub(super) faults: Arc<Faults>,
    /// Whether the device was opened with cooperative matrices of 16 x 16 halves.
    cooperative_matrices: bool,
    pub(super) policy: Policy,
    pub(super) pipelines: Pipelines,
    /// The buffers of tensors.
    pub(super) pool: Pool<wgpu::Buffer>,
    /// The buffers that read-backs are mapped from.
    pub(super) staging: Arc<Pool<wgpu::Buffer>>,
    pub(super) poller: Poller,
    pub(super) uploads: Arc<Uploads>,
    /// Set when the first kernel with halves is compiled.
    conversions: OnceLock<Conversions>,
    /// Set when the first kernel that works on rows is compiled.
    subgroups: OnceLock<Option<Subgroups>>,
    recorder: Mutex<Recorder>,
    waits: AtomicU64,
    /// Whether the application has access to the wgpu device, and may destroy it.
    exposed: AtomicBool,
    /// When the device was last seen to exist, or was about to be checked.
    seen: Mutex<Option<Instant>>,
    /// The layout of a group with one buffer, to check whether a buffer can be bound.
    alone: OnceLock<wgpu::BindGroupLayout>,
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
        let policy = Policy::of(info.kind);
        Self {
            device,
            queue,
            info,
            faults,
            cooperative_matrices,
            policy,
            pipelines: Pipelines::new(disk),
            pool: Pool::new(),
            staging: Arc::new(Pool::new()),
            poller: Poller::new(),
            uploads: Arc::new(Pool::new()),
            conversions: OnceLock::new(),
            subgroups: OnceLock::new(),
            recorder,
            waits: AtomicU64::new(0),
            exposed: AtomicBool::new(false),
            seen: Mutex::default(),
            alone: OnceLock::new(),
        }
    }

    /// Notes that the application has access to the wgpu device from now on.
    pub(super) fn expose(&self) {
        self.exposed.store(true, Ordering::Relaxed);
    }

    /// Whether the application may have destroyed the device since it was last seen. Asking the device takes
    /// microseconds, and an operation comes here several times.
    fn may_be_destroyed(&self) -> bool {
        const JUST_NOW: Duration = Duration::from_micros(10);
        if !self.exposed.load(Ordering::Relaxed) || cfg!(target_arch = "wasm32") {
            return false;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|seen| seen.elapsed() < JUST_NOW) {
            return false;
        }
        *seen = Some(Instant::now());
        true
    }

    /// Which conversions of halves the device does right; the first call waits for the device. If that fails,
    /// none is reported: what went wrong shows when the kernel runs.
    pub(super) fn conversions(&self) -> Conversions {
        *self.conversions.get_or_init(|| Conversions::of(self).unwrap_or_default())
    }

    /// The subgroups through which invocations of a row exchange values on a GPU; the first call waits for the
    /// device. On a processor invocations are loops, and workgroup memory is ordinary memory.
    pub(super) fn subgroups(&self) -> Option<Subgroups> {
        if !self.policy.subgroups {
            return None;
        }
        *self.subgroups.get_or_init(|| Subgroups::of(self).unwrap_or_default())
    }

    /// Whether cooperative matrices can compute products of halves: they need subgroups of the usual kind.
    pub(super) fn cooperates(&self) -> bool {
        self.cooperative_matrices && self.subgroups() == Some(Subgroups::usual())
    }

    /// How often a call has waited for the GPU.
    pub(super) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the function with the open batch, unless the device has an error to report. Waits first if too much
    /// work is in flight.
    pub(super) fn record<T>(&self, run: impl FnOnce(&mut Recorder) -> Result<T>) -> Result<T> {
        // wgpu runs the application's callbacks while it is polled, so no lock may be held.
        let excess = self.recorder().excess();
        if excess.is_some() {
            self.wait(excess)?;
        }
        self.check()?;
        let (result, full) = {
            let mut recorder = self.recorder();
            (run(&mut recorder), recorder.is_full())
        };
        let result = result.map_err(|error| self.explain(error));
        if full {
            self.submit(None)?;
        }
        result
    }

    /// Returns an error that has to be reported before anything else is done.
    pub(super) fn check(&self) -> Result<()> {
        if self.may_be_destroyed() && is_lost(&self.device) {
            // Once the device is polled, its own callback knows more.
            let _ = self.poll(wgpu::PollType::Poll);
            self.faults.lose(GONE);
        }
        self.faults.check()
    }

    /// The loss of the device if the error follows from it, and otherwise the error itself.
    pub(super) fn explain(&self, error: Error) -> Error {
        // wgpu reports a loss only when it is polled.
        let _ = self.poll(wgpu::PollType::Poll);
        if is_lost(&self.device) {
            self.faults.lose(GONE);
        }
        self.faults.check_lost().err().unwrap_or(error)
    }

    /// Submits a piece of work and everything before it unless that has been done, or all recorded work if `piece`
    /// is `None`. Returns a submission that completes it. If there is no memory for the open batch, frees what can
    /// be freed; if that is not enough, drops the batch.
    pub(super) fn submit(&self, piece: Option<u64>) -> Result<Option<wgpu::SubmissionIndex>> {
        let submitted = self.submit_with_room(piece);
        self.recorder().forget_destroyed();
        submitted
    }

    fn submit_with_room(&self, piece: Option<u64>) -> Result<Option<wgpu::SubmissionIndex>> {
        let submitted = self.recorder().submit_piece(self, piece);
        let submitted = match submitted {
            Err(Error::OutOfMemory { .. }) => {
                self.make_room()?;
                let mut recorder = self.recorder();
                let again = recorder.submit_piece(self, piece);
                if let Err(error @ Error::OutOfMemory { .. }) = &again {
                    recorder.discard(self, error);
                }
                again
            }
            submitted => submitted,
        };
        submitted.map_err(|error| self.explain(error))
    }

    /// Submits all recorded work, and reports what failed.
    pub(super) fn flush(&self) -> Result<()> {
        self.check()?;
        self.submit_with_room(None)?;
        self.recorder().take_untold()
    }

    /// Frees all unused memory.
    pub(super) fn trim(&self) {
        self.pool.trim();
        self.staging.trim();
        self.uploads.trim();
    }

    /// Frees all unused memory, then waits for the GPU and frees what it has used.
    fn make_room(&self) -> Result<()> {
        self.trim();
        self.wait(None)?;
        // Frees what has come back meanwhile.
        self.trim();
        self.poll(wgpu::PollType::Poll)
    }

    /// Returns what the function makes. If there is no memory for it, frees what can be freed and tries again, in the
    /// end without the open batch, which keeps buffers too.
    pub(super) fn with_room<T>(&self, make: impl Fn() -> Result<T>) -> Result<T> {
        let mut made = make();
        for submit in [false, true] {
            if !matches!(made, Err(Error::OutOfMemory { .. })) {
                break;
            }
            if submit {
                self.submit(None)?;
            }
            self.make_room()?;
            made = make();
        }
        made.map_err(|error| self.explain(error))
    }

    /// The size in bytes of a buffer that has room for the given bytes.
    pub(super) fn class_of(&self, bytes: u64) -> u64 {
        class_of(bytes).min(self.info.max_tensor_bytes)
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
        self.check()?;
        let class = self.class_of(self.info.tensor_bytes(elements)?);
        let create = || self.create_buffer("wgrad tensor", class, TENSOR_USAGES);
        let taken = self.with_room(|| self.pool.take(class, purpose, create))?;
        Ok(Arc::new(Buffer::pooled(self, taken, class, purpose)))
    }

    pub(super) fn create_buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        #[cfg(test)]
        super::memory_tests::starve(label, size)?;
        // A buffer that the host writes stays mapped until it has been written.
        let mapped_at_creation = usage.contains(wgpu::BufferUsages::MAP_WRITE);
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation };
        guarded(&self.device, size, || self.device.create_buffer(&descriptor))
    }

    /// Fails if a buffer that the caller shares is gone or belongs to another device: wgpu reports that when the
    /// buffer is bound.
    pub(super) fn check_shared(&self, buffer: &Buffer) -> Result<()> {
        if !buffer.is_shared() {
            return Ok(());
        }
        let layout = || {
            let storage = wgpu::BufferBindingType::Storage { read_only: false };
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("wgrad tensor"),
                entries: &[layout_entry(0, storage, None)],
            })
        };
        let bound = guarded(&self.device, 0, || {
            let layout = self.alone.get_or_init(layout);
            let binding = wgpu::BufferBinding {
                buffer: buffer.raw(),
                offset: 0,
                size: wgpu::BufferSize::new(size_of::<f32>() as u64),
            };
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgrad tensor"),
                layout,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(binding),
                }],
            })
        });
        bound.map(drop).map_err(|error| self.explain(unusable(error)))
    }

    /// Blocks until a submission is done, or the last one if `submission_index` is `None`.
    pub(super) fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        if !self.is_soon_done(&submission_index) {
            self.poll(wgpu::PollType::Wait { submission_index, timeout: None })?;
        }
        self.check()
    }

    /// Polls for a short while, and returns whether the submission is done by then. A GPU often finishes sooner
    /// than a sleeping thread wakes up; on a software adapter the processor has better things to do than to poll.
    /// Measured on an H200: sigmoid of 1024 elements takes 0.04 ms with this wait instead of 0.07 (CHANGELOG.md,
    /// "whoever waits for a GPU looks for 0.2 ms").
    fn is_soon_done(&self, submission_index: &Option<wgpu::SubmissionIndex>) -> bool {
        const SOON: Duration = Duration::from_micros(200);
        if cfg!(target_arch = "wasm32") || self.info.kind == DeviceKind::Software {
            return false;
        }
        let start = Instant::now();
        while start.elapsed() < SOON {
            let (submission_index, timeout) = (submission_index.clone(), Some(Duration::ZERO));
            let poll = wgpu::PollType::Wait { submission_index, timeout };
            match poller::ask(&self.device, poll) {
                Ok(Ok(_)) => return true,
                Ok(Err(wgpu::PollError::Timeout)) => std::thread::yield_now(),
                // The call that waits reports what is wrong.
                _ => return false,
            }
        }
        false
    }

    /// Lets wgpu do what is due, and reports only the loss of the device.
    pub(super) fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        poller::poll(&self.device, &self.faults, poll)
    }
}
