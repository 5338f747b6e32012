//! Plans on the CPU: operations one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use super::cell::{Cell, OnCpu, Snapshot};
use super::{CpuBackend, write};
use crate::backend::{Backend, OpOf, Purpose, Replay, Step, Storage};
use crate::error::{Error, Result};

pub(super) struct CpuPlan {
    backend: CpuBackend,
    steps: Vec<Prepared>,
    /// The workspaces that the steps use.
    workspaces: Vec<Storage>,
    /// Held while the plan runs, because each run writes to the same tensors.
    running: Mutex<()>,
}

enum Prepared {
    Run(Arc<OpOf<Storage>>),
    /// The host's data, which the output shares until it is written again.
    Restore(Snapshot, Storage),
}

impl CpuPlan {
    pub(super) fn new(backend: &CpuBackend, steps: &[Step]) -> Result<Self> {
        let mut workspaces: Vec<Storage> = Vec::new();
        let prepare = |step: &Step| match step {
            Step::Run(op) => {
                op.map(&mut |storage, _| {
                    let is_workspace = storage.cpu_words().is_ok_and(Cell::is_workspace);
                    if is_workspace && !workspaces.iter().any(|known| known.is(storage)) {
                        workspaces.push(storage.clone());
                    }
                });
                Ok(Prepared::Run(Arc::clone(op)))
            }
            Step::Write { bytes, contents, output } => {
                let words = output.cpu_words()?.elements();
                let written = Cell::new(backend.pool(), Purpose::Tensor, words);
                write(bytes, *contents, &written)?;
                Ok(Prepared::Restore(written.snapshot()?, output.clone()))
            }
        };
        let steps = steps.iter().map(prepare).collect::<Result<_>>()?;
        Ok(Self { backend: backend.clone(), steps, workspaces, running: Mutex::new(()) })
    }

    fn run_steps(&self) -> Result<()> {
        for step in &self.steps {
            match step {
                Prepared::Run(op) => self.backend.run(&op.map(&mut |storage, _| storage))?,
                Prepared::Restore(snapshot, output) => output.cpu_words()?.restore(snapshot)?,
            }
        }
        Ok(())
    }
}

impl Replay for CpuPlan {
    fn encode(&self, _encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        Err(Error::Unsupported {
            what: "a plan of the CPU in a command encoder".to_owned(),
            reason: "encoders are of a GPU; Plan::run does the work".to_owned(),
        })
    }

    fn run(&self) -> Result<()> {
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.run_steps();
        // Between two runs, the memory of the workspace is free for other uses.
        for workspace in &self.workspaces {
            workspace.cpu_words()?.release();
        }
        done
    }
}
