//! Row-wise activations along any axis.

use std::sync::Arc;

use super::masks::EmptyRows;
use super::{Activation, check_inputs};
use wgrad_formula::formulas::{Function, RowFunction};

use crate::backend::{Mask, OpOf, RowCall, RowProduct, Temperature};
use crate::device::halves::in_f32;
use crate::device::plan::Check;
use crate::device::tensor::{Tensor, check_devices, check_shape};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// A row-wise activation along any axis, with a temperature and a mask.
///
/// Along the axis, `y = g(z / T)`. Elements that the mask excludes have no effect: their y is 0 (−∞ for
/// log_softmax), whatever z is there. It is a constant, so all their derivatives are 0, and their dE/dy is
/// ignored. A row in which everything is excluded gives NaN, as PyTorch's softmax of a row of −∞ does, or
/// [zeros](Self::empty_rows); so does a row with NaN or +∞ (−∞ for softmin) among the elements that are kept.
///
/// If J is the Jacobian of a row, ∂y_i/∂z_j, then [`backward`](Self::backward) is the product Jᵀ·dy and
/// [`jvp`](Self::jvp) is J·dz. They are the same for all but log_softmax, whose J is not symmetric. They are
/// computed as sums of differences, Σ_j p_i·p_j·(dy_i − dy_j) for softmax, and lose no digits if one p is
/// almost 1.
///
/// Bounds: softmax, log_softmax and softmin are within 4 ULP for rows of up to 1024 elements, for any T.
/// Sparsemax is within 2·2⁻²⁴, 2 ULP of 1: an output is the difference of numbers of the order of 1, and may
/// be arbitrarily small.
///
/// ```
/// use wgrad::{Activation, Device, Rowwise};
///
/// let device = Device::cpu();
/// let z = device.tensor(&[0.0, 5.0, 0.0, 5.0, 9.0, 9.0], [3, 2])?;
/// let mask = device.tensor(&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [3, 2])?;
/// let softmax = Rowwise::new(Activation::Softmax)?.axis(0).temperature(0.5).mask(&mask);
/// let y = softmax.forward(&z)?;
/// assert_eq!(y.to_vec()?, [0.5, 0.5, 0.5, 0.5, 0.0, 0.0]);
///
/// let dy = device.tensor(&[1.0, 0.0, 0.0, 0.0, 7.0, 7.0], [3, 2])?;
/// let dz = softmax.backward(&z, &dy)?;
/// assert_eq!(dz.to_vec()?, [0.5, 0.0, -0.5, 0.0, 0.0, 0.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rowwise {
    pub(super) function: RowFunction,
    pub(super) axis: isize,
    pub(super) temperature: f32,
    pub(super) mask: Option<Tensor>,
    pub(super) additive: Option<Tensor>,
    pub(super) causal: bool,
    pub(super) empty_rows: EmptyRows,
}

impl Rowwise {
    /// The activation along the last axis, at the temperature 1, without a mask.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for pointwise activations.
    pub fn new(activation: Activation) -> Result<Self> {
        let Function::Rows(function) = activation.function() else {
            return Err(Error::Unsupported {
                what: format!("rows of {activation}"),
                reason: "it works element by element, and its Jacobian is diagonal; use derivative"
                    .to_owned(),
            });
        };
        Ok(Self {
            function,
            axis: -1,
            temperature: 1.0,
            mask: None,
            additive: None,
            causal: false,
            empty_rows: EmptyRows::Nan,
        })
    }

    /// Along this axis; a negative axis counts from the end, −1 is the last.
    #[must_use]
    pub const fn axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }

    /// The temperature T of z / T, from 1e-30 to 1e30: high temperatures make the outputs more equal.
    #[must_use]
    pub const fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// Keeps only the elements at which the mask is 1 and excludes those at which it is 0. Its shape is the
    /// shape of z, or of z's last axes, of which any may be 1: then it is repeated over the others, as `[K]` over the
    /// rows of [B, K], or [B, 1, 1, T] over the heads and the queries of [B, H, T, T].
    ///
    /// Other numbers are an error if the host knows them: a mask of 0 and −∞, which other libraries add to z,
    /// would keep exactly the elements that it should exclude. In a mask that was computed on the device, any
    /// value other than 0 keeps its element, unless the device is [checked](crate::DeviceOptions::checked).
    #[must_use]
    pub fn mask(mut self, mask: &Tensor) -> Self {
        self.mask = Some(mask.clone());
        self
    }

    /// `g(z / T)`, of z's shape.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a temperature out of range, an axis that z does not have, or a
    /// mask with numbers other than 0 and 1, if the host knows them;
    /// [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if the mask does not match z;
    /// [`Error::TooLarge`] if the axes from this one on take more than a binding of the GPU or, on a
    /// software adapter, if a row is too large (22 MB; 0.9 MB for sparsemax).
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let y = z.like()?;
        self.forward_into(z, &y)?;
        Ok(y)
    }

    /// [`forward`](Self::forward) into an existing tensor, which may be z itself.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if y does not match z.
    pub fn forward_into(&self, z: &Tensor, y: &Tensor) -> Result<()> {
        self.check_mask()?;
        self.forward_masked(&*self.resolved("forward", z)?, z, y)
    }

    /// The forward pass with the [resolved](Self::resolved) masks.
    fn forward_masked(&self, masked: &Self, z: &Tensor, y: &Tensor) -> Result<()> {
        const OP: &str = "forward";
        let run = |this: &Self, [z]: [&Tensor; 1], y: &Tensor| {
            let call = this.call(OP, &[z], y)?;
            y.device().run(OpOf::RowForward { call, z: z.storage(), y: y.storage() })?;
            this.fill_empty(y)
        };
        let fills = masked.mask.is_some() && self.empty_rows == EmptyRows::Zeros;
        if self.additive.is_none() && !fills && masked.takes_halves(OP, &[z], y)? {
            return run(masked, [z], y);
        }
        masked.in_f32([z], y, |this, [z], y| match self.biased(OP, z)? {
            Some(biased) => run(&Self { temperature: 1.0, ..this.clone() }, [&biased], y),
            None => run(this, [z], y),
        })
    }

    /// `dE/dz` from z and `dy = dE/dy`: the vector-Jacobian product Jᵀ·dy along each row.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if dy does not match z.
    #[doc(alias = "vjp")]
    pub fn backward(&self, z: &Tensor, dy: &Tensor) -> Result<Tensor> {
        self.product(z, dy, Self::backward_into)
    }

    /// [`backward`](Self::backward) into an existing tensor, which may be z or dy.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_into(&self, z: &Tensor, dy: &Tensor, dz: &Tensor) -> Result<()> {
        self.check_mask()?;
        let masked = self.resolved("backward", z)?;
        masked.call("backward", &[z, dy], dz)?;
        masked.in_f32([z, dy], dz, |this, [z, dy], dz| {
            let y = z.like()?;
            self.forward_masked(this, z, &y)?;
            this.backward_from_output_into(&y, dy, dz)
        })
    }

    /// [`backward`](Self::backward) from `y = g(z / T)`, without computing g again. For sparsemax, only the
    /// signs of y matter: whether each output is positive.
    ///
    /// It is as accurate as y is: if one probability is almost 1, dz is computed from the others, which have
    /// all their digits in y. Digits that y has lost cannot be recovered: probabilities that were rounded to 0;
    /// of an f16 y, all probabilities below 3e-8 and most digits of those below 6e-5; for log_softmax, if the
    /// logarithm of the greatest probability was rounded to −0 in f16, the distance of that probability from 1.
    /// [`backward`](Self::backward) keeps them, even for an f16 z.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if dy does not match y.
    pub fn backward_from_output(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        self.product(y, dy, Self::backward_from_output_into)
    }

    /// [`backward_from_output`](Self::backward_from_output) into an existing tensor, which may be y or dy.
    ///
    /// # Errors
    /// As [`backward_from_output`](Self::backward_from_output).
    pub fn backward_from_output_into(&self, y: &Tensor, dy: &Tensor, dz: &Tensor) -> Result<()> {
        self.check_mask()?;
        self.product_into("backward_from_output", RowProduct::Backward, [y, dy], dz)
    }

    /// The vector-Jacobian product Jᵀ·dy: another name for [`backward`](Self::backward).
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn vjp(&self, z: &Tensor, dy: &Tensor) -> Result<Tensor> {
        self.backward(z, dy)
    }

    /// The Jacobian-vector product J·dz along each row: the change of y if z changes along dz.
    ///
    /// ```
    /// use wgrad::{Activation, Device, Rowwise};
    ///
    /// let device = Device::cpu();
    /// let z = device.tensor(&[0.0, 0.0], [2])?;
    /// let dz = device.tensor(&[1.0, 0.0], [2])?;
    /// let log_softmax = Rowwise::new(Activation::LogSoftmax)?;
    /// assert_eq!(log_softmax.jvp(&z, &dz)?.to_vec()?, [0.5, -0.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if dz does not match z.
    pub fn jvp(&self, z: &Tensor, dz: &Tensor) -> Result<Tensor> {
        self.product(z, dz, Self::jvp_into)
    }

    /// [`jvp`](Self::jvp) into an existing tensor, which may be z or dz.
    ///
    /// # Errors
    /// As [`jvp`](Self::jvp).
    pub fn jvp_into(&self, z: &Tensor, dz: &Tensor, dy: &Tensor) -> Result<()> {
        self.check_mask()?;
        let masked = self.resolved("jvp", z)?;
        masked.call("jvp", &[z, dz], dy)?;
        masked.in_f32([z, dz], dy, |this, [z, dz], dy| {
            // The product takes probabilities; from their logarithms it would have to compute them.
            let y = z.like()?;
            match this.function {
                RowFunction::LogSoftmax => {
                    let softmax = |of: &Self| Self { function: RowFunction::Softmax, ..of.clone() };
                    softmax(self).forward_masked(&softmax(this), z, &y)?;
                }
                _ => self.forward_masked(this, z, &y)?,
            }
            this.product_into("jvp", RowProduct::Jvp, [&y, dz], dy)
        })
    }

    /// `∂y_i/∂z_j` of each row. The axis is replaced by two axes at the end, of i and then j: [A, K, B] along
    /// axis 1 becomes [A, B, K, K].
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::TooLarge`] if the Jacobian does not fit the device.
    pub fn jacobian(&self, z: &Tensor) -> Result<Tensor> {
        let jacobian = z.like_in(self.jacobian_shape(z)?)?;
        self.jacobian_into(z, &jacobian)?;
        Ok(jacobian)
    }

    /// [`jacobian`](Self::jacobian) into an existing tensor.
    ///
    /// # Errors
    /// As [`jacobian`](Self::jacobian), and if the tensor does not match z.
    pub fn jacobian_into(&self, z: &Tensor, jacobian: &Tensor) -> Result<()> {
        const OP: &str = "jacobian";
        check_devices(OP, [z.device(), jacobian.device()])?;
        check_shape(OP, "an output", jacobian, &self.jacobian_shape(z)?)?;
        self.check_mask()?;
        let masked = self.resolved(OP, z)?;
        masked.in_f32([z], jacobian, |this, [z], jacobian| {
            let call = this.call(OP, &[z], z)?;
            let y = z.like()?;
            self.forward_masked(this, z, &y)?;
            let (y, output) = (y.storage(), jacobian.storage());
            z.device().run(OpOf::RowJacobian { call, y, output })
        })
    }

    /// Whether all tensors are of f16, or all of bf16, and the backend takes them without conversion.
    fn takes_halves(&self, op: &'static str, inputs: &[&Tensor], output: &Tensor) -> Result<bool> {
        let dtype = output.dtype();
        if !dtype.is_half()
            || !inputs.iter().all(|input| input.dtype() == dtype)
            || self.mask.as_ref().is_some_and(|mask| mask.dtype() != DType::F32)
        {
            return Ok(false);
        }
        let call = self.call(op, inputs, output)?;
        let (z, y) = (output.storage(), output.storage());
        Ok(output.device().backend.supports(&OpOf::RowForward { call, z, y }))
    }

    /// [`in_f32`], with the mask widened too.
    fn in_f32<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        output: &Tensor,
        run: impl FnOnce(&Self, [&Tensor; N], &Tensor) -> Result<()>,
    ) -> Result<()> {
        let wide = match &self.mask {
            Some(mask) if mask.dtype() != DType::F32 => {
                Some(Self { mask: Some(mask.wide()?.into_owned()), ..self.clone() })
            }
            _ => None,
        };
        let this = wide.as_ref().unwrap_or(self);
        in_f32(inputs, [output], |inputs, [output]| run(this, inputs, output))
    }

    fn jacobian_shape(&self, z: &Tensor) -> Result<Shape> {
        let axis = z.dimensions().axis(self.axis)?;
        let mut axes = z.shape().to_vec();
        let width = if axes.is_empty() { 1 } else { axes.remove(axis) };
        axes.extend([width, width]);
        Ok(Shape::from(axes))
    }

    fn product(
        &self,
        like: &Tensor,
        vector: &Tensor,
        run: impl Fn(&Self, &Tensor, &Tensor, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let output = like.like()?;
        run(self, like, vector, &output)?;
        Ok(output)
    }

    fn product_into(
        &self,
        op: &'static str,
        product: RowProduct,
        [y, vector]: [&Tensor; 2],
        output: &Tensor,
    ) -> Result<()> {
        let masked = self.resolved(op, y)?;
        let run = |this: &Self, [y, vector]: [&Tensor; 2], output: &Tensor| {
            let call = this.call(op, &[y, vector], output)?;
            let (y, vector) = (y.storage(), vector.storage());
            let device = output.device();
            device.run(OpOf::RowProduct { product, call, y, vector, output: output.storage() })
        };
        match masked.takes_halves(op, &[y, vector], output)? {
            true => run(&masked, [y, vector], output),
            false => masked.in_f32([y, vector], output, run),
        }
    }

    /// Checks that the mask holds only 0 and 1, as far as the host knows it; in a plan, at each run.
    fn check_mask(&self) -> Result<()> {
        self.check_additive()?;
        let Some(mask) = &self.mask else { return Ok(()) };
        if mask.device().is_recording() {
            let (of, known) = (mask.storage().clone(), mask.clone());
            let run = Arc::new(move || check_mask(&known));
            mask.device().keep_check(Check { of, run });
        }
        check_mask(mask)
    }

    /// Checks tensors, which must have the output's shape, and returns the call.
    fn call(&self, op: &'static str, inputs: &[&Tensor], output: &Tensor) -> Result<RowCall<'_>> {
        if !(1e-30..=1e30).contains(&self.temperature) {
            let reason = "must be from 1e-30 to 1e30";
            return Err(Error::parameter("temperature", self.temperature, reason));
        }
        let mask = self.mask.as_ref();
        let tensors = inputs.iter().copied().chain([output]).chain(mask);
        check_devices(op, tensors.map(Tensor::device))?;
        check_inputs(op, &self.function.name(), inputs, output)?;
        let lines = output.dimensions().lines(self.axis)?;
        if let Some(mask) = mask.filter(|mask| !output.shape().ends_with(mask.shape())) {
            let expected =
                format!("a mask of the shape {} or of its last axes", output.dimensions());
            return Err(Error::shape(op, expected, mask.dimensions()));
        }
        let mask = mask.map(|mask| Mask { storage: mask.storage(), elements: mask.len() });
        let temperature = Temperature::new(self.temperature);
        Ok(RowCall { function: self.function, lines, temperature, mask })
    }
}

/// Checks that a mask holds only 0 and 1, as far as the host knows it.
fn check_mask(mask: &Tensor) -> Result<()> {
    let Some(bounds) = mask.bounds()? else { return Ok(()) };
    let [low, high] = [bounds.least, bounds.greatest];
    let odd = if low.value < 0.0 { Some(low) } else { bounds.between };
    let Some(odd) = odd.or(Some(high).filter(|high| high.value > 1.0)) else { return Ok(()) };
    let reason = format!(
        "element {} of the mask must be 1, to keep what is there, or 0, to exclude it; of a mask that is \
         added to the logits make one by 1 where it is 0, else 0",
        odd.index
    );
    Err(Error::parameter("mask", odd.value, reason))
}
