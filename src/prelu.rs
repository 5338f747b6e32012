//! Prelu with a learned weight.

use crate::backend::{Channels, Lines, OpOf};
use crate::device::halves::in_f32;
use crate::device::tensor::{Tensor, check_devices, check_shape};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// The leaky rectified linear unit with learned slopes (He, Zhang, Ren and Sun 2015):
/// `y = z` if z > 0, else `weight·z`.
///
/// The weight has one element, which all elements share, or one per channel, as in PyTorch: C elements for an
/// input of shape [B, C, ...]. [`axis`](Self::axis) selects another axis for the channels.
///
/// At z = 0 the derivative is the weight. With a weight of 0, y at −∞ is 0. NaN in z, weight or dy
/// gives NaN in every result that depends on it.
///
/// [`Activation::Prelu`](crate::Activation::Prelu) is the same function with a fixed weight.
///
/// ```
/// use wgrad::{Device, Prelu};
///
/// let device = Device::cpu();
/// let z = device.tensor(&[-1.0, 2.0, -3.0, -4.0], [2, 2])?;
/// let weight = device.tensor(&[0.25, 0.5], [2])?;
/// let y = Prelu::new().forward(&z, &weight)?;
/// assert_eq!(y.to_vec()?, [-0.25, 2.0, -0.75, -2.0]);
///
/// let dy = device.tensor(&[1.0, 1.0, 1.0, 1.0], [2, 2])?;
/// let gradients = Prelu::new().backward(&z, &weight, &dy)?;
/// assert_eq!(gradients.dz.to_vec()?, [0.25, 1.0, 0.25, 0.5]);
/// assert_eq!(gradients.dweight.to_vec()?, [-4.0, -4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Prelu {
    axis: isize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    gradient_dtype: Option<DType>,
}

/// The gradients of a [`Prelu`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PreluGradients {
    /// dE/dz, of z's shape.
    pub dz: Tensor,
    /// dE/dweight, of the weight's shape: the sums of dy·z over the channel's elements with z ≤ 0.
    pub dweight: Tensor,
}

/// The assumed length of a row if all elements share one weight.
const SHARED: usize = 4096;

impl Prelu {
    /// A unit with the channels along axis 1.
    pub const fn new() -> Self {
        Self { axis: 1, gradient_dtype: None }
    }

    /// With the channels along this axis; a negative axis counts from the end, −1 is the last. For a weight of
    /// one element, the axis has no effect.
    #[must_use]
    pub const fn axis(self, axis: isize) -> Self {
        Self { axis, ..self }
    }

    /// The type of dweight; by default that of the weights. Gradients of f16 and bf16 weights lose nothing to rounding if
    /// they are of f32, which optimizers take, too.
    ///
    /// ```
    /// use wgrad::{DType, Prelu};
    ///
    /// let layer = Prelu::new().gradient_dtype(DType::F32);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub const fn gradient_dtype(mut self, dtype: DType) -> Self {
        self.gradient_dtype = Some(dtype);
        self
    }

    /// `z` if z > 0, else `weight·z`, of z's shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if the weight does not match z;
    /// [`Error::InvalidParameter`] if z does not have the axis; [`Error::TooLarge`] if the axes after it,
    /// or the weight, take more than a binding of the GPU.
    pub fn forward(&self, z: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let y = z.like()?;
        self.forward_into(z, weight, &y)?;
        Ok(y)
    }

    /// [`forward`](Self::forward) into an existing tensor, which may be z itself.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if y does not match z.
    pub fn forward_into(&self, z: &Tensor, weight: &Tensor, y: &Tensor) -> Result<()> {
        const OP: &str = "prelu forward";
        in_f32([z, weight], [y], |[z, weight], [y]| {
            let channels = self.channels(OP, z, weight, &[("y", y)])?;
            let [input, weight, y] = [z, weight, y].map(Tensor::storage);
            z.device().run(OpOf::PreluForward { channels, z: input, weight, y })
        })
    }

    /// The gradients from `dy = dE/dy`. The sums have a fixed order: the same input gives the same bits.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if dy does not match z.
    pub fn backward(&self, z: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<PreluGradients> {
        let dz = z.like()?;
        let dtype = self.gradient_dtype.unwrap_or(weight.dtype());
        let dweight = weight.device().allocate_of(dtype, weight.dimensions().clone())?;
        let gradients = PreluGradients { dz, dweight };
        self.backward_into(z, weight, dy, &gradients)?;
        Ok(gradients)
    }

    /// [`backward`](Self::backward) into existing tensors, such as the results of an earlier call. dz may be z
    /// or dy, and dweight may be the weight.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and if the gradients do not match; [`Error::Unsupported`] if dz and
    /// dweight are the same tensor.
    pub fn backward_into(
        &self,
        z: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        gradients: &PreluGradients,
    ) -> Result<()> {
        const OP: &str = "prelu backward";
        let PreluGradients { dz, dweight } = gradients;
        if dz.storage().is(dweight.storage()) {
            return Err(Error::Unsupported {
                what: "a dweight that is dz itself".to_owned(),
                reason: "both are written; give each a tensor of its own".to_owned(),
            });
        }
        in_f32([z, weight, dy], [dz, dweight], |[z, weight, dy], [dz, dweight]| {
            let channels = self.channels(OP, z, weight, &[("dy", dy), ("dz", dz)])?;
            check_devices(OP, [z.device(), dweight.device()])?;
            check_shape(OP, "dweight", dweight, weight.shape())?;
            let inputs = [z.storage(), weight.storage(), dy.storage()];
            let (dz, dweight) = (dz.storage(), dweight.storage());
            z.device().run(OpOf::PreluBackward { channels, inputs, dz, dweight })
        })
    }

    /// Checks that the weight matches z and the other tensors have z's shape, and returns the channels of z.
    fn channels(
        &self,
        op: &'static str,
        z: &Tensor,
        weight: &Tensor,
        like_z: &[(&str, &Tensor)],
    ) -> Result<Channels> {
        let tensors = [z, weight].into_iter().chain(like_z.iter().map(|(_, tensor)| *tensor));
        check_devices(op, tensors.map(Tensor::device))?;
        like_z.iter().try_for_each(|(what, tensor)| check_shape(op, what, tensor, z.shape()))?;
        let elements = z.len();
        if weight.len() == 1 {
            return Ok(Channels { channels: 1, width: SHARED, elements });
        }
        let index = z.dimensions().axis(self.axis)?;
        let Lines { width: channels, inner, .. } = z.dimensions().lines(self.axis)?;
        if weight.shape() != [channels] {
            let expected = format!(
                "a weight of 1 element, or of shape [{channels}] for axis {index} of z {}",
                z.dimensions()
            );
            return Err(Error::shape(op, expected, weight.dimensions()));
        }
        Ok(Channels { channels, width: inner, elements })
    }
}

impl Default for Prelu {
    fn default() -> Self {
        Self::new()
    }
}
