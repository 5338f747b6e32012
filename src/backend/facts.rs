//! Information about a device, its memory and its work.

use std::fmt;

use super::pool::Purpose;
use crate::error::{Error, Result};

/// The kind of processor behind a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A graphics card with its own memory.
    DiscreteGpu,
    /// A GPU that shares the processor's memory.
    IntegratedGpu,
    /// A GPU passed through to a virtual machine.
    VirtualGpu,
    /// A GPU of unknown kind; browsers do not report it.
    OtherGpu,
    /// A graphics driver that runs on the processor: lavapipe, SwiftShader, WARP.
    Software,
    /// wgrad's own CPU backend.
    Cpu,
}

impl DeviceKind {
    /// Whether the device is reached through wgpu, whether hardware or software.
    pub const fn is_gpu(self) -> bool {
        !matches!(self, Self::Cpu)
    }
}

impl From<wgpu::DeviceType> for DeviceKind {
    fn from(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::DiscreteGpu,
            wgpu::DeviceType::IntegratedGpu => Self::IntegratedGpu,
            wgpu::DeviceType::VirtualGpu => Self::VirtualGpu,
            wgpu::DeviceType::Cpu => Self::Software,
            wgpu::DeviceType::Other => Self::OtherGpu,
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DiscreteGpu => "discrete GPU",
            Self::IntegratedGpu => "integrated GPU",
            Self::VirtualGpu => "virtual GPU",
            Self::OtherGpu => "GPU",
            Self::Software => "software",
            Self::Cpu => "CPU",
        })
    }
}

/// The name, the kind and the limits of a device.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The name that the driver gives, or the processor's name.
    pub name: String,
    /// The kind of processor.
    pub kind: DeviceKind,
    /// The graphics interface; `None` for the CPU backend.
    pub backend: Option<wgpu::Backend>,
    /// The driver and its version.
    pub driver: String,
    /// The maximum number of bytes of a tensor.
    pub max_tensor_bytes: u64,
    /// The maximum number of bytes that a kernel can bind at once; larger tensors are processed in windows.
    pub max_binding_bytes: u64,
    /// The number of threads of the CPU backend.
    pub threads: Option<usize>,
    /// The wgpu features that the adapter offers.
    pub features: wgpu::Features,
    /// Distinguishes adapters that are equal otherwise.
    pub(crate) ordinal: usize,
}

impl DeviceInfo {
    /// The number of bytes of a tensor; an error if they exceed the device's limit.
    pub(crate) fn tensor_bytes(&self, elements: usize) -> Result<u64> {
        let (bytes, limit) = (elements as u64 * size_of::<f32>() as u64, self.max_tensor_bytes);
        if bytes <= limit {
            return Ok(bytes);
        }
        Err(Error::TooLarge { what: "a tensor".to_owned(), bytes, limit })
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.backend, self.threads) {
            (Some(backend), _) => write!(f, "{} ({backend:?}, {})", self.name, self.kind),
            (None, Some(1)) => write!(f, "CPU ({}, 1 thread)", self.name),
            (None, threads) => write!(f, "CPU ({}, {} threads)", self.name, threads.unwrap_or(0)),
        }
    }
}

/// The number of bytes used for one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// The current number.
    pub current_bytes: u64,
    /// The peak since the device was opened, or since the last call of
    /// [`Device::reset_peak_memory`](crate::Device::reset_peak_memory).
    pub peak_bytes: u64,
}

impl MemoryUse {
    fn add(&mut self, bytes: u64) {
        self.current_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.current_bytes);
    }

    fn remove(&mut self, bytes: u64) {
        self.current_bytes -= bytes;
    }

    fn reset_peak(&mut self) {
        self.peak_bytes = self.current_bytes;
    }

    /// The sum of two purposes, whose peaks may not coincide.
    pub(crate) fn with(self, other: Self) -> Self {
        let current_bytes = self.current_bytes + other.current_bytes;
        Self { current_bytes, peak_bytes: self.peak_bytes + other.peak_bytes }
    }
}

/// The memory that a device's tensors and operations use, in bytes.
///
/// A buffer is in use from when a tensor or an operation takes it until it is dropped, and pooled from then on:
/// immediately, even if recorded work on a GPU still has to run with it, because its next user runs later. So
/// the peaks follow the recorded order of the work, however far the GPU is behind. On the CPU, a tensor that
/// is overwritten gets new memory, which counts in addition to the old memory until it is complete.
///
/// Each buffer counts with its size in the pool, at most an eighth more than was requested. Not counted are:
/// the adopted buffers of a host application, the memory of wgpu and its drivers, a fixed megabyte of kernel
/// parameters on each GPU, and, on the CPU, the few rows that each thread works on.
///
/// Pooled buffers are bounded: the buffers of tensors and workspace, in use and pooled together, never take more
/// than twice the peak in use, or 64 MiB; the same holds separately for the buffers of reads and for those of
/// uploads. The least recently used buffers are freed first.
///
/// ```
/// use wgrad::{Activation, Device, Outputs};
///
/// let device = Device::cpu();
/// let z = device.zeros([512, 512])?;
/// device.reset_peak_memory();
/// let y = Activation::Softmax.forward(&z)?;
/// let memory = device.memory();
/// assert_eq!(memory.tensors.current_bytes, 2 << 20);
/// assert!(memory.workspace.peak_bytes < 64 << 20);
/// println!("{memory}");
/// # assert_eq!(memory.to_string(), "2.00 MiB in use (tensors 2.00, workspace 0.00), \
/// #     peak 2.00 (2.00, 0.00), staging 0.00 (peak 0.00), pooled 0.00");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// The bytes in use, of tensors and workspace together.
    pub in_use_bytes: u64,
    /// The bytes of buffers that are kept for reuse; [`Device::trim`](crate::Device::trim) frees them.
    pub pooled_bytes: u64,
    /// The peak of the bytes in use, of tensors and workspace together.
    pub peak_bytes: u64,
    /// The tensors that the caller holds: uploads, labels and results.
    pub tensors: MemoryUse,
    /// The memory that operations need while they run: logits, partial sums, copies.
    pub workspace: MemoryUse,
    /// In addition, the buffers of reads from a GPU and of uploads to it that are in progress. The peak is the
    /// sum of the peaks of both.
    pub staging: MemoryUse,
}

impl Memory {
    fn of(&mut self, purpose: Purpose) -> &mut MemoryUse {
        match purpose {
            Purpose::Tensor => &mut self.tensors,
            Purpose::Workspace => &mut self.workspace,
        }
    }

    pub(crate) fn add(&mut self, bytes: u64, purpose: Purpose) {
        self.of(purpose).add(bytes);
        self.in_use_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.in_use_bytes);
    }

    pub(crate) fn remove(&mut self, bytes: u64, purpose: Purpose) {
        self.of(purpose).remove(bytes);
        self.in_use_bytes -= bytes;
    }

    pub(crate) fn reset_peak(&mut self) {
        self.peak_bytes = self.in_use_bytes;
        self.tensors.reset_peak();
        self.workspace.reset_peak();
        self.staging.reset_peak();
    }
}

/// Prints the numbers in MiB.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let Self { tensors, workspace, staging, .. } = self;
        write!(
            f,
            "{:.2} MiB in use (tensors {:.2}, workspace {:.2}), peak {:.2} ({:.2}, {:.2}), \
             staging {:.2} (peak {:.2}), pooled {:.2}",
            mib(self.in_use_bytes),
            mib(tensors.current_bytes),
            mib(workspace.current_bytes),
            mib(self.peak_bytes),
            mib(tensors.peak_bytes),
            mib(workspace.peak_bytes),
            mib(staging.current_bytes),
            mib(staging.peak_bytes),
            mib(self.pooled_bytes),
        )
    }
}

/// The work that a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// The number of batches of work submitted to the GPU. 0 on the CPU.
    pub submissions: u64,
    /// The number of times that a call waited for the GPU. 0 on the CPU.
    pub waits: u64,
    /// The number of kernels run; on the CPU, the number of primitives executed.
    pub dispatches: u64,
    /// The number of kernels compiled. 0 on the CPU.
    pub pipelines: u64,
    /// The number of bytes that kernels, copies and fills on the GPU have read and written: everything that
    /// each of them binds counts once, however often it is accessed. Uploads and reads do not count. 0 on the
    /// CPU.
    pub bytes: u64,
    /// The number of those bytes that belong to matrix products.
    pub product_bytes: u64,
}
