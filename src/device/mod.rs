//! Floor 6: places to compute, and the tensors and plans on them. Only here the two backends have names.

#[cfg(feature = "ndarray")]
mod arrays;
pub(crate) mod halves;
pub(crate) mod labels;
mod parts;
pub(crate) mod plan;
pub(crate) mod tensor;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use half::{bf16, f16};
use wgrad_formula::formulas::{Map, PointwiseFunction};

use crate::backend::{
    Backend, Counters, DeviceInfo, DeviceOptions, Memory, OpOf, Preference, Purpose, Storage, Wgpu,
    Written, copied, with_memory,
};
use crate::cpu::CpuBackend;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::{self, GpuBackend};
use crate::shape::Shape;

pub use labels::Labels;
pub use plan::Plan;
pub use tensor::Tensor;

/// A place to compute: a GPU through wgpu, or the CPU. Cheap to clone, usable from any thread.
///
/// Operations on a GPU only record; a read, [`flush`](Self::flush) or a full batch submits. Errors
/// that the GPU reports late surface at the next call on the device.
///
/// Recording waits in few cases: for a GPU that is more than 16 batches behind; when it fills a batch, for
/// kernels that are still being compiled ([`prepare`](Self::prepare) waits for them without blocking);
/// when it needs the first kernel on rows or with f16, for the few kernels that determine what the device can
/// do; and for memory if there is none left. On the CPU, an operation is done when it returns.
///
/// If recorded work cannot be done, because memory is short or the application has destroyed a buffer, the
/// call that notices it returns the error, and so does each later call that uses a tensor which the work
/// should have written, until that tensor is written again. Everything else continues to work, except after
/// [`Error::DeviceLost`].
///
/// ```
/// use wgrad::Device;
///
/// let device = Device::cpu();
/// let z = device.tensor(&[1.0, 2.0, 3.0, 4.0], [2, 2])?;
/// assert_eq!(z.shape(), &[2, 2]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Device {
    pub(crate) backend: Arc<dyn Backend>,
    checked: bool,
}

/// Keeps recorded work from being submitted for as long as it lives.
pub(crate) struct Held<'a>(&'a dyn Wgpu);

impl<'a> Held<'a> {
    pub(crate) fn new(wgpu: &'a dyn Wgpu) -> Self {
        wgpu.hold(true);
        Self(wgpu)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.hold(false);
    }
}

impl Device {
    /// The best hardware GPU, else the CPU with a `log::warn!`.
    ///
    /// A software adapter counts as a GPU only if it is requested, by [`Device::gpu`], [`DeviceOptions`] or
    /// the environment (see [`DeviceOptions`]), because the CPU backend is faster.
    ///
    /// # Errors
    /// If `WGRAD_DEVICE` is set to a value other than `auto`, `gpu` or `cpu`, or `WGRAD_CHECKED` or
    /// `WGRAD_COOPERATIVE_MATRICES` to a value other than `0` or `1`; or if `WGRAD_DEVICE` is `gpu` or an
    /// adapter is named, and there is none.
    pub fn new() -> Result<Self> {
        block_on("Device::new", Self::request(DeviceOptions::default()))
    }

    /// The best GPU, or a software adapter if there is no hardware GPU.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is neither.
    pub fn gpu() -> Result<Self> {
        let options = DeviceOptions::default().preference(Preference::Gpu);
        block_on("Device::gpu", Self::request(options))
    }

    /// The CPU backend: it uses all cores and gives the same results, within the published bounds.
    ///
    /// Each call opens a separate device, with its own memory statistics, whose tensors cannot be mixed with
    /// another's: open one and clone it.
    pub fn cpu() -> Self {
        Self { backend: Arc::new(CpuBackend::new()), checked: false }
    }

    /// Opens the device that the options describe. This is the form for browsers, which must not block.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if no adapter matches; an invalid environment variable, as for
    /// [`new`](Self::new).
    pub async fn request(options: DeviceOptions) -> Result<Self> {
        let (preference, checked) = (options.resolved_preference()?, options.resolved_checked()?);
        let cooperative_matrices = options.resolved_cooperative_matrices()?;
        if preference == Preference::Cpu {
            return Ok(Self { checked, ..Self::cpu() });
        }
        match gpu::open(&options, preference, cooperative_matrices).await {
            Ok(backend) => Ok(Self { backend: Arc::new(backend), checked }),
            Err(Error::NoAdapter { reason })
                if preference == Preference::Auto && options.resolved_adapter_name().is_none() =>
            {
                log::warn!("wgrad computes on the CPU: {reason}");
                Ok(Self { checked, ..Self::cpu() })
            }
            Err(error) => Err(error),
        }
    }

    /// A device on top of a host application's wgpu device.
    ///
    /// wgrad submits to the queue by itself; call [`flush`](Self::flush) before the host uses a
    /// tensor's buffer. The host keeps its error handlers and its device-lost callback. If it destroys the
    /// device, every later call returns [`Error::DeviceLost`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device cannot run compute shaders, or its limits are too small;
    /// [`Error::DeviceLost`] if it has been destroyed.
    pub fn from_wgpu(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
    ) -> Result<Self> {
        let checked = DeviceOptions::default().resolved_checked()?;
        Ok(Self { backend: Arc::new(GpuBackend::adopt(adapter, device, queue)?), checked })
    }

    /// Every adapter that can compute, best first, and the CPU last. `DeviceOptions::from(&info)`
    /// opens one of them.
    ///
    /// ```
    /// use wgrad::{Device, DeviceKind};
    /// let devices = Device::enumerate();
    /// assert_eq!(devices.last().map(|info| info.kind), Some(DeviceKind::Cpu));
    /// ```
    pub fn enumerate() -> Vec<DeviceInfo> {
        let adapters = block_on("Device::enumerate", async { Ok(gpu::enumerate().await) });
        let mut devices = adapters.unwrap_or_default();
        devices.push(CpuBackend::new().info().clone());
        devices
    }

    /// Opens one of the devices of [`enumerate`](Self::enumerate).
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if it is no longer available.
    pub fn open(info: &DeviceInfo) -> Result<Self> {
        block_on("Device::open", Self::request(DeviceOptions::from(info)))
    }

    /// The device's name, kind and limits.
    pub fn info(&self) -> &DeviceInfo {
        self.backend.info()
    }

    /// Whether losses read back targets and outputs that were computed on the device, to check them: see
    /// [`DeviceOptions::checked`].
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// The memory that the tensors and operations of this device use, by purpose.
    pub fn memory(&self) -> Memory {
        self.backend.memory()
    }

    /// Sets every peak of [`memory`](Self::memory) to the current use, to measure the work that follows.
    pub fn reset_peak_memory(&self) {
        self.backend.reset_peak_memory();
    }

    /// Counters of the work that the device has done so far.
    pub fn counters(&self) -> Counters {
        self.backend.counters()
    }

    /// Frees the buffers that are kept for reuse.
    pub fn trim(&self) {
        self.backend.trim();
    }

    /// Resolves when all kernels that have been recorded so far are compiled. Never blocks.
    ///
    /// On a GPU, another thread compiles each kernel once, starting when it is first recorded, which takes a
    /// driver from milliseconds to half a second. [`flush`](Self::flush), a read and a full batch wait for it.
    /// To compile ahead in an async application, record a step on tensors of the shapes to come, and await
    /// this before anything else: it submits nothing. In a browser, this only hands the kernels over to the
    /// browser, which compiles them in its own time; on the CPU there is nothing to do.
    ///
    /// ```
    /// use wgrad::{Activation, Device};
    ///
    /// let device = Device::new()?;
    /// # pollster::block_on(async {
    /// let y = Activation::Tanh.forward(&device.zeros([64, 64])?)?;
    /// device.prepare().await?;
    /// device.flush()?; // waits for no compiler
    /// assert_eq!(y.read().await?, [0.0; 64 * 64]);
    /// # Ok::<(), wgrad::Error>(())
    /// # })?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Gpu`] if the driver does not compile a kernel; [`Error::DeviceLost`].
    pub fn prepare(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        self.backend.prepare()
    }

    /// Starts all recorded work. Waits for its kernels to be compiled, which takes long the first time
    /// (see [`prepare`](Self::prepare)), but not for the work.
    ///
    /// # Errors
    /// Errors that the GPU has reported since the last call, and the reason if recorded work could not be done.
    pub fn flush(&self) -> Result<()> {
        self.backend.flush()
    }

    /// Starts all recorded work and waits until it is done.
    ///
    /// # Errors
    /// Errors that the GPU has reported.
    pub fn synchronize(&self) -> Result<()> {
        self.backend.synchronize()
    }

    /// Executes the work once, and keeps it as a [`Plan`](crate::Plan) that repeats it in less time.
    ///
    /// # Errors
    /// The error that the work returns; [`Error::Unsupported`] if this thread is already recording, if the
    /// work cannot be repeated (see [`Plan`](crate::Plan)), and, on the CPU, on a rayon thread.
    pub fn record<'a, T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Plan<'a, T>> {
        Plan::record(self, work)
    }

    /// Does work whose commands go into a command encoder of the host's, with all recorded work that is still open: what
    /// [`Plan::encode`](crate::Plan::encode) does, for work that is not a plan. wgrad submits nothing, unless the work
    /// or another thread reads a tensor meanwhile.
    ///
    /// # Errors
    /// The error that the work returns, and nothing is encoded then; [`Error::Unsupported`] on the CPU, while a plan is
    /// recorded, and for more work than one submission takes.
    pub fn encode<T>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let unsupported = |reason: &str| Error::Unsupported {
            what: "work in a command encoder".to_owned(),
            reason: reason.to_owned(),
        };
        let wgpu = self.backend.wgpu();
        let wgpu = wgpu.ok_or_else(|| unsupported("encoders are of a GPU, and this is the CPU"))?;
        if self.is_recording() {
            return Err(unsupported("a plan is being recorded; encode the plan"));
        }
        let _held = Held::new(wgpu);
        let done = work()?;
        wgpu.encode(encoder)?;
        Ok(done)
    }

    /// The wgpu device and queue behind this device; `None` on the CPU.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.backend.wgpu().map(Wgpu::expose)
    }

    /// Uploads values, row-major.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the number of values is not the shape's number of elements;
    /// [`Error::TooLarge`] or [`Error::OutOfMemory`] if they do not fit the device.
    pub fn tensor(&self, values: &[f32], shape: impl Into<Shape>) -> Result<Tensor> {
        self.upload("tensor", DType::F32, values, shape.into())
    }

    /// Uploads values of f16, row-major. They are stored as f16, in half the bytes.
    ///
    /// ```
    /// use wgrad::{Activation, DType, Device, half::f16};
    ///
    /// let device = Device::cpu();
    /// let z = device.tensor_f16(&[-1.0, 0.5].map(f16::from_f32), [2])?;
    /// let y = Activation::Relu.forward(&z)?;
    /// assert_eq!((y.dtype(), y.to_vec()?), (DType::F16, vec![0.0, 0.5]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn tensor_f16(&self, values: &[f16], shape: impl Into<Shape>) -> Result<Tensor> {
        self.upload("tensor_f16", DType::F16, values, shape.into())
    }

    /// Uploads values of bf16, row-major. They are stored as bf16, in half the bytes.
    ///
    /// ```
    /// use wgrad::{Activation, DType, Device, half::bf16};
    ///
    /// let device = Device::cpu();
    /// let z = device.tensor_bf16(&[-1.0, 1e30].map(bf16::from_f32), [2])?;
    /// let y = Activation::Relu.forward(&z)?;
    /// assert_eq!((y.dtype(), y.to_vec_bf16()?[1]), (DType::BF16, bf16::from_f32(1e30)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn tensor_bf16(&self, values: &[bf16], shape: impl Into<Shape>) -> Result<Tensor> {
        self.upload("tensor_bf16", DType::BF16, values, shape.into())
    }

    /// A tensor of values of this type.
    fn upload<T: bytemuck::Pod>(
        &self,
        op: &'static str,
        dtype: DType,
        values: &[T],
        shape: Shape,
    ) -> Result<Tensor> {
        check_values(op, &shape, values.len())?;
        let tensor = self.allocate_of(dtype, shape)?;
        self.write(bytemuck::cast_slice(values), Written::Numbers, tensor.storage())?;
        Ok(tensor)
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::OutOfMemory`] if it does not fit the device.
    pub fn zeros(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        self.zeros_of(DType::F32, shape)
    }

    /// A tensor of zeros of this type.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    pub fn zeros_of(&self, dtype: DType, shape: impl Into<Shape>) -> Result<Tensor> {
        let tensor = self.allocate_of(dtype, shape.into())?;
        self.zero(tensor.storage(), dtype.words(tensor.len()))?;
        Ok(tensor)
    }

    /// Uploads class indices, one per row.
    ///
    /// A loss that uses them checks them against its number of classes. A negative index is allowed only if
    /// it is the loss's `ignore_index`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::OutOfMemory`] if they do not fit the device.
    pub fn labels(&self, labels: &[i32]) -> Result<Labels> {
        let storage = self.backend.allocate(labels.len(), Purpose::Tensor)?;
        let host = self.with_memory(|| copied(labels))?;
        let new = Labels::new(self.clone(), storage, host);
        new.write(labels)?;
        Ok(new)
    }

    /// A tensor on top of a buffer that the caller owns, without a copy.
    ///
    /// The buffer must belong to this device and have the usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
    /// The tensor starts at its beginning.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on the CPU, or if usages are missing; [`Error::ShapeMismatch`] if the buffer is
    /// too small; [`Error::Gpu`], here and at each use, if it has been destroyed.
    pub fn tensor_from_buffer(
        &self,
        buffer: wgpu::Buffer,
        shape: impl Into<Shape>,
    ) -> Result<Tensor> {
        self.adopt("tensor_from_buffer", DType::F32, buffer, 0, shape.into())
    }

    /// [`tensor_from_buffer`](Self::tensor_from_buffer) with elements of this type. Four bytes hold two elements
    /// of f16, the first in the lower two; the size of the buffer is a multiple of four bytes.
    ///
    /// # Errors
    /// As [`tensor_from_buffer`](Self::tensor_from_buffer).
    pub fn tensor_from_buffer_of(
        &self,
        dtype: DType,
        buffer: wgpu::Buffer,
        shape: impl Into<Shape>,
    ) -> Result<Tensor> {
        self.adopt("tensor_from_buffer_of", dtype, buffer, 0, shape.into())
    }

    /// [`tensor_from_buffer`](Self::tensor_from_buffer) that starts at this byte of the buffer, a multiple of 4, so that
    /// one buffer holds several tensors.
    ///
    /// At a multiple of 256, kernels use the elements where they are; elsewhere each operation works on a copy, which
    /// it makes on the device.
    ///
    /// ```no_run
    /// # fn weights(device: &wgrad::Device, buffer: wgpu::Buffer) -> wgrad::Result<()> {
    /// let w = device.tensor_from_buffer_at(buffer.clone(), 0, [784, 10])?;
    /// let b = device.tensor_from_buffer_at(buffer, 4 * 784 * 10, [10])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the offset is not a multiple of 4; as
    /// [`tensor_from_buffer`](Self::tensor_from_buffer).
    pub fn tensor_from_buffer_at(
        &self,
        buffer: wgpu::Buffer,
        offset_bytes: u64,
        shape: impl Into<Shape>,
    ) -> Result<Tensor> {
        self.adopt("tensor_from_buffer_at", DType::F32, buffer, offset_bytes, shape.into())
    }

    /// Labels on top of a buffer of i32 that the caller owns, without a copy: one a row, from this byte on.
    ///
    /// The buffer is as for [`tensor_from_buffer_at`](Self::tensor_from_buffer_at). The host does not know such labels,
    /// so each loss checks them on the device: a row whose label is neither a class nor the loss's `ignore_index` has
    /// the loss NaN, so have its gradients, and [`Labels::invalid`] counts it. On a device that
    /// [is checked](DeviceOptions::checked), the loss reads them back and returns [`Error::InvalidLabel`].
    ///
    /// ```no_run
    /// # use wgrad::{Loss, Reduction, Tensor};
    /// # fn loss(device: &wgrad::Device, buffer: wgpu::Buffer, z: &Tensor) -> wgrad::Result<()> {
    /// let labels = device.labels_from_buffer(buffer, 0, 64)?;
    /// let loss = Loss::cross_entropy_with_logits().forward(z, &labels, Reduction::Mean)?;
    /// assert_eq!(labels.invalid()?, 0, "the loss is NaN");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`tensor_from_buffer_at`](Self::tensor_from_buffer_at).
    pub fn labels_from_buffer(
        &self,
        buffer: wgpu::Buffer,
        offset_bytes: u64,
        rows: usize,
    ) -> Result<Labels> {
        let op = "labels_from_buffer";
        let tensor = self.adopt(op, DType::F32, buffer, offset_bytes, [rows].into())?;
        Ok(Labels::adopted(self.clone(), tensor.storage().clone(), rows))
    }

    fn adopt(
        &self,
        op: &'static str,
        dtype: DType,
        buffer: wgpu::Buffer,
        offset_bytes: u64,
        shape: Shape,
    ) -> Result<Tensor> {
        let elements = shape.elements(op)?;
        let wgpu = self.backend.wgpu().ok_or_else(|| Error::Unsupported {
            what: op.to_owned(),
            reason: "the CPU backend has no wgpu buffers".to_owned(),
        })?;
        let word = size_of::<f32>() as u64;
        let first = usize::try_from(offset_bytes / word).ok();
        let end = first.and_then(|first| first.checked_add(dtype.words(elements)));
        let words = match first.zip(end) {
            Some((first, end)) if offset_bytes.is_multiple_of(word) => first..end,
            _ => {
                return Err(Error::Unsupported {
                    what: format!("{op} with an offset of {offset_bytes} bytes"),
                    reason: format!("it must be a multiple of {word} within the buffer"),
                });
            }
        };
        let words = wgpu.adopt(op, buffer, words)?;
        Ok(Tensor::new(self.clone(), words.holding(dtype, elements), shape))
    }

    /// A tensor with undefined contents.
    pub(crate) fn allocate(&self, shape: Shape) -> Result<Tensor> {
        self.allocate_of(DType::F32, shape)
    }

    /// A tensor of this type with undefined contents.
    pub(crate) fn allocate_of(&self, dtype: DType, shape: Shape) -> Result<Tensor> {
        let elements = shape.elements("tensor")?;
        let words = self.backend.allocate(dtype.words(elements), Purpose::Tensor)?;
        Ok(Tensor::new(self.clone(), words.holding(dtype, elements), shape))
    }

    /// A tensor with undefined contents that is not returned to the caller.
    pub(crate) fn workspace(&self, shape: Shape) -> Result<Tensor> {
        let storage = self.scratch(shape.elements("tensor")?)?;
        Ok(Tensor::new(self.clone(), storage, shape))
    }

    /// Sets the words of a storage to zero.
    pub(crate) fn zero(&self, output: &Storage, words: usize) -> Result<()> {
        self.run(OpOf::Zero { output, words })
    }

    /// Workspace without a shape.
    pub(crate) fn scratch(&self, elements: usize) -> Result<Storage> {
        self.backend.allocate(elements, Purpose::Workspace)
    }

    /// The result of a function that allocates memory of the host. If there is not enough, the unused buffers of
    /// the pool are freed and the function is called again.
    pub(crate) fn with_memory<T>(&self, make: impl Fn() -> Result<T>) -> Result<T> {
        with_memory(|| self.trim(), make)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.backend, &other.backend)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.info())
    }
}

/// Two devices are equal if one is a clone of the other.
impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
    }
}

/// Checks that the number of values is the shape's number of elements.
fn check_values(op: &'static str, shape: &Shape, count: usize) -> Result<()> {
    let elements = shape.elements(op)?;
    if elements == count {
        return Ok(());
    }
    Err(Error::shape(op, format!("{elements} values for the shape {shape}"), count))
}

/// Waits for a future; returns an error in a browser, which cannot wait.
fn block_on<T>(what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    if cfg!(target_arch = "wasm32") {
        return Err(Error::Unsupported {
            what: what.to_owned(),
            reason: "a browser cannot block; use Device::request(..).await".to_owned(),
        });
    }
    pollster::block_on(future)
}

/// The WGSL of the kernel that maps each element.
pub(crate) fn kernel_source(map: Map, function: PointwiseFunction) -> String {
    gpu::unary_source(map, function)
}
