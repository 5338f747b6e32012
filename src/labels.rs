//! Class indices.

use std::fmt;
use std::sync::Arc;

use crate::backend::Storage;
use crate::device::Device;
use crate::error::{Error, Result};

/// Class indices on a device, one a row: what [`Device::labels`] makes. Cheap to clone.
#[derive(Clone)]
pub struct Labels {
    device: Device,
    storage: Storage,
    // Kept so that a loss can check them without a read-back.
    host: Arc<[i32]>,
}

impl Labels {
    pub(crate) fn new(device: Device, storage: Storage, labels: &[i32]) -> Self {
        Self { device, storage, host: labels.into() }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.host.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.host.is_empty()
    }

    /// The labels.
    pub fn as_slice(&self) -> &[i32] {
        &self.host
    }

    /// The device that they live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The number of rows that count, or the first label that is neither a class nor ignored.
    pub(crate) fn count(&self, classes: usize, ignore_index: Option<i32>) -> Result<usize> {
        let ignored = |label: i32| Some(label) == ignore_index;
        let valid = |label: i32| {
            usize::try_from(label).is_ok_and(|label| label < classes) || ignored(label)
        };
        if let Some(row) = self.host.iter().position(|&label| !valid(label)) {
            return Err(Error::InvalidLabel { row, label: self.host[row], classes });
        }
        Ok(self.host.iter().filter(|&&label| !ignored(label)).count())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labels").field("device", &self.device).field("labels", &self.host).finish()
    }
}
