//! Reads tensors back from the GPU.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_intrusive::sync::ManualResetEvent;

use super::buffer::Buffer;
use super::context::Context;
use super::faults::guarded;
use crate::backend::{PendingRead, Pool, Purpose, copied, room, with_memory};
use crate::error::{Error, Result};

const STAGING_USAGES: wgpu::BufferUsages =
    wgpu::BufferUsages::MAP_READ.union(wgpu::BufferUsages::COPY_DST);

/// A buffer of the pool that is mapped or will be. wgpu may map it at any time until it has called back: only
/// then can the buffer be used again.
pub(super) struct Mapping {
    device: wgpu::Device,
    pool: Arc<Pool<wgpu::Buffer>>,
    buffer: wgpu::Buffer,
    class: u64,
    state: Mutex<State>,
    /// Set when the reader does not have to wait any longer.
    resolved: ManualResetEvent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// wgpu has not been asked to map the buffer.
    Unmapped,
    /// wgpu has been asked, and has not called back.
    UnderWay,
    Mapped,
    Failed,
    /// The reader is gone, and wgpu has not called back.
    Abandoned,
    /// The buffer has been given back, or given up.
    Gone,
}

impl Mapping {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_under_way(&self) -> bool {
        *self.state() == State::UnderWay
    }

    /// Asks wgpu to map the buffer.
    fn start(self: &Arc<Self>, bytes: u64) -> Result<()> {
        *self.state() = State::UnderWay;
        guarded(&self.device, 0, || {
            let mapping = Arc::clone(self);
            let resolve = move |result: Result<(), _>| mapping.resolve(result.is_ok());
            self.buffer.map_async(wgpu::MapMode::Read, 0..bytes, resolve);
        })
    }

    /// The callback that wgpu calls.
    fn resolve(&self, mapped: bool) {
        let resolved = if mapped { State::Mapped } else { State::Failed };
        match self.settle(resolved) {
            State::UnderWay => self.resolved.set(),
            State::Abandoned => self.give_back(resolved),
            _ => {}
        }
    }

    /// Tells the reader that no data will come. wgpu may still call back.
    pub(super) fn fail(&self) {
        let mut state = self.state();
        if *state == State::UnderWay {
            *state = State::Failed;
            drop(state);
            self.resolved.set();
        }
    }

    /// Notes the result of the callback, and returns the state before.
    fn settle(&self, resolved: State) -> State {
        let mut state = self.state();
        let before = *state;
        match before {
            State::UnderWay => *state = resolved,
            State::Abandoned => *state = State::Gone,
            _ => {}
        }
        before
    }

    /// Notes that the reader no longer needs the buffer. Returns whether wgpu still has to call back.
    fn abandon(&self) -> bool {
        let mut state = self.state();
        if *state == State::UnderWay {
            *state = State::Abandoned;
            return true;
        }
        let last = std::mem::replace(&mut *state, State::Gone);
        drop(state);
        self.give_back(last);
        false
    }

    fn give_back(&self, state: State) {
        let reusable = match state {
            State::Unmapped => true,
            State::Mapped => guarded(&self.device, 0, || self.buffer.unmap()).is_ok(),
            _ => false,
        };
        if reusable {
            self.pool.give(self.class, Purpose::Workspace, self.buffer.clone());
        } else {
            self.pool.lose(self.class, Purpose::Workspace);
        }
    }

    /// Resolves to whether the buffer was mapped, once that is known.
    async fn resolved(&self) -> bool {
        self.resolved.wait().await;
        *self.state() == State::Mapped
    }
}

/// Elements that have been or will be copied to a buffer that the host can read.
pub(crate) struct ReadBack {
    context: Arc<Context>,
    mapping: Arc<Mapping>,
    bytes: u64,
    submission: Option<wgpu::SubmissionIndex>,
}

impl ReadBack {
    /// Records the copy and submits it with everything before it.
    pub(super) fn start(
        context: &Arc<Context>,
        buffer: &Arc<Buffer>,
        elements: usize,
    ) -> Result<Self> {
        let bytes = elements as u64 * size_of::<f32>() as u64;
        context.check_shared(buffer)?;
        let class = context.class_of(bytes);
        let create = || context.create_buffer("wgrad read-back", class, STAGING_USAGES);
        let take = || context.staging.take(class, Purpose::Workspace, create);
        let staging = context.with_room(take)?;
        let mapping = Mapping {
            device: context.device.clone(),
            pool: Arc::clone(&context.staging),
            buffer: staging,
            class,
            state: Mutex::new(State::Unmapped),
            resolved: ManualResetEvent::new(false),
        };
        // From here on the buffer goes back to the pool when `reading` is dropped, even if a step fails.
        let (context, mapping) = (Arc::clone(context), Arc::new(mapping));
        let mut reading = Self { context, mapping, bytes, submission: None };
        let (context, mapping) = (&reading.context, &reading.mapping);
        // Reads that are started and dropped one after the other must not pile up on the GPU either.
        let copy = context.record(|recorder| {
            recorder.copy_out(buffer, &mapping.buffer, bytes)?;
            Ok(recorder.last_piece())
        })?;
        let submission = context.submit(Some(copy))?;
        mapping.start(bytes).map_err(|error| context.explain(error))?;
        reading.submission = submission;
        Ok(reading)
    }

    /// Blocks until the elements have arrived, and hands them on as bytes.
    fn wait_for<T>(self, take: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        if cfg!(target_arch = "wasm32") {
            return Err(Error::Unsupported {
                what: "waiting for the GPU".to_owned(),
                reason: "a browser cannot block; use Tensor::read().await".to_owned(),
            });
        }
        self.context.wait(self.submission.clone())?;
        // The last thread that polled may be about to call back.
        pollster::block_on(self.arrived(take))
    }

    /// Returns the elements. Never blocks: natively, a thread drives the device meanwhile, as nothing else may.
    async fn values(self) -> Result<Vec<f32>> {
        let context = Arc::clone(&self.context);
        self.arrived(move |bytes| with_memory(|| context.trim(), || values_of(bytes))).await
    }

    /// Hands the elements on as bytes once they have arrived.
    async fn arrived<T>(self, take: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        let Self { context, mapping, submission, .. } = &self;
        if let Some(submission) = submission.clone().filter(|_| mapping.is_under_way()) {
            context.poller.await_mapping(&context.device, &context.faults, submission, mapping)?;
        }
        let mapped = mapping.resolved().await;
        let failed = |description: String| context.explain(Error::Gpu { description });
        if !mapped {
            return Err(failed("the buffer of a read could not be mapped".to_owned()));
        }
        let values = {
            let range = mapping.buffer.get_mapped_range(0..self.bytes);
            let bytes = range.map_err(|error| failed(error.to_string()))?;
            take(&bytes)?
        };
        context.faults.check()?;
        Ok(values)
    }
}

impl PendingRead for ReadBack {
    fn wait(self: Box<Self>) -> Result<Vec<f32>> {
        let context = Arc::clone(&self.context);
        self.wait_for(|bytes| with_memory(|| context.trim(), || values_of(bytes)))
    }

    fn wait_into(self: Box<Self>, output: &mut [f32]) -> Result<()> {
        self.wait_for(|bytes| {
            bytemuck::cast_slice_mut(output).copy_from_slice(bytes);
            Ok(())
        })
    }

    fn resolve(self: Box<Self>) -> Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send>> {
        Box::pin(self.values())
    }
}

/// Reinterprets bytes as values.
fn values_of(bytes: &[u8]) -> Result<Vec<f32>> {
    if let Ok(values) = bytemuck::try_cast_slice(bytes) {
        return copied(values);
    }
    let mut values = room(bytes.len() / size_of::<f32>())?;
    values.extend(bytes.chunks_exact(size_of::<f32>()).map(bytemuck::pod_read_unaligned::<f32>));
    Ok(values)
}

impl Drop for ReadBack {
    fn drop(&mut self) {
        if self.mapping.abandon() {
            self.context.poller.abandon(&self.context.device, &self.context.faults);
        }
    }
}
