//! Floor 5: the GPU backend. It runs the kernels of `shaders/` through wgpu.

mod adapter;
mod assembled;
mod buffer;
mod clip;
mod column_sum;
mod context;
mod conversions;
mod disk_cache;
mod faults;
mod gated;
mod halves;
mod ignored;
mod kernel;
mod labels;
mod loss;
mod masks;
mod matrix;
#[cfg(test)]
mod memory_tests;
mod numbers;
mod operand;
mod operations;
mod optimizer;
mod parameters;
mod pipeline;
mod plan;
mod policy;
mod poller;
mod predictions;
mod prelu;
mod probe;
mod read_back;
mod recorder;
mod rowwise;
mod run;
#[cfg(test)]
mod shader_tests;
mod sources;
mod subgroups;
mod table;
mod upload;
mod variant;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use adapter::{enumerate, open};
pub use assembled::{AssembledKernel, KernelKind, assembled_kernels};
use buffer::Buffer;
use half::{bf16, f16};
#[cfg(test)]
pub(crate) use policy::Policy;
#[cfg(test)]
pub(crate) use variant::{Family, Patch, Tile, Variant};

use crate::backend::{
    Backend, Bounds, Contents, Counters, DeviceInfo, Memory, Op, Preparation, Purpose, Reading,
    Replay, Step, Storage, Update, Wgpu, Written, room, with_memory,
};
use crate::dtype::DType;
use crate::error::{Error, Result};
use buffer::{OnGpu, TENSOR_USAGES};
use context::Context;
use disk_cache::DiskCache;
use faults::Faults;
use kernel::{Kernel, Template};
use read_back::ReadBack;
use wgrad_formula::formulas::{Map, PointwiseFunction};

pub(crate) struct GpuBackend {
    context: Arc<Context>,
}

impl GpuBackend {
    fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: DeviceInfo,
        faults: Arc<Faults>,
        disk: Option<DiskCache>,
        cooperative_matrices: bool,
    ) -> Self {
        let context = Context::new(device, queue, info, faults, disk, cooperative_matrices);
        Self { context: Arc::new(context) }
    }

    fn upload(&self, bytes: &[u8], bounds: Option<Bounds>, buffer: &Arc<Buffer>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.context.check_shared(buffer)?;
        // A retry uploads everything again: nothing can have used what the first attempt uploaded.
        let upload = || {
            let context = &self.context;
            match context.record(|recorder| Ok(recorder.upload(context, bytes, bounds, buffer))) {
                Ok(uploaded) => uploaded.map(Ok),
                // The device failed, or work that was recorded before.
                Err(error) => Ok(Err(error)),
            }
        };
        self.context.with_room(upload).flatten()
    }
}

/// The WGSL of the kernel that maps each element.
pub(crate) fn unary_source(map: Map, function: PointwiseFunction) -> String {
    Kernel::new(Template::Unary(map)).activation(function).wgsl()
}

impl Drop for GpuBackend {
    fn drop(&mut self) {
        // Recorded work still has to run: it may write to a buffer of the caller's, for example.
        let _ = self.flush();
    }
}

impl Backend for GpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.context.info
    }

    fn memory(&self) -> Memory {
        let memory = self.context.pool.memory();
        let (reads, uploads) = (self.context.staging.memory(), self.context.uploads.memory());
        let pooled_bytes = memory.pooled_bytes + reads.pooled_bytes + uploads.pooled_bytes;
        // The other pools hold only staging buffers.
        Memory { staging: reads.workspace.with(uploads.workspace), pooled_bytes, ..memory }
    }

    fn reset_peak_memory(&self) {
        self.context.pool.reset_peak();
        self.context.staging.reset_peak();
        self.context.uploads.reset_peak();
    }

    fn counters(&self) -> Counters {
        let pipelines = self.context.pipelines.count();
        Counters { pipelines, waits: self.context.waits(), ..self.context.recorder().counters() }
    }

    fn trim(&self) {
        self.context.trim();
    }

    fn allocate(&self, words: usize, purpose: Purpose) -> Result<Storage> {
        Ok(stored(self.context.allocate(words, purpose)?, words))
    }

    fn write(&self, bytes: &[u8], contents: Written, output: &Storage) -> Result<()> {
        let (buffer, bounds) = (output.gpu_words()?, bounds(bytes, contents, output.dtype()));
        if bytes.len().is_multiple_of(4) {
            return self.upload(bytes, bounds, buffer);
        }
        let mut padded = with_memory(|| self.trim(), || room(bytes.len() + 2))?;
        padded.extend_from_slice(bytes);
        padded.extend_from_slice(&[0; 2]);
        let halves = output.elements();
        if !halves::shares_last_word(buffer, halves) {
            return self.upload(&padded, bounds, buffer);
        }
        let copy = self.context.workspace(halves.div_ceil(2))?;
        self.upload(&padded, None, &copy)?;
        halves::copy_odd(&self.context, &copy, buffer, halves)
    }

    fn read(&self, input: &Storage, words: usize) -> Result<Reading> {
        if words == 0 {
            return Ok(Reading::Ready(Vec::new()));
        }
        let reading = ReadBack::start(&self.context, input.gpu_words()?, words)?;
        Ok(Reading::Pending(Box::new(reading)))
    }

    fn read_into(&self, input: &Storage, output: &mut [f32]) -> Result<()> {
        self.read(input, output.len())?.wait_into(output)
    }

    fn supports(&self, op: &Op<'_>) -> bool {
        run::supports(op)
    }

    fn run(&self, op: &Op<'_>) -> Result<()> {
        run::run(&self.context, op)
    }

    fn reserve(&self, updates: &[Update<'_>]) -> Result<()> {
        optimizer::reserve(&self.context, updates)
    }

    fn plan(&self, steps: &[Step]) -> Result<Box<dyn Replay>> {
        Ok(Box::new(plan::GpuPlan::new(self, steps)?))
    }

    fn prepare(&self) -> Preparation {
        let (checked, compiled) = (self.context.check(), self.context.pipelines.all_compiled());
        Box::pin(async move {
            checked?;
            compiled.await
        })
    }

    fn flush(&self) -> Result<()> {
        self.context.flush()
    }

    fn synchronize(&self) -> Result<()> {
        self.flush()?;
        self.context.wait(None)
    }

    fn wgpu(&self) -> Option<&dyn Wgpu> {
        Some(self)
    }
}

impl Wgpu for GpuBackend {
    fn expose(&self) -> (&wgpu::Device, &wgpu::Queue) {
        self.context.expose();
        (&self.context.device, &self.context.queue)
    }

    fn hold(&self, hold: bool) {
        let mut recorder = self.context.recorder();
        if hold { recorder.hold() } else { recorder.let_go() }
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.context.record(|recorder| recorder.encode(&self.context, encoder))
    }

    fn adopt(
        &self,
        op: &'static str,
        buffer: wgpu::Buffer,
        words: Range<usize>,
    ) -> Result<Storage> {
        let bytes = (words.end as u64).saturating_mul(size_of::<f32>() as u64);
        if buffer.size() < bytes.max(size_of::<f32>() as u64) {
            let expected = format!("a buffer of at least {} bytes", bytes.max(4));
            return Err(Error::shape(op, expected, format!("one of {}", buffer.size())));
        }
        if !buffer.usage().contains(TENSOR_USAGES) {
            return Err(Error::Unsupported {
                what: format!("{op} of a buffer with the usages {:?}", buffer.usage()),
                reason: format!("{TENSOR_USAGES:?} are needed"),
            });
        }
        let count = words.len();
        let buffer = Buffer::adopted(&self.context, buffer, words);
        self.context.check_shared(&buffer)?;
        Ok(stored(Arc::new(buffer), count))
    }
}

/// Wraps a buffer as the storage of a tensor.
fn stored(buffer: Arc<Buffer>, words: usize) -> Storage {
    let contents: Arc<dyn Contents> = Arc::new(buffer);
    Storage::new(contents, words)
}

/// The bounds of the values that the host writes.
fn bounds(bytes: &[u8], contents: Written, dtype: DType) -> Option<Bounds> {
    match (contents, dtype) {
        (Written::Labels, _) => None,
        (Written::Numbers, DType::F32) => Bounds::of(bytemuck::cast_slice(bytes)),
        (Written::Numbers, DType::F16) => Bounds::of_halves::<f16>(bytemuck::cast_slice(bytes)),
        (Written::Numbers, DType::BF16) => Bounds::of_halves::<bf16>(bytemuck::cast_slice(bytes)),
    }
}
