//! Errors that the GPU reports, early or late.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// What has gone wrong on a device and has not been reported to the caller yet.
#[derive(Default)]
pub(super) struct Faults {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Final, and reported by every call.
    lost: Option<Error>,
    /// Reported once.
    pending: Option<Error>,
}

impl Faults {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an error if a call must not go on.
    pub(super) fn check(&self) -> Result<()> {
        self.check_lost()?;
        self.state().pending.take().map_or(Ok(()), Err)
    }

    /// Like [`check`](Self::check), but only for the loss of the device, which no call can get past.
    pub(super) fn check_lost(&self) -> Result<()> {
        self.state().lost.clone().map_or(Ok(()), Err)
    }

    /// Keeps the first reason: the later ones often follow from it.
    pub(super) fn lose(&self, reason: impl Into<String>) {
        self.state().lost.get_or_insert(Error::DeviceLost { reason: reason.into() });
    }

    /// Keeps the first error: the later ones often follow from it.
    pub(super) fn report(&self, error: Error) {
        self.state().pending.get_or_insert(error);
    }
}

/// Why a device is gone, if nothing reports the reason.
pub(super) const GONE: &str =
    "the application destroyed its wgpu device, or the driver lost it; open another";

/// Why a device is gone, in our words.
pub(super) fn reason_of(reason: wgpu::DeviceLostReason, message: &str) -> String {
    match reason {
        wgpu::DeviceLostReason::Destroyed => {
            "the application destroyed its wgpu device; open another".to_owned()
        }
        wgpu::DeviceLostReason::Unknown => format!("the driver lost it: {message}; open another"),
    }
}

/// Whether a device is gone. wgpu reports that only to the device's callback, which belongs to the application if
/// the device does; to others the calls seem to succeed.
pub(super) fn is_lost(device: &wgpu::Device) -> bool {
    if cfg!(target_arch = "wasm32") {
        return false;
    }
    // No device creates such a buffer, but a device that is gone does not even report an error.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    drop(device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgrad asks whether the device is there"),
        size: u64::MAX,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    }));
    pollster::block_on(scope.pop()).is_none()
}

/// Whether an error says that the caller has destroyed a buffer.
pub(super) fn tells_of_destroyed(error: &Error) -> bool {
    matches!(error, Error::Gpu { description } if description.contains("has been destroyed"))
}

/// Explains why a buffer that the caller has access to cannot be used.
pub(super) fn unusable(error: Error) -> Error {
    let destroyed = tells_of_destroyed(&error);
    match error {
        Error::Gpu { description } if destroyed => {
            let description = format!(
                "the buffer of a tensor was destroyed by the application; use another tensor. {description}"
            );
            Error::Gpu { description }
        }
        other => other,
    }
}

/// Translates wgpu's error into one of this crate.
pub(super) fn translate(error: wgpu::Error, bytes: u64) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { bytes },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Gpu { description }
        }
    }
}

/// Runs code that calls wgpu, and returns the first error that it raises on this thread.
///
/// In a browser errors arrive later, and the device's own handler keeps them for the next call.
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
        // Pops the innermost scope first. Natively, each result is ready at once.
        let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop()));
        match errors.collect::<Vec<_>>().into_iter().flatten().next() {
            Some(error) => Err(translate(error, bytes)),
            None => Ok(result),
        }
    }
}
