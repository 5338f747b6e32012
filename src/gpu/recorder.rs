//! One open batch of recorded work.

use std::collections::VecDeque;
use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::faults::guarded;
use super::kernel::{Access, Pipeline};
use super::tape::{Command, Dispatch, GpuPlan, Tapes};
use crate::cpu::Bounds;
use crate::error::Result;

/// The bytes of parameters and small uploads that a batch can carry.
const ARENA: usize = 1 << 20;

/// The bytes of a kernel's parameters, at most.
pub(super) const PARAMETERS: usize = 128;

/// The offset of a binding is a multiple of this on every device.
pub(super) const ALIGNMENT: usize = 256;

/// Uploads up to this size travel in the arena.
const SMALL_UPLOAD: usize = 1 << 16;

/// Kernels in a batch, at most: the GPU should not wait for long.
const BATCH: u32 = 256;

/// The bytes of large uploads that wgpu holds until the next submission, at most.
const PENDING_UPLOADS: u64 = 1 << 26;

/// Batches on their way, at most: memory should not grow where the GPU is slower than the caller.
const IN_FLIGHT: usize = 16;

/// A piece of a buffer that a kernel sees.
pub(super) struct Binding<'a> {
    pub(super) buffer: &'a Arc<Buffer>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Binding<'_> {
    fn wgpu(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: self.buffer.raw(),
            offset: self.offset,
            size: wgpu::BufferSize::new(self.bytes),
        }
    }
}

/// The open batch: commands, and the bytes that have to be on the GPU before they run.
///
/// Parameters and small uploads are collected in an arena, which is written with one
/// `write_buffer`, and that runs before the batch's commands. A small upload is a copy out of the
/// arena among those commands, so it never overtakes recorded work.
pub(super) struct Recorder {
    arena_buffer: wgpu::Buffer,
    arena: Vec<u8>,
    // The pass borrows the encoder; it is dropped before the encoder is used otherwise.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    batch: u64,
    recorded: u32,
    pending_uploads: u64,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    submissions: u64,
    dispatches: u64,
    pub(super) tapes: Tapes,
}

impl Recorder {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let arena_buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgrad parameters and uploads"),
            size: ARENA as u64,
            usage: wgpu::BufferUsages::UNIFORM
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            arena_buffer,
            arena: Vec::new(),
            pass: None,
            encoder: None,
            batch: 0,
            recorded: 0,
            pending_uploads: 0,
            in_flight: VecDeque::new(),
            submissions: 0,
            dispatches: 0,
            tapes: Tapes::default(),
        }
    }

    pub(super) fn batch(&self) -> u64 {
        self.batch
    }

    /// The oldest submission, where more are under way than should be and a new batch begins.
    pub(super) fn excess(&mut self) -> Option<wgpu::SubmissionIndex> {
        let begins = self.encoder.is_none() && self.in_flight.len() > IN_FLIGHT;
        if begins { self.in_flight.pop_front() } else { None }
    }

    /// Submissions and dispatches so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.submissions, self.dispatches)
    }

    /// Records a kernel. The first binding of its group is its parameters.
    pub(super) fn dispatch(
        &mut self,
        context: &Context,
        pipeline: &Arc<Pipeline>,
        bindings: &[Binding<'_>],
        parameters: &[u8],
        groups: [u32; 3],
    ) -> Result<()> {
        let offset = self.reserve(context, ALIGNMENT, PARAMETERS.max(parameters.len()))?;
        self.arena[offset..offset + parameters.len()].copy_from_slice(parameters);
        let group = bind_group(context, pipeline, &self.arena_buffer, bindings)?;
        if let Some(tape) = self.tapes.of_this_thread() {
            tape.push(Command::Dispatch(Dispatch::new(pipeline, bindings, parameters, groups)));
        }
        let buffers = bindings.iter().map(|binding| binding.buffer);
        self.encode(context, pipeline, &group, offset, buffers, groups)
    }

    /// Records all commands of a plan once more.
    pub(super) fn replay(&mut self, context: &Context, plan: &GpuPlan) -> Result<()> {
        let mut groups = plan.groups.iter().zip((0..).step_by(ALIGNMENT));
        for command in &plan.commands {
            match command {
                Command::Dispatch(dispatch) => {
                    let Some((group, offset)) = groups.next() else { break };
                    if let Some(tape) = self.tapes.of_this_thread() {
                        tape.push(command.clone());
                    }
                    let Dispatch { pipeline, groups, .. } = dispatch;
                    let buffers = dispatch.buffers();
                    self.encode(context, pipeline, group, offset, buffers, *groups)?;
                }
                Command::Copy { from, to, bytes } => self.copy(context, from, to, *bytes)?,
                Command::Clear { buffer, bytes, bounds } => {
                    self.clear(context, buffer, *bytes, *bounds)?;
                }
                Command::Upload { buffer, bytes, bounds } => {
                    self.upload(context, bytes, *bounds, buffer)?;
                }
            }
        }
        Ok(())
    }

    fn encode<'a>(
        &mut self,
        context: &Context,
        pipeline: &Pipeline,
        group: &wgpu::BindGroup,
        offset: usize,
        buffers: impl Iterator<Item = &'a Arc<Buffer>>,
        groups: [u32; 3],
    ) -> Result<()> {
        for (buffer, access) in buffers.zip(pipeline.accesses) {
            buffer.mark_used(self.batch);
            if *access == Access::Write {
                buffer.set_bounds(None);
            }
        }
        let pass = self.pass(context);
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, group, &[u32::try_from(offset).unwrap_or(u32::MAX)]);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        self.dispatches += 1;
        self.recorded_one(context)
    }

    /// Submits the open batch where it is full.
    fn recorded_one(&mut self, context: &Context) -> Result<()> {
        self.recorded += 1;
        if self.recorded >= BATCH { self.submit(context).map(drop) } else { Ok(()) }
    }

    /// Records a copy from the start of one buffer to the start of another.
    pub(super) fn copy(
        &mut self,
        context: &Context,
        from: &Arc<Buffer>,
        to: &Arc<Buffer>,
        bytes: u64,
    ) -> Result<()> {
        if let Some(tape) = self.tapes.of_this_thread() {
            tape.push(Command::Copy { from: Arc::clone(from), to: Arc::clone(to), bytes });
        }
        to.mark_used(self.batch);
        to.set_bounds(None);
        self.copy_out(context, from, to.raw(), bytes)
    }

    /// Records a copy to a buffer that no tensor has: no part of a plan.
    pub(super) fn copy_out(
        &mut self,
        context: &Context,
        from: &Buffer,
        to: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<()> {
        from.mark_used(self.batch);
        self.commands(context).copy_buffer_to_buffer(from.raw(), 0, to, 0, bytes);
        self.recorded_one(context)
    }

    /// Records that the first bytes of a buffer become zero, which has these bounds.
    pub(super) fn clear(
        &mut self,
        context: &Context,
        buffer: &Arc<Buffer>,
        bytes: u64,
        bounds: Option<Bounds>,
    ) -> Result<()> {
        if let Some(tape) = self.tapes.of_this_thread() {
            tape.push(Command::Clear { buffer: Arc::clone(buffer), bytes, bounds });
        }
        buffer.mark_used(self.batch);
        buffer.set_bounds(bounds);
        self.commands(context).clear_buffer(buffer.raw(), 0, Some(bytes));
        self.recorded_one(context)
    }

    /// Uploads bytes, of values with these bounds, to the start of a buffer, after what is recorded so
    /// far.
    pub(super) fn upload(
        &mut self,
        context: &Context,
        bytes: &[u8],
        bounds: Option<Bounds>,
        buffer: &Arc<Buffer>,
    ) -> Result<()> {
        buffer.set_bounds(None);
        self.upload_bytes(context, bytes, buffer)?;
        buffer.set_bounds(bounds);
        if let Some(tape) = self.tapes.of_this_thread() {
            let (buffer, bytes) = (Arc::clone(buffer), bytes.to_vec());
            tape.push(Command::Upload { buffer, bytes, bounds });
        }
        Ok(())
    }

    fn upload_bytes(&mut self, context: &Context, bytes: &[u8], buffer: &Buffer) -> Result<()> {
        if bytes.len() <= SMALL_UPLOAD {
            let offset =
                self.reserve(context, wgpu::COPY_BUFFER_ALIGNMENT as usize, bytes.len())?;
            self.arena[offset..offset + bytes.len()].copy_from_slice(bytes);
            buffer.mark_used(self.batch);
            let (arena, length) = (self.arena_buffer.clone(), bytes.len() as u64);
            let commands = self.commands(context);
            commands.copy_buffer_to_buffer(&arena, offset as u64, buffer.raw(), 0, length);
            return self.recorded_one(context);
        }
        // write_buffer runs before the commands of the open batch, which may still use the buffer.
        if buffer.is_used_in(self.batch) {
            self.submit(context)?;
        }
        guarded(&context.device, bytes.len() as u64, || {
            context.queue.write_buffer(buffer.raw(), 0, bytes);
        })?;
        self.pending_uploads += bytes.len() as u64;
        if self.pending_uploads > PENDING_UPLOADS { self.submit(context).map(drop) } else { Ok(()) }
    }

    /// Submits the open batch and the uploads beside it; nothing where there is neither.
    pub(super) fn submit(&mut self, context: &Context) -> Result<Option<wgpu::SubmissionIndex>> {
        self.pass = None;
        let encoder = self.encoder.take();
        if encoder.is_none() && self.pending_uploads == 0 {
            return Ok(None);
        }
        let arena = std::mem::take(&mut self.arena);
        self.batch += 1;
        self.recorded = 0;
        self.pending_uploads = 0;
        let submitted = guarded(&context.device, 0, || {
            if !arena.is_empty() {
                context.queue.write_buffer(&self.arena_buffer, 0, &arena);
            }
            context.queue.submit(encoder.map(wgpu::CommandEncoder::finish))
        });
        self.arena = arena;
        self.arena.clear();
        // The work is not done: what the tensors hold is not what they should.
        let index = submitted.inspect_err(|error| context.faults.break_down(error.clone()))?;
        self.submissions += 1;
        self.in_flight.push_back(index.clone());
        Ok(Some(index))
    }

    /// A place in the arena; submits the open batch where there is none left.
    fn reserve(&mut self, context: &Context, alignment: usize, bytes: usize) -> Result<usize> {
        if self.arena.len().next_multiple_of(alignment) + bytes > ARENA {
            self.submit(context)?;
        }
        let offset = self.arena.len().next_multiple_of(alignment);
        let end = (offset + bytes).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT as usize);
        self.arena.resize(end, 0);
        Ok(offset)
    }

    fn commands(&mut self, context: &Context) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.encoder.get_or_insert_with(|| {
            let descriptor = wgpu::CommandEncoderDescriptor { label: Some("wgrad") };
            context.device.create_command_encoder(&descriptor)
        })
    }

    fn pass(&mut self, context: &Context) -> &mut wgpu::ComputePass<'static> {
        let pass = self.pass.take().unwrap_or_else(|| {
            let descriptor =
                wgpu::ComputePassDescriptor { label: Some("wgrad"), timestamp_writes: None };
            self.commands(context).begin_compute_pass(&descriptor).forget_lifetime()
        });
        self.pass.insert(pass)
    }
}

/// The group of a kernel's bindings, after its parameters in this buffer, at an offset that is given when
/// the group is used.
pub(super) fn bind_group(
    context: &Context,
    pipeline: &Pipeline,
    parameters: &wgpu::Buffer,
    bindings: &[Binding<'_>],
) -> Result<wgpu::BindGroup> {
    let parameters = wgpu::BufferBinding {
        buffer: parameters,
        offset: 0,
        size: wgpu::BufferSize::new(PARAMETERS as u64),
    };
    let resources = std::iter::once(parameters).chain(bindings.iter().map(Binding::wgpu));
    let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
        .zip(resources)
        .map(|(binding, resource)| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(resource),
        })
        .collect();
    let descriptor =
        wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries };
    let create = || context.device.create_bind_group(&descriptor);
    // The caller may have destroyed a buffer of his own.
    let adopted = bindings.iter().any(|binding| binding.buffer.is_adopted());
    if adopted { guarded(&context.device, 0, create) } else { Ok(create()) }
}
