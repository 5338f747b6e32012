//! What a thread records for a plan, and the plan on the GPU.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use super::buffer::Buffer;
use super::context::Context;
use super::kernel::Access;
use super::pipeline::Pipeline;
use super::recorder::{ALIGNMENT, Binding, bind_group};
use crate::backend::{Check, Effect, Replay, Storage};
use crate::cpu::Bounds;
use crate::error::{Error, Result};
use crate::plan::{Working, check_device};

/// A piece of recorded work, with all that it needs to be done again.
#[derive(Clone)]
pub(super) enum Command {
    Dispatch(Dispatch),
    Copy { from: Arc<Buffer>, to: Arc<Buffer>, bytes: u64 },
    Clear { buffer: Arc<Buffer>, bytes: u64, bounds: Option<Bounds> },
    Upload { buffer: Arc<Buffer>, bytes: Vec<u8>, bounds: Option<Bounds> },
}

impl Command {
    /// Checks the buffers that it reads and writes.
    fn check_buffers(&self, check: impl Fn(&Buffer) -> Result<()>) -> Result<()> {
        match self {
            Self::Dispatch(dispatch) => {
                dispatch.bindings.iter().try_for_each(|held| check(&held.buffer))
            }
            Self::Copy { from, to, .. } => check(from).and_then(|()| check(to)),
            Self::Clear { buffer, .. } | Self::Upload { buffer, .. } => check(buffer),
        }
    }
}

/// A kernel and what it is run with.
#[derive(Clone)]
pub(super) struct Dispatch {
    pub(super) pipeline: Arc<Pipeline>,
    bindings: Vec<Held>,
    parameters: Vec<u8>,
    pub(super) groups: [u32; 3],
}

/// A [`Binding`] that keeps its buffer.
#[derive(Clone)]
struct Held {
    buffer: Arc<Buffer>,
    offset: u64,
    bytes: u64,
}

impl Held {
    fn binding(&self) -> Binding<'_> {
        Binding { buffer: &self.buffer, offset: self.offset, bytes: self.bytes }
    }
}

impl Dispatch {
    pub(super) fn new(
        pipeline: &Arc<Pipeline>,
        bindings: &[Binding<'_>],
        parameters: &[u8],
        groups: [u32; 3],
    ) -> Self {
        let held = |&Binding { buffer, offset, bytes }: &Binding<'_>| Held {
            buffer: Arc::clone(buffer),
            offset,
            bytes,
        };
        Self {
            pipeline: Arc::clone(pipeline),
            bindings: bindings.iter().map(held).collect(),
            parameters: parameters.to_vec(),
            groups,
        }
    }

    pub(super) fn bindings(&self) -> impl Iterator<Item = Binding<'_>> {
        self.bindings.iter().map(Held::binding)
    }
}

/// What is being recorded for plans, a tape for each thread that does so.
#[derive(Default)]
pub(super) struct Tapes(Vec<Tape>);

struct Tape {
    thread: ThreadId,
    commands: Vec<Command>,
    checks: Vec<Check>,
    effects: Vec<Effect>,
}

impl Tape {
    /// Whether the work has written to the storage so far.
    fn writes(&self, storage: &Storage) -> bool {
        let Ok(of) = storage.words().gpu() else { return false };
        self.commands.iter().any(|command| match command {
            Command::Dispatch(dispatch) => {
                let mut accesses = dispatch.bindings().zip(dispatch.pipeline.accesses());
                accesses.any(|(binding, access)| *access != Access::Read && binding.buffer.is(of))
            }
            Command::Copy { to, .. } => to.is(of),
            Command::Clear { buffer, .. } | Command::Upload { buffer, .. } => buffer.is(of),
        })
    }
}

impl Tapes {
    fn find(&mut self) -> Option<&mut Tape> {
        if self.0.is_empty() {
            return None;
        }
        let thread = thread::current().id();
        self.0.iter_mut().find(|tape| tape.thread == thread)
    }

    pub(super) fn of_this_thread(&mut self) -> Option<&mut Vec<Command>> {
        self.find().map(|tape| &mut tape.commands)
    }

    pub(super) fn keep_check(&mut self, check: Check) {
        if let Some(tape) = self.find().filter(|tape| !tape.writes(&check.of)) {
            tape.checks.push(check);
        }
    }

    pub(super) fn keep_effect(&mut self, effect: Effect) {
        if let Some(tape) = self.find() {
            tape.effects.push(effect);
        }
    }

    fn remove(&mut self) -> Option<Tape> {
        let thread = thread::current().id();
        let place = self.0.iter().position(|tape| tape.thread == thread)?;
        Some(self.0.swap_remove(place))
    }
}

/// Takes the tape away again, also where the work panics.
struct Taping<'a>(&'a Context);

impl Taping<'_> {
    fn end(&self) -> Option<Tape> {
        self.0.recorder().tapes.remove()
    }
}

impl Drop for Taping<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Does the work, and keeps what this thread records meanwhile.
pub(super) fn record(
    context: &Arc<Context>,
    work: &mut dyn FnMut() -> Result<()>,
) -> Result<GpuPlan> {
    check_device(|| context.recorder().tapes.find().is_some())?;
    {
        let tapes = &mut context.recorder().tapes;
        if tapes.find().is_some() {
            return Err(Error::Unsupported {
                what: "a plan that is recorded while another is".to_owned(),
                reason: "finish the first, and run it in the work of the second".to_owned(),
            });
        }
        let thread = thread::current().id();
        let (commands, checks, effects) = (Vec::new(), Vec::new(), Vec::new());
        tapes.0.push(Tape { thread, commands, checks, effects });
    }
    let taping = Taping(context);
    let working = Working::begin();
    work()?;
    drop(working);
    GpuPlan::new(context, taping.end())
}

/// Commands, ready to be encoded: each kernel has its group and its parameters.
pub(super) struct GpuPlan {
    context: Arc<Context>,
    pub(super) commands: Vec<Command>,
    /// Those of the kernels in their order, whose parameters lie an alignment apart.
    pub(super) groups: Vec<wgpu::BindGroup>,
    checks: Vec<Check>,
    effects: Vec<Effect>,
}

impl GpuPlan {
    fn new(context: &Arc<Context>, tape: Option<Tape>) -> Result<Self> {
        let (commands, checks, effects) =
            tape.map(|tape| (tape.commands, tape.checks, tape.effects)).unwrap_or_default();
        let kernels = || {
            commands.iter().filter_map(|command| match command {
                Command::Dispatch(dispatch) => Some(dispatch),
                _ => None,
            })
        };
        let mut values = vec![0; kernels().count().max(1) * ALIGNMENT];
        for (place, Dispatch { parameters, .. }) in values.chunks_mut(ALIGNMENT).zip(kernels()) {
            place[..parameters.len()].copy_from_slice(parameters);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer =
            context.create_buffer("wgrad parameters of a plan", values.len() as u64, usage)?;
        // Nothing that was submitted can know of the buffer, so it does not matter when this is done.
        context.queue.write_buffer(&buffer, 0, &values);
        let group = |dispatch: &Dispatch| {
            let bindings: Vec<Binding<'_>> = dispatch.bindings().collect();
            bind_group(context, &dispatch.pipeline, &buffer, &bindings)
        };
        let groups = kernels().map(group).collect::<Result<_>>();
        let groups = groups.map_err(|error| context.explain(error))?;
        Ok(Self { context: Arc::clone(context), commands, groups, checks, effects })
    }
}

impl Replay for GpuPlan {
    fn run(&self, _work: &dyn Fn() -> Result<()>) -> Result<()> {
        check_device(|| self.context.recorder().tapes.find().is_some())?;
        for check in &self.checks {
            (check.run)()?;
            self.context.recorder().tapes.keep_check(check.clone());
        }
        // wgpu tells too late of groups with buffers that the caller has destroyed.
        for command in &self.commands {
            command.check_buffers(|buffer| self.context.check_shared(buffer))?;
        }
        self.context.record(|recorder| recorder.replay(&self.context, self))?;
        for effect in &self.effects {
            effect();
            self.context.recorder().tapes.keep_effect(Arc::clone(effect));
        }
        Ok(())
    }
}
