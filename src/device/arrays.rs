//! Tensors and the arrays of the crate `ndarray`.

use ndarray::{Array, ArrayView, Dimension};

use super::{Device, Tensor};
use crate::error::{Error, Result};

impl Device {
    /// Uploads an array of any layout and rank.
    ///
    /// ```
    /// use ndarray::array;
    /// use wgrad::Device;
    ///
    /// let device = Device::cpu();
    /// let rows = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    /// let columns = device.tensor_from_array(rows.t())?;
    /// assert_eq!((columns.shape(), columns.to_vec()?), (&[3, 2][..], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn tensor_from_array<'a, D: Dimension>(
        &self,
        array: impl Into<ArrayView<'a, f32, D>>,
    ) -> Result<Tensor> {
        let array = array.into();
        let standard = array.as_standard_layout();
        let shape = array.shape().to_vec();
        match standard.as_slice() {
            Some(values) => self.tensor(values, shape),
            None => self.tensor(&standard.iter().copied().collect::<Vec<_>>(), shape),
        }
    }
}

impl Tensor {
    /// The elements as an array of this rank; f16 is widened exactly. Blocks as [`to_vec`](Self::to_vec) does.
    ///
    /// ```
    /// use ndarray::{Ix2, array};
    /// use wgrad::Device;
    ///
    /// let tensor = Device::cpu().tensor(&[1.0, 2.0], [1, 2])?;
    /// assert_eq!(tensor.to_array::<Ix2>()?, array![[1.0, 2.0]]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the tensor has another number of axes; otherwise as [`to_vec`](Self::to_vec).
    pub fn to_array<D: Dimension>(&self) -> Result<Array<f32, D>> {
        if let Some(rank) = D::NDIM
            && rank != self.shape().len()
        {
            let expected = format!("a tensor of {rank} axes");
            return Err(Error::shape("to_array", expected, self.dimensions()));
        }
        let array = ndarray::ArrayD::from_shape_vec(self.shape(), self.to_vec()?);
        let array = array.and_then(|array| array.into_dimensionality());
        array.map_err(|error| Error::shape("to_array", error.to_string(), self.dimensions()))
    }
}

impl<D: Dimension> TryFrom<&Tensor> for Array<f32, D> {
    type Error = Error;

    fn try_from(tensor: &Tensor) -> Result<Self> {
        tensor.to_array()
    }
}
