//! Arrays on a device.

use std::fmt;

use crate::backend::{Rows, Storage};
use crate::cpu::Bounds;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// A shaped, row-major f32 array on a device: what [`Device::tensor`] makes.
///
/// Cheap to clone, and a clone shares the elements: what [`write`](Self::write) or an `_into` form
/// stores is seen through every clone.
///
/// ```
/// use wgrad::Device;
///
/// let device = Device::cpu();
/// let tensor = device.tensor(&[1.0, 2.0, 3.0, 4.0], [4])?.reshape([2, 2])?;
/// assert_eq!(tensor.shape(), &[2, 2]);
/// assert_eq!(tensor.to_vec()?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    device: Device,
    storage: Storage,
    shape: Shape,
}

impl Tensor {
    pub(crate) fn new(device: Device, storage: Storage, shape: Shape) -> Self {
        Self { device, storage, shape }
    }

    /// The lengths of the axes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device that the tensor lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The elements, row-major. Blocks until all that was recorded before is done.
    ///
    /// # Errors
    /// What the GPU has reported; [`Error::Unsupported`] in a browser, where [`read`](Self::read) is
    /// the way.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.device.backend.read(&self.storage, self.len())?.wait()
    }

    /// The elements, row-major, without blocking: for browsers and async applications.
    ///
    /// The copy is recorded and submitted by the call itself; the future waits for it.
    ///
    /// # Errors
    /// What the GPU has reported.
    pub fn read(&self) -> impl Future<Output = Result<Vec<f32>>> + use<> {
        let reading = self.device.backend.read(&self.storage, self.len());
        async move { reading?.resolve().await }
    }

    /// The only element. Blocks as [`to_vec`](Self::to_vec) does.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] where there is not exactly one.
    pub fn item(&self) -> Result<f32> {
        if self.len() != 1 {
            return Err(Error::shape("item", "a tensor of one element", &self.shape));
        }
        Ok(self.to_vec()?.first().copied().unwrap_or(f32::NAN))
    }

    /// The same elements in another shape, without a copy.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] where the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.elements("reshape")? != self.len() {
            let expected = format!("a shape of {} elements", self.len());
            return Err(Error::shape("reshape", expected, &shape));
        }
        Ok(Self { shape, ..self.clone() })
    }

    /// Replaces the elements. What was recorded before still sees the old ones.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] where the number of elements differs; nothing is written then.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            let expected = format!("{} values for the shape {}", self.len(), self.shape);
            return Err(Error::shape("write", expected, values.len()));
        }
        self.device.backend.write(values, &self.storage)
    }

    /// The wgpu buffer with the elements, from its start; nothing on the CPU.
    ///
    /// It is the tensor's as long as a clone of the tensor lives; afterwards wgrad reuses it. Call
    /// [`Device::flush`] before work of your own reads it.
    pub fn buffer(&self) -> Option<&wgpu::Buffer> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Gpu(buffer) => Some(buffer.share()),
        }
    }

    /// The extremes of the elements; nothing where they are all NaN, or not known: the host knows what
    /// it wrote. On a checked device what is not known is read back.
    pub(crate) fn bounds(&self) -> Result<Option<Bounds>> {
        match self.storage.bounds() {
            None if self.device.is_checked() => Ok(Bounds::of(&self.to_vec()?)),
            known => Ok(known),
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The shape as a shape, which prints and has a last axis.
    pub(crate) fn dimensions(&self) -> &Shape {
        &self.shape
    }

    /// The tensor as rows along its last axis.
    pub(crate) fn rows(&self) -> Rows {
        let width = self.shape.row();
        let outer = self.shape.len().saturating_sub(1);
        Rows { count: self.shape[..outer].iter().product(), width }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} on {})", self.shape, self.device.info())
    }
}

/// That the tensors of an operation live on one device.
pub(crate) fn check_devices<'a>(
    op: &'static str,
    devices: impl IntoIterator<Item = &'a Device>,
) -> Result<()> {
    let mut devices = devices.into_iter();
    let Some(first) = devices.next() else { return Ok(()) };
    match devices.find(|device| !device.same(first)) {
        None => Ok(()),
        Some(second) => Err(Error::DeviceMismatch {
            op,
            first: first.info().to_string(),
            second: second.info().to_string(),
        }),
    }
}

/// That a tensor has this shape.
pub(crate) fn check_shape(
    op: &'static str,
    what: &str,
    tensor: &Tensor,
    expected: &[usize],
) -> Result<()> {
    if tensor.shape() == expected {
        return Ok(());
    }
    let expected = format!("{what} of shape {expected:?}");
    Err(Error::shape(op, expected, tensor.dimensions()))
}
