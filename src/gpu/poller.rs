//! A thread that drives a device while futures wait for it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::faults::{Faults, GONE};
use super::read_back::Mapping;
use crate::error::{Error, Result};

/// wgpu's answer to a poll, or the payload if it panicked.
type Asked = std::thread::Result<std::result::Result<wgpu::PollStatus, wgpu::PollError>>;

/// Polls the device. wgpu panics if the device is lost while it waits, but the caller has to get an error. A
/// program that aborts on panics aborts here.
pub(super) fn ask(device: &wgpu::Device, poll: wgpu::PollType) -> Asked {
    catch_unwind(AssertUnwindSafe(|| device.poll(poll)))
}

/// Lets wgpu do what is due, and reports only the loss of the device.
pub(super) fn poll(device: &wgpu::Device, faults: &Faults, poll: wgpu::PollType) -> Result<()> {
    match ask(device, poll) {
        Ok(Ok(_)) => {}
        // wgpu does not know the submission, so it was never made: its device was lost before.
        Ok(Err(wgpu::PollError::Timeout)) => {}
        Ok(Err(_)) => faults.lose(GONE),
        Err(_) => faults.lose("the driver stopped while wgrad waited for it"),
    }
    faults.check_lost()
}

/// Polls a device for callers that may not block. Its thread starts with the first of them, sleeps while there
/// is nothing to wait for, and ends with the device.
pub(super) struct Poller {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Mappings that a caller waits for, each with the submission that it follows.
    awaited: VecDeque<(wgpu::SubmissionIndex, Arc<Mapping>)>,
    /// Whether mappings that no caller waits for any more are still under way.
    abandoned: bool,
    running: bool,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, device: &wgpu::Device, faults: &Faults) {
        let mut state = self.state();
        loop {
            if let Some((submission, mapping)) = state.awaited.pop_front() {
                drop(state);
                if mapping.is_under_way() {
                    wait(device, faults, Some(submission), Some(&mapping));
                }
                state = self.state();
            } else if std::mem::take(&mut state.abandoned) {
                drop(state);
                wait(device, faults, None, None);
                state = self.state();
            } else if state.closed {
                return;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Waits for a submission, or the last one if `submission_index` is `None`. If that fails, fails the mapping.
fn wait(
    device: &wgpu::Device,
    faults: &Faults,
    submission_index: Option<wgpu::SubmissionIndex>,
    mapping: Option<&Mapping>,
) {
    let waited = poll(device, faults, wgpu::PollType::Wait { submission_index, timeout: None });
    if let (Err(_), Some(mapping)) = (waited, mapping) {
        mapping.fail();
    }
}

impl Poller {
    pub(super) fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Makes sure that a mapping resolves. It follows this submission.
    pub(super) fn await_mapping(
        &self,
        device: &wgpu::Device,
        faults: &Arc<Faults>,
        submission: wgpu::SubmissionIndex,
        mapping: &Arc<Mapping>,
    ) -> Result<()> {
        let mut state = self.shared.state();
        self.start(&mut state, device, faults)?;
        state.awaited.push_back((submission, Arc::clone(mapping)));
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Makes sure that all mappings resolve in the end.
    pub(super) fn abandon(&self, device: &wgpu::Device, faults: &Arc<Faults>) {
        let mut state = self.shared.state();
        // Without a thread, the next poll brings the buffers back.
        if self.start(&mut state, device, faults).is_ok() && !state.abandoned {
            state.abandoned = true;
            self.shared.changed.notify_one();
        }
    }

    fn start(&self, state: &mut State, device: &wgpu::Device, faults: &Arc<Faults>) -> Result<()> {
        if state.running || cfg!(target_arch = "wasm32") {
            // A browser polls by itself.
            return Ok(());
        }
        let (shared, device, faults) = (self.shared.clone(), device.clone(), faults.clone());
        let thread = std::thread::Builder::new().name("wgrad poller".to_owned());
        let spawned = thread.spawn(move || shared.run(&device, &faults));
        spawned.map_err(|error| Error::Gpu {
            description: format!("no thread can be started to wait for the GPU: {error}"),
        })?;
        state.running = true;
        Ok(())
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_one();
    }
}
