//! The output layer: from a batch of inputs to the loss and every gradient.

mod head;

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::linear::Linear;
use crate::loss::{Loss, Targets};
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
/// A pointwise activation and a loss that is made of terms are one fused kernel. Where the mathematics
/// gives the loss as a function of the logits, it is that one, right also where y underflows: softmax with
/// cross_entropy, log_softmax with nll and sigmoid with bce have dE/dz = p − t, and sigmoid goes with
/// cross_entropy and focal likewise. Every other pair is composed, row-wise activations by the product
/// with their Jacobian.
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
    z_loss: f32,
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

impl OutputLayer {
    /// A layer with [`Reduction::Mean`] that computes all outputs.
    pub const fn new(activation: Activation, loss: Loss) -> Self {
        let (reduction, outputs) = (Reduction::Mean, Outputs::all());
        Self { activation, loss, reduction, outputs, z_loss: 0.0 }
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

    /// Adds `coefficient·(ln Σ_k e^(z_k))²` to the loss of each row, weighted as the row is: it keeps the
    /// logits from drifting. For softmax with cross_entropy, log_softmax with nll, and identity with
    /// cross_entropy_with_logits. 0 at first; 1e-4 in PaLM (Chowdhery et al. 2022).
    #[must_use]
    pub const fn z_loss(mut self, coefficient: f32) -> Self {
        self.z_loss = coefficient;
        self
    }

    /// `y = g(x·w + b)` for x of shape [B, M], w of shape [M, K] and b of shape `[K]`.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DeviceMismatch`] where the tensors do not fit, or K is 0.
    pub fn forward(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        self.activation.validate()?;
        let linear = Linear::new("output layer forward", x, w, b, false)?;
        if self.activation.is_rowwise() {
            return self.activation.forward(&linear.logits()?);
        }
        linear.forward(&self.activation)
    }

    /// The loss, the output and every gradient, recorded for one submission.
    ///
    /// The targets are dense, [B, K], or labels, `[B]`, for losses on rows.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DeviceMismatch`] where the tensors do not fit, or K is 0;
    /// [`Error::InvalidLabel`]; [`Error::InvalidTarget`]; [`Error::InvalidParameter`], also for
    /// [`Reduction::None`].
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
        let linear = Linear::new(OP, x, w, b, false)?;
        let head = self.head(OP, &linear, &targets)?;
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
}
