//! One open batch of recorded work.

use std::collections::VecDeque;
use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::faults::guarded;
use super::kernel::Access;
use super::pipeline::Pipeline;
use super::tape::{Command, Dispatch, GpuPlan, Tapes};
use super::upload::Upload;
use crate::cpu::Bounds;
use crate::device::Counters;
use crate::error::Result;

/// The bytes of parameters and small uploads that a batch can carry.
const ARENA: usize = 1 << 20;

/// The bytes of a kernel's parameters, at most.
pub(super) const PARAMETERS: usize = 128;

/// The offset of a binding is a multiple of this on every device.
pub(super) const ALIGNMENT: usize = 256;

/// Uploads up to this size travel in the arena.
const SMALL_UPLOAD: usize = 1 << 16;

/// Pieces of work in a batch, at most: the GPU should not wait for long.
const BATCH: usize = 256;

/// The bytes of the pieces that larger uploads travel in, and the pieces of a batch, at most: the GPU copies
/// some while the host writes others.
const UPLOAD: usize = 1 << 21;
const PENDING_UPLOADS: usize = 4;

/// Batches on their way, at most: memory should not grow where the GPU is slower than the caller.
const IN_FLIGHT: usize = 16;

/// A piece of a buffer that a kernel sees.
#[derive(Clone, Copy)]
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

/// A piece of the open batch.
enum Work {
    Kernel { pipeline: Arc<Pipeline>, group: wgpu::BindGroup, offset: u32, groups: [u32; 3] },
    Copy { from: wgpu::Buffer, offset: u64, to: wgpu::Buffer, to_offset: u64, bytes: u64 },
    Clear { buffer: wgpu::Buffer, bytes: u64 },
}

/// The open batch: work, and the bytes that go with it.
///
/// All is encoded when it is submitted: the kernels are compiled by other threads meanwhile.
///
/// Parameters and small uploads are collected in an arena, which the batch's commands begin with. A small
/// upload is a copy out of the arena among those commands, so it never overtakes recorded work.
pub(super) struct Recorder {
    arena_buffer: wgpu::Buffer,
    arena: Vec<u8>,
    work: Vec<Work>,
    /// What the host has written for the batch.
    uploads: Vec<Upload>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// What has been recorded so far; the pipelines are counted where they are made.
    counters: Counters,
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
            work: Vec::new(),
            uploads: Vec::new(),
            in_flight: VecDeque::new(),
            counters: Counters::default(),
            tapes: Tapes::default(),
        }
    }

    /// The oldest submission, where more are under way than should be and a new batch begins.
    pub(super) fn excess(&mut self) -> Option<wgpu::SubmissionIndex> {
        let begins = self.work.is_empty() && self.in_flight.len() > IN_FLIGHT;
        if begins { self.in_flight.pop_front() } else { None }
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
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
        self.kernel(context, pipeline, group, offset, bindings.iter().copied(), groups)
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
                    let bindings = dispatch.bindings();
                    self.kernel(context, pipeline, group.clone(), offset, bindings, *groups)?;
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

    fn kernel<'a>(
        &mut self,
        context: &Context,
        pipeline: &Arc<Pipeline>,
        group: wgpu::BindGroup,
        offset: usize,
        bindings: impl Iterator<Item = Binding<'a>>,
        groups: [u32; 3],
    ) -> Result<()> {
        let mut moved = 0;
        for (Binding { buffer, bytes, .. }, access) in bindings.zip(pipeline.accesses()) {
            moved += bytes;
            match access {
                Access::Read => {}
                Access::Write => buffer.set_bounds(None),
                Access::Change => {
                    buffer.set_bounds(None);
                    moved += bytes;
                }
            }
        }
        self.counters.dispatches += 1;
        self.counters.bytes += moved;
        if pipeline.is_of_product() {
            self.counters.product_bytes += moved;
        }
        let (pipeline, offset) = (Arc::clone(pipeline), offset as u32);
        self.push(context, Work::Kernel { pipeline, group, offset, groups })
    }

    /// Adds to the open batch; submits it where it is full.
    fn push(&mut self, context: &Context, work: Work) -> Result<()> {
        self.work.push(work);
        if self.work.len() >= BATCH { self.submit(context).map(drop) } else { Ok(()) }
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
        to.set_bounds(None);
        self.counters.bytes += 2 * bytes;
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
        let (from, to) = (from.raw().clone(), to.clone());
        self.push(context, Work::Copy { from, offset: 0, to, to_offset: 0, bytes })
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
        buffer.set_bounds(bounds);
        self.counters.bytes += bytes;
        self.push(context, Work::Clear { buffer: buffer.raw().clone(), bytes })
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
            let (from, to) = (self.arena_buffer.clone(), buffer.raw().clone());
            let (offset, bytes) = (offset as u64, bytes.len() as u64);
            return self.push(context, Work::Copy { from, offset, to, to_offset: 0, bytes });
        }
        for (piece, to_offset) in bytes.chunks(UPLOAD).zip((0..).step_by(UPLOAD)) {
            let upload = Upload::new(context, piece)?;
            let (from, to) = (upload.buffer().clone(), buffer.raw().clone());
            self.uploads.push(upload);
            let bytes = piece.len() as u64;
            self.push(context, Work::Copy { from, offset: 0, to, to_offset, bytes })?;
            if self.uploads.len() >= PENDING_UPLOADS {
                self.submit(context)?;
            }
        }
        Ok(())
    }

    /// Submits the open batch; nothing where it is empty.
    pub(super) fn submit(&mut self, context: &Context) -> Result<Option<wgpu::SubmissionIndex>> {
        if self.work.is_empty() {
            return Ok(None);
        }
        let submitted = guarded(&context.device, 0, || {
            let descriptor = wgpu::CommandEncoderDescriptor { label: Some("wgrad") };
            let mut encoder = context.device.create_command_encoder(&descriptor);
            if !self.arena.is_empty() {
                let upload = Upload::new(context, &self.arena)?;
                let (from, to) = (upload.buffer(), &self.arena_buffer);
                encoder.copy_buffer_to_buffer(from, 0, to, 0, self.arena.len() as u64);
                self.uploads.push(upload);
            }
            encode(&mut encoder, &self.work)?;
            Ok(context.queue.submit([encoder.finish()]))
        });
        self.work.clear();
        self.arena.clear();
        // Buffers of a lost device do not come back.
        let reclaim = || self.uploads.drain(..).for_each(Upload::reclaim);
        let _ = guarded(&context.device, 0, reclaim);
        let submitted = submitted.flatten();
        // The work is not done: what the tensors hold is not what they should.
        let index = submitted.inspect_err(|error| context.faults.break_down(error.clone()))?;
        self.counters.submissions += 1;
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
}

/// The commands of a batch. Waits for kernels that are being compiled.
fn encode(encoder: &mut wgpu::CommandEncoder, work: &[Work]) -> Result<()> {
    // Kernels that follow one another share a pass.
    let mut pass: Option<wgpu::ComputePass<'static>> = None;
    for work in work {
        match work {
            Work::Kernel { pipeline, group, offset, groups } => {
                let compiled = pipeline.compiled()?;
                let pass = pass.get_or_insert_with(|| {
                    let descriptor = wgpu::ComputePassDescriptor {
                        label: Some("wgrad"),
                        timestamp_writes: None,
                    };
                    encoder.begin_compute_pass(&descriptor).forget_lifetime()
                });
                pass.set_pipeline(compiled);
                pass.set_bind_group(0, group, &[*offset]);
                pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
            }
            Work::Copy { from, offset, to, to_offset, bytes } => {
                drop(pass.take());
                encoder.copy_buffer_to_buffer(from, *offset, to, *to_offset, *bytes);
            }
            Work::Clear { buffer, bytes } => {
                drop(pass.take());
                encoder.clear_buffer(buffer, 0, Some(*bytes));
            }
        }
    }
    Ok(())
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
