//! One open batch of recorded work.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::faults::{guarded, tells_of_destroyed, unusable};
use super::kernel::Access;
use super::pipeline::Pipeline;
use super::plan::{Command, Dispatch, GpuPlan, Preparing};
use super::upload::Upload;
use crate::backend::{Bounds, Counters};
use crate::error::{Error, Result};

/// The bytes of parameters and small uploads that a batch can carry.
const ARENA: usize = 1 << 20;

/// The maximum size of a kernel's parameters in bytes.
pub(super) const PARAMETERS: usize = 128;

/// The maximum number of a kernel's storage bindings.
const BINDINGS: usize = 8;

/// The offset of a binding is a multiple of this on every device.
pub(super) const ALIGNMENT: usize = 256;

/// Uploads of up to this number of bytes travel in the arena.
const SMALL_UPLOAD: usize = 1 << 16;

/// The maximum number of pieces of work in a batch: the GPU should not wait long for one.
const BATCH: usize = 256;

/// Larger uploads travel in pieces of this number of bytes, of which a batch has at most `PENDING_UPLOADS`: the GPU
/// copies some while the host writes others.
const UPLOAD: usize = 1 << 21;
const PENDING_UPLOADS: usize = 4;

/// The maximum number of batches in flight: memory should not grow if the GPU is slower than the caller.
const IN_FLIGHT: usize = 16;

/// A part of a buffer that a kernel sees.
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
            offset: self.buffer.offset() + self.offset,
            size: wgpu::BufferSize::new(self.bytes),
        }
    }
}

/// A piece of work in the open batch, and the pieces that wrote what it reads.
struct Piece {
    work: Work,
    after: [u64; BINDINGS],
}

enum Work {
    Kernel { pipeline: Arc<Pipeline>, group: wgpu::BindGroup, offset: u32, groups: [u32; 3] },
    Copy { from: wgpu::Buffer, offset: u64, to: wgpu::Buffer, to_offset: u64, bytes: u64 },
    Clear { buffer: wgpu::Buffer, offset: u64, bytes: u64 },
}

/// The open batch: recorded work, and the bytes that go with it.
///
/// Nothing is encoded before the batch is submitted: other threads compile the kernels meanwhile.
///
/// Parameters and small uploads are collected in an arena, and the batch's commands begin by copying it to the
/// GPU. A small upload is a copy out of the arena among those commands, so it never overtakes recorded work.
pub(super) struct Recorder {
    arena_buffer: wgpu::Buffer,
    arena: Vec<u8>,
    work: Vec<Piece>,
    /// The buffers that the host has written for the batch.
    uploads: Vec<Upload>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    latest: Option<wgpu::SubmissionIndex>,
    /// The number of the next piece of work, counted from 1.
    next: u64,
    /// The pieces that failed, and why. Their outputs have not been written.
    failed: VecDeque<(Range<u64>, Error)>,
    /// A failure that has not yet been reported to a caller that asked for all work.
    untold: Option<Error>,
    /// Counts what has been recorded so far; pipelines are counted where they are created.
    counters: Counters,
    /// The number of calls that will encode the open batch for the caller, which is not submitted until then.
    held: usize,
    pub(super) preparing: Preparing,
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
            latest: None,
            next: 1,
            failed: VecDeque::new(),
            untold: None,
            counters: Counters::default(),
            held: 0,
            preparing: Preparing::default(),
        }
    }

    /// The oldest submission, if a new batch begins while more than `IN_FLIGHT` are in flight.
    pub(super) fn excess(&mut self) -> Option<wgpu::SubmissionIndex> {
        let begins = self.work.is_empty() && self.in_flight.len() > IN_FLIGHT;
        if begins { self.in_flight.pop_front() } else { None }
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// The number of the last recorded piece.
    pub(super) const fn last_piece(&self) -> u64 {
        self.next - 1
    }

    /// Returns the failure that has not been reported yet, if there is one.
    pub(super) fn take_untold(&mut self) -> Result<()> {
        self.untold.take().map_or(Ok(()), Err)
    }

    /// Forgets an unreported failure that the caller caused by destroying a buffer: the caller knows of it.
    pub(super) fn forget_destroyed(&mut self) {
        self.untold.take_if(|error| tells_of_destroyed(error));
    }

    /// Whether the open batch should be submitted: the next piece of work needs some room in the arena.
    pub(super) fn is_full(&self) -> bool {
        let is_long = self.work.len() >= BATCH || self.arena.len() > ARENA - 2 * SMALL_UPLOAD;
        self.held == 0 && is_long
    }

    /// Why a piece failed, if it did.
    fn failure(&self, piece: u64) -> Option<&Error> {
        self.failed.iter().find(|(pieces, _)| pieces.contains(&piece)).map(|(_, error)| error)
    }

    /// Fails if the work that writes to a buffer has failed, so that the buffer does not hold what it should.
    fn check_written(&self, buffer: &Buffer) -> Result<()> {
        self.check_piece(buffer.written_by())
    }

    /// Fails if a buffer that is to be written to is a part of memory that does not hold what it should.
    fn check_beside(&self, buffer: &Buffer) -> Result<()> {
        self.check_piece(buffer.written_beside())
    }

    fn check_piece(&self, piece: u64) -> Result<()> {
        let Some(error) = self.failure(piece) else { return Ok(()) };
        let description = format!(
            "a tensor does not hold what it should, as the work that writes to it could not be done; \
             write to it anew. It was this: {error}"
        );
        Err(Error::Gpu { description })
    }

    /// Fails if an input of a kernel does not hold what it should, or the memory of a part that it writes to.
    fn check_inputs<'a>(
        &self,
        pipeline: &Pipeline,
        bindings: impl Iterator<Item = Binding<'a>>,
    ) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        bindings.zip(pipeline.accesses()).try_for_each(|(binding, access)| match access {
            Access::Write => self.check_beside(binding.buffer),
            Access::Read | Access::Change => self.check_written(binding.buffer),
        })
    }

    /// Records a dispatch of a kernel. The first binding of its group holds its parameters.
    pub(super) fn dispatch(
        &mut self,
        context: &Context,
        pipeline: &Arc<Pipeline>,
        bindings: &[Binding<'_>],
        parameters: &[u8],
        groups: [u32; 3],
    ) -> Result<()> {
        let command = || Command::Dispatch(Dispatch::new(pipeline, bindings, parameters, groups));
        if self.preparing.keep(command) {
            return Ok(());
        }
        self.check_inputs(pipeline, bindings.iter().copied())?;
        let offset = self.reserve(context, ALIGNMENT, PARAMETERS.max(parameters.len()))?;
        self.arena[offset..offset + parameters.len()].copy_from_slice(parameters);
        let group = bind_group(context, pipeline, &self.arena_buffer, bindings)?;
        self.kernel(pipeline, group, offset, bindings.iter().copied(), groups);
        Ok(())
    }

    /// Records all commands of a plan once more.
    pub(super) fn replay(&mut self, context: &Context, plan: &GpuPlan) -> Result<()> {
        let mut groups = plan.groups.iter().zip((0..).step_by(ALIGNMENT));
        for command in &plan.commands {
            match command {
                Command::Dispatch(dispatch) => {
                    let Some((group, offset)) = groups.next() else { break };
                    let Dispatch { pipeline, groups, .. } = dispatch;
                    self.check_inputs(pipeline, dispatch.bindings())?;
                    self.kernel(pipeline, group.clone(), offset, dispatch.bindings(), *groups);
                }
                Command::Copy { from, to, bytes } => self.copy(from, to, *bytes)?,
                Command::Clear { buffer, bytes, bounds } => {
                    self.clear(buffer, *bytes, *bounds)?;
                }
                Command::Upload { buffer, bytes, bounds } => {
                    self.upload(context, bytes, *bounds, buffer)?;
                }
            }
            if self.is_full() {
                self.submit(context)?;
            }
        }
        Ok(())
    }

    fn kernel<'a>(
        &mut self,
        pipeline: &Arc<Pipeline>,
        group: wgpu::BindGroup,
        offset: usize,
        bindings: impl Iterator<Item = Binding<'a>> + Clone,
        groups: [u32; 3],
    ) {
        let mut moved = 0;
        let mut after = [0; BINDINGS];
        let bindings = bindings.zip(pipeline.accesses());
        let written = bindings.clone();
        for ((Binding { buffer, bytes, .. }, access), after) in bindings.zip(&mut after) {
            moved += bytes;
            *after = match access {
                Access::Write => buffer.written_beside(),
                Access::Read | Access::Change => buffer.written_by(),
            };
            if *access == Access::Change {
                moved += bytes;
            }
        }
        for (Binding { buffer, .. }, access) in written {
            if *access != Access::Read {
                buffer.set_written(self.next, None);
            }
        }
        self.counters.dispatches += 1;
        self.counters.bytes += moved;
        if pipeline.is_of_product() {
            self.counters.product_bytes += moved;
        }
        let (pipeline, offset) = (Arc::clone(pipeline), offset as u32);
        self.push(Work::Kernel { pipeline, group, offset, groups }, after);
    }

    fn push(&mut self, work: Work, after: [u64; BINDINGS]) {
        self.work.push(Piece { work, after });
        self.next += 1;
    }

    /// Records a copy from the start of one buffer to the start of another.
    pub(super) fn copy(&mut self, from: &Arc<Buffer>, to: &Arc<Buffer>, bytes: u64) -> Result<()> {
        let command = || Command::Copy { from: Arc::clone(from), to: Arc::clone(to), bytes };
        if self.preparing.keep(command) {
            return Ok(());
        }
        self.check_written(from)?;
        self.check_beside(to)?;
        let work = Work::Copy {
            from: from.raw().clone(),
            offset: from.offset(),
            to: to.raw().clone(),
            to_offset: to.offset(),
            bytes,
        };
        self.push(work, after([from.written_by(), to.written_beside()]));
        to.set_written(self.last_piece(), None);
        self.counters.bytes += 2 * bytes;
        Ok(())
    }

    /// Records a copy to a buffer that belongs to no tensor; it never becomes part of a plan.
    pub(super) fn copy_out(&mut self, from: &Buffer, to: &wgpu::Buffer, bytes: u64) -> Result<()> {
        self.check_written(from)?;
        let (of, offset, to) = (from.raw().clone(), from.offset(), to.clone());
        let work = Work::Copy { from: of, offset, to, to_offset: 0, bytes };
        self.push(work, after([from.written_by()]));
        Ok(())
    }

    /// Records that the first bytes of a buffer become zeros; `bounds` are the bounds of a zero.
    pub(super) fn clear(
        &mut self,
        buffer: &Arc<Buffer>,
        bytes: u64,
        bounds: Option<Bounds>,
    ) -> Result<()> {
        if self.preparing.keep(|| Command::Clear { buffer: Arc::clone(buffer), bytes, bounds }) {
            return Ok(());
        }
        self.check_beside(buffer)?;
        let after = after([buffer.written_beside()]);
        buffer.set_written(self.next, bounds);
        self.counters.bytes += bytes;
        let (buffer, offset) = (buffer.raw().clone(), buffer.offset());
        self.push(Work::Clear { buffer, offset, bytes }, after);
        Ok(())
    }

    /// Uploads bytes to the start of a buffer, after everything recorded so far. Their values have these bounds.
    pub(super) fn upload(
        &mut self,
        context: &Context,
        bytes: &[u8],
        bounds: Option<Bounds>,
        buffer: &Arc<Buffer>,
    ) -> Result<()> {
        let command =
            || Command::Upload { buffer: Arc::clone(buffer), bytes: bytes.to_vec(), bounds };
        if self.preparing.keep(command) {
            return Ok(());
        }
        self.check_beside(buffer)?;
        let after = after([buffer.written_beside()]);
        buffer.set_written(self.next, None);
        self.upload_bytes(context, bytes, buffer, after)?;
        buffer.set_written(self.last_piece(), bounds);
        Ok(())
    }

    fn upload_bytes(
        &mut self,
        context: &Context,
        bytes: &[u8],
        buffer: &Buffer,
        after: [u64; BINDINGS],
    ) -> Result<()> {
        if bytes.len() <= SMALL_UPLOAD {
            let offset =
                self.reserve(context, wgpu::COPY_BUFFER_ALIGNMENT as usize, bytes.len())?;
            self.arena[offset..offset + bytes.len()].copy_from_slice(bytes);
            let (from, to) = (self.arena_buffer.clone(), buffer.raw().clone());
            let (offset, to_offset) = (offset as u64, buffer.offset());
            let bytes = bytes.len() as u64;
            self.push(Work::Copy { from, offset, to, to_offset, bytes }, after);
            return Ok(());
        }
        let size = UPLOAD.min(context.info.max_tensor_bytes as usize);
        for (piece, to_offset) in bytes.chunks(size).zip((buffer.offset()..).step_by(size)) {
            let upload = Upload::new(context, piece)?;
            let (from, to) = (upload.buffer().clone(), buffer.raw().clone());
            self.uploads.push(upload);
            let bytes = piece.len() as u64;
            self.push(Work::Copy { from, offset: 0, to, to_offset, bytes }, after);
            if self.held == 0 && self.uploads.len() >= PENDING_UPLOADS {
                self.submit(context)?;
            }
        }
        Ok(())
    }

    /// Submits the open batch if it contains this piece, or in any case if `piece` is `None`. Returns a submission
    /// that completes the piece, or why the piece failed.
    pub(super) fn submit_piece(
        &mut self,
        context: &Context,
        piece: Option<u64>,
    ) -> Result<Option<wgpu::SubmissionIndex>> {
        if piece.is_none_or(|piece| piece + self.work.len() as u64 >= self.next) {
            self.submit(context)?;
        }
        piece
            .and_then(|piece| self.failure(piece))
            .map_or_else(|| Ok(self.latest.clone()), |error| Err(error.clone()))
    }

    /// Submits the open batch. If there is no memory for it, it stays open; pieces that fail for another reason
    /// are left out.
    fn submit(&mut self, context: &Context) -> Result<()> {
        if self.work.is_empty() {
            return Ok(());
        }
        let arena = match self.arena.is_empty() {
            true => None,
            false => Some(Upload::new(context, &self.arena)?),
        };
        let mut submitted = self.submit_pieces(context, arena.as_ref(), &self.work);
        if let Err(Error::Gpu { .. }) = submitted {
            submitted = self.submit_what_can_be(context, arena.as_ref());
        }
        // Buffers of a lost device do not come back.
        let _ = guarded(&context.device, 0, || arena.map(Upload::reclaim));
        match submitted {
            Ok(index) => {
                self.close(context);
                self.counters.submissions += 1;
                self.in_flight.push_back(index.clone());
                self.latest = Some(index);
                Ok(())
            }
            Err(error @ Error::OutOfMemory { .. }) => Err(error),
            Err(error) => {
                self.discard(context, &error);
                Err(error)
            }
        }
    }

    /// Lets the open batch wait for [`encode`](Self::encode).
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    /// Ends a [`hold`](Self::hold).
    pub(super) fn let_go(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// Writes the open batch into the encoder of a caller, who submits it. It is as good as done from then on.
    pub(super) fn encode(
        &mut self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<()> {
        if self.work.is_empty() {
            return Ok(());
        }
        // What can fail comes before the first command.
        for piece in &self.work {
            if let Work::Kernel { pipeline, .. } = &piece.work {
                pipeline.compiled()?;
            }
        }
        let arena = match self.arena.is_empty() {
            true => None,
            false => Some(Upload::new(context, &self.arena)?),
        };
        if let Some(arena) = &arena {
            let (from, to) = (arena.buffer(), &self.arena_buffer);
            encoder.copy_buffer_to_buffer(from, 0, to, 0, self.arena.len() as u64);
        }
        encode(encoder, &self.work)?;
        // Nobody knows when the GPU has read them.
        arena.into_iter().chain(self.uploads.drain(..)).for_each(Upload::release);
        self.work.clear();
        self.arena.clear();
        Ok(())
    }

    /// Submits pieces of the batch, after the arena.
    fn submit_pieces(
        &self,
        context: &Context,
        arena: Option<&Upload>,
        work: &[Piece],
    ) -> Result<wgpu::SubmissionIndex> {
        let submitted = guarded(&context.device, 0, || {
            let descriptor = wgpu::CommandEncoderDescriptor { label: Some("wgrad") };
            let mut encoder = context.device.create_command_encoder(&descriptor);
            if let Some(arena) = arena {
                let (from, to) = (arena.buffer(), &self.arena_buffer);
                encoder.copy_buffer_to_buffer(from, 0, to, 0, self.arena.len() as u64);
            }
            encode(&mut encoder, work)?;
            Ok(context.queue.submit([encoder.finish()]))
        });
        submitted.flatten()
    }

    /// Submits the pieces one by one. Leaves out those that fail, for example because the caller has destroyed a
    /// buffer, and those that read what the failed ones should have written.
    fn submit_what_can_be(
        &mut self,
        context: &Context,
        arena: Option<&Upload>,
    ) -> Result<wgpu::SubmissionIndex> {
        let mut index = self.submit_pieces(context, arena, &[])?;
        let first = self.next - self.work.len() as u64;
        for (piece, number) in (0..self.work.len()).zip(first..) {
            let lacks = |&after: &u64| self.failure(after).cloned();
            let done = match self.work[piece].after.iter().find_map(lacks) {
                Some(error) => Err(error),
                None => self.submit_pieces(context, None, &self.work[piece..=piece]),
            };
            match done {
                Ok(submitted) => index = submitted,
                Err(error) => {
                    let error = unusable(error);
                    self.untold.get_or_insert(error.clone());
                    self.fail(number..number + 1, error);
                }
            }
        }
        Ok(index)
    }

    /// Drops the open batch, which cannot be submitted.
    pub(super) fn discard(&mut self, context: &Context, error: &Error) {
        self.fail(self.next - self.work.len() as u64..self.next, error.clone());
        self.close(context);
    }

    fn fail(&mut self, pieces: Range<u64>, error: Error) {
        /// The number of failures to remember: a caller that has more of them hardly waits for the first.
        const KEPT: usize = 4096;
        if self.failed.len() == KEPT {
            self.failed.pop_front();
        }
        self.failed.push_back((pieces, error));
    }

    /// Begins a new batch.
    fn close(&mut self, context: &Context) {
        self.work.clear();
        self.arena.clear();
        // Buffers of a lost device do not come back.
        let reclaim = || self.uploads.drain(..).for_each(Upload::reclaim);
        let _ = guarded(&context.device, 0, reclaim);
    }

    /// Reserves a place in the arena; submits the open batch if there is no room left.
    fn reserve(&mut self, context: &Context, alignment: usize, bytes: usize) -> Result<usize> {
        if self.arena.len().next_multiple_of(alignment) + bytes > ARENA {
            if self.held > 0 {
                return Err(Error::Unsupported {
                    what: format!("{} pieces of work in one call of encode", self.work.len()),
                    reason: format!(
                        "their parameters and uploads take more than {ARENA} bytes; record a plan, or                          encode in parts"
                    ),
                });
            }
            self.submit(context)?;
        }
        let offset = self.arena.len().next_multiple_of(alignment);
        let end = (offset + bytes).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT as usize);
        self.arena.resize(end, 0);
        Ok(offset)
    }
}

/// The pieces that a piece of work comes after.
fn after<const N: usize>(pieces: [u64; N]) -> [u64; BINDINGS] {
    let mut after = [0; BINDINGS];
    after[..N].copy_from_slice(&pieces);
    after
}

/// Encodes the commands of a batch. Waits for kernels that are being compiled.
fn encode(encoder: &mut wgpu::CommandEncoder, work: &[Piece]) -> Result<()> {
    // Kernels that follow one another share a pass.
    let mut pass: Option<wgpu::ComputePass<'static>> = None;
    for piece in work {
        match &piece.work {
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
            Work::Clear { buffer, offset, bytes } => {
                drop(pass.take());
                encoder.clear_buffer(buffer, *offset, Some(*bytes));
            }
        }
    }
    Ok(())
}

/// The bind group of a kernel: its parameters, which lie in this buffer at an offset that is given when the group
/// is used, then its other bindings.
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
    // The caller may have destroyed a buffer that is shared with it.
    if bindings.iter().any(|binding| binding.buffer.is_shared()) {
        return guarded(&context.device, 0, create).map_err(unusable);
    }
    Ok(create())
}
