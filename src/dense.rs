//! Hidden layers.

use wgrad_formula::formulas::PointwiseFunction;

use crate::activation::Activation;
use crate::device::halves::change_in_f32;
use crate::device::tensor::{Tensor, check_devices, check_shape, check_sums};
use crate::dtype::DType;
use crate::error::Result;
use crate::linear::Linear;
use crate::shape::Shape;

/// A hidden layer, `y = g(x·w + b)`, with its backward pass.
///
/// The backward pass is as accurate as [`Activation::backward`] from z = x·w + b in f32, whatever the types of
/// the operands: from y alone, sigmoid'(30) would be 0. So the forward pass keeps z for it, [B, K] of f32 in
/// addition to y, unless y determines the derivative exactly: with identity nothing is kept; with relu, relu6,
/// leaky_relu, prelu, rrelu, hard_tanh, hardshrink, threshold and thresholded_relu, y is kept as f32, which is
/// y itself if x is of f32.
///
/// ```
/// use wgrad::{Activation, Dense, Device};
///
/// let device = Device::cpu();
/// let x = device.tensor(&[1.0, -1.0], [1, 2])?;
/// let w = device.tensor(&[0.5, 0.0, 0.0, 0.5], [2, 2])?;
/// let layer = Dense::new(Activation::Relu);
/// let forward = layer.forward(&x, &w, None)?;
/// assert_eq!(forward.y.to_vec()?, [0.5, 0.0]);
///
/// let dy = device.tensor(&[1.0, 1.0], [1, 2])?;
/// let gradients = layer.backward(&x, &w, &forward, &dy)?;
/// assert_eq!(gradients.dw.to_vec()?, [1.0, 0.0, -1.0, 0.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Dense {
    activation: Activation,
    #[cfg_attr(feature = "serde", serde(default))]
    transposed_weights: bool,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    gradient_dtype: Option<DType>,
}

/// The output of a [`Dense`] layer, with the values that its backward pass needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DenseForward {
    /// g(x·w + b), [B, K].
    pub y: Tensor,
    /// The values from which the backward pass computes the derivative, as f32; `None` if it is always 1.
    kept: Option<Kept>,
    /// The shape of the bias, or `[K]` without one.
    bias: Shape,
}

#[derive(Clone, Debug)]
enum Kept {
    /// x·w + b
    Logits(Tensor),
    /// y, before rounding.
    Output(Tensor),
}

/// The gradients of a [`Dense`] layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DenseGradients {
    /// dE/dx, [B, M].
    pub dx: Tensor,
    /// dE/dw, of w's shape.
    pub dw: Tensor,
    /// dE/db, of the bias's shape and of w's type; computed even without a bias, then `[K]`.
    pub db: Tensor,
    /// dE/dβ for each parameter β of a [formula](Activation::from_formula), in the order of
    /// [`Activation::parameters`]; empty for an activation of the catalogue.
    pub parameters: Vec<Tensor>,
}

impl Dense {
    /// A layer with this activation.
    pub const fn new(activation: Activation) -> Self {
        Self { activation, transposed_weights: false, gradient_dtype: None }
    }

    /// Whether w, and so dE/dw, is stored as its transpose, [K, M], as in PyTorch's `nn.Linear`; false by
    /// default.
    ///
    /// ```
    /// use wgrad::{Activation, Dense, Device};
    ///
    /// let device = Device::cpu();
    /// let x = device.tensor(&[1.0, 10.0], [1, 2])?;
    /// let w = device.tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 2])?;
    /// let layer = Dense::new(Activation::Identity).transposed_weights(true);
    /// assert_eq!(layer.forward(&x, &w, None)?.y.to_vec()?, [21.0, 43.0, 65.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub const fn transposed_weights(mut self, transposed_weights: bool) -> Self {
        self.transposed_weights = transposed_weights;
        self
    }

    /// The type of dw and db; by default that of the weights. Gradients of f16 and bf16 weights lose nothing to rounding if
    /// they are of f32, which optimizers take, too.
    ///
    /// ```
    /// use wgrad::{DType, Activation, Dense};
    ///
    /// let layer = Dense::new(Activation::Gelu).gradient_dtype(DType::F32);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub const fn gradient_dtype(mut self, dtype: DType) -> Self {
        self.gradient_dtype = Some(dtype);
        self
    }

    /// `g(x·w + b)` for x of shape [B, M], w of shape [M, K] and b of shape `[K]` or [1, K]. x may have more outer
    /// axes, such as [B, T, M] for batch and time, which y has too.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) or
    /// [`Error::DeviceMismatch`](crate::Error::DeviceMismatch) if the tensors do not match, or K is 0.
    pub fn forward(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<DenseForward> {
        self.activation.validate()?;
        let (dtype, b) = (x.dtype(), b.map(Tensor::wide).transpose()?);
        let linear = Linear::new("dense forward", x, w, b.as_deref(), self.transposed_weights)?;
        let bias = linear.bias_shape();
        let function = self.activation.function().pointwise();
        // What a parameter learns from is z.
        let keeps_output = |it: &PointwiseFunction| {
            it.output_determines_derivative() && !self.activation.has_parameters_to_learn()
        };
        if let Some(function) = function.filter(keeps_output) {
            let wide = linear.forward(function)?;
            let y = wide.to_dtype(dtype)?;
            let is_identity = function == PointwiseFunction::Identity;
            let kept = (!is_identity).then_some(Kept::Output(wide));
            return Ok(DenseForward { y, kept, bias });
        }
        let z = linear.forward(PointwiseFunction::Identity)?;
        let y = z.device().allocate_of(dtype, z.dimensions().clone())?;
        self.activation.forward_into(&z, &y)?;
        Ok(DenseForward { y, kept: Some(Kept::Logits(z)), bias })
    }

    /// The gradients from `dy = dE/dy`, [B, K], and the result of [`forward`](Self::forward).
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        x: &Tensor,
        w: &Tensor,
        forward: &DenseForward,
        dy: &Tensor,
    ) -> Result<DenseGradients> {
        const OP: &str = "dense backward";
        let (linear, dz) = self.logit_gradient(OP, x, w, forward, dy)?;
        let dtype = self.gradient_dtype.unwrap_or(w.dtype());
        Ok(DenseGradients {
            parameters: self.parameter_gradients(forward, dy, None)?,
            dx: linear.input_gradient(&dz)?.to_dtype(x.dtype())?,
            dw: linear.weight_gradient(&dz)?.to_dtype(dtype)?,
            db: linear.bias_gradient(&dz, &forward.bias)?.to_dtype(dtype)?,
        })
    }

    /// [`backward`](Self::backward) that adds dw, db and the gradients of parameters to those of `gradients`, in
    /// place, to compute the gradients of a batch in parts, one after the other.
    ///
    /// The result has the dx of this part, and the other tensors of `gradients` with the sums. The dx of
    /// `gradients` is not used. Sums of f16 and bf16 are added up in f32, which is kept beside them, and rounded once.
    ///
    /// ```
    /// use wgrad::{Activation, Dense, Device};
    ///
    /// let device = Device::cpu();
    /// let w = device.tensor(&[0.5, -0.5], [2, 1])?;
    /// let dy = device.tensor(&[1.0], [1, 1])?;
    /// let layer = Dense::new(Activation::Identity);
    ///
    /// let x = device.tensor(&[1.0, 2.0], [1, 2])?;
    /// let first = layer.backward(&x, &w, &layer.forward(&x, &w, None)?, &dy)?;
    /// let x = device.tensor(&[3.0, 4.0], [1, 2])?;
    /// let sum = layer.accumulate_backward(&x, &w, &layer.forward(&x, &w, None)?, &dy, &first)?;
    /// assert_eq!(sum.dw.to_vec()?, [4.0, 6.0]);
    /// assert_eq!(sum.db.to_vec()?, [2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and if the gradients do not match;
    /// [`Error::Unsupported`](crate::Error::Unsupported) if dw or db is one of the operands, or both are the
    /// same tensor. Nothing is added then.
    pub fn accumulate_backward(
        &self,
        x: &Tensor,
        w: &Tensor,
        forward: &DenseForward,
        dy: &Tensor,
        gradients: &DenseGradients,
    ) -> Result<DenseGradients> {
        const OP: &str = "dense backward";
        let DenseGradients { dw, db, parameters, .. } = gradients;
        check_devices(OP, [x.device(), dw.device(), db.device()])?;
        check_shape(OP, "dw", dw, w.shape())?;
        let kept = match &forward.kept {
            Some(Kept::Logits(kept) | Kept::Output(kept)) => kept,
            None => &forward.y,
        };
        let operands =
            [("x", x), ("w", w), ("dy", dy), ("y", &forward.y), ("what forward kept", kept)];
        let sums = [("dw", dw), ("db", db)].into_iter();
        let sums: Vec<_> = sums.chain(parameters.iter().map(|sum| ("a parameter", sum))).collect();
        check_sums(&sums, &operands)?;
        check_devices(OP, [x.device()].into_iter().chain(parameters.iter().map(Tensor::device)))?;
        self.activation.check_parameter_sums(OP, parameters)?;
        let (linear, dz) = self.logit_gradient(OP, x, w, forward, dy)?;
        check_shape(OP, "db", db, &forward.bias)?;
        let dx = linear.input_gradient(&dz)?.to_dtype(x.dtype())?;
        let (tile, dz) = (linear.whole(), dz.storage());
        change_in_f32(dw, |dw| linear.weight_gradient_into(&tile, dz, dw.storage(), true))?;
        change_in_f32(db, |db| linear.bias_gradient_into(&tile, dz, db.storage(), true))?;
        let parameters = self.parameter_gradients(forward, dy, Some(parameters))?;
        Ok(DenseGradients { dx, dw: dw.clone(), db: db.clone(), parameters })
    }

    /// The gradients of a formula's parameters.
    fn parameter_gradients(
        &self,
        forward: &DenseForward,
        dy: &Tensor,
        before: Option<&[Tensor]>,
    ) -> Result<Vec<Tensor>> {
        let Some(Kept::Logits(z)) = &forward.kept else { return Ok(Vec::new()) };
        self.activation.parameter_sums(z, &*dy.wide()?, before, |_| Ok(()))
    }

    /// Checks the operands; returns them with dE/dz, [B, K].
    fn logit_gradient<'a>(
        &self,
        op: &'static str,
        x: &'a Tensor,
        w: &'a Tensor,
        forward: &DenseForward,
        dy: &Tensor,
    ) -> Result<(Linear<'a>, Tensor)> {
        let linear = Linear::new(op, x, w, None, self.transposed_weights)?;
        check_devices(op, [x.device(), forward.y.device(), dy.device()])?;
        let shape = linear.output_shape();
        check_shape(op, "the forward pass's y", &forward.y, &shape)?;
        check_shape(op, "dy", dy, &shape)?;
        let dy = dy.wide()?;
        let dz = match &forward.kept {
            Some(Kept::Logits(z)) => self.activation.backward(z, &dy)?,
            Some(Kept::Output(y)) => self.activation.backward_from_output(y, &dy)?,
            None => self.activation.backward_from_output(&*forward.y.wide()?, &dy)?,
        };
        Ok((linear, dz))
    }
}
