//! Class indices.

use std::fmt;
use std::ops::{Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Device;
use super::parts::range_of;
use super::plan::{check_reading, unrecorded};
use crate::backend::{OpOf, Purpose, Reading, Storage, Written};
use crate::error::{Error, Result};

/// Class indices on a device, one a row: what [`Device::labels`] makes.
///
/// Cheap to clone, and a clone shares the labels: what [`write`](Self::write) stores is seen through
/// every clone.
#[derive(Clone)]
pub struct Labels {
    device: Device,
    storage: Storage,
    host: Host,
    /// The number of invalid labels that losses have met on the device.
    invalid: Arc<OnceLock<Storage>>,
}

/// What the host knows of labels, kept so that a loss can check them without a read-back.
#[derive(Clone)]
struct Host {
    /// The labels that the rows are a part of; `None` if only the device knows them.
    all: Arc<Mutex<Option<Vec<i32>>>>,
    rows: Range<usize>,
    /// Whether the rows are not a part.
    whole: bool,
    /// Whether the application may change the labels on the device at any time.
    adopted: bool,
}

type Known = Option<Vec<i32>>;

impl Host {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The labels of the rows, if they are known.
    fn of<'a>(&self, all: &'a Known) -> Option<&'a [i32]> {
        all.as_deref().map(|all| &all[self.rows.clone()])
    }

    /// Notes the new labels of the rows. As long as others are not known, a part is not either.
    fn note(&self, all: &mut Known, labels: Option<&[i32]>) {
        match (labels, &mut *all) {
            (Some(labels), Some(all)) => all[self.rows.clone()].copy_from_slice(labels),
            (Some(labels), None) if self.whole && !self.adopted => *all = Some(labels.to_vec()),
            (Some(_), None) => {}
            (None, _) => *all = None,
        }
    }
}

impl Labels {
    pub(crate) fn new(device: Device, storage: Storage, labels: Vec<i32>) -> Self {
        let rows = labels.len();
        Self::of(device, storage, rows, Some(labels), false)
    }

    /// Labels that an operation has written on the device.
    pub(crate) fn of_device(device: Device, storage: Storage, rows: usize) -> Self {
        Self::of(device, storage, rows, None, false)
    }

    /// Labels that only the device knows, and that the application may change there.
    pub(crate) fn adopted(device: Device, storage: Storage, rows: usize) -> Self {
        Self::of(device, storage, rows, None, true)
    }

    fn of(device: Device, storage: Storage, rows: usize, labels: Known, adopted: bool) -> Self {
        let host = Host { all: Arc::new(Mutex::new(labels)), rows: 0..rows, whole: true, adopted };
        Self { device, storage, host, invalid: Arc::default() }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.host.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels. Those that only the device knows, because the application or a plan wrote them there, are read
    /// back; if that fails, the result is empty, and [`try_to_vec`](Self::try_to_vec) says why. In the work of a
    /// [`Plan`](crate::Plan) the plan is an error: a run would not look at them again.
    pub fn to_vec(&self) -> Vec<i32> {
        // The plan is told, as the caller cannot be.
        let _ = check_reading("labels read by the host");
        self.values().unwrap_or_default()
    }

    /// The labels, as [`to_vec`](Self::to_vec).
    ///
    /// # Errors
    /// For labels that only the device knows, as [`Tensor::to_vec`](crate::Tensor::to_vec).
    pub fn try_to_vec(&self) -> Result<Vec<i32>> {
        check_reading("labels read by the host")?;
        self.values()
    }

    /// The labels without blocking, as [`Tensor::read`](crate::Tensor::read): for browsers and async applications.
    ///
    /// ```
    /// use wgrad::Device;
    ///
    /// let logits = Device::cpu().tensor(&[0.1, 0.7, 0.2], [1, 3])?;
    /// # pollster::block_on(async {
    /// assert_eq!(logits.argmax()?.read().await?, [1]);
    /// # Ok::<(), wgrad::Error>(())
    /// # })?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::read`](crate::Tensor::read).
    pub fn read(&self) -> impl Future<Output = Result<Vec<i32>>> + use<> {
        let known = self.known();
        let reading = check_reading("labels read by the host").and_then(|()| match &known {
            Some(_) => Ok(Reading::Ready(Vec::new())),
            None => self.start_reading(),
        });
        async move {
            let words = reading?.resolve().await?;
            Ok(known.unwrap_or_else(|| labels_of(words)))
        }
    }

    fn known(&self) -> Known {
        self.host.of(&self.host.lock()).map(<[i32]>::to_vec)
    }

    fn values(&self) -> Result<Vec<i32>> {
        self.known().map_or_else(|| self.read_back(), Ok)
    }

    fn start_reading(&self) -> Result<Reading> {
        self.device.backend.read(&self.storage, self.len())
    }

    fn read_back(&self) -> Result<Vec<i32>> {
        Ok(labels_of(self.start_reading()?.wait()?))
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
    /// [`Error::ShapeMismatch`] if the number of labels differs; nothing is written then.
    pub fn write(&self, labels: &[i32]) -> Result<()> {
        self.check_rows("write", labels.len())?;
        // The lock is kept, so that host and device have the labels of the same call.
        let mut all = self.host.lock();
        self.device.write(bytemuck::cast_slice(labels), Written::Labels, &self.storage)?;
        self.host.note(&mut all, Some(labels));
        if self.device.is_recording() {
            // A plan writes the same again, whatever the host has by then.
            let (host, labels) = (self.host.clone(), labels.to_vec());
            let restore = move || host.note(&mut host.lock(), Some(&labels));
            self.device.keep_effect(Arc::new(restore));
        }
        Ok(())
    }

    /// A view of some of the rows, without a copy: it shares the labels.
    ///
    /// ```
    /// use wgrad::Device;
    ///
    /// let labels = Device::cpu().labels(&[0, 1, 2, 3])?;
    /// let batch = labels.rows(1..3)?;
    /// batch.write(&[7, 8])?;
    /// assert_eq!(labels.to_vec(), [0, 7, 8, 3]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if there are no such rows.
    pub fn rows(&self, rows: impl RangeBounds<usize>) -> Result<Self> {
        let rows = range_of("rows", rows, self.len())?;
        if rows.len() == self.len() {
            return Ok(self.clone());
        }
        let first = self.host.rows.start;
        let host =
            Host { rows: first + rows.start..first + rows.end, whole: false, ..self.host.clone() };
        let storage = self.storage.part(rows.start, rows.len());
        let storage = storage.unwrap_or_else(|| self.storage.clone());
        Ok(Self { storage, host, ..self.clone() })
    }

    /// Replaces the labels by those of `source`, such as the [rows](Self::rows) of a minibatch. On one device that is a
    /// copy without an upload. In the work of a [`Plan`](crate::Plan) each run copies what the source holds by then, and
    /// losses check it on the device, as they check [labels of a buffer](Device::labels_from_buffer).
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the number of rows differs; as [`try_to_vec`](Self::try_to_vec) and
    /// [`write`](Self::write) between devices.
    pub fn copy_from(&self, source: &Self) -> Result<()> {
        self.check_rows("copy_from", source.len())?;
        if !self.device.same(&source.device) {
            return self.write(&source.try_to_vec()?);
        }
        // Both are locked, so that host and device have the labels of the same call.
        let (one, two) = (&self.host.all, &source.host.all);
        let is_one = Arc::ptr_eq(one, two);
        let earlier = (!is_one && Arc::as_ptr(two) < Arc::as_ptr(one)).then(|| source.host.lock());
        let mut all = self.host.lock();
        let later = (!is_one && earlier.is_none()).then(|| source.host.lock());
        let output = &self.storage;
        self.device.run(OpOf::Copy { input: &source.storage, output })?;
        if self.device.is_recording() {
            self.host.note(&mut all, None);
            let host = self.host.clone();
            self.device.keep_effect(Arc::new(move || host.note(&mut host.lock(), None)));
            return Ok(());
        }
        let theirs = earlier.as_deref().or(later.as_deref()).unwrap_or(&all);
        let labels = source.host.of(theirs).map(<[i32]>::to_vec);
        self.host.note(&mut all, labels.as_deref());
        Ok(())
    }

    /// The labels on another device; on the same one this is a clone, which shares the labels.
    ///
    /// # Errors
    /// As [`try_to_vec`](Self::try_to_vec) and [`Device::labels`].
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.device.same(device) {
            return Ok(self.clone());
        }
        device.labels(&self.try_to_vec()?)
    }

    /// The number of labels that were neither a class nor ignored when a loss used them, in all uses so far. Only
    /// labels that the host does not know are counted; with others the loss is an error.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`](crate::Tensor::to_vec).
    pub fn invalid(&self) -> Result<usize> {
        check_reading("a count of labels")?;
        let Some(counter) = self.invalid.get() else { return Ok(0) };
        let words = self.device.backend.read(counter, 1)?.wait()?;
        Ok(words.first().map_or(0, |count| count.to_bits() as usize))
    }

    /// Where the device counts invalid labels.
    pub(crate) fn counter(&self) -> Result<&Storage> {
        if self.invalid.get().is_none() {
            let counter = self.device.backend.allocate(1, Purpose::Tensor)?;
            unrecorded(|| self.device.zero(&counter, 1))?;
            let _ = self.invalid.set(counter);
        }
        Ok(self.invalid.get().unwrap_or(&self.storage))
    }

    fn check_rows(&self, op: &'static str, rows: usize) -> Result<()> {
        if rows == self.len() {
            return Ok(());
        }
        Err(Error::shape(op, format!("{} labels", self.len()), rows))
    }

    /// The device that they live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether the host knows the labels.
    pub(crate) fn is_known(&self) -> bool {
        self.host.lock().is_some()
    }

    /// Whether a row may have this label, as far as the host knows.
    pub(crate) fn may_be(&self, row: usize, label: Option<i32>) -> bool {
        let all = self.host.lock();
        let known = self.host.of(&all);
        label.is_some() && known.is_none_or(|labels| labels.get(row).copied() == label)
    }

    /// The number of rows that count, or the first label that is neither a class nor ignored. `None` if only the device
    /// knows the labels; a checked device reads them back.
    pub(crate) fn count(&self, classes: usize, ignore_index: Option<i32>) -> Result<Option<usize>> {
        let all = self.host.lock();
        match self.host.of(&all) {
            Some(labels) => count(labels, classes, ignore_index).map(Some),
            None if self.device.is_checked() => {
                count(&self.read_back()?, classes, ignore_index).map(Some)
            }
            None => Ok(None),
        }
    }
}

/// The labels that are stored in words.
fn labels_of(words: Vec<f32>) -> Vec<i32> {
    words.into_iter().map(|word| word.to_bits().cast_signed()).collect()
}

fn count(labels: &[i32], classes: usize, ignore_index: Option<i32>) -> Result<usize> {
    // Without a branch for each row: they may be many, at every step.
    let classes_end = u32::try_from(classes).map_or(1 << 31, |classes| classes.min(1 << 31));
    let is_class = |label: i32| (label as u32) < classes_end;
    let ignored = |label: i32| Some(label) == ignore_index;
    let valid = |label: i32| is_class(label) | ignored(label);
    if labels.iter().filter(|&&label| valid(label)).count() < labels.len() {
        let row = labels.iter().position(|&label| !valid(label)).unwrap_or_default();
        return Err(Error::InvalidLabel { row, label: labels[row], classes });
    }
    Ok(labels.iter().filter(|&&label| !ignored(label)).count())
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut labels = f.debug_struct("Labels");
        labels.field("device", &self.device);
        match self.host.of(&self.host.lock()) {
            Some(known) => labels.field("labels", &known).finish(),
            None => labels.field("rows", &self.len()).finish_non_exhaustive(),
        }
    }
}
