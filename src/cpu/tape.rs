//! What a thread allocates for a plan, and the plan on the CPU.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use super::cell::Cell;
use crate::backend::Replay;
use crate::error::{Error, Result};

/// The tensors that a plan's work makes, in their order. The work is done by itself again and again, and
/// gets the same tensors each time.
struct Tape {
    thread: ThreadId,
    cells: Vec<Arc<Cell>>,
    /// The next to hand out, once the tape is complete.
    next: Option<usize>,
}

/// A tape for each thread that records or runs a plan; two where the work of one runs another, of which
/// the later counts.
#[derive(Default)]
pub(super) struct Tapes(Mutex<Vec<Tape>>);

impl Tapes {
    fn lock(&self) -> MutexGuard<'_, Vec<Tape>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_one_of_this_thread(&self) -> bool {
        let thread = thread::current().id();
        self.lock().iter().any(|tape| tape.thread == thread)
    }

    /// The tensor for this thread's next allocation: what the function makes, or that of the first time.
    pub(super) fn allocate(
        &self,
        elements: usize,
        create: impl FnOnce() -> Arc<Cell>,
    ) -> Result<Arc<Cell>> {
        let mut tapes = self.lock();
        if tapes.is_empty() {
            return Ok(create());
        }
        let thread = thread::current().id();
        let Some(tape) = tapes.iter_mut().rfind(|tape| tape.thread == thread) else {
            return Ok(create());
        };
        let Some(next) = &mut tape.next else {
            let cell = create();
            tape.cells.push(Arc::clone(&cell));
            return Ok(cell);
        };
        let cell = tape.cells.get(*next).filter(|cell| cell.elements() == elements);
        *next += 1;
        cell.cloned().ok_or_else(|| Error::Unsupported {
            what: "a plan whose work is not the same each time".to_owned(),
            reason: "it made another tensor than when it was recorded".to_owned(),
        })
    }

    /// Does the work with a tape, which comes back.
    fn with(
        &self,
        cells: Vec<Arc<Cell>>,
        next: Option<usize>,
        work: impl FnOnce() -> Result<()>,
    ) -> (Vec<Arc<Cell>>, Result<()>) {
        /// Takes the tape away again, also where the work panics.
        struct Taping<'a>(&'a Tapes);

        impl Taping<'_> {
            fn end(&self) -> Vec<Arc<Cell>> {
                let (mut tapes, thread) = (self.0.lock(), thread::current().id());
                let place = tapes.iter().rposition(|tape| tape.thread == thread);
                place.map(|place| tapes.remove(place).cells).unwrap_or_default()
            }
        }

        impl Drop for Taping<'_> {
            fn drop(&mut self) {
                self.end();
            }
        }

        self.lock().push(Tape { thread: thread::current().id(), cells, next });
        let taping = Taping(self);
        let result = work();
        (taping.end(), result)
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

/// Does the work, and keeps the tensors that this thread makes meanwhile.
pub(super) fn record(tapes: &Arc<Tapes>, work: &mut dyn FnMut() -> Result<()>) -> Result<CpuPlan> {
    check_thread()?;
    if tapes.has_one_of_this_thread() {
        return Err(Error::Unsupported {
            what: "a plan that is recorded while another is".to_owned(),
            reason: "finish the first, and run it in the work of the second".to_owned(),
        });
    }
    let (cells, result) = tapes.with(Vec::new(), None, work);
    result?;
    Ok(CpuPlan { tapes: Arc::clone(tapes), cells: Mutex::new(cells) })
}

pub(super) struct CpuPlan {
    tapes: Arc<Tapes>,
    /// Locked while the plan runs: it writes to the same tensors each time.
    cells: Mutex<Vec<Arc<Cell>>>,
}

impl Replay for CpuPlan {
    fn run(&self, work: &dyn Fn() -> Result<()>) -> Result<()> {
        check_thread()?;
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let (back, result) = self.tapes.with(std::mem::take(&mut cells), Some(0), work);
        *cells = back;
        result
    }
}
