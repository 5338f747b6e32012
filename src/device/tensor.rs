//! Arrays on a device.

use std::fmt;
use std::future::poll_fn;
use std::ops::RangeBounds;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::Device;
use super::labels::Labels;
use super::parts::range_of;
use super::plan::{check_reading, unrecorded};
use crate::backend::{Bounds, OpOf, Purpose, Reading, Storage, Written, copied, room};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::lines::Rows;
use crate::shape::Shape;

/// A shaped, row-major array of f32, f16 or bf16 on a device, as [`Device::tensor`], [`Device::tensor_f16`] and
/// [`Device::tensor_bf16`] return it.
///
/// A tensor is cheap to clone, and a clone shares the elements: values that [`write`](Self::write) or an
/// `_into` form stores are visible through every clone.
///
/// All operations take tensors of any type and mixtures of them, and compute in f32. A result has the type
/// of the operand that it belongs to: y and dz have the type of z, dw of w, dx of x; a loss is f32.
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
    /// For a tensor of halves: the f32 numbers that it was last rounded from, see [`Tensor::exact`].
    exact: Option<Arc<OnceLock<Storage>>>,
}

impl Tensor {
    pub(crate) fn new(device: Device, storage: Storage, shape: Shape) -> Self {
        let exact = storage.dtype().is_half().then(Arc::default);
        Self { device, storage, shape, exact }
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

    /// The type in which the elements are stored.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// The device that the tensor lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The elements, row-major; f16 and bf16 are widened exactly. Blocks until all work recorded before is done.
    ///
    /// # Errors
    /// Errors that the GPU has reported; [`Error::Unsupported`] in a browser, where [`read`](Self::read) must
    /// be used, and in the work of a [`Plan`](crate::Plan), which would not repeat the read.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        let words = self.start_reading()?.wait()?;
        numbers(&self.device, self.dtype(), words, self.len())
    }

    /// The elements as f16, row-major; f32 and bf16 are rounded to the nearest, ties to even.
    ///
    /// ```
    /// use wgrad::{Device, half::f16};
    ///
    /// let tensor = Device::cpu().tensor(&[0.1, 1e6], [2])?;
    /// assert_eq!(tensor.to_vec_f16()?, [f16::from_f32(0.1), f16::INFINITY]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`to_vec`](Self::to_vec).
    pub fn to_vec_f16(&self) -> Result<Vec<f16>> {
        self.to_halves(DType::F16)
    }

    /// The elements as bf16, row-major; f32 and f16 are rounded to the nearest, ties to even.
    ///
    /// # Errors
    /// As [`to_vec`](Self::to_vec).
    pub fn to_vec_bf16(&self) -> Result<Vec<bf16>> {
        self.to_halves(DType::BF16)
    }

    /// The elements as numbers of 16 bits, of which H is the type.
    fn to_halves<H: bytemuck::Pod>(&self, dtype: DType) -> Result<Vec<H>>
    where
        [H]: HalfFloatSliceExt,
    {
        let words = self.start_reading()?.wait()?;
        if self.dtype() == dtype {
            return self.device.with_memory(|| copied(halves_of(&words, self.len())));
        }
        narrowed(&self.device, &numbers(&self.device, self.dtype(), words, self.len())?)
    }

    /// [`to_vec`](Self::to_vec) into memory of the caller's, which saves a large new one each time.
    ///
    /// ```
    /// use wgrad::Device;
    ///
    /// let tensor = Device::cpu().tensor(&[1.0, 2.0], [2])?;
    /// let mut values = [0.0; 2];
    /// tensor.read_into(&mut values)?;
    /// assert_eq!(values, [1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the number of elements differs; otherwise as [`to_vec`](Self::to_vec).
    pub fn read_into(&self, values: &mut [f32]) -> Result<()> {
        self.check_values("read_into", values.len())?;
        check_reading("a read")?;
        match self.dtype() {
            DType::F32 => self.device.backend.read_into(&self.storage, values),
            DType::F16 | DType::BF16 => {
                values.copy_from_slice(&self.to_vec()?);
                Ok(())
            }
        }
    }

    /// Starts a read that can be waited for later.
    pub(crate) fn start_reading(&self) -> Result<Reading> {
        check_reading("a read")?;
        self.read_words()
    }

    fn read_words(&self) -> Result<Reading> {
        self.device.backend.read(&self.storage, self.dtype().words(self.len()))
    }

    /// The elements, row-major, without blocking: for browsers and async applications.
    ///
    /// The call itself records and submits the copy, which may take as long as [`Device::flush`] and waits
    /// when recording waits (see [`Device`]); on the CPU the call makes the copy immediately. The future waits
    /// for the copy, and yields to its executor at least once, even if the elements are already there, so that
    /// a task that reads in a loop lets other tasks run. It may be dropped at any time.
    ///
    /// # Errors
    /// Errors that the GPU has reported.
    pub fn read(&self) -> impl Future<Output = Result<Vec<f32>>> + use<> {
        let (reading, device) = (self.start_reading(), self.device.clone());
        let (dtype, elements) = (self.dtype(), self.len());
        async move {
            yield_once().await;
            let words = reading?.resolve().await?;
            numbers(&device, dtype, words, elements)
        }
    }

    /// The only element. Blocks as [`to_vec`](Self::to_vec) does.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if there is not exactly one element; otherwise as [`to_vec`](Self::to_vec).
    pub fn item(&self) -> Result<f32> {
        if self.len() != 1 {
            let found = format!("{}{}", self.shape, absent_hint(self));
            return Err(Error::shape("item", "a tensor of one element", found));
        }
        Ok(self.to_vec()?.first().copied().unwrap_or(f32::NAN))
    }

    /// The same elements in another shape, without a copy.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.elements("reshape")? != self.len() {
            let expected = format!("a shape of {} elements", self.len());
            return Err(Error::shape("reshape", expected, &shape));
        }
        Ok(Self { shape, ..self.clone() })
    }

    /// A view of some of the rows, along the first axis, without a copy: it shares the elements. So the minibatches of a
    /// data set are views of one tensor on the device.
    ///
    /// On a GPU, kernels use the elements where they are if the view begins at a multiple of 256 bytes; elsewhere, and
    /// on the CPU to write to a view, each operation works on a copy, which it makes on the device. What the host knows
    /// of a tensor's values it does not know of a view: [`Loss`](crate::Loss) checks targets that are views only on a
    /// device that [is checked](crate::DeviceOptions::checked).
    ///
    /// ```
    /// use wgrad::Device;
    ///
    /// let data = Device::cpu().tensor(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [3, 2])?;
    /// let batch = data.rows(1..)?;
    /// assert_eq!(batch.shape(), &[2, 2]);
    /// batch.write(&[20.0, 30.0, 40.0, 50.0])?;
    /// assert_eq!(data.to_vec()?, [0.0, 1.0, 20.0, 30.0, 40.0, 50.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if there are no such rows; [`Error::Unsupported`] if the first element of a view of f16 or bf16
    /// is the second in its word of four bytes.
    pub fn rows(&self, rows: impl RangeBounds<usize>) -> Result<Self> {
        const OP: &str = "rows";
        let Some((&count, rest)) = self.shape.split_first() else {
            return Err(Error::shape(OP, "a tensor with at least one axis", &self.shape));
        };
        let rows = range_of(OP, rows, count)?;
        if rows.len() == count {
            return Ok(self.clone());
        }
        let width: usize = rest.iter().product();
        let (start, elements) = (rows.start * width, rows.len() * width);
        let Some(storage) = self.storage.part(start, elements) else {
            return Err(Error::Unsupported {
                what: format!("a view of f16 that begins with the odd element {start}"),
                reason: "two f16 share a word; begin with an even one, or convert to f32"
                    .to_owned(),
            });
        };
        let shape: Vec<usize> = std::iter::once(rows.len()).chain(rest.iter().copied()).collect();
        Ok(Self::new(self.device.clone(), storage, shape.into()))
    }

    /// Replaces the elements by those of `source`, which may be of another type or on another device. On one device that
    /// is a copy without an upload: a minibatch of a data set on the device becomes the input of a
    /// [`Plan`](crate::Plan) so.
    ///
    /// ```
    /// use wgrad::{Activation, Device};
    ///
    /// let device = Device::cpu();
    /// let data = device.tensor(&[-1.0, 1.0, -2.0, 2.0], [2, 2])?;
    /// let x = device.zeros([1, 2])?;
    /// let plan = device.record(|| Activation::Relu.forward(&x))?;
    /// for (row, largest) in [1.0, 2.0].into_iter().enumerate() {
    ///     x.copy_from(&data.rows(row..=row)?)?;
    ///     plan.run()?;
    ///     assert_eq!(plan.outputs().to_vec()?, [0.0, largest]);
    /// }
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the shapes differ; as [`to_vec`](Self::to_vec) and [`write`](Self::write) between
    /// devices, which the call waits for.
    pub fn copy_from(&self, source: &Self) -> Result<()> {
        check_shape("copy_from", "a source", source, &self.shape)?;
        if !self.device.same(&source.device) {
            return match source.dtype() {
                DType::F32 => self.write(&source.to_vec()?),
                DType::F16 => self.write_f16(&source.to_vec_f16()?),
                DType::BF16 => self.write_bf16(&source.to_vec_bf16()?),
            };
        }
        if source.dtype() != self.dtype() {
            return source.convert_into(self);
        }
        self.device.run(OpOf::Copy { input: &source.storage, output: &self.storage })
    }

    /// The tensor on another device, of the same type; on the same one this is a clone, which shares the elements.
    ///
    /// # Errors
    /// As [`to_vec`](Self::to_vec), which the call waits for, and [`Device::tensor`].
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.device.same(device) {
            return Ok(self.clone());
        }
        match self.dtype() {
            DType::F32 => device.tensor(&self.to_vec()?, self.shape.clone()),
            DType::F16 => device.tensor_f16(&self.to_vec_f16()?, self.shape.clone()),
            DType::BF16 => device.tensor_bf16(&self.to_vec_bf16()?, self.shape.clone()),
        }
    }

    /// Replaces the elements; they are rounded if the tensor is of f16 or bf16. Work recorded before still uses the
    /// old elements.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the number of elements differs; nothing is written then.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        self.check_values("write", values.len())?;
        match self.dtype() {
            DType::F32 => self.write_bytes(bytemuck::cast_slice(values)),
            DType::F16 => {
                let values: Vec<f16> = narrowed(&self.device, values)?;
                self.write_bytes(bytemuck::cast_slice(&values))
            }
            DType::BF16 => {
                let values: Vec<bf16> = narrowed(&self.device, values)?;
                self.write_bytes(bytemuck::cast_slice(&values))
            }
        }
    }

    /// [`write`](Self::write) with values of f16, for tensors of any type.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_f16(&self, values: &[f16]) -> Result<()> {
        self.write_halves("write_f16", DType::F16, values)
    }

    /// [`write`](Self::write) with values of bf16, for tensors of any type.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_bf16(&self, values: &[bf16]) -> Result<()> {
        self.write_halves("write_bf16", DType::BF16, values)
    }

    /// Replaces the elements by numbers of 16 bits, of which H is the type.
    fn write_halves<H: bytemuck::Pod>(
        &self,
        op: &'static str,
        dtype: DType,
        values: &[H],
    ) -> Result<()>
    where
        [H]: HalfFloatSliceExt,
    {
        self.check_values(op, values.len())?;
        match self.dtype() == dtype {
            true => self.write_bytes(bytemuck::cast_slice(values)),
            false => self.write(&widened(&self.device, values)?),
        }
    }

    /// Sets all elements to zero.
    pub(crate) fn clear(&self) -> Result<()> {
        self.device.zero(&self.storage, self.dtype().words(self.len()))
    }

    fn write_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.device.write(bytes, Written::Numbers, &self.storage)
    }

    fn check_values(&self, op: &'static str, count: usize) -> Result<()> {
        if count == self.len() {
            return Ok(());
        }
        let expected = format!("{} values for the shape {}", self.len(), self.shape);
        Err(Error::shape(op, expected, count))
    }

    /// The elements converted to another type on the device. If they already have that type, this is a clone,
    /// which shares the elements.
    ///
    /// Conversion to f16 or bf16 rounds to the nearest, ties to even: to f16 from 65 520 on to infinity, small numbers to
    /// subnormal ones. Infinities and NaN are kept.
    ///
    /// ```
    /// use wgrad::{DType, Device};
    ///
    /// let tensor = Device::cpu().tensor(&[2049.0, -1e-7, 7e4], [3])?;
    /// let halves = tensor.to_dtype(DType::F16)?;
    /// assert_eq!(halves.to_vec()?, [2048.0, -1.1920929e-7, f32::INFINITY]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::OutOfMemory`] if the result does not fit the device.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let output = self.device.allocate_of(dtype, self.shape.clone())?;
        self.convert_into(&output)?;
        Ok(output)
    }

    /// A tensor with undefined contents, of the same shape and type.
    pub(crate) fn like(&self) -> Result<Self> {
        self.like_in(self.shape.clone())
    }

    /// A tensor with undefined contents, of the same type.
    pub(crate) fn like_in(&self, shape: Shape) -> Result<Self> {
        self.device.allocate_of(self.dtype(), shape)
    }

    /// The place of the greatest element along the last axis, for each row, as labels that the device has written: the
    /// classes that outputs predict. Of several the first one; NaN counts as the greatest, as in PyTorch.
    ///
    /// ```
    /// use wgrad::Device;
    ///
    /// let logits = Device::cpu().tensor(&[0.1, 0.7, 0.2, 3.0, -1.0, 3.0], [2, 3])?;
    /// assert_eq!(logits.argmax()?.to_vec(), [1, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if there is no axis or the last one has no elements; [`Error::OutOfMemory`].
    pub fn argmax(&self) -> Result<Labels> {
        let rows = self.as_rows();
        if self.shape.is_empty() || rows.width == 0 {
            return Err(Error::shape("argmax", "rows of at least one element", &self.shape));
        }
        let output = self.device.backend.allocate(rows.count, Purpose::Tensor)?;
        if rows.count > 0 {
            let wide = self.wide()?;
            let (input, output) = (wide.storage(), &output);
            self.device.run(OpOf::Predict { input, rows, labels: None, output })?;
        }
        Ok(Labels::of_device(self.device.clone(), output, rows.count))
    }

    /// The wgpu buffer that holds the elements, from [`buffer_offset`](Self::buffer_offset) on; four bytes hold two
    /// elements of f16 or bf16. `None` on the CPU.
    ///
    /// It belongs to the tensor as long as a clone of the tensor lives, and wgrad does not reuse it afterwards.
    /// Call [`Device::flush`] before your own work reads it. Once it is destroyed, each use of the tensor is an
    /// error.
    pub fn buffer(&self) -> Option<&wgpu::Buffer> {
        self.storage.share()
    }

    /// The byte of the [`buffer`](Self::buffer) at which the elements begin: 0 except for views and for
    /// [`Device::tensor_from_buffer_at`]; 0 on the CPU.
    pub fn buffer_offset(&self) -> u64 {
        self.storage.buffer_offset()
    }

    /// The extremes of the elements; `None` if they are all NaN or not known. The host knows the values that
    /// it wrote. A checked device reads unknown values back.
    pub(crate) fn bounds(&self) -> Result<Option<Bounds>> {
        match self.storage.bounds() {
            None if self.device.is_checked() => {
                let words = self.read_words()?.wait()?;
                let values = numbers(&self.device, self.dtype(), words, self.len())?;
                Ok(Bounds::of(&values))
            }
            known => Ok(known),
        }
    }

    /// The f32 numbers that a tensor of halves is rounded from, for work that adds to it: small additions would be lost
    /// otherwise. They are kept from the first such work on. Elements that others have changed since begin anew with
    /// what the tensor holds. A tensor of f32 is its own.
    pub(crate) fn exact(&self) -> Result<Self> {
        self.keep_exact()?;
        let Some(exact) = self.kept_exact() else { return Ok(self.clone()) };
        let (rounded, elements) = (&self.storage, self.len());
        self.device.run(OpOf::Refresh { rounded, exact: &exact.storage, elements })?;
        Ok(exact)
    }

    /// Keeps the f32 numbers that a tensor of halves is rounded from, if they are not kept yet.
    pub(crate) fn keep_exact(&self) -> Result<()> {
        let Some(exact) = self.exact.as_ref().filter(|exact| exact.get().is_none()) else {
            return Ok(());
        };
        // A plan does not begin anew at each run.
        let wide = unrecorded(|| {
            let wide = self.device.allocate(self.shape.clone())?;
            self.convert_into(&wide)?;
            Ok(wide)
        })?;
        let _ = exact.set(wide.storage);
        Ok(())
    }

    /// The f32 numbers that the tensor was last rounded from, if they are kept.
    pub(crate) fn kept_exact(&self) -> Option<Self> {
        let exact = self.exact.as_ref()?.get()?;
        Some(Self::new(self.device.clone(), exact.clone(), self.shape.clone()))
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The shape as a [`Shape`], which can be printed and has a last axis.
    pub(crate) fn dimensions(&self) -> &Shape {
        &self.shape
    }

    /// The tensor as rows along its last axis.
    pub(crate) fn as_rows(&self) -> Rows {
        let width = self.shape.row();
        let outer = self.shape.len().saturating_sub(1);
        Rows { count: self.shape[..outer].iter().product(), width }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {} on {})", self.dtype(), self.shape, self.device.info())
    }
}

/// Lets the other tasks of the executor run once.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|task| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The first `elements` halves in words.
fn halves_of<H: bytemuck::Pod>(words: &[f32], elements: usize) -> &[H] {
    &bytemuck::cast_slice(words)[..elements]
}

/// The numbers of this type that are stored in words.
fn numbers(device: &Device, dtype: DType, words: Vec<f32>, elements: usize) -> Result<Vec<f32>> {
    match dtype {
        DType::F32 => Ok(words),
        DType::F16 => widened(device, halves_of::<f16>(&words, elements)),
        DType::BF16 => widened(device, halves_of::<bf16>(&words, elements)),
    }
}

fn widened<H>(device: &Device, halves: &[H]) -> Result<Vec<f32>>
where
    [H]: HalfFloatSliceExt,
{
    let mut values = device.with_memory(|| room(halves.len()))?;
    values.resize(halves.len(), 0.0);
    halves.convert_to_f32_slice(&mut values);
    Ok(values)
}

fn narrowed<H: bytemuck::Pod>(device: &Device, values: &[f32]) -> Result<Vec<H>>
where
    [H]: HalfFloatSliceExt,
{
    let mut halves = device.with_memory(|| room(values.len()))?;
    halves.resize(values.len(), H::zeroed());
    halves.convert_from_f32_slice(values);
    Ok(halves)
}

/// Checks that the tensors of an operation live on one device.
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

/// Checks that a tensor has this shape.
pub(crate) fn check_shape(
    op: &'static str,
    what: &str,
    tensor: &Tensor,
    expected: &[usize],
) -> Result<()> {
    if tensor.shape() == expected {
        return Ok(());
    }
    Err(misshaped(op, format!("{what} of shape {expected:?}"), tensor))
}

/// The error for a tensor that does not have the expected shape.
pub(crate) fn misshaped(op: &'static str, expected: String, tensor: &Tensor) -> Error {
    Error::shape(op, expected, format!("{}{}", tensor.dimensions(), absent_hint(tensor)))
}

/// A hint for a tensor that is the placeholder of an output that was not requested.
fn absent_hint(tensor: &Tensor) -> &'static str {
    match tensor.shape() {
        [0] => {
            "; an output of a layer that was not asked for has that shape: ask for it with outputs(…)"
        }
        _ => "",
    }
}

/// Checks that the tensors an operation adds to are not its operands, which it reads after it has begun to add,
/// and are distinct. Empty tensors, such as outputs that were not requested, share nothing.
pub(crate) fn check_sums(sums: &[(&str, &Tensor)], operands: &[(&str, &Tensor)]) -> Result<()> {
    for (i, &(name, sum)) in sums.iter().enumerate() {
        let mut others = sums[..i].iter().chain(operands).filter(|_| !sum.is_empty());
        if let Some((other, _)) = others.find(|(_, other)| other.storage.is(&sum.storage)) {
            return Err(Error::Unsupported {
                what: format!("a {name} to add to that is {other} itself"),
                reason: format!("the sum would change {other}; give {name} a tensor of its own"),
            });
        }
    }
    Ok(())
}
