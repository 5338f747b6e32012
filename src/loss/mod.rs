//! Loss functions.

mod catalogue;
mod targets;

pub use catalogue::Loss;
pub(crate) use catalogue::{LossVisitor, Unit};
use targets::TargetValues;
pub use targets::Targets;

use crate::backend::{LossCall, Rows, Storage};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::reduction::Reduction;
use crate::shape::Shape;
use crate::tensor::{Tensor, check_devices};

/// The elements that one partial sum of a loss on elements takes in: fixed, so that the result does
/// not depend on the number of threads.
const PARTIAL: usize = 4096;

impl Loss {
    /// The loss of outputs y of shape [B, K] against targets: dense ones of the same shape, or labels,
    /// one a row.
    ///
    /// The result is a scalar, of shape []; with [`Reduction::None`] it has y's shape for losses on
    /// elements and `[B]` for losses on rows.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DeviceMismatch`] where y and the targets do not fit;
    /// [`Error::InvalidLabel`]; [`Error::InvalidParameter`]; [`Error::Unsupported`] for labels with a
    /// loss on elements.
    pub fn forward(
        &self,
        y: &Tensor,
        targets: impl Into<Targets>,
        reduction: Reduction,
    ) -> Result<Tensor> {
        let targets = targets.into();
        let divisor = self.divisor("loss", y, &targets, reduction)?;
        if reduction == Reduction::None {
            return self.unreduced(y, &targets);
        }
        self.reduced(y, &targets, divisor)
    }

    /// One value for each element, or for each row.
    fn unreduced(&self, y: &Tensor, targets: &Targets) -> Result<Tensor> {
        let device = y.device();
        if let (Unit::Element, TargetValues::Dense(t)) = (self.unit(), &targets.values) {
            let output = device.allocate(y.dimensions().clone())?;
            let (y, t) = (y.storage(), t.storage());
            device.backend.loss_elements(self, y, t, output.storage(), output.len())?;
            return Ok(output);
        }
        let outer = y.shape().len().saturating_sub(1);
        let output = device.allocate(Shape::from(&y.shape()[..outer]))?;
        let call = LossCall { loss: self, targets: targets.storage(), scale: 1.0 };
        device.backend.loss_rows(call, y.storage(), output.storage(), y.rows(), y.len())?;
        Ok(output)
    }

    /// One value for all, for what has been checked.
    pub(crate) fn reduced(
        &self,
        y: &Tensor,
        targets: &Targets,
        divisor: Divisor,
    ) -> Result<Tensor> {
        let device = y.device();
        if divisor.is_empty() {
            return divisor.empty_loss(device);
        }
        // For a loss on elements any cut into rows will do.
        let rows = match self.unit() {
            Unit::Element => Rows { count: y.len().div_ceil(PARTIAL), width: PARTIAL },
            Unit::Row => y.rows(),
        };
        let partial = device.scratch(rows.count)?;
        let call = LossCall { loss: self, targets: targets.storage(), scale: divisor.scale() };
        device.backend.loss_rows(call, y.storage(), &partial, rows, y.len())?;
        total(device, &partial, rows.count)
    }

    /// `dE/dy`, of y's shape. For [`Reduction::None`] the gradient of the sum.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn gradient(
        &self,
        y: &Tensor,
        targets: impl Into<Targets>,
        reduction: Reduction,
    ) -> Result<Tensor> {
        let targets = targets.into();
        let divisor = self.divisor("loss gradient", y, &targets, reduction)?;
        self.scaled_gradient(y, &targets, divisor)
    }

    /// The gradient, for what has been checked.
    pub(crate) fn scaled_gradient(
        &self,
        y: &Tensor,
        targets: &Targets,
        divisor: Divisor,
    ) -> Result<Tensor> {
        let output = y.device().allocate(y.dimensions().clone())?;
        let call = LossCall { loss: self, targets: targets.storage(), scale: divisor.scale() };
        y.device().backend.loss_gradient(call, y.storage(), output.storage(), y.rows())?;
        Ok(output)
    }

    /// Checks everything about a loss, and tells what its reduction divides by.
    pub(crate) fn divisor(
        &self,
        op: &'static str,
        y: &Tensor,
        targets: &Targets,
        reduction: Reduction,
    ) -> Result<Divisor> {
        self.validate()?;
        check_devices(op, [y.device(), targets.device()])?;
        let rows = y.rows();
        if self.unit() == Unit::Row && rows.width == 0 {
            return Err(Error::shape(op, "outputs with at least one class", y.dimensions()));
        }
        let counted = match &targets.values {
            TargetValues::Dense(t) if t.shape() != y.shape() => {
                let expected = format!("targets of the output's shape {}", y.dimensions());
                return Err(Error::shape(op, expected, t.dimensions()));
            }
            TargetValues::Dense(_) => rows.count,
            TargetValues::Labels(_) if self.unit() == Unit::Element => {
                return Err(Error::Unsupported {
                    what: format!("{self} with labels"),
                    reason: "it compares each output with a number; give dense targets".to_owned(),
                });
            }
            TargetValues::Labels(labels) if labels.len() != rows.count => {
                let expected =
                    format!("{} labels for the output's shape {}", rows.count, y.dimensions());
                return Err(Error::shape(op, expected, labels.len()));
            }
            TargetValues::Labels(labels) => labels.count(rows.width, self.ignore_index())?,
        };
        let value = match (reduction, self.unit()) {
            (Reduction::None | Reduction::Sum, _) => None,
            (Reduction::Mean, Unit::Element) => Some(y.len()),
            (Reduction::Mean, Unit::Row) => Some(counted),
            (Reduction::BatchMean, _) => Some(y.shape().first().copied().unwrap_or(1)),
        };
        Ok(Divisor { value, terms: if y.is_empty() { 0 } else { counted } })
    }
}

/// What a reduction divides by.
#[derive(Clone, Copy)]
pub(crate) struct Divisor {
    /// Nothing for sums.
    value: Option<usize>,
    /// The rows that count.
    terms: usize,
}

impl Divisor {
    /// What the kernels multiply by. Where nothing counts there is nothing to multiply.
    pub(crate) fn scale(self) -> f32 {
        self.value.map_or(1.0, |value| (1.0 / value.max(1) as f64) as f32)
    }

    /// Whether there is nothing to add up.
    pub(crate) fn is_empty(self) -> bool {
        self.terms == 0
    }

    /// The loss of nothing: 0, or 0/0 for a mean over nothing, as in PyTorch.
    pub(crate) fn empty_loss(self, device: &Device) -> Result<Tensor> {
        device.tensor(&[if self.value == Some(0) { f32::NAN } else { 0.0 }], [])
    }
}

/// The sum of partial losses, as a scalar.
pub(crate) fn total(device: &Device, partial: &Storage, count: usize) -> Result<Tensor> {
    let output = device.allocate(Shape::default())?;
    device.backend.sum(partial, output.storage(), count)?;
    Ok(output)
}
