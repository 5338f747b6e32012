//! Hidden layers.

use crate::activation::Activation;
use crate::error::Result;
use crate::linear::Linear;
use crate::tensor::{Tensor, check_devices, check_shape};

/// A hidden layer, `y = g(x·w + b)`, with its backward pass.
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
pub struct Dense {
    activation: Activation,
}

/// The output of a [`Dense`] layer, with what its backward pass needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DenseForward {
    /// g(x·w + b), [B, K].
    pub y: Tensor,
    /// x·w + b, kept where y does not tell the derivative.
    z: Option<Tensor>,
}

/// The gradients of a [`Dense`] layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DenseGradients {
    /// dE/dx, [B, M].
    pub dx: Tensor,
    /// dE/dw, [M, K].
    pub dw: Tensor,
    /// dE/db, `[K]`; also where there is no bias.
    pub db: Tensor,
}

impl Dense {
    /// A layer with this activation.
    pub const fn new(activation: Activation) -> Self {
        Self { activation }
    }

    /// `g(x·w + b)` for x of shape [B, M], w of shape [M, K] and b of shape `[K]`.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch),
    /// [`Error::DeviceMismatch`](crate::Error::DeviceMismatch) where the tensors do not fit, or K is 0.
    pub fn forward(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<DenseForward> {
        self.activation.validate()?;
        let linear = Linear::new("dense forward", x, w, b, false)?;
        if self.activation.has_derivative_from_output() && !self.activation.is_rowwise() {
            return Ok(DenseForward { y: linear.forward(&self.activation)?, z: None });
        }
        if self.activation.has_derivative_from_output() {
            return Ok(DenseForward { y: self.activation.forward(&linear.logits()?)?, z: None });
        }
        let z = linear.forward(&Activation::Identity)?;
        Ok(DenseForward { y: self.activation.forward(&z)?, z: Some(z) })
    }

    /// The gradients from `dy = dE/dy`, [B, K], for what [`forward`](Self::forward) returned.
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
        let linear = Linear::new(OP, x, w, None, false)?;
        check_devices(OP, [x.device(), forward.y.device(), dy.device()])?;
        let shape = [linear.batch, linear.outputs];
        check_shape(OP, "the forward pass's y", &forward.y, &shape)?;
        check_shape(OP, "dy", dy, &shape)?;
        let dz = match &forward.z {
            Some(z) => self.activation.backward(z, dy)?,
            None => self.activation.backward_from_output(&forward.y, dy)?,
        };
        Ok(DenseGradients {
            dx: linear.input_gradient(&dz)?,
            dw: linear.weight_gradient(&dz)?,
            db: linear.bias_gradient(&dz)?,
        })
    }
}
