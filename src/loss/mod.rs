//! Loss functions.

mod catalogue;
mod comparison;
mod formula;
mod targets;
mod values;

pub use catalogue::Loss;
pub(crate) use comparison::Comparison;
pub use targets::Targets;
pub(crate) use values::check_outputs;
use values::{check_signs, check_values};

use wgrad_formula::formulas::Unit;

use crate::backend::{LossOutputs, LossPass, OpOf, Storage};
use crate::device::Device;
use crate::device::halves::in_f32;
use crate::device::tensor::Tensor;
use crate::error::Result;
use crate::reduction::Reduction;
use crate::shape::Shape;

impl Loss {
    /// The loss of outputs y of shape [B, K] for targets: dense targets of the same shape, or labels, one
    /// per row.
    ///
    /// The result is a scalar, of shape []; with [`Reduction::None`] it has y's shape for losses on
    /// elements and `[B]` for losses on rows.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) or
    /// [`Error::DeviceMismatch`](crate::Error::DeviceMismatch) if y, the targets and their weights do not
    /// match; [`Error::InvalidLabel`](crate::Error::InvalidLabel);
    /// [`Error::InvalidTarget`](crate::Error::InvalidTarget) or
    /// [`Error::InvalidOutput`](crate::Error::InvalidOutput) for targets or outputs that the loss is not
    /// defined for, such as logits for a loss of probabilities, if the host knows their values or the device
    /// is checked;
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter);
    /// [`Error::Unsupported`](crate::Error::Unsupported) for labels with a loss on elements, dense targets
    /// with multi_margin, or weights and variances that the loss does not take.
    pub fn forward(
        &self,
        y: &Tensor,
        targets: impl Into<Targets>,
        reduction: Reduction,
    ) -> Result<Tensor> {
        let (given, given_y) = (targets.into(), y);
        let (targets, y) = (given.wide()?, &*y.wide()?);
        let (device, shape) = (y.device(), y.dimensions());
        let comparison = Comparison::new("loss", self, device, shape, &given, &targets, reduction)?;
        check_outputs(self, given_y, &given)?;
        if reduction != Reduction::None {
            return comparison.total(y);
        }
        let outer = y.shape().len().saturating_sub(1);
        let shape = match self.unit() {
            Unit::Element => shape.clone(),
            Unit::Row => Shape::from(&y.shape()[..outer]),
        };
        let output = device.allocate(shape)?;
        let (losses, terms) = match self.unit() {
            Unit::Element => (None, Some(output.storage())),
            Unit::Row => (Some(output.storage()), None),
        };
        comparison.run(y, LossOutputs { losses, terms, ..LossOutputs::default() })?;
        Ok(output)
    }

    /// `dE/dy`, of y's shape. With [`Reduction::None`], the gradient of the sum.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn gradient(
        &self,
        y: &Tensor,
        targets: impl Into<Targets>,
        reduction: Reduction,
    ) -> Result<Tensor> {
        let given = targets.into();
        let targets = given.wide()?;
        let (device, shape) = (y.device(), y.dimensions());
        let comparison =
            Comparison::new("loss gradient", self, device, shape, &given, &targets, reduction)?;
        check_outputs(self, y, &given)?;
        let output = y.like()?;
        in_f32([y], [&output], |[y], [output]| comparison.gradient(y, output))?;
        Ok(output)
    }
}

impl Comparison<'_> {
    /// The reduced loss of y.
    pub(crate) fn total(&self, y: &Tensor) -> Result<Tensor> {
        if let Some(empty) = self.empty {
            return y.device().tensor(&[empty], []);
        }
        let count = self.call_in_rows().1.count;
        let partial = y.device().scratch(count)?;
        self.run(y, LossOutputs { losses: Some(&partial), ..LossOutputs::default() })?;
        self.total_of(y.device(), &partial, count)
    }

    /// The sum of the scaled losses of `count` rows, or the loss for no rows that count; `None` if the losses
    /// are not wanted.
    pub(crate) fn sum(
        &self,
        device: &Device,
        losses: Option<&Storage>,
        count: usize,
    ) -> Result<Option<Tensor>> {
        let empty = self.empty.map(|empty| device.tensor(&[empty], []));
        empty.or_else(|| losses.map(|losses| self.total_of(device, losses, count))).transpose()
    }

    /// dE/dy
    pub(crate) fn gradient(&self, y: &Tensor, output: &Tensor) -> Result<()> {
        self.run(y, LossOutputs { dz: Some(output.storage()), ..LossOutputs::default() })
    }

    /// The loss of y itself.
    fn run(&self, y: &Tensor, outputs: LossOutputs<'_>) -> Result<()> {
        let (call, rows) = self.call_in_rows();
        y.device().run(OpOf::Loss(LossPass {
            call,
            head: self.head(),
            z: Some(y.storage()),
            rows,
            elements: y.len(),
            first_row: 0,
            outputs,
        }))
    }

    /// The sum of partial losses, as a scalar.
    fn total_of(&self, device: &Device, partial: &Storage, count: usize) -> Result<Tensor> {
        let output = device.allocate(Shape::default())?;
        device.run(OpOf::Sum { input: partial, output: output.storage(), elements: count })?;
        self.finish(device, &output)?;
        Ok(output)
    }
}
