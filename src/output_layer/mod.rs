//! The output layer: from a batch of inputs to the loss and every gradient.

mod head;
mod pairs;
mod tiled;

use wgrad_formula::expression::{Custom, Of};
use wgrad_formula::formulas::{Function, PointwiseFunction};

use crate::activation::Activation;
use crate::backend::{ColumnSums, Purpose, Storage};
use crate::device::Device;
use crate::device::tensor::{Tensor, check_devices, check_shape, check_sums};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::linear::Linear;
use crate::loss::{Comparison, Loss, Targets, check_outputs};
use crate::reduction::Reduction;
use crate::shape::Shape;
use head::Head;

bitflags::bitflags! {
    /// The requested results of [`OutputLayer::gradients`]; the others are neither computed nor stored.
    ///
    /// ```
    /// use wgrad::Outputs;
    /// let outputs = Outputs::LOSS | Outputs::DW | Outputs::DB;
    /// assert!(!outputs.contains(Outputs::DX));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
        /// dE/dβ for each parameter β of a formula, in a pass over the logits for each. If the activation has
        /// none, this adds nothing.
        const PARAMETERS = 1 << 6;
    }
}

/// An activation, a loss and its reduction on top of `x·w + b`.
///
/// A pointwise activation, softmax or softmin and a loss that is composed of terms are one fused kernel. If the
/// loss is a simple function of the logits, it is computed from them, and is accurate even if y underflows:
/// softmax with cross_entropy, log_softmax with nll and sigmoid with bce have dE/dz = p − t, and sigmoid with
/// cross_entropy and focal is computed likewise. Other fused pairs avoid the rounding error of a y that is close
/// to a limit: `exponential` with cross_entropy is computed from ln y = z, `tanh` with mse from 1 − |y|, and
/// softmax with any such loss from the sum of the other outputs of the row. Every other pair is composed,
/// row-wise activations by the product with their Jacobian; docs/losses.md gives the accuracy of all pairs.
///
/// Rows whose label the loss ignores have no effect, whatever x holds there: they add nothing to the loss, dw
/// and db, and their rows of dz and dx are 0. If there are such rows, or may be when a plan is run, the product
/// for dw uses a copy of x in which they are 0, of at most 4 MiB at a time.
///
/// A few pairs make no sense, and are [`Error::Unsupported`]: softmax, softmin and sparsemax with
/// cross_entropy_with_logits, which computes the softmax itself; log_softmax and log_sigmoid with
/// cross_entropy, which takes the logarithm itself. On a [checked](crate::DeviceOptions::checked) device so
/// are sigmoid, softmax, softmin and sparsemax with bce_with_logits and focal_with_logits, log_softmax and
/// log_sigmoid with bce and focal, and activations that give probabilities with nll and kl_div; and the
/// outputs of all other pairs are checked there.
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
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct OutputLayer {
    activation: Activation,
    loss: Loss,
    #[cfg_attr(feature = "serde", serde(default))]
    reduction: Reduction,
    #[cfg_attr(feature = "serde", serde(default = "Outputs::all"))]
    outputs: Outputs,
    #[cfg_attr(feature = "serde", serde(default))]
    z_loss: f32,
    #[cfg_attr(feature = "serde", serde(default = "one", skip_serializing_if = "is_one"))]
    logit_scale: f32,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    logit_softcap: Option<f32>,
    #[cfg_attr(feature = "serde", serde(default))]
    transposed_weights: bool,
    #[cfg_attr(feature = "serde", serde(default))]
    logits: Logits,
    #[cfg_attr(feature = "serde", serde(default = "default_tile_bytes"))]
    tile_bytes: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    gradient_dtype: Option<DType>,
}

#[cfg(feature = "serde")]
const fn one() -> f32 {
    1.0
}

#[cfg(feature = "serde")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(scale: &f32) -> bool {
    *scale == 1.0
}

#[cfg(feature = "serde")]
const fn default_tile_bytes() -> usize {
    tiled::TILE_BYTES
}

/// Whether an [`OutputLayer`] stores its logits, [B, K].
///
/// With tiles, it works in a workspace of at most 64 MiB, for any number of classes and any types of the
/// operands. Tiles are possible for softmax with cross_entropy, log_softmax with nll and identity with
/// cross_entropy_with_logits, with labels, if neither y nor dz is requested. The results differ from those with
/// stored logits only by the order of additions, and have the same bits at every run.
///
/// The gradients of operands of f16 and bf16 are summed in f32, in tensors besides the workspace, which are dropped
/// after rounding: in total this never takes more memory than operands of f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Logits {
    /// In tiles if that is possible and the logits are larger than a tile.
    #[default]
    Auto,
    /// Stored.
    Full,
    /// In tiles, or an error.
    Tiled,
}

/// The results of [`OutputLayer::gradients`]. A tensor that was not requested has the shape `[0]`.
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
    /// dE/db = Σ_batch dz, of the bias's shape and type; computed even without a bias, then `[K]` and of w's type.
    pub db: Tensor,
    /// dE/dx = dz·wᵀ, [B, M].
    pub dx: Tensor,
    /// dE/dβ for each parameter β of a [formula](Activation::from_formula), in the order of
    /// [`Activation::parameters`], each a scalar; empty for an activation of the catalogue, and without
    /// [`Outputs::PARAMETERS`].
    pub parameters: Vec<Tensor>,
}

impl OutputLayer {
    /// A layer with [`Reduction::Mean`] that computes all outputs.
    pub const fn new(activation: Activation, loss: Loss) -> Self {
        let (reduction, outputs) = (Reduction::Mean, Outputs::all());
        Self {
            activation,
            loss,
            reduction,
            outputs,
            z_loss: 0.0,
            logit_scale: 1.0,
            logit_softcap: None,
            transposed_weights: false,
            logits: Logits::Auto,
            tile_bytes: tiled::TILE_BYTES,
            gradient_dtype: None,
        }
    }

    /// The type of dw and db; by default that of the weights. Gradients of f16 and bf16 weights lose nothing to rounding if
    /// they are of f32, which optimizers take, too.
    ///
    /// ```
    /// use wgrad::{DType, Activation, Loss, OutputLayer};
    ///
    /// let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy()).gradient_dtype(DType::F32);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub const fn gradient_dtype(mut self, dtype: DType) -> Self {
        self.gradient_dtype = Some(dtype);
        self
    }

    /// Sets how the loss is reduced to one number; [`Reduction::Mean`] by default.
    #[must_use]
    pub const fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets what to compute; everything by default.
    #[must_use]
    pub const fn outputs(mut self, outputs: Outputs) -> Self {
        self.outputs = outputs;
        self
    }

    /// Adds `coefficient·(ln Σ_k e^(z_k))²` to the loss of each row, weighted like the row, which keeps the
    /// logits from drifting. For softmax with cross_entropy, log_softmax with nll, and identity with
    /// cross_entropy_with_logits. 0 by default; 1e-4 in PaLM (Chowdhery et al. 2022).
    #[must_use]
    pub const fn z_loss(mut self, coefficient: f32) -> Self {
        self.z_loss = coefficient;
        self
    }

    /// Multiplies the logits z = x·w + b by a number before everything else, such as 1/T for a temperature T; 1 by
    /// default. dz is dE/dz, before the multiplication.
    #[must_use]
    pub const fn logit_scale(mut self, scale: f32) -> Self {
        self.logit_scale = scale;
        self
    }

    /// Bounds the logits: `cap·tanh(s·z/cap)` takes the place of z, for a [scale](Self::logit_scale) of s, as in Gemma 2
    /// (Gemma Team 2024, with a cap of 30). dz is dE/dz, before the bound. In tiles, too.
    ///
    /// ```
    /// use wgrad::{Activation, Device, Loss, OutputLayer};
    ///
    /// let device = Device::cpu();
    /// let (x, w) = (device.tensor(&[1.0], [1, 1])?, device.tensor(&[300.0, -300.0], [1, 2])?);
    /// let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy()).logit_softcap(2.0);
    /// let y = layer.forward(&x, &w, None)?.to_vec()?;
    /// assert!((y[1] - 1.0 / (1.0 + 4f32.exp())).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub const fn logit_softcap(mut self, cap: f32) -> Self {
        self.logit_softcap = Some(cap);
        self
    }

    /// Takes weights that are stored as their transpose, [K, M], as PyTorch's `nn.Linear` stores them,
    /// without a copy. dw then has that shape too.
    #[must_use]
    pub const fn transposed_weights(mut self, transposed: bool) -> Self {
        self.transposed_weights = transposed;
        self
    }

    /// Whether the logits are stored; [`Logits::Auto`] by default.
    #[must_use]
    pub const fn logits(mut self, logits: Logits) -> Self {
        self.logits = logits;
        self
    }

    /// The maximum number of bytes of a tile of logits. 56 MiB by default: the whole workspace then stays
    /// below 64 MiB, for batches of up to a million rows.
    #[must_use]
    pub const fn tile_bytes(mut self, bytes: usize) -> Self {
        self.tile_bytes = bytes;
        self
    }

    /// `y = g(x·w + b)` for x of shape [B, M], w of shape [M, K] (see
    /// [`transposed_weights`](Self::transposed_weights)) and b of shape `[K]`. x may have more outer axes, such as
    /// [B, T, M] for batch and time, which y has too, and b may be [1, K].
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if the tensors do not match, or K is 0.
    pub fn forward(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        self.activation.validate()?;
        let (dtype, b) = (x.dtype(), b.map(Tensor::wide).transpose()?);
        let b = b.as_deref();
        let linear = Linear::new("output layer forward", x, w, b, self.transposed_weights)?;
        let y = match (self.activation.function(), self.bound()?) {
            (Function::Rows(_), None) => self.activation.forward(&linear.logits()?),
            (Function::Pointwise(function), None) => linear.forward(function),
            (_, Some(bound)) => self.activation.forward(&linear.bounded_logits(bound)?[1]),
        };
        y?.to_dtype(dtype)
    }

    /// The loss, the output and every gradient, recorded for one submission.
    ///
    /// With [`Reduction::None`] the loss has a number for each row, or for each element of y if it is a loss on elements,
    /// and the gradients are those of its sum, or of the losses times [dE/dloss](Targets::loss_gradient).
    ///
    /// The targets are dense, [B, K], or, for losses on rows, labels, `[B]`. If x has more outer axes, y, dz and dense
    /// targets have them too, and there is a label for each row of y, B·T for [B, T, K].
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if the tensors do not match, or K is 0;
    /// [`Error::InvalidLabel`]; [`Error::InvalidTarget`] if the host knows the values of the targets, or
    /// the device is checked; [`Error::InvalidParameter`];
    /// [`Error::Unsupported`] for targets and weights that the loss does not take, for the pairs that make no
    /// sense (see [`OutputLayer`]), for a z-loss without a log-sum-exp, and for [`Logits::Tiled`] if y or dz
    /// is requested or tiles are not possible; [`Error::TooLarge`]; [`Error::OutOfMemory`].
    pub fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        targets: impl Into<Targets>,
    ) -> Result<OutputGradients> {
        self.run(x, w, b, &targets.into(), None)
    }

    /// [`gradients`](Self::gradients) of one more part of a batch: dw and db are added to those of the
    /// previous parts, in place, and the result has these two tensors. The loss, y, dz and dx are those of
    /// this part.
    ///
    /// Sums of f16 and bf16 are added up in f32, which is kept beside them, and rounded once.
    ///
    /// Each part is reduced separately: [`Reduction::Sum`] gives the gradients of the whole batch, a mean
    /// gives their mean times the number of parts.
    ///
    /// ```
    /// use wgrad::{Activation, Device, Loss, OutputLayer, Reduction};
    ///
    /// let device = Device::cpu();
    /// let w = device.tensor(&[0.1, -0.1], [1, 2])?;
    /// let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
    ///     .reduction(Reduction::Sum);
    /// let (x1, t1) = (device.tensor(&[1.0], [1, 1])?, device.labels(&[0])?);
    /// let (x2, t2) = (device.tensor(&[2.0], [1, 1])?, device.labels(&[1])?);
    ///
    /// let first = layer.gradients(&x1, &w, None, &t1)?;
    /// let both = layer.accumulate_gradients(&x2, &w, None, &t2, &first)?;
    /// assert!((both.dw.to_vec()?[0] - 0.747_21).abs() < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`gradients`](Self::gradients); [`Error::ShapeMismatch`] if the previous gradients do not have
    /// the shapes of this layer's; [`Error::Unsupported`] if the previous dw or db is one of the operands, or
    /// both are the same tensor. Nothing is added then.
    pub fn accumulate_gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        targets: impl Into<Targets>,
        before: &OutputGradients,
    ) -> Result<OutputGradients> {
        self.run(x, w, b, &targets.into(), Some(before))
    }

    /// Computes in f32, whatever the types of the operands.
    fn run(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        targets: &Targets,
        before: Option<&OutputGradients>,
    ) -> Result<OutputGradients> {
        if let Some(before) = before {
            let operands = [("x", x), ("w", w)].into_iter().chain(b.map(|b| ("b", b)));
            let operands: Vec<_> = operands.chain(targets.tensors()).collect();
            let sums = [(Outputs::DW, "dw", &before.dw), (Outputs::DB, "db", &before.db)];
            let asked = sums.iter().filter(|(output, ..)| self.outputs.contains(*output));
            let parameters = before.parameters.iter().map(|sum| ("a parameter", sum));
            let sums: Vec<_> = asked.map(|&(_, name, sum)| (name, sum)).chain(parameters).collect();
            check_sums(&sums, &operands)?;
        }
        let wide_before = |before: &OutputGradients| -> Result<_> {
            // Sums that are not asked for are not looked at.
            let exact = |output, sum: &Tensor| match self.outputs.contains(output) {
                true => sum.exact(),
                false => sum.to_dtype(DType::F32),
            };
            let (dw, db) = (exact(Outputs::DW, &before.dw)?, exact(Outputs::DB, &before.db)?);
            Ok(OutputGradients { dw, db, ..before.clone() })
        };
        let wide_before = before.map(wide_before).transpose()?;
        let bias = b.unwrap_or(w);
        let wide_b = b.map(Tensor::wide).transpose()?;
        let found = self.run_in_f32([x, w], wide_b.as_deref(), targets, wide_before.as_ref())?;
        let sum = |output, sum: Tensor, before: Option<&Tensor>, dtype| match before {
            Some(before) if self.outputs.contains(output) => {
                sum.store_in(before)?;
                Ok(before.clone())
            }
            _ => sum.to_dtype(dtype),
        };
        let dtype = |weights: &Tensor| self.gradient_dtype.unwrap_or(weights.dtype());
        Ok(OutputGradients {
            loss: found.loss,
            y: found.y.to_dtype(x.dtype())?,
            dz: found.dz.to_dtype(x.dtype())?,
            dw: sum(Outputs::DW, found.dw, before.map(|before| &before.dw), dtype(w))?,
            db: sum(Outputs::DB, found.db, before.map(|before| &before.db), dtype(bias))?,
            dx: found.dx.to_dtype(x.dtype())?,
            parameters: found.parameters,
        })
    }

    fn run_in_f32(
        &self,
        [x, w]: [&Tensor; 2],
        b: Option<&Tensor>,
        given: &Targets,
        before: Option<&OutputGradients>,
    ) -> Result<OutputGradients> {
        const OP: &str = "output layer gradients";
        self.activation.validate()?;
        let mut linear = Linear::new(OP, x, w, b, self.transposed_weights)?;
        let (shape, targets) = (linear.output_shape(), given.wide()?);
        let (device, loss, reduction) = (x.device(), &self.loss, self.reduction);
        let comparison = Comparison::new(OP, loss, device, &shape, given, &targets, reduction)?;
        linear.ignored = comparison.ignored();
        linear.bound = self.bound()?;
        self.check_z_loss()?;
        pairs::check(&self.activation, &self.loss, device.is_checked())?;
        if device.is_checked() && !device.is_recording() {
            self.check_y([x, w], b, given)?;
        }
        let is_tiled = self.is_tiled(&linear, &comparison)?;
        if self.wants_parameters()
            && let Some(before) = before
        {
            let devices = before.parameters.iter().map(Tensor::device);
            check_devices(OP, [device].into_iter().chain(devices))?;
            self.activation.check_parameter_sums(OP, &before.parameters)?;
        }
        let parts = Parts::new(OP, self.outputs, &linear, before)?;
        let head = if is_tiled {
            let loss = self.tiled(&linear, &comparison, &parts)?;
            Head { loss, y: None, dz: None, parameters: Vec::new() }
        } else {
            match self.fused(&linear, &comparison, &parts)? {
                Some(head) => head,
                None => self.composed(&linear, &comparison, &parts)?,
            }
        };
        let absent = device.allocate(Shape::from([0]))?;
        let or_absent = |tensor: Option<Tensor>| tensor.unwrap_or_else(|| absent.clone());
        let asked = |output, tensor: Option<Tensor>| {
            or_absent(tensor.filter(|_| self.outputs.contains(output)))
        };
        Ok(OutputGradients {
            loss: asked(Outputs::LOSS, head.loss),
            y: asked(Outputs::Y, head.y),
            dz: asked(Outputs::DZ, head.dz),
            dw: or_absent(parts.dw),
            db: or_absent(parts.db),
            dx: or_absent(parts.dx),
            parameters: head.parameters,
        })
    }

    /// What the logits go through before everything else.
    fn bound(&self) -> Result<Option<PointwiseFunction>> {
        let Self { logit_scale: scale, logit_softcap, .. } = *self;
        if !scale.is_finite() || scale == 0.0 {
            return Err(Error::parameter("logit_scale", scale, "must be finite and not 0"));
        }
        match logit_softcap {
            Some(cap) if !cap.is_finite() || cap <= 0.0 => {
                Err(Error::parameter("logit_softcap", cap, "must be positive and finite"))
            }
            Some(cap) => Ok(Some(PointwiseFunction::ScaledTanh { a: cap, b: scale / cap })),
            None if scale == 1.0 => Ok(None),
            None => {
                let product = Custom::new(Of::Activation, "s * z", &[("s", scale)])?;
                Ok(Some(PointwiseFunction::Custom(product)))
            }
        }
    }

    /// The loss of the batch, or those of the rows, from the scaled losses of `count` rows.
    fn reduced(
        &self,
        linear: &Linear<'_>,
        comparison: &Comparison<'_>,
        losses: Option<&Storage>,
        count: usize,
    ) -> Result<Option<Tensor>> {
        let device = linear.x.device();
        if self.reduction != Reduction::None {
            return comparison.sum(device, losses, count);
        }
        let shape = comparison.unreduced_shape(&linear.output_shape());
        if comparison.empty.is_some() {
            return device.zeros(shape).map(Some);
        }
        Ok(losses.map(|losses| Tensor::new(device.clone(), losses.clone(), shape)))
    }

    /// Memory for the losses of rows, which are returned if they are not reduced.
    fn row_losses(&self, device: &Device, rows: usize) -> Result<Storage> {
        match self.reduction {
            Reduction::None => device.backend.allocate(rows, Purpose::Tensor),
            _ => device.scratch(rows),
        }
    }

    /// Checks that the loss is defined for the outputs.
    fn check_y(&self, [x, w]: [&Tensor; 2], b: Option<&Tensor>, targets: &Targets) -> Result<()> {
        if self.loss.output_range().is_none() {
            return Ok(());
        }
        let y = self.forward(x, w, b)?;
        check_outputs(&self.loss, &y, targets)
    }

    /// Whether the logits are worked on in tiles.
    fn is_tiled(&self, linear: &Linear<'_>, comparison: &Comparison<'_>) -> Result<bool> {
        let has_log_sum_exp = self.head().is_some_and(|head| head.has_log_sum_exp());
        let is_possible = has_log_sum_exp
            && comparison.has_labels()
            && !self.outputs.intersects(Outputs::Y | Outputs::DZ)
            && !self.wants_parameters();
        let is_large = linear.batch * linear.outputs > self.tile_bytes / size_of::<f32>();
        match self.logits {
            Logits::Full => Ok(false),
            Logits::Auto => Ok(is_possible && is_large),
            // An empty batch cannot be split into tiles.
            Logits::Tiled if is_possible => Ok(linear.batch > 0),
            Logits::Tiled => Err(Error::Unsupported {
                what: format!("{} with {} in tiles", self.activation, self.loss),
                reason: "the logits are cut into tiles for softmax with cross_entropy, log_softmax with \
                         nll, and identity with cross_entropy_with_logits, with labels, and where \
                         neither y nor dz is asked for"
                    .to_owned(),
            }),
        }
    }
}

/// The requested gradients of a layer's operands.
struct Parts {
    dw: Option<Tensor>,
    db: Option<Tensor>,
    dx: Option<Tensor>,
    /// The gradients of parameters to add to.
    parameters: Option<Vec<Tensor>>,
    /// Whether to add to dw and db, which are those of another part of the batch.
    accumulate: bool,
}

impl Parts {
    fn new(
        op: &'static str,
        outputs: Outputs,
        linear: &Linear<'_>,
        before: Option<&OutputGradients>,
    ) -> Result<Self> {
        let device = linear.x.device();
        let sum = |output, shape: &Shape, before: Option<(&str, &Tensor)>| -> Result<_> {
            if !outputs.contains(output) {
                return Ok(None);
            }
            let Some((what, sum)) = before else { return device.allocate(shape.clone()).map(Some) };
            check_devices(op, [device, sum.device()])?;
            check_shape(op, what, sum, shape)?;
            Ok(Some(sum.clone()))
        };
        let dw = before.map(|before| ("the dw to add to", &before.dw));
        let db = before.map(|before| ("the db to add to", &before.db));
        Ok(Self {
            dw: sum(Outputs::DW, linear.w.dimensions(), dw)?,
            db: sum(Outputs::DB, &linear.bias_shape(), db)?,
            dx: sum(Outputs::DX, linear.x.dimensions(), None)?,
            parameters: before.map(|before| before.parameters.clone()),
            accumulate: before.is_some(),
        })
    }

    fn has_gradients(&self) -> bool {
        self.dw.is_some() || self.db.is_some() || self.dx.is_some()
    }

    /// The destination of the sum of dE/dz over the batch.
    fn bias_sums(&self) -> Option<ColumnSums<'_>> {
        let Self { db, accumulate, .. } = self;
        db.as_ref().map(|db| ColumnSums { storage: db.storage(), accumulate: *accumulate })
    }

    /// dE/db from dE/dz of all logits.
    fn write_bias(&self, linear: &Linear<'_>, dz: &Tensor) -> Result<()> {
        let Some(ColumnSums { storage, accumulate }) = self.bias_sums() else { return Ok(()) };
        linear.bias_gradient_into(&linear.whole(), dz.storage(), storage, accumulate)
    }

    /// dE/dw and dE/dx from dE/dz of all logits.
    fn write_products(&self, linear: &Linear<'_>, dz: &Tensor) -> Result<()> {
        let (whole, dz) = (linear.whole(), dz.storage());
        if let Some(dw) = &self.dw {
            linear.weight_gradient_into(&whole, dz, dw.storage(), self.accumulate)?;
        }
        if let Some(dx) = &self.dx {
            linear.input_gradient_into(&whole, dz, dx.storage(), false)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wgrad_formula::formulas::Formula;

    use super::*;
    use crate::common::{Within, assert_all, normal, wide};
    use crate::device::Device;

    const PARTS: [&str; 6] = ["loss", "y", "dz", "dw", "db", "dx"];

    fn values(gradients: &OutputGradients) -> [Vec<f32>; 6] {
        let OutputGradients { loss, y, dz, dw, db, dx, .. } = gradients;
        [loss, y, dz, dw, db, dx].map(|tensor| tensor.to_vec().unwrap())
    }

    fn largest(values: &[f64]) -> f64 {
        values.iter().fold(0.0, |size, value| size.max(value.abs()))
    }

    /// A layer in one pass over x, and by one primitive after the other.
    fn both(
        layer: &OutputLayer,
        [x, w, b]: [&Tensor; 3],
        targets: &Targets,
        before: Option<&OutputGradients>,
    ) -> [[Vec<f32>; 6]; 2] {
        let linear = Linear::new("test", x, w, Some(b), layer.transposed_weights).unwrap();
        let (shape, device) = (linear.output_shape(), x.device());
        let reduction = layer.reduction;
        let loss = &layer.loss;
        let comparison =
            Comparison::new("test", loss, device, &shape, targets, targets, reduction).unwrap();
        [true, false].map(|fused| {
            let before = before.map(|before| OutputGradients {
                dw: device.tensor(&before.dw.to_vec().unwrap(), before.dw.dimensions()).unwrap(),
                db: device.tensor(&before.db.to_vec().unwrap(), before.db.dimensions()).unwrap(),
                ..before.clone()
            });
            let parts = Parts::new("test", layer.outputs, &linear, before.as_ref()).unwrap();
            let head = if fused {
                layer.fused(&linear, &comparison, &parts).unwrap().unwrap()
            } else {
                layer.composed(&linear, &comparison, &parts).unwrap()
            };
            let asked = |output, tensor: Option<Tensor>| {
                let tensor = tensor.filter(|_| layer.outputs.contains(output));
                tensor.map_or(vec![], |tensor| tensor.to_vec().unwrap())
            };
            [
                asked(Outputs::LOSS, head.loss),
                asked(Outputs::Y, head.y),
                asked(Outputs::DZ, head.dz),
                asked(Outputs::DW, parts.dw),
                asked(Outputs::DB, parts.db),
                asked(Outputs::DX, parts.dx),
            ]
        })
    }

    fn check(layer: &OutputLayer, batch: usize, inputs: usize, outputs: usize) {
        let device = &Device::cpu();
        let tensor = |shape: [usize; 2], deviation, seed| {
            device.tensor(&normal(shape[0] * shape[1], deviation, seed), shape).unwrap()
        };
        let x = tensor([batch, inputs], 1.0, 1);
        let shape = [inputs, outputs];
        let shape = if layer.transposed_weights { [outputs, inputs] } else { shape };
        // Logits around 1: rounding is not raised to a power of e.
        let w = tensor(shape, 1.0 / (inputs as f32).sqrt(), 2);
        let b = tensor([1, outputs], 1.0, 3).reshape([outputs]).unwrap();
        let labels: Vec<i32> = (0..batch).map(|i| (i * 7 % outputs) as i32).collect();
        let labels = device.labels(&labels).unwrap();
        let probabilities = |shape: [usize; 2], seed| {
            let values = normal(shape[0] * shape[1], 1.0, seed);
            let values: Vec<f32> = values.iter().map(|value| 1.0 / (1.0 + value.abs())).collect();
            device.tensor(&values, shape).unwrap()
        };
        let weights = probabilities([batch, 1], 4);
        let dense = probabilities([batch, outputs], 5);
        let targets = match layer.loss.function().formula {
            Formula::Terms(_) => {
                vec![Targets::from(&dense), Targets::from(&dense).weights(&weights)]
            }
            _ => vec![Targets::from(&labels), Targets::from(&labels).weights(&weights)],
        };
        let before = layer.gradients(&x, &w, Some(&b), &targets[0]).unwrap();
        let before = (layer.outputs.contains(Outputs::DW | Outputs::DB)).then_some(&before);
        for targets in &targets {
            let all = layer.outputs(Outputs::all()).gradients(&x, &w, Some(&b), targets).unwrap();
            let terms = largest(&wide(&all.dz.to_vec().unwrap())) * (batch as f64).sqrt();
            for before in [None, before] {
                let [fused, composed] = both(layer, [&x, &w, &b], targets, before);
                for (part, (fused, composed)) in PARTS.iter().zip(fused.iter().zip(&composed)) {
                    let what = format!("{part} of {layer:?} for {batch}, {inputs}, {outputs}");
                    let composed = wide(composed);
                    // Terms that cancel in a sum leave their rounding errors.
                    let absolute = 4e-6 * largest(&composed).max(terms);
                    let within = Within::Approx { relative: 0.0, absolute };
                    assert_all(&what, fused, &composed, within);
                }
            }
        }
    }

    fn layers() -> [OutputLayer; 6] {
        [
            OutputLayer::new(Activation::Softmax, Loss::cross_entropy()),
            OutputLayer::new(Activation::Identity, Loss::cross_entropy_with_logits()).z_loss(0.1),
            OutputLayer::new(Activation::Sigmoid, Loss::Mse),
            OutputLayer::new(Activation::Sigmoid, Loss::Bce).reduction(Reduction::Sum),
            OutputLayer::new(Activation::Identity, Loss::Mse).reduction(Reduction::BatchMean),
            OutputLayer::new(Activation::Identity, Loss::multi_margin()),
        ]
    }

    #[test]
    fn one_pass_gives_what_the_primitives_give() {
        for layer in layers() {
            for transposed in [false, true] {
                let layer = layer.transposed_weights(transposed);
                for outputs in [1, 2, 5, 7, 10, 32] {
                    check(&layer, 67, 259, outputs);
                }
                for (batch, inputs) in [(1, 26), (3, 64), (64, 31), (300, 130), (2000, 33)] {
                    check(&layer, batch, inputs, 10);
                }
                for outputs in [Outputs::LOSS, Outputs::DX, Outputs::DW, Outputs::DB, Outputs::Y] {
                    check(&layer.outputs(outputs), 67, 50, 6);
                    check(&layer.outputs(Outputs::all() - outputs), 67, 50, 6);
                }
            }
        }
    }

    /// Whether the gradients have the same bits on any number of threads.
    fn check_threads(batch: usize, inputs: usize, outputs: usize) {
        let device = Device::cpu();
        let x = device.tensor(&normal(batch * inputs, 1.0, 1), [batch, inputs]).unwrap();
        let w = device.tensor(&normal(inputs * outputs, 1.0, 2), [inputs, outputs]).unwrap();
        let labels: Vec<i32> = (0..batch).map(|i| (i % outputs) as i32).collect();
        let labels = device.labels(&labels).unwrap();
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| values(&layer.gradients(&x, &w, None, &labels).unwrap()))
        };
        let one = run(1);
        for threads in [2, 3, 5] {
            assert_eq!(run(threads), one, "{batch} x {inputs} x {outputs}, {threads} threads");
        }
    }

    #[test]
    fn gradients_have_the_same_bits_on_any_number_of_threads() {
        check_threads(1500, 100, 10);
        check_threads(257, 301, 77);
        check_threads(512, 256, 100);
        check_threads(400, 1000, 48);
    }
}
