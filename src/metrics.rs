//! What one measures while training: counts of right and wrong classifications.

use std::sync::{Arc, OnceLock};

use crate::backend::{OpOf, PredictionCount, PredictionCountOf, Purpose, Reading, Rows, Storage};
use crate::device::Device;
use crate::device::labels::Labels;
use crate::device::plan::{Check, check_reading, unrecorded};
use crate::device::tensor::{Tensor, check_devices};
use crate::error::{Error, Result};

/// Counts of right and wrong classifications, which stay on the device while batches are
/// [added](Self::add); [`scores`](Self::scores) reads a few numbers once. A clone shares the counts.
///
/// A row predicts the class of its greatest output, the first of several; a NaN counts as the greatest, as in PyTorch's
/// `argmax`. Logits, probabilities and their logarithms predict the same classes.
///
/// ```
/// use wgrad::{Device, Metrics};
///
/// let device = Device::cpu();
/// let metrics = Metrics::new(&device, 3).top_k(2).confusion_matrix(true);
/// let logits = device.tensor(&[2.0, 1.0, 0.0, 0.1, 0.3, 0.2, 5.0, 6.0, 7.0], [3, 3])?;
/// metrics.add(&logits, &device.labels(&[0, 2, 0])?)?;
///
/// let scores = metrics.scores()?;
/// assert_eq!((scores.rows(), scores.correct()), (3, 1));
/// assert_eq!((scores.accuracy(), scores.top_k_accuracy()), (1.0 / 3.0, 2.0 / 3.0));
/// assert_eq!(scores.confusion(2, 1), Some(1)); // a 2 that was taken for a 1
/// assert_eq!(scores.recall(0), Some(0.5));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    device: Device,
    classes: usize,
    top_k: usize,
    ignore_index: Option<i32>,
    matrix: bool,
    counts: Arc<OnceLock<Counts>>,
}

/// The counts on the device.
struct Counts(Storage);

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Counts({} words)", self.0.elements())
    }
}

impl Metrics {
    /// Counts of this number of classes, all 0.
    pub fn new(device: &Device, classes: usize) -> Self {
        Self {
            device: device.clone(),
            classes,
            top_k: 1,
            ignore_index: None,
            matrix: false,
            counts: Arc::default(),
        }
    }

    /// Also counts the rows whose label is among the k classes with the greatest outputs; 1 by default, which is the
    /// same as the right ones. Among equal outputs the first come first. Begins anew.
    #[must_use]
    pub fn top_k(self, k: usize) -> Self {
        Self { top_k: k, counts: Arc::default(), ..self }
    }

    /// Rows with this label are left out, as by a loss with this `ignore_index`. Begins anew.
    #[must_use]
    pub fn ignore_index(self, label: i32) -> Self {
        Self { ignore_index: Some(label), counts: Arc::default(), ..self }
    }

    /// Whether to count each label with each prediction, too: K² counts of eight bytes; `false` by default. Begins anew.
    #[must_use]
    pub fn confusion_matrix(self, counted: bool) -> Self {
        Self { matrix: counted, counts: Arc::default(), ..self }
    }

    /// Adds a batch of outputs [..., K] and a label for each row. In the work of a [`Plan`](crate::Plan) each run adds one.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if the outputs and labels do not match each other or the
    /// number of classes; [`Error::InvalidLabel`], except for labels that only the device knows, which are
    /// [counted](Scores::invalid); [`Error::TooLarge`] or [`Error::OutOfMemory`] if the confusion matrix does not fit the
    /// device.
    pub fn add(&self, outputs: &Tensor, labels: &Labels) -> Result<()> {
        const OP: &str = "metrics";
        check_devices(OP, [&self.device, outputs.device(), labels.device()])?;
        let rows = outputs.as_rows();
        if outputs.shape().is_empty() || rows.width != self.classes || self.classes == 0 {
            let expected = format!("outputs with a last axis of {} classes", self.classes);
            let expected =
                if self.classes == 0 { "at least one class".to_owned() } else { expected };
            return Err(Error::shape(OP, expected, outputs.dimensions()));
        }
        if labels.len() != rows.count {
            let expected = format!("{} labels for outputs {}", rows.count, outputs.dimensions());
            return Err(Error::shape(OP, expected, labels.len()));
        }
        let (classes, ignore_index) = (self.classes, self.ignore_index);
        labels.count(classes, ignore_index)?;
        if self.device.is_recording() {
            let (of, labels) = (labels.storage().clone(), labels.clone());
            let run = Arc::new(move || labels.count(classes, ignore_index).map(drop));
            self.device.keep_check(Check { of, run });
        }
        let counts = self.counts()?;
        if rows.count == 0 {
            return Ok(());
        }
        let predictions = self.device.scratch(2 * rows.count)?;
        let outputs = outputs.wide()?;
        self.device.run(OpOf::Predict {
            input: outputs.storage(),
            rows,
            labels: Some(labels.storage()),
            output: &predictions,
        })?;
        let count = self.counting(&predictions, labels.storage(), rows, counts);
        self.device.run(OpOf::CountPredictions(count))
    }

    fn counting<'a>(
        &self,
        predictions: &'a Storage,
        labels: &'a Storage,
        rows: Rows,
        counts: &'a Storage,
    ) -> PredictionCount<'a> {
        PredictionCountOf {
            predictions,
            labels,
            rows: rows.count,
            classes: self.classes,
            ignore_index: self.ignore_index,
            top_k: self.top_k,
            matrix: self.matrix,
            counts,
        }
    }

    fn words(&self) -> Result<usize> {
        let cells = if self.matrix { self.classes.checked_mul(self.classes) } else { Some(0) };
        let words = cells.and_then(|cells| (cells + PredictionCount::TOTALS).checked_mul(2));
        words.ok_or_else(|| Error::TooLarge {
            what: format!("a confusion matrix of {} classes", self.classes),
            bytes: u64::MAX,
            limit: self.device.info().max_tensor_bytes,
        })
    }

    /// The counts, which begin with 0.
    fn counts(&self) -> Result<&Storage> {
        if self.counts.get().is_none() {
            let words = self.words()?;
            let counts = self.device.backend.allocate(words, Purpose::Tensor)?;
            // A plan does not begin anew at each run.
            unrecorded(|| self.device.zero(&counts, words))?;
            let _ = self.counts.set(Counts(counts));
        }
        self.counts.get().map(|counts| &counts.0).ok_or_else(|| Error::Unsupported {
            what: "metrics".to_owned(),
            reason: "their counts could not be kept".to_owned(),
        })
    }

    /// Sets all counts to 0.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn reset(&self) -> Result<()> {
        match self.counts.get() {
            Some(counts) => self.device.zero(&counts.0, self.words()?),
            None => Ok(()),
        }
    }

    /// The scores of all rows so far. Blocks until they have been counted.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn scores(&self) -> Result<Scores> {
        let words = self.start_reading()?.wait()?;
        Ok(self.scores_of(&words))
    }

    /// The scores without blocking, as [`Tensor::read`].
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub fn read(&self) -> impl Future<Output = Result<Scores>> + use<> {
        let (reading, metrics) = (self.start_reading(), self.clone());
        async move { Ok(metrics.scores_of(&reading?.resolve().await?)) }
    }

    fn start_reading(&self) -> Result<Reading> {
        check_reading("a read of metrics")?;
        self.device.backend.read(self.counts()?, self.words()?)
    }

    fn scores_of(&self, words: &[f32]) -> Scores {
        let count = |words: &[f32]| {
            words.iter().rev().fold(0, |high, word| (high << 32) | u64::from(word.to_bits()))
        };
        let mut counts = words.chunks(2).map(count);
        let mut next = || counts.next().unwrap_or_default();
        let [rows, correct, in_top_k, ignored, invalid] = std::array::from_fn(|_| next());
        Scores {
            rows,
            correct,
            in_top_k,
            ignored,
            invalid,
            classes: self.classes,
            matrix: counts.collect(),
        }
    }
}

/// What [`Metrics`] have counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scores {
    rows: u64,
    correct: u64,
    in_top_k: u64,
    ignored: u64,
    invalid: u64,
    classes: usize,
    /// A row for each label; empty without a confusion matrix.
    matrix: Vec<u64>,
}

impl Scores {
    /// The number of rows that count: neither ignored nor invalid.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of rows that predict their label.
    pub const fn correct(&self) -> u64 {
        self.correct
    }

    /// The number of rows with the label to [ignore](Metrics::ignore_index).
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The number of rows whose label is no class, of [labels that only the device knows](Device::labels_from_buffer).
    pub const fn invalid(&self) -> u64 {
        self.invalid
    }

    /// The fraction of the rows that predict their label; NaN without rows.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.rows as f64
    }

    /// The fraction of the rows whose label is among the first k: see [`Metrics::top_k`]; NaN without rows.
    pub fn top_k_accuracy(&self) -> f64 {
        self.in_top_k as f64 / self.rows as f64
    }

    /// The number of rows with this label that predict this class; `None` without a
    /// [confusion matrix](Metrics::confusion_matrix) or if there is no such class.
    pub fn confusion(&self, label: usize, predicted: usize) -> Option<u64> {
        let is_class = label.max(predicted) < self.classes;
        is_class.then(|| self.matrix.get(label * self.classes + predicted).copied()).flatten()
    }

    /// The fraction of the rows predicting this class that have it as their label; NaN if no row predicts it. `None` as
    /// for [`confusion`](Self::confusion).
    pub fn precision(&self, class: usize) -> Option<f64> {
        let predicted: u64 =
            (0..self.classes).filter_map(|label| self.confusion(label, class)).sum();
        Some(self.confusion(class, class)? as f64 / predicted as f64)
    }

    /// The fraction of the rows with this label that predict it; NaN if no row has it. `None` as for
    /// [`confusion`](Self::confusion).
    pub fn recall(&self, class: usize) -> Option<f64> {
        let labelled: u64 =
            (0..self.classes).filter_map(|other| self.confusion(class, other)).sum();
        Some(self.confusion(class, class)? as f64 / labelled as f64)
    }

    /// The harmonic mean of precision and recall, 2·TP / (2·TP + FP + FN); NaN if no row has or predicts the class.
    /// `None` as for [`confusion`](Self::confusion).
    pub fn f1(&self, class: usize) -> Option<f64> {
        let count = |label, predicted| self.confusion(label, predicted).unwrap_or_default();
        let right = self.confusion(class, class)?;
        let both: u64 =
            (0..self.classes).map(|other| count(class, other) + count(other, class)).sum();
        Some(2.0 * right as f64 / both as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Written;
    use crate::common::{adapters, cpu};

    #[test]
    fn counts_go_on_beyond_a_word() {
        for device in [cpu()].into_iter().chain(adapters()) {
            let metrics = Metrics::new(device, 1).confusion_matrix(true);
            let labels = device.labels(&[0; 300]).unwrap();
            let z = device.zeros([300, 1]).unwrap();
            let counts = metrics.counts().unwrap();
            let words: Vec<u32> = [u32::MAX - 100, 2].repeat(6);
            device.write(bytemuck::cast_slice(&words), Written::Labels, counts).unwrap();
            metrics.add(&z, &labels).unwrap();
            let scores = metrics.scores().unwrap();
            let (before, after) = ((3 << 32) - 101, (3 << 32) + 199);
            assert_eq!((scores.rows(), scores.correct(), scores.ignored()), (after, after, before));
            assert_eq!((scores.confusion(0, 0), scores.invalid()), (Some(after), before));
        }
    }
}
