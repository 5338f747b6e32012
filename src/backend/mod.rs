//! Floor 4: the definition of an operation, and of a backend that computes it.

mod bounds;
mod facts;
mod operands;
mod operation;
mod options;
pub(crate) mod parallel;
mod pool;
mod storage;

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use bounds::{Bounds, Extreme};
pub use facts::{Counters, DeviceInfo, DeviceKind, Memory, MemoryUse};
pub(crate) use operands::*;
pub(crate) use operation::{Op, OpOf, Use};
pub use options::{DeviceOptions, Preference};
pub(crate) use pool::{Pool, Purpose, class_of, copied, room, with_memory};
pub(crate) use storage::{Contents, Identity, Storage, there_are_parts};

pub(crate) use wgrad_formula::formulas::{Argument, Map as Unary};

use crate::error::Result;
pub(crate) use crate::lines::{Lines, Rows};

/// A place where operations are computed.
///
/// Shapes, devices, labels and parameters have been checked before an operation gets here.
pub(crate) trait Backend: Send + Sync {
    fn info(&self) -> &DeviceInfo;
    fn memory(&self) -> Memory;
    fn reset_peak_memory(&self);
    fn counters(&self) -> Counters;
    /// Returns the pool's unused buffers to the system.
    fn trim(&self);

    /// Allocates memory for 32-bit words, with undefined contents.
    fn allocate(&self, words: usize, purpose: Purpose) -> Result<Storage>;
    /// Writes data from the host. If the data are numbers, their bounds are known from then on.
    fn write(&self, bytes: &[u8], contents: Written, output: &Storage) -> Result<()>;
    /// Reads the words of a storage.
    fn read(&self, input: &Storage, words: usize) -> Result<Reading>;

    /// Reads the first words of a storage into memory of the caller's, and blocks until they are there.
    fn read_into(&self, input: &Storage, output: &mut [f32]) -> Result<()>;

    /// Whether [`run`](Self::run) accepts the operation as it is; this concerns row functions on
    /// f16 and whole output layers.
    fn supports(&self, op: &Op<'_>) -> bool;
    fn run(&self, op: &Op<'_>) -> Result<()>;
    /// Makes sure that there is enough memory to run these updates one after the other.
    fn reserve(&self, updates: &[Update<'_>]) -> Result<()>;
    /// Prepares steps that will be run repeatedly.
    fn plan(&self, steps: &[Step]) -> Result<Box<dyn Replay>>;

    /// Resolves when all kernels that the recorded work needs are compiled.
    fn prepare(&self) -> Preparation;
    /// Starts the recorded work.
    fn flush(&self) -> Result<()>;
    /// Waits until all recorded work is done.
    fn synchronize(&self) -> Result<()>;
    /// The wgpu device behind this backend; `None` on the CPU.
    fn wgpu(&self) -> Option<&dyn Wgpu>;
}

/// The kind of data that the host writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Numbers of the storage's type.
    Numbers,
    /// Labels, which take the place of numbers.
    Labels,
}

/// A backend on top of wgpu.
pub(crate) trait Wgpu {
    /// The device and its queue, which the caller can use from then on.
    fn expose(&self) -> (&wgpu::Device, &wgpu::Queue);
    /// Keeps recorded work from being submitted, until it is [encoded](Self::encode) or let go.
    fn hold(&self, hold: bool);
    /// Writes all recorded work into an encoder of the caller's.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()>;
    /// Makes a storage from words of a buffer that the caller owns.
    fn adopt(&self, op: &'static str, buffer: wgpu::Buffer, words: Range<usize>)
    -> Result<Storage>;
}

/// Elements on their way to the host.
pub(crate) enum Reading {
    Ready(Vec<f32>),
    Pending(Box<dyn PendingRead>),
}

/// Elements that have not arrived yet.
pub(crate) trait PendingRead: Send {
    /// Blocks until the elements have arrived.
    fn wait(self: Box<Self>) -> Result<Vec<f32>>;
    /// The same into memory of the caller's.
    fn wait_into(self: Box<Self>, output: &mut [f32]) -> Result<()>;
    /// Never blocks.
    fn resolve(self: Box<Self>) -> Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send>>;
}

impl Reading {
    /// Blocks until the elements have arrived.
    pub(crate) fn wait(self) -> Result<Vec<f32>> {
        match self {
            Self::Ready(values) => Ok(values),
            Self::Pending(reading) => reading.wait(),
        }
    }

    /// Blocks until the elements have arrived, and writes them into memory of the caller's.
    pub(crate) fn wait_into(self, output: &mut [f32]) -> Result<()> {
        match self {
            Self::Ready(values) => {
                output.copy_from_slice(&values[..output.len()]);
                Ok(())
            }
            Self::Pending(reading) => reading.wait_into(output),
        }
    }

    /// Never blocks.
    pub(crate) async fn resolve(self) -> Result<Vec<f32>> {
        match self {
            Self::Ready(values) => Ok(values),
            Self::Pending(reading) => reading.resolve().await,
        }
    }
}

pub(crate) type Preparation = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A step of recorded work.
#[derive(Clone)]
pub(crate) enum Step {
    Run(Arc<OpOf<Storage>>),
    Write { bytes: Arc<[u8]>, contents: Written, output: Storage },
}

impl Step {
    /// Whether the step writes to the storage.
    pub(crate) fn writes(&self, storage: &Storage) -> bool {
        match self {
            Self::Run(op) => {
                let mut writes = false;
                op.map(&mut |of, used| writes |= used == Use::Written && of.is(storage));
                writes
            }
            Self::Write { output, .. } => output.is(storage),
        }
    }
}

/// Steps that are ready to be run again.
pub(crate) trait Replay: Send + Sync {
    /// Runs the steps once more, writing to the same storages.
    fn run(&self) -> Result<()>;
    /// Writes the steps, after all recorded work, which is [held](Wgpu::hold), into an encoder of the caller's.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()>;
}
