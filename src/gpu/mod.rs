//! The GPU backend: the kernels of `shaders/` through wgpu.

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
mod loss;
mod matrix;
#[cfg(test)]
mod memory_tests;
mod operand;
mod operations;
mod optimizer;
mod pipeline;
mod poller;
mod prelu;
mod probe;
mod read_back;
mod recorder;
mod rowwise;
#[cfg(test)]
mod shader_tests;
mod sources;
mod subgroups;
mod tape;
mod upload;
mod variant;

use std::sync::Arc;

pub(crate) use adapter::{enumerate, open};
pub use assembled::{AssembledKernel, KernelKind, assembled_kernels};
pub(crate) use buffer::Buffer;
pub(crate) use read_back::ReadBack;
#[cfg(test)]
pub(crate) use subgroups::without_subgroups;
#[cfg(test)]
pub(crate) use variant::{Family, Patch, Tile, Variant, forced, with_kernels_of_gpus};

use crate::backend::{
    AdamStep, Backend, Binary, Channels, Check, Effect, GatedCall, Ignored, LossCall, LossPass,
    Preparation, Product, Reading, Replay, RowCall, RowProduct, Rows, SgdStep, Storage, TilePass,
    TileStep, Unary, Update,
};
use crate::cpu::Bounds;
use crate::device::{Counters, DeviceInfo, Memory};
use crate::error::{Error, Result};
use crate::pool::{Purpose, room, with_memory};
use buffer::TENSOR_USAGES;
use context::Context;
use disk_cache::DiskCache;
use faults::Faults;
use half::f16;
use kernel::{Kernel, Template};
use wgrad_formula::formulas::PointwiseFunction;

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
        // What has been uploaded is uploaded again: nobody can have used it.
        let upload = || {
            let context = &self.context;
            match context.record(|recorder| Ok(recorder.upload(context, bytes, bounds, buffer))) {
                Ok(uploaded) => uploaded.map(Ok),
                // It is another's work that failed, or the device.
                Err(error) => Ok(Err(error)),
            }
        };
        self.context.with_room(upload).flatten()
    }
}

/// The WGSL of the kernel that maps each element.
pub(crate) fn unary_source(map: Unary, function: PointwiseFunction) -> String {
    Kernel::new(Template::Unary(map)).activation(function).wgsl()
}

impl Drop for GpuBackend {
    fn drop(&mut self) {
        // What the caller recorded, into a buffer of his own say, still has to happen.
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
        // All that the other pools have is staging.
        Memory { staging: reads.workspace.with(uploads.workspace), pooled_bytes, ..memory }
    }

    fn reset_peak_memory(&self) {
        self.context.pool.reset_peak();
        self.context.staging.reset_peak();
        self.context.uploads.reset_peak();
    }

    fn counters(&self) -> Counters {
        let pipelines = self.context.pipelines.count();
        Counters { pipelines, ..self.context.recorder().counters() }
    }

    fn trim(&self) {
        self.context.trim();
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

    fn allocate(&self, elements: usize, purpose: Purpose) -> Result<Storage> {
        self.context.allocate(elements, purpose).map(Storage::Gpu)
    }

    fn write(&self, values: &[f32], output: &Storage) -> Result<()> {
        self.upload(bytemuck::cast_slice(values), Bounds::of(values), output.gpu()?)
    }

    fn write_halves(&self, values: &[f16], output: &Storage) -> Result<()> {
        let (bounds, buffer) = (Bounds::of_halves(values), output.words().gpu()?);
        let bytes = bytemuck::cast_slice(values);
        if values.len().is_multiple_of(2) {
            return self.upload(bytes, bounds, buffer);
        }
        let mut padded = with_memory(|| self.trim(), || room(bytes.len() + 2))?;
        padded.extend_from_slice(bytes);
        padded.extend_from_slice(&[0; 2]);
        let bytes = padded;
        if !halves::shares_last_word(buffer, values.len()) {
            return self.upload(&bytes, bounds, buffer);
        }
        let copy = self.context.workspace(values.len().div_ceil(2))?;
        self.upload(&bytes, None, &copy)?;
        halves::copy_odd(&self.context, &copy, buffer, values.len())
    }

    fn write_labels(&self, labels: &[i32], output: &Storage) -> Result<Option<Vec<i32>>> {
        self.upload(bytemuck::cast_slice(labels), None, output.gpu()?)?;
        Ok(None)
    }

    fn zero(&self, output: &Storage, elements: usize) -> Result<()> {
        let buffer = output.gpu()?;
        if elements == 0 {
            return Ok(());
        }
        self.context.check_shared(buffer)?;
        let bytes = (elements * size_of::<f32>()) as u64;
        let bounds = Bounds::of_zeros(elements);
        self.context.record(|recorder| {
            recorder.clear(buffer, bytes, bounds);
            Ok(())
        })
    }

    fn read(&self, input: &Storage, elements: usize) -> Result<Reading> {
        let buffer = input.gpu()?;
        if elements == 0 {
            return Ok(Reading::Ready(Vec::new()));
        }
        ReadBack::start(&self.context, buffer, elements).map(Reading::Gpu)
    }

    fn adopt(&self, buffer: wgpu::Buffer, elements: usize) -> Result<Storage> {
        const OP: &str = "tensor_from_buffer";
        let bytes = (elements * size_of::<f32>()) as u64;
        if buffer.size() < bytes.max(size_of::<f32>() as u64) {
            let expected = format!("a buffer of at least {} bytes", bytes.max(4));
            return Err(Error::shape(OP, expected, format!("one of {}", buffer.size())));
        }
        if !buffer.usage().contains(TENSOR_USAGES) {
            return Err(Error::Unsupported {
                what: format!("{OP} of a buffer with the usages {:?}", buffer.usage()),
                reason: format!("{TENSOR_USAGES:?} are needed"),
            });
        }
        let buffer = Buffer::adopted(&self.context, buffer, elements);
        self.context.check_shared(&buffer)?;
        Ok(Storage::Gpu(Arc::new(buffer)))
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Replay>> {
        Ok(Box::new(tape::record(&self.context, work)?))
    }

    fn is_recording(&self) -> bool {
        self.context.recorder().tapes.of_this_thread().is_some()
    }

    fn keep_check(&self, check: Check) {
        self.context.recorder().tapes.keep_check(check);
    }

    fn keep_effect(&self, effect: Effect) {
        self.context.recorder().tapes.keep_effect(effect);
    }

    fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.context.expose();
        Some((&self.context.device, &self.context.queue))
    }

    fn unary(
        &self,
        map: Unary,
        function: PointwiseFunction,
        input: &Storage,
        output: &Storage,
        elements: usize,
    ) -> Result<()> {
        let kernel = Kernel::new(Template::Unary(map)).activation(function);
        operations::pointwise(&self.context, kernel, [input], output, elements)
    }

    fn binary(
        &self,
        map: Binary,
        function: PointwiseFunction,
        inputs: [&Storage; 2],
        output: &Storage,
        elements: usize,
    ) -> Result<()> {
        let kernel = Kernel::new(Template::Binary(map)).activation(function);
        operations::pointwise(&self.context, kernel, inputs, output, elements)
    }

    fn takes_rows_of_halves(&self, call: RowCall<'_>) -> bool {
        rowwise::in_vectors(call.lines)
    }

    fn row_forward(&self, call: RowCall<'_>, z: &Storage, y: &Storage) -> Result<()> {
        let dtype = Storage::common_type([z, y])?;
        rowwise::forward(&self.context, call, dtype, z.words().gpu()?, y.words().gpu()?)
    }

    fn row_product(
        &self,
        product: RowProduct,
        call: RowCall<'_>,
        y: &Storage,
        vector: &Storage,
        output: &Storage,
    ) -> Result<()> {
        let dtype = Storage::common_type([y, vector, output])?;
        let inputs = [y.words().gpu()?, vector.words().gpu()?];
        rowwise::product(&self.context, product, call, dtype, inputs, output.words().gpu()?)
    }

    fn row_jacobian(&self, call: RowCall<'_>, y: &Storage, output: &Storage) -> Result<()> {
        rowwise::jacobian(&self.context, call, y.gpu()?, output.gpu()?)
    }

    fn gated_forward(&self, call: GatedCall, x: &Storage, y: &Storage) -> Result<()> {
        gated::forward(&self.context, call, x.gpu()?, y.gpu()?)
    }

    fn gated_backward(
        &self,
        call: GatedCall,
        x: &Storage,
        dy: &Storage,
        dx: &Storage,
    ) -> Result<()> {
        gated::backward(&self.context, call, [x.gpu()?, dy.gpu()?], dx.gpu()?)
    }

    fn prelu_forward(
        &self,
        channels: Channels,
        z: &Storage,
        weight: &Storage,
        y: &Storage,
    ) -> Result<()> {
        prelu::forward(&self.context, channels, [z.gpu()?, weight.gpu()?], y.gpu()?)
    }

    fn prelu_backward(
        &self,
        channels: Channels,
        inputs: [&Storage; 3],
        dz: &Storage,
        dweight: &Storage,
    ) -> Result<()> {
        if channels.elements == 0 {
            return self.zero(dweight, channels.channels);
        }
        let inputs = [inputs[0].gpu()?, inputs[1].gpu()?, inputs[2].gpu()?];
        prelu::backward(&self.context, channels, inputs, [dz.gpu()?, dweight.gpu()?])
    }

    fn loss(&self, pass: LossPass<'_>) -> Result<()> {
        loss::run(&self.context, pass)
    }

    fn tile(&self, step: TileStep<'_>, pass: TilePass<'_>) -> Result<()> {
        loss::tile(&self.context, step, pass)
    }

    fn row_weights(&self, call: LossCall<'_>, rows: Rows, output: &Storage) -> Result<()> {
        loss::row_weights(&self.context, call, rows, output)
    }

    fn keep_rows(
        &self,
        ignored: Ignored<'_>,
        input: &Storage,
        first_row: usize,
        rows: Rows,
        output: &Storage,
    ) -> Result<()> {
        ignored::keep(&self.context, ignored, input, first_row, rows, output)
    }

    fn clear_rows(
        &self,
        ignored: Ignored<'_>,
        output: &Storage,
        first_row: usize,
        rows: Rows,
    ) -> Result<()> {
        ignored::clear(&self.context, ignored, output, first_row, rows)
    }

    fn sum(&self, input: &Storage, output: &Storage, elements: usize) -> Result<()> {
        if elements == 0 {
            return self.zero(output, 1);
        }
        operations::sum(&self.context, input.gpu()?, output.gpu()?, elements)
    }

    fn column_sum(
        &self,
        input: &Storage,
        rows: Rows,
        output: &Storage,
        offset: usize,
        accumulate: bool,
    ) -> Result<()> {
        let (input, output) = (input.gpu()?, output.gpu()?);
        column_sum::column_sum(&self.context, input, rows, output, offset, accumulate)
    }

    fn matmul(&self, product: Product<'_>) -> Result<()> {
        matrix::matmul(&self.context, product)
    }

    fn reserve(&self, updates: &[Update<'_>]) -> Result<()> {
        optimizer::reserve(&self.context, updates)
    }

    fn sgd(&self, step: SgdStep, update: Update<'_>, velocity: Option<&Storage>) -> Result<()> {
        optimizer::sgd(&self.context, step, update, velocity.map(Storage::gpu).transpose()?)
    }

    fn adam(&self, step: AdamStep, update: Update<'_>, moments: [&Storage; 2]) -> Result<()> {
        let moments = [moments[0].gpu()?, moments[1].gpu()?];
        optimizer::adam(&self.context, step, update, moments)
    }

    fn clip_norm(
        &self,
        gradients: &[(&Storage, usize)],
        max_norm: f32,
        norm: &Storage,
    ) -> Result<()> {
        clip::norm(&self.context, gradients, max_norm, norm.gpu()?)
    }

    fn clip_value(&self, gradients: &[(&Storage, usize)], limit: f32) -> Result<()> {
        clip::value(&self.context, gradients, limit)
    }
}
