//! What a thread records for a plan, and the plan on the GPU.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use super::buffer::Buffer;
use super::context::Context;
use super::kernel::Pipeline;
use super::recorder::{ALIGNMENT, Binding, bind_group};
use crate::backend::{Check, Replay};
use crate::cpu::Bounds;
use crate::error::{Error, Result};

/// A piece of recorded work, with all that it needs to be done again.
#[derive(Clone)]
pub(super) enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        /// Buffer, offset and bytes.
        bindings: Vec<(Arc<Buffer>, u64, u64)>,
        parameters: Vec<u8>,
        groups: [u32; 3],
    },
    Copy {
        from: Arc<Buffer>,
        to: Arc<Buffer>,
        bytes: u64,
    },
    Clear {
        buffer: Arc<Buffer>,
        bytes: u64,
        bounds: Option<Bounds>,
    },
    Upload {
        buffer: Arc<Buffer>,
        bytes: Vec<u8>,
        bounds: Option<Bounds>,
    },
}

impl Command {
    pub(super) fn dispatch(
        pipeline: &Arc<Pipeline>,
        bindings: &[Binding<'_>],
        parameters: &[u8],
        groups: [u32; 3],
    ) -> Self {
        let held =
            |&Binding { buffer, offset, bytes }: &Binding<'_>| (Arc::clone(buffer), offset, bytes);
        Self::Dispatch {
            pipeline: Arc::clone(pipeline),
            bindings: bindings.iter().map(held).collect(),
            parameters: parameters.to_vec(),
            groups,
        }
    }
}

/// What is being recorded for plans, a tape for each thread that does so.
#[derive(Default)]
pub(super) struct Tapes(Vec<Tape>);

struct Tape {
    thread: ThreadId,
    commands: Vec<Command>,
    checks: Vec<Check>,
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
        if let Some(tape) = self.find() {
            tape.checks.push(check);
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
    {
        let tapes = &mut context.recorder().tapes;
        if tapes.find().is_some() {
            return Err(Error::Unsupported {
                what: "a plan that is recorded while another is".to_owned(),
                reason: "finish the first, and run it in the work of the second".to_owned(),
            });
        }
        let thread = thread::current().id();
        tapes.0.push(Tape { thread, commands: Vec::new(), checks: Vec::new() });
    }
    let taping = Taping(context);
    work()?;
    let (commands, checks) =
        taping.end().map(|tape| (tape.commands, tape.checks)).unwrap_or_default();
    GpuPlan::new(context, commands, checks)
}

/// Commands, ready to be encoded: each kernel has its group and its parameters.
pub(super) struct GpuPlan {
    context: Arc<Context>,
    pub(super) commands: Vec<Command>,
    /// Those of the kernels in their order, whose parameters lie an alignment apart.
    pub(super) groups: Vec<wgpu::BindGroup>,
    checks: Vec<Check>,
}

impl GpuPlan {
    fn new(context: &Arc<Context>, commands: Vec<Command>, checks: Vec<Check>) -> Result<Self> {
        let kernels = || {
            commands.iter().filter_map(|command| match command {
                Command::Dispatch { pipeline, bindings, parameters, .. } => {
                    Some((pipeline, bindings, parameters))
                }
                _ => None,
            })
        };
        let mut values = vec![0; kernels().count().max(1) * ALIGNMENT];
        for (place, (_, _, parameters)) in values.chunks_mut(ALIGNMENT).zip(kernels()) {
            place[..parameters.len()].copy_from_slice(parameters);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer =
            context.create_buffer("wgrad parameters of a plan", values.len() as u64, usage)?;
        // Nothing that was submitted can know of the buffer, so it does not matter when this is done.
        context.queue.write_buffer(&buffer, 0, &values);
        let group =
            |(pipeline, bindings, _): (&Arc<Pipeline>, &Vec<(Arc<Buffer>, u64, u64)>, _)| {
                let bindings: Vec<Binding<'_>> = bindings
                    .iter()
                    .map(|&(ref buffer, offset, bytes)| Binding { buffer, offset, bytes })
                    .collect();
                bind_group(context, pipeline, &buffer, &bindings)
            };
        let groups = kernels().map(group).collect::<Result<_>>();
        let groups = groups.map_err(|error| context.explain(error))?;
        Ok(Self { context: Arc::clone(context), commands, groups, checks })
    }
}

impl Replay for GpuPlan {
    fn run(&self, _work: &dyn Fn() -> Result<()>) -> Result<()> {
        for check in &self.checks {
            check()?;
            self.context.recorder().tapes.keep_check(Arc::clone(check));
        }
        self.context.record(|recorder| recorder.replay(&self.context, self))
    }
}
