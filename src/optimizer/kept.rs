//! The settings of an optimizer that plans read: they are kept on the device, and may change between two runs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Purpose, Storage, Written};
use crate::device::Device;
use crate::device::plan::Check;
use crate::error::Result;

/// The settings on each device on which the optimizer has taken part in a plan.
#[derive(Default)]
pub(super) struct KeptSettings {
    devices: Vec<Kept>,
}

/// The settings on a device.
pub(super) struct Kept {
    device: Device,
    pub(super) settings: Storage,
    pub(super) corrections: Option<Corrections>,
    shared: Arc<Mutex<Shared>>,
}

/// A table for the bias corrections of Adam.
pub(super) struct Corrections {
    pub(super) of: [f32; 2],
    pub(super) storage: Storage,
    pub(super) entries: usize,
}

/// Makes the table of these βs on a device.
pub(super) type MakeTable = fn(&Device, [f32; 2]) -> Result<Corrections>;

/// What the optimizer and its plans share.
struct Shared {
    /// The settings, or what is wrong with them.
    values: Result<Vec<f32>>,
    /// Whether the device has them.
    is_written: bool,
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes settings that have changed.
fn write(device: &Device, settings: &Storage, shared: &Mutex<Shared>) -> Result<()> {
    let mut shared = locked(shared);
    let values = shared.values.clone()?;
    if !shared.is_written {
        let words: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        set(device, settings, &words)?;
        shared.is_written = true;
    }
    Ok(())
}

/// A storage with these words, which no plan writes.
pub(super) fn stored(device: &Device, words: &[u32]) -> Result<Storage> {
    let storage = device.backend.allocate(words.len(), Purpose::Tensor)?;
    set(device, &storage, words)?;
    Ok(storage)
}

/// Writes the words of a storage, which is no part of the plan that may be recorded.
pub(super) fn set(device: &Device, storage: &Storage, words: &[u32]) -> Result<()> {
    device.backend.write(bytemuck::cast_slice(words), Written::Labels, storage)
}

impl KeptSettings {
    pub(super) const fn new() -> Self {
        Self { devices: Vec::new() }
    }

    /// The settings on a device; `None` if the optimizer has taken part in no plan there.
    pub(super) fn on(&self, device: &Device) -> Option<&Kept> {
        self.devices.iter().find(|kept| kept.device == *device)
    }

    /// Makes sure that a device has the settings, if they are on it or a plan is being recorded, which then begins each
    /// run by writing what has changed. `table` makes the table for the bias corrections of these βs, if there are any.
    pub(super) fn prepare(
        &mut self,
        device: &Device,
        values: &[f32],
        table: Option<([f32; 2], MakeTable)>,
    ) -> Result<()> {
        let is_recording = device.is_recording();
        if !is_recording && self.on(device).is_none() {
            return Ok(());
        }
        // Plans keep the table that they were recorded with.
        let betas = table.map(|(betas, _)| betas);
        let is_of_others = |kept: &Kept| kept.corrections.as_ref().map(|it| it.of) != betas;
        self.devices.retain(|kept| kept.device != *device || !is_of_others(kept));
        if self.on(device).is_none() {
            let shared = Shared { values: Ok(values.to_vec()), is_written: false };
            self.devices.push(Kept {
                device: device.clone(),
                settings: device.backend.allocate(values.len(), Purpose::Tensor)?,
                corrections: table.map(|(betas, make)| make(device, betas)).transpose()?,
                shared: Arc::new(Mutex::new(shared)),
            });
        }
        self.set(Ok(values.to_vec()));
        let Some(kept) = self.on(device) else { return Ok(()) };
        write(device, &kept.settings, &kept.shared)?;
        if is_recording {
            let (settings, shared) = (kept.settings.clone(), Arc::clone(&kept.shared));
            let device = device.clone();
            let of = settings.clone();
            let run = move || write(&device, &settings, &shared);
            kept.device.keep_check(Check { of, run: Arc::new(run) });
        }
        Ok(())
    }

    /// Changes the settings for the next steps, also for those of plans.
    pub(super) fn set(&self, values: Result<Vec<f32>>) {
        for kept in &self.devices {
            let mut shared = locked(&kept.shared);
            shared.is_written &= shared.values == values;
            shared.values.clone_from(&values);
        }
    }
}

impl fmt::Debug for KeptSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.devices.iter().map(|kept| &kept.device)).finish()
    }
}
