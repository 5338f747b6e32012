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

use crate::backend::{LossCall, LossOutputs, LossPass, OpOf, Rows, Storage};
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
        let output = device.allocate(comparison.unreduced_shape(shape))?;
        let outputs = comparison.unreduced_in(output.storage());
        comparison.run(y, outputs)?;
        Ok(output)
    }

    /// `dE/dy`, of y's shape. With [`Reduction::None`], the gradient of the sum, or of the losses times
    /// [dE/dloss](Targets::loss_gradient).
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

    /// The shape of the losses of outputs of this shape.
    pub(crate) fn unreduced_shape(&self, outputs: &Shape) -> Shape {
        match self.unit() {
            Unit::Element => outputs.clone(),
            Unit::Row => Shape::from(&outputs[..outputs.len().saturating_sub(1)]),
        }
    }

    /// The output of a pass for the losses of that shape.
    pub(crate) fn unreduced_in<'s>(&self, losses: &'s Storage) -> LossOutputs<'s> {
        match self.unit() {
            Unit::Element => LossOutputs { terms: Some(losses), ..LossOutputs::default() },
            Unit::Row => LossOutputs { losses: Some(losses), ..LossOutputs::default() },
        }
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
        let outputs = LossOutputs { dz: Some(output.storage()), ..LossOutputs::default() };
        let (call, rows) = self.call_in_rows();
        self.run_call(y, self.for_gradients(call, rows), rows, outputs)
    }

    /// The loss of y itself.
    pub(crate) fn run(&self, y: &Tensor, outputs: LossOutputs<'_>) -> Result<()> {
        let (call, rows) = self.call_in_rows();
        self.run_call(y, call, rows, outputs)
    }

    fn run_call(
        &self,
        y: &Tensor,
        call: LossCall<'_>,
        rows: Rows,
        outputs: LossOutputs<'_>,
    ) -> Result<()> {
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
