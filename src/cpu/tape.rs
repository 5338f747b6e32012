//! What a thread makes for a plan, and the plan on the CPU.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use super::cell::{Cell, Snapshot};
use crate::backend::{Effect, Replay};
use crate::error::{Error, Result};
use crate::plan::{Working, check_device};

/// What a plan's work makes, in its order. The work is done by itself again and again, and gets the same each
/// time.
#[derive(Default)]
struct Made {
    tensors: Vec<Arc<Cell>>,
    /// What it wrote from the host.
    uploads: Vec<Snapshot>,
    /// What is done on the host after each run.
    effects: Vec<Effect>,
}

/// The next tensor and upload to hand out.
#[derive(Default)]
struct Next {
    tensor: usize,
    upload: usize,
}

struct Tape {
    thread: ThreadId,
    made: Made,
    /// Once the tape is complete.
    next: Option<Next>,
}

/// A tape for each thread that records or runs a plan; more where the work of one runs another, of which
/// the latest counts.
#[derive(Default)]
pub(super) struct Tapes(Mutex<Vec<Tape>>);

/// That the work of a plan is another than when it was recorded.
fn differs(reason: &str) -> Error {
    Error::Unsupported {
        what: "a plan whose work is not the same each time".to_owned(),
        reason: reason.to_owned(),
    }
}

/// The last tape of this thread.
fn of_this_thread(tapes: &mut [Tape]) -> Option<&mut Tape> {
    if tapes.is_empty() {
        return None;
    }
    let thread = thread::current().id();
    tapes.iter_mut().rfind(|tape| tape.thread == thread)
}

impl Tapes {
    fn lock(&self) -> MutexGuard<'_, Vec<Tape>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_one_of_this_thread(&self) -> bool {
        of_this_thread(&mut self.lock()).is_some()
    }

    /// The tensor for this thread's next allocation: what the function makes, or that of the first time.
    pub(super) fn allocate(
        &self,
        elements: usize,
        create: impl FnOnce() -> Arc<Cell>,
    ) -> Result<Arc<Cell>> {
        let mut tapes = self.lock();
        let Some(Tape { made, next, .. }) = of_this_thread(&mut tapes) else { return Ok(create()) };
        let Some(next) = next else {
            let cell = create();
            made.tensors.push(Arc::clone(&cell));
            return Ok(cell);
        };
        let cell = made.tensors.get(next.tensor).filter(|cell| cell.elements() == elements);
        next.tensor += 1;
        cell.cloned().ok_or_else(|| differs("it made another tensor than when it was recorded"))
    }

    /// Writes what the host has, by the function; or what was written the first time, which is returned.
    pub(super) fn upload(
        &self,
        output: &Cell,
        write: impl FnOnce(&Cell) -> Result<()>,
    ) -> Result<Option<Snapshot>> {
        let known = match of_this_thread(&mut self.lock()) {
            Some(Tape { made, next: Some(next), .. }) => {
                let known = made.uploads.get(next.upload).cloned();
                next.upload += 1;
                known.filter(|known| known.elements() == output.elements()).map(Some).ok_or_else(
                    || differs("it wrote other values from the host than when it was recorded"),
                )?
            }
            _ => None,
        };
        if let Some(known) = known {
            output.restore(&known);
            return Ok(Some(known));
        }
        write(output)?;
        if let Some(tape) = of_this_thread(&mut self.lock()) {
            tape.made.uploads.push(output.snapshot()?);
        }
        Ok(None)
    }

    /// Keeps what is to be done on the host after each run.
    pub(super) fn keep_effect(&self, effect: Effect) {
        let mut tapes = self.lock();
        if let Some(Tape { made, next: None, .. }) = of_this_thread(&mut tapes) {
            made.effects.push(effect);
        }
    }

    /// Does the work with a tape, which comes back.
    fn with(
        &self,
        made: Made,
        next: Option<Next>,
        work: impl FnOnce() -> Result<()>,
    ) -> (Made, Result<()>) {
        /// Takes the tape away again, once, also where the work panics: the one before it stays.
        struct Taping<'a> {
            tapes: &'a Tapes,
            made: &'a mut Made,
        }

        impl Drop for Taping<'_> {
            fn drop(&mut self) {
                let (mut tapes, thread) = (self.tapes.lock(), thread::current().id());
                if let Some(place) = tapes.iter().rposition(|tape| tape.thread == thread) {
                    *self.made = tapes.remove(place).made;
                }
            }
        }

        let mut back = Made::default();
        self.lock().push(Tape { thread: thread::current().id(), made, next });
        let taping = Taping { tapes: self, made: &mut back };
        let working = Working::begin();
        let result = work();
        drop(working);
        drop(taping);
        (back, result)
    }
}

/// A thread of rayon's takes up other work while it waits, whose tensors would be mixed up with the plan's.
fn check_thread() -> Result<()> {
    if rayon::current_thread_index().is_none() {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: "a plan on a thread of rayon's, on the CPU".to_owned(),
        reason: "such a thread does other work while it waits; use one of your own".to_owned(),
    })
}

/// Does the work, and keeps what this thread makes meanwhile.
pub(super) fn record(tapes: &Arc<Tapes>, work: &mut dyn FnMut() -> Result<()>) -> Result<CpuPlan> {
    check_thread()?;
    check_device(|| tapes.has_one_of_this_thread())?;
    if tapes.has_one_of_this_thread() {
        return Err(Error::Unsupported {
            what: "a plan that is recorded while another is".to_owned(),
            reason: "finish the first, and run it in the work of the second".to_owned(),
        });
    }
    let (made, result) = tapes.with(Made::default(), None, work);
    result?;
    Ok(CpuPlan { tapes: Arc::clone(tapes), made: Mutex::new(made) })
}

pub(super) struct CpuPlan {
    tapes: Arc<Tapes>,
    /// Locked while the plan runs: it writes to the same tensors each time.
    made: Mutex<Made>,
}

impl Replay for CpuPlan {
    fn run(&self, work: &dyn Fn() -> Result<()>) -> Result<()> {
        check_thread()?;
        check_device(|| self.tapes.has_one_of_this_thread())?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Some(Next::default());
        let (back, result) = self.tapes.with(std::mem::take(&mut made), next, work);
        *made = back;
        result?;
        made.effects.iter().for_each(|effect| effect());
        Ok(())
    }
}
