//! Plans on a GPU: dispatches with everything that they need.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use super::GpuBackend;
use super::buffer::Buffer;
use super::context::Context;
use super::pipeline::Pipeline;
use super::recorder::{ALIGNMENT, Binding, bind_group};
use crate::backend::{Backend, Bounds, Replay, Step};
use crate::error::Result;

/// A piece of recorded work, with everything that is needed to run it again.
#[derive(Clone)]
pub(super) enum Command {
    Dispatch(Dispatch),
    Copy { from: Arc<Buffer>, to: Arc<Buffer>, bytes: u64 },
    Clear { buffer: Arc<Buffer>, bytes: u64, bounds: Option<Bounds> },
    Upload { buffer: Arc<Buffer>, bytes: Vec<u8>, bounds: Option<Bounds> },
}

impl Command {
    /// Checks the buffers that the command reads and writes.
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

/// A kernel and everything that it is run with.
#[derive(Clone)]
pub(super) struct Dispatch {
    pub(super) pipeline: Arc<Pipeline>,
    bindings: Vec<Held>,
    parameters: Vec<u8>,
    pub(super) groups: [u32; 3],
}

/// A [`Binding`] that keeps its buffer alive.
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

    pub(super) fn bindings(&self) -> impl Iterator<Item = Binding<'_>> + Clone {
        self.bindings.iter().map(Held::binding)
    }
}

/// The commands of plans that threads are preparing; they are kept, not run.
#[derive(Default)]
pub(super) struct Preparing(Vec<(ThreadId, Vec<Command>)>);

impl Preparing {
    /// If this thread prepares a plan, keeps the command, which is not to be recorded then, and returns `true`.
    pub(super) fn keep(&mut self, command: impl FnOnce() -> Command) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let thread = thread::current().id();
        let commands = self.0.iter_mut().find(|(preparing, _)| *preparing == thread);
        commands.map(|(_, commands)| commands.push(command())).is_some()
    }

    fn begin(&mut self) {
        self.0.push((thread::current().id(), Vec::new()));
    }

    fn end(&mut self) -> Vec<Command> {
        let thread = thread::current().id();
        let place = self.0.iter().position(|(preparing, _)| *preparing == thread);
        place.map(|place| self.0.swap_remove(place).1).unwrap_or_default()
    }
}

/// The commands that the steps would record, in order.
fn commands(backend: &GpuBackend, steps: &[Step]) -> Result<Vec<Command>> {
    /// Ends the preparation even if a step fails.
    struct Preparation<'a>(&'a Context);

    impl Drop for Preparation<'_> {
        fn drop(&mut self) {
            let commands = self.0.recorder().preparing.end();
            // Their buffers go back to the pool once the lock is released.
            drop(commands);
        }
    }

    let context = &backend.context;
    context.recorder().preparing.begin();
    let preparation = Preparation(context);
    for step in steps {
        match step {
            Step::Run(op) => backend.run(&op.map(&mut |storage, _| storage))?,
            Step::Write { bytes, contents, output } => backend.write(bytes, *contents, output)?,
        }
    }
    let commands = context.recorder().preparing.end();
    drop(preparation);
    Ok(commands)
}

/// Commands that are ready to be encoded: each kernel has its bind group and its parameters.
pub(super) struct GpuPlan {
    context: Arc<Context>,
    pub(super) commands: Vec<Command>,
    /// The bind groups of the kernels, in order. Their parameters lie one alignment apart.
    pub(super) groups: Vec<wgpu::BindGroup>,
}

impl GpuPlan {
    pub(super) fn new(backend: &GpuBackend, steps: &[Step]) -> Result<Self> {
        let context = &backend.context;
        let commands = commands(backend, steps)?;
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
        // No submitted work can use the buffer yet, so it does not matter when this write happens.
        context.queue.write_buffer(&buffer, 0, &values);
        let group = |dispatch: &Dispatch| {
            let bindings: Vec<Binding<'_>> = dispatch.bindings().collect();
            bind_group(context, &dispatch.pipeline, &buffer, &bindings)
        };
        let groups = kernels().map(group).collect::<Result<_>>();
        let groups = groups.map_err(|error| context.explain(error))?;
        Ok(Self { context: Arc::clone(context), commands, groups })
    }

    /// Fails if the caller has destroyed a buffer: wgpu reports too late that a group has one.
    fn check_buffers(&self) -> Result<()> {
        let check = |buffer: &Buffer| self.context.check_shared(buffer);
        self.commands.iter().try_for_each(|command| command.check_buffers(check))
    }
}

impl Replay for GpuPlan {
    fn run(&self) -> Result<()> {
        self.check_buffers()?;
        self.context.record(|recorder| recorder.replay(&self.context, self))
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.check_buffers()?;
        let context = &self.context;
        context.record(|recorder| {
            recorder.replay(context, self)?;
            recorder.encode(context, encoder)
        })
    }
}
