//! What a device tells about itself.

use std::fmt;

use crate::error::{Error, Result};

/// The sort of processor behind a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A graphics card with memory of its own.
    DiscreteGpu,
    /// A GPU that shares the processor's memory.
    IntegratedGpu,
    /// A GPU passed through to a virtual machine.
    VirtualGpu,
    /// A GPU of unknown sort; browsers do not tell.
    OtherGpu,
    /// A graphics driver that runs on the processor: lavapipe, SwiftShader, WARP.
    Software,
    /// wgrad's own CPU backend.
    Cpu,
}

impl DeviceKind {
    /// Whether the device is reached through wgpu, be it hardware or software.
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
    /// The name that the driver gives, or the processor's.
    pub name: String,
    /// The sort of processor.
    pub kind: DeviceKind,
    /// The graphics interface; nothing for the CPU backend.
    pub backend: Option<wgpu::Backend>,
    /// The driver and its version.
    pub driver: String,
    /// The most bytes that one tensor may have.
    pub max_tensor_bytes: u64,
    /// The most bytes that a kernel sees at once; larger tensors are worked in windows.
    pub max_binding_bytes: u64,
    /// The threads of the CPU backend.
    pub threads: Option<usize>,
    /// The wgpu features that the adapter offers.
    pub features: wgpu::Features,
    /// Tells adapters apart that are equal in all else.
    pub(crate) ordinal: usize,
}

impl DeviceInfo {
    /// The bytes of a tensor, where the device can hold them in one piece.
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

/// The memory that a device's tensors take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// In tensors and scratch buffers that are in use.
    pub in_use_bytes: u64,
    /// In buffers that are kept for reuse; [`Device::trim`](crate::Device::trim) frees them.
    pub pooled_bytes: u64,
    /// The most that has been in use at one time.
    pub peak_bytes: u64,
    /// Besides these, in the buffers that results are read back through.
    pub staging_bytes: u64,
}

/// What a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Batches of work handed to the GPU. 0 on the CPU.
    pub submissions: u64,
    /// Kernels run. On the CPU, primitives executed.
    pub dispatches: u64,
    /// Kernels compiled. 0 on the CPU.
    pub pipelines: u64,
}
