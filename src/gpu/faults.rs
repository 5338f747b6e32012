//! Errors that the GPU reports, early or late.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// What has gone wrong on a device and not been told to the caller yet.
#[derive(Default)]
pub(super) struct Faults {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Final, and told at every call: the device is gone, or recorded work was not done, so that
    /// tensors do not hold what they should.
    fatal: Option<Error>,
    /// Told once.
    pending: Option<Error>,
}

impl Faults {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error to return instead of going on, if there is one.
    pub(super) fn check(&self) -> Result<()> {
        self.check_fatal()?;
        self.state().pending.take().map_or(Ok(()), Err)
    }

    /// As [`check`](Self::check), for what no call can get past.
    pub(super) fn check_fatal(&self) -> Result<()> {
        self.state().fatal.clone().map_or(Ok(()), Err)
    }

    pub(super) fn lose(&self, reason: impl Into<String>) {
        self.break_down(Error::DeviceLost { reason: reason.into() });
    }

    /// Keeps the first error, but for a lost device, which explains all others.
    pub(super) fn break_down(&self, error: Error) {
        let mut state = self.state();
        let lost = |error: &Error| matches!(error, Error::DeviceLost { .. });
        if state.fatal.is_none() || (lost(&error) && !state.fatal.as_ref().is_some_and(lost)) {
            state.fatal = Some(error);
        }
    }

    /// Keeps the first error: the later ones often follow from it.
    pub(super) fn report(&self, error: Error) {
        self.state().pending.get_or_insert(error);
    }
}

/// wgpu's error in our words.
pub(super) fn translate(error: wgpu::Error, bytes: u64) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { bytes },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Gpu { description }
        }
    }
}

/// Runs code that calls wgpu and returns the errors that it raises on this thread.
///
/// In a browser errors arrive later; there the device's own handler keeps them for the next call.
pub(super) fn guarded<T>(device: &wgpu::Device, bytes: u64, run: impl FnOnce() -> T) -> Result<T> {
    #[cfg(target_arch = "wasm32")]
    {
        let _ = (device, bytes);
        Ok(run())
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        let filters = [
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Internal,
        ];
        let scopes = filters.map(|filter| device.push_error_scope(filter));
        let result = run();
        // The innermost scope first; natively each is ready at once.
        let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop()));
        match errors.collect::<Vec<_>>().into_iter().flatten().next() {
            Some(error) => Err(translate(error, bytes)),
            None => Ok(result),
        }
    }
}
