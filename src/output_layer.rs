//! The output layer: from a batch of inputs to the loss and every gradient.

use crate::activation::Activation;
use crate::backend::{LossCall, Rows, SoftmaxCrossEntropy, Storage};
use crate::error::{Error, Result};
use crate::linear::Linear;
use crate::loss::{Divisor, Loss, Targets, total};
use crate::reduction::Reduction;
use crate::shape::Shape;
use crate::tensor::Tensor;

bitflags::bitflags! {
    /// What [`OutputLayer::gradients`] is asked for; the rest is neither computed nor stored.
    ///
    /// ```
    /// use wgrad::Outputs;
    /// let outputs = Outputs::LOSS | Outputs::DW | Outputs::DB;
    /// assert!(!outputs.contains(Outputs::DX));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Outputs: u32 {
        /// The loss E.
        const LOSS = 1;
        /// The output y = g(x·w + b).
        const Y = 1 << 1;
        /// dE/dz.
        const DZ = 1 << 2;
        /// dE/dw.
        const DW = 1 << 3;
        /// dE/db.
        const DB = 1 << 4;
        /// dE/dx.
        const DX = 1 << 5;
    }
}

/// An activation, a loss and its reduction on top of `x·w + b`.
///
/// Softmax with cross-entropy is one fused kernel, with dE/dz = y − t, right also where y underflows;
/// every other pair is composed, row-wise activations by the product with their Jacobian.
///
/// ```
/// use wgrad::{Activation, Device, Loss, OutputLayer, Reduction};
///
/// let device = Device::cpu();
/// let x = device.tensor(&[1.0, 2.0, 3.0, 4.0], [2, 2])?;
/// let w = device.tensor(&[0.1, -0.1, 0.2, -0.2], [2, 2])?;
/// let b = device.tensor(&[0.0, 0.5], [2])?;
/// let labels = device.labels(&[0, 1])?;
///
/// let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
///     .reduction(Reduction::Mean);
/// let step = layer.gradients(&x, &w, Some(&b), &labels)?;
/// assert!((step.loss.item()? - 1.1709315).abs() < 1e-6);
/// assert_eq!(step.dw.shape(), w.shape());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputLayer {
    activation: Activation,
    loss: Loss,
    reduction: Reduction,
    outputs: Outputs,
}

/// What [`OutputLayer::gradients`] computes. A tensor that was not asked for has the shape `[0]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutputGradients {
    /// The loss E, a scalar.
    pub loss: Tensor,
    /// The output y = g(x·w + b), [B, K].
    pub y: Tensor,
    /// dE/dz, [B, K].
    pub dz: Tensor,
    /// dE/dw = xᵀ·dz, [M, K].
    pub dw: Tensor,
    /// dE/db = Σ_batch dz, `[K]`; also where there is no bias.
    pub db: Tensor,
    /// dE/dx = dz·wᵀ, [B, M].
    pub dx: Tensor,
}

/// The part above the logits.
struct Head {
    loss: Option<Tensor>,
    y: Option<Tensor>,
    dz: Option<Tensor>,
}

impl OutputLayer {
    /// A layer with [`Reduction::Mean`] that computes all outputs.
    pub const fn new(activation: Activation, loss: Loss) -> Self {
        Self { activation, loss, reduction: Reduction::Mean, outputs: Outputs::all() }
    }

    /// How the loss becomes one number.
    #[must_use]
    pub const fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// What to compute.
    #[must_use]
    pub const fn outputs(mut self, outputs: Outputs) -> Self {
        self.outputs = outputs;
        self
    }

    /// `y = g(x·w + b)` for x of shape [B, M], w of shape [M, K] and b of shape `[K]`.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DeviceMismatch`] where the tensors do not fit, or K is 0.
    pub fn forward(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        self.activation.validate()?;
        let linear = Linear::new("output layer forward", x, w, b)?;
        if self.activation.is_rowwise() {
            return self.activation.forward(&linear.forward(&Activation::Identity)?);
        }
        linear.forward(&self.activation)
    }

    /// The loss, the output and every gradient, recorded for one submission.
    ///
    /// The targets are dense, [B, K], or labels, `[B]`, for losses on rows.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DeviceMismatch`] where the tensors do not fit, or K is 0;
    /// [`Error::InvalidLabel`]; [`Error::InvalidParameter`], also for [`Reduction::None`].
    pub fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        targets: impl Into<Targets>,
    ) -> Result<OutputGradients> {
        const OP: &str = "output layer gradients";
        let targets = targets.into();
        self.activation.validate()?;
        if self.reduction == Reduction::None {
            return Err(Error::parameter(
                "reduction",
                self.reduction,
                "must make one number of the loss: sum, mean or batch_mean",
            ));
        }
        let linear = Linear::new(OP, x, w, b)?;
        let head = if self.is_fused() {
            self.fused_head(OP, &linear, &targets)?
        } else {
            self.composed_head(OP, &linear, &targets)?
        };
        let absent = x.device().allocate(Shape::from([0]))?;
        let gradient = |output, compute: &dyn Fn(&Tensor) -> Result<Tensor>| match &head.dz {
            Some(dz) if self.outputs.contains(output) => compute(dz),
            _ => Ok(absent.clone()),
        };
        let dw = gradient(Outputs::DW, &|dz| linear.weight_gradient(dz))?;
        let db = gradient(Outputs::DB, &|dz| linear.bias_gradient(dz))?;
        let dx = gradient(Outputs::DX, &|dz| linear.input_gradient(dz))?;
        let asked = |output, tensor: Option<Tensor>| {
            tensor.filter(|_| self.outputs.contains(output)).unwrap_or_else(|| absent.clone())
        };
        Ok(OutputGradients {
            loss: asked(Outputs::LOSS, head.loss),
            y: asked(Outputs::Y, head.y),
            dz: asked(Outputs::DZ, head.dz),
            dw,
            db,
            dx,
        })
    }

    /// Whether the activation and the loss are one kernel together.
    fn is_fused(&self) -> bool {
        matches!((&self.activation, &self.loss), (Activation::Softmax, Loss::CrossEntropy { .. }))
    }

    fn wants_dz(&self) -> bool {
        self.outputs.intersects(Outputs::DZ | Outputs::DW | Outputs::DB | Outputs::DX)
    }

    fn fused_head(&self, op: &'static str, linear: &Linear<'_>, targets: &Targets) -> Result<Head> {
        let z = linear.forward(&Activation::Identity)?;
        let divisor = self.loss.divisor(op, &z, targets, self.reduction)?;
        let device = z.device();
        let rows = Rows { count: linear.batch, width: linear.outputs };
        let wanted = |wanted: bool| -> Result<Option<Tensor>> {
            wanted.then(|| device.allocate(z.dimensions().clone())).transpose()
        };
        let y = wanted(self.outputs.contains(Outputs::Y))?;
        let dz = wanted(self.wants_dz())?;
        let wants_loss = self.outputs.contains(Outputs::LOSS);
        let losses = wants_loss.then(|| device.scratch(rows.count)).transpose()?;
        device.backend.softmax_cross_entropy(SoftmaxCrossEntropy {
            z: z.storage(),
            rows,
            call: LossCall { loss: &self.loss, targets: targets.storage(), scale: divisor.scale() },
            losses: losses.as_ref(),
            y: y.as_ref().map(Tensor::storage),
            dz: dz.as_ref().map(Tensor::storage),
        })?;
        let sum = |losses| self.total(&z, divisor, losses, rows.count);
        let loss = losses.as_ref().map(sum).transpose()?;
        Ok(Head { loss, y, dz })
    }

    fn total(&self, z: &Tensor, divisor: Divisor, losses: &Storage, rows: usize) -> Result<Tensor> {
        if divisor.is_empty() {
            return divisor.empty_loss(z.device());
        }
        total(z.device(), losses, rows)
    }

    /// The activation, the loss and their gradients, one after the other.
    fn composed_head(
        &self,
        op: &'static str,
        linear: &Linear<'_>,
        targets: &Targets,
    ) -> Result<Head> {
        // Where y tells the derivative, z need not be stored.
        let from_output = self.activation.has_derivative_from_output();
        let (z, y) = if from_output && !self.activation.is_rowwise() {
            (None, linear.forward(&self.activation)?)
        } else {
            let z = linear.forward(&Activation::Identity)?;
            let y = self.activation.forward(&z)?;
            (Some(z).filter(|_| !from_output), y)
        };
        let divisor = self.loss.divisor(op, &y, targets, self.reduction)?;
        let wants_loss = self.outputs.contains(Outputs::LOSS);
        let loss = wants_loss.then(|| self.loss.reduced(&y, targets, divisor)).transpose()?;
        let dz = if self.wants_dz() {
            let dy = self.loss.scaled_gradient(&y, targets, divisor)?;
            Some(match &z {
                Some(z) => self.activation.backward(z, &dy)?,
                None => self.activation.backward_from_output(&y, &dy)?,
            })
        } else {
            None
        };
        Ok(Head { loss, y: Some(y), dz })
    }
}
