//! From the GPU to the host.

use std::sync::Arc;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::buffer::Buffer;
use super::context::Context;
use super::faults::guarded;
use crate::error::{Error, Result};
use crate::pool::{Purpose, class_of};

const STAGING_USAGES: wgpu::BufferUsages =
    wgpu::BufferUsages::MAP_READ.union(wgpu::BufferUsages::COPY_DST);

/// Elements that have been copied, or will be, to a buffer that the host can read.
pub(crate) struct ReadBack {
    context: Arc<Context>,
    staging: wgpu::Buffer,
    class: u64,
    bytes: u64,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
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
        let class = class_of(bytes).min(context.info.max_tensor_bytes);
        let create = || context.create_buffer("wgrad read-back", class, STAGING_USAGES);
        let staging = context.staging.take(class, Purpose::Workspace, create);
        let staging = staging.map_err(|error| context.explain(error))?;
        let (sender, mapped) = oneshot_channel();
        // From here on it goes back when this is dropped, also where a step fails.
        let context = Arc::clone(context);
        let mut reading = Self { context, staging, class, bytes, mapped, submission: None };
        let (context, staging) = (&reading.context, &reading.staging);
        let submission = context.record_at_once(|recorder| {
            recorder.copy_out(context, buffer, staging, bytes)?;
            recorder.submit(context)
        })?;
        let told = guarded(&context.device, 0, || {
            staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
                // The reader may have lost interest; then nobody listens.
                let _ = sender.send(result);
            });
        });
        told.map_err(|error| context.explain(error))?;
        reading.submission = submission;
        Ok(reading)
    }

    /// Blocks until the elements are there.
    pub(crate) fn wait(self) -> Result<Vec<f32>> {
        if cfg!(target_arch = "wasm32") {
            return Err(Error::Unsupported {
                what: "waiting for the GPU".to_owned(),
                reason: "a browser cannot block; use Tensor::read().await".to_owned(),
            });
        }
        self.context.wait(self.submission.clone())?;
        let mapped = pollster::block_on(self.mapped.receive());
        self.take(mapped)
    }

    /// Never blocks: natively a thread drives the device meanwhile, as nothing else may.
    pub(crate) async fn resolve(self) -> Result<Vec<f32>> {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let (context, submission) = (Arc::clone(&self.context), self.submission.clone());
            let drive = move || {
                // A loss is told to the reader, whose mapping fails then.
                let poll = wgpu::PollType::Wait { submission_index: submission, timeout: None };
                let _ = context.poll(poll);
            };
            let spawned = std::thread::Builder::new().name("wgrad read-back".into()).spawn(drive);
            spawned.map_err(|error| Error::Gpu { description: error.to_string() })?;
        }
        let mapped = self.mapped.receive().await;
        self.take(mapped)
    }

    fn take(self, mapped: Option<Result<(), wgpu::BufferAsyncError>>) -> Result<Vec<f32>> {
        let failed = |description: String| self.context.explain(Error::Gpu { description });
        match mapped {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(failed(error.to_string())),
            None => return Err(failed("a read-back was cancelled".to_owned())),
        }
        let values = {
            let range = self.staging.get_mapped_range(0..self.bytes);
            let bytes = range.map_err(|error| failed(error.to_string()))?;
            bytemuck::pod_collect_to_vec(&bytes)
        };
        self.context.faults.check()?;
        Ok(values)
    }
}

impl Drop for ReadBack {
    fn drop(&mut self) {
        // Cancels a mapping that is still under way; one that failed has nothing to unmap.
        let _ = guarded(&self.context.device, 0, || self.staging.unmap());
        self.context.staging.give(self.class, Purpose::Workspace, self.staging.clone());
    }
}
