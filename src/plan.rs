//! Work that is recorded once and done many times.

use std::cell::{Cell, RefCell};
use std::fmt;

use crate::backend::Replay;
use crate::device::Device;
use crate::error::{Error, Result};

type Work<'a, T> = Box<dyn Fn() -> Result<T> + Send + Sync + 'a>;

/// A step that is done again and again on tensors of the same shapes: what [`Device::record`] makes.
///
/// Recording does the work once. Each [`run`](Self::run) then does again what the work did on the device,
/// from what its inputs hold by then into the same outputs: on a GPU without a shape being checked, a
/// buffer allocated or a kernel looked up, and on the CPU, where that takes next to no time, by calling
/// the work again.
///
/// A plan means the same on every device:
///
/// * What the work uploads, by [`Device::tensor`], [`Device::labels`] or a `write`, it uploads again at each
///   run: the values of the recording, whatever the host has by then.
/// * Labels and ignored rows count anew at each run, also in a mean.
/// * A plan may run others of its device, and repeats what they do.
/// * What cannot be repeated is an [`Error::Unsupported`] while it is recorded: to read a tensor or labels,
///   the step of an optimizer, and work on another device. Return the tensors from the work, and read them
///   after the run.
///
/// Apart from that the work should do nothing but call the device: whether anything else that it does, or
/// what it does on other threads, is done again is not promised. On the CPU it is, on a GPU it is not.
///
/// New inputs come by [`Tensor::write`](crate::Tensor::write) and [`Labels::write`](crate::Labels::write);
/// the targets of losses are checked before each run as they were at first, those aside that the work
/// itself makes. All buffers that take part are kept for as long as the plan is.
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
        if !WORKING.get() {
            REFUSED.take();
        }
        let mut outputs = None;
        let replay = device.backend.record(&mut || {
            outputs = Some(work()?);
            refused()
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
    /// [`Error::Unsupported`] on the CPU where the work is not what it was, and while a plan of another
    /// device is recorded; what the device has reported.
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

thread_local! {
    /// Whether this thread does the work of a plan.
    static WORKING: Cell<bool> = const { Cell::new(false) };
    /// What the work did meanwhile that a run cannot repeat, whatever it made of the error.
    static REFUSED: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// This thread does the work of a plan, for as long as this lives.
pub(crate) struct Working {
    before: bool,
}

impl Working {
    pub(crate) fn begin() -> Self {
        Self { before: WORKING.replace(true) }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        WORKING.set(self.before);
    }
}

fn refused() -> Result<()> {
    REFUSED.take().map_or(Ok(()), Err)
}

fn refuse(what: &str, reason: &str) -> Result<()> {
    let error = Error::Unsupported { what: format!("{what} in a plan"), reason: reason.to_owned() };
    REFUSED.replace(Some(error.clone()));
    Err(error)
}

/// That this thread may read what a device has computed.
pub(crate) fn check_reading(what: &str) -> Result<()> {
    if !WORKING.get() {
        return Ok(());
    }
    refuse(
        what,
        "a run would not read it again; return it from the work and read it after Plan::run",
    )
}

/// That a device may be called: the work of a plan belongs to one.
pub(crate) fn check_device(is_recorded_here: impl FnOnce() -> bool) -> Result<()> {
    if !WORKING.get() || is_recorded_here() {
        return Ok(());
    }
    refuse(
        "work on another device",
        "a run would not repeat it; do it before or after Plan::run, or in a plan of that device's own",
    )
}
