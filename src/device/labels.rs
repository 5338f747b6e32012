//! Class indices.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Device;
use super::plan::check_reading;
use crate::backend::{Storage, Written};
use crate::error::{Error, Result};

/// Class indices on a device, one a row: what [`Device::labels`] makes.
///
/// Cheap to clone, and a clone shares the labels: what [`write`](Self::write) stores is seen through
/// every clone.
#[derive(Clone)]
pub struct Labels {
    device: Device,
    storage: Storage,
    // Kept so that a loss can check them without a read-back.
    host: Arc<Mutex<Vec<i32>>>,
    rows: usize,
}

impl Labels {
    pub(crate) fn new(device: Device, storage: Storage, labels: Vec<i32>) -> Self {
        let rows = labels.len();
        Self { device, storage, host: Arc::new(Mutex::new(labels)), rows }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The labels. In the work of a [`Plan`](crate::Plan) the plan is an error: a run would not look at them
    /// again.
    pub fn to_vec(&self) -> Vec<i32> {
        // The plan is told, as the caller cannot be.
        let _ = check_reading("labels read by the host");
        self.lock().clone()
    }

    /// Replaces the labels. What was recorded before still sees the old ones.
    ///
    /// ```
    /// use wgrad::Device;
    ///
    /// let labels = Device::cpu().labels(&[0, 1])?;
    /// labels.write(&[2, 0])?;
    /// assert_eq!(labels.to_vec(), [2, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] where the number of labels differs; nothing is written then.
    pub fn write(&self, labels: &[i32]) -> Result<()> {
        if labels.len() != self.rows {
            let expected = format!("{} labels", self.rows);
            return Err(Error::shape("write", expected, labels.len()));
        }
        // The lock is kept, so that host and device have the labels of the same call.
        let mut host = self.lock();
        self.device.write(bytemuck::cast_slice(labels), Written::Labels, &self.storage)?;
        host.copy_from_slice(labels);
        if self.device.is_recording() {
            // A plan writes the same again, whatever the host has by then.
            let (shared, labels) = (Arc::clone(&self.host), host.clone());
            let restore = move || {
                shared.lock().unwrap_or_else(PoisonError::into_inner).copy_from_slice(&labels);
            };
            self.device.keep_effect(Arc::new(restore));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<i32>> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device that they live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether a row has this label.
    pub(crate) fn is(&self, row: usize, label: Option<i32>) -> bool {
        label.is_some() && self.lock().get(row).copied() == label
    }

    /// The number of rows that count, or the first label that is neither a class nor ignored.
    pub(crate) fn count(&self, classes: usize, ignore_index: Option<i32>) -> Result<usize> {
        // Without a branch for each row: they may be many, at every step.
        let classes_end = u32::try_from(classes).map_or(1 << 31, |classes| classes.min(1 << 31));
        let is_class = |label: i32| (label as u32) < classes_end;
        let ignored = |label: i32| Some(label) == ignore_index;
        let valid = |label: i32| is_class(label) | ignored(label);
        let host = self.lock();
        if host.iter().filter(|&&label| valid(label)).count() < host.len() {
            let row = host.iter().position(|&label| !valid(label)).unwrap_or_default();
            return Err(Error::InvalidLabel { row, label: host[row], classes });
        }
        Ok(host.iter().filter(|&&label| !ignored(label)).count())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labels")
            .field("device", &self.device)
            .field("labels", &*self.lock())
            .finish()
    }
}
