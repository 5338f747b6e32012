//! Work that is recorded once and done many times.

use std::fmt;

use crate::backend::Replay;
use crate::device::Device;
use crate::error::Result;

type Work<'a, T> = Box<dyn Fn() -> Result<T> + Send + Sync + 'a>;

/// A step that is done again and again on tensors of the same shapes: what [`Device::record`] makes.
///
/// Recording does the work once. Each [`run`](Self::run) then does again what the work did on the device,
/// from what its inputs hold by then into the same outputs: on a GPU without a shape being checked, a
/// buffer allocated or a kernel looked up, and on the CPU, where that takes next to no time, by calling
/// the work again. What the work reads back or decides on the host is not repeated on a GPU, nor what it
/// does on other devices.
///
/// New inputs come by [`Tensor::write`](crate::Tensor::write) and [`Labels::write`](crate::Labels::write);
/// the targets of losses are checked at each run as they were at first. All buffers that take part are
/// kept for as long as the plan is.
///
/// ```
/// use wgrad::{Activation, Device, Loss, OutputLayer, Sgd};
///
/// let device = Device::cpu();
/// let (x, w) = (device.zeros([2, 2])?, device.zeros([2, 2])?);
/// let labels = device.labels(&[0, 0])?;
/// let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
///
/// let step = device.record(|| layer.gradients(&x, &w, None, &labels))?;
/// let mut sgd = Sgd::new(1.0);
/// for _ in 0..20 {
///     x.write(&[1.0, 0.0, 0.0, 1.0])?; // the next batch
///     labels.write(&[1, 0])?;
///     step.run()?;
///     sgd.step(&[(&w, &step.outputs().dw)])?;
/// }
/// assert!(step.outputs().loss.item()? < 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Plan<'a, T> {
    device: Device,
    work: Work<'a, T>,
    replay: Box<dyn Replay>,
    outputs: T,
}

impl<'a, T> Plan<'a, T> {
    pub(crate) fn record(device: &Device, work: Work<'a, T>) -> Result<Self> {
        let mut outputs = None;
        let replay = device.backend.record(&mut || {
            outputs = Some(work()?);
            Ok(())
        })?;
        let outputs = match outputs {
            Some(outputs) => outputs,
            None => work()?,
        };
        Ok(Self { device: device.clone(), work, replay, outputs })
    }

    /// Does the work once more. On a GPU it is recorded, as by any other operation.
    ///
    /// # Errors
    /// [`Error::InvalidLabel`](crate::Error::InvalidLabel),
    /// [`Error::InvalidTarget`](crate::Error::InvalidTarget) where a loss is not defined for the targets;
    /// [`Error::Unsupported`](crate::Error::Unsupported) where a recorded mean is one over another number
    /// of labels that count; what the device has reported.
    pub fn run(&self) -> Result<()> {
        self.replay.run(&|| (self.work)().map(drop))
    }

    /// What the work returned when it was recorded. Each [`run`](Self::run) writes to its tensors.
    pub const fn outputs(&self) -> &T {
        &self.outputs
    }

    /// The device that the plan was recorded on.
    pub const fn device(&self) -> &Device {
        &self.device
    }
}

impl<T: fmt::Debug> fmt::Debug for Plan<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plan = f.debug_struct("Plan");
        plan.field("device", &self.device).field("outputs", &self.outputs).finish_non_exhaustive()
    }
}
