//! Work that is recorded once and done many times.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Device, Held};
use crate::backend::{Op, Replay, Step, Storage, Written, there_are_parts};
use crate::error::{Error, Result};

/// A step that is done again and again on tensors of the same shapes: what [`Device::record`] makes.
///
/// Recording does the work once. Each [`run`](Self::run) then does again what the work did on the device,
/// from what its inputs hold by then into the same outputs, without a shape being checked, and on a GPU without a
/// buffer being allocated or a kernel looked up. The work itself is not called again.
///
/// A plan means the same on every device:
///
/// * What the work uploads, by [`Device::tensor`], [`Device::labels`] or a `write`, it uploads again at each
///   run: the values of the recording, whatever the host has by then.
/// * Labels and ignored rows count anew at each run, also in a mean.
/// * A plan may run others of its device, and repeats what they do.
/// * The step of an optimizer is one at each run, with the learning rate and the weight decay that the optimizer has
///   by then: [`Adam::set_learning_rate`](crate::Adam::set_learning_rate) needs no new plan. The device counts the
///   steps, so that steps in plans and others may follow each other in any order.
/// * What cannot be repeated is an [`Error::Unsupported`] while it is recorded: to read a tensor or labels, and work
///   on another device. Return the tensors from the work, and read them after the run.
///
/// The work should only call the device. A run does not repeat anything else that the work does, or anything
/// that it does on other threads.
///
/// New inputs come by [`Tensor::write`](crate::Tensor::write) and [`Labels::write`](crate::Labels::write);
/// the targets of losses are checked before each run as they were at first, those aside that the work
/// itself makes. All buffers that take part are kept for as long as the plan is. A plan borrows nothing, and may be
/// kept in a struct beside the tensors and the optimizer that it uses.
///
/// ```
/// use wgrad::{Activation, Device, Loss, OutputLayer, Sgd};
///
/// let device = Device::cpu();
/// let (x, w) = (device.tensor(&[1.0, 0.0, 0.0, 1.0], [2, 2])?, device.zeros([2, 2])?);
/// let labels = device.labels(&[0, 0])?;
/// let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
/// let mut sgd = Sgd::new(1.0);
///
/// // A whole training step, done once here.
/// let step = device.record(|| {
///     let gradients = layer.gradients(&x, &w, None, &labels)?;
///     sgd.step(&[(&w, &gradients.dw)])?;
///     Ok(gradients.loss)
/// })?;
/// for epoch in 0..20 {
///     x.write(&[1.0, 0.0, 0.0, 1.0])?; // the next batch
///     labels.write(&[1, 0])?;
///     sgd.set_learning_rate(1.0 / (1.0 + 0.1 * epoch as f32));
///     step.run()?;
/// }
/// assert!(step.outputs().item()? < 0.2);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Plan<'a, T> {
    device: Device,
    /// For plans that run this one while they are recorded.
    recorded: Recorded,
    replay: Box<dyn Replay>,
    outputs: T,
    /// Nothing is borrowed: the lifetime may be any, such as `'static`.
    work: PhantomData<&'a ()>,
}

impl<T> Plan<'_, T> {
    pub(crate) fn record(device: &Device, work: impl FnOnce() -> Result<T>) -> Result<Self> {
        check_thread(device)?;
        check_device(device)?;
        if device.is_recording() {
            return Err(Error::Unsupported {
                what: "a plan that is recorded while another is".to_owned(),
                reason: "finish the first, and run it in the work of the second".to_owned(),
            });
        }
        let recording = Recording::begin(device);
        let outputs = work();
        let (recorded, refused) = recording.end();
        let outputs = outputs?;
        if let Some(error) = refused {
            return Err(error);
        }
        let replay = device.backend.plan(&recorded.steps)?;
        Ok(Self { device: device.clone(), recorded, replay, outputs, work: PhantomData })
    }

    /// Does the work once more. On a GPU it is recorded, as by any other operation.
    ///
    /// # Errors
    /// [`Error::InvalidLabel`](crate::Error::InvalidLabel),
    /// [`Error::InvalidTarget`](crate::Error::InvalidTarget) if a loss is not defined for the targets;
    /// [`Error::Unsupported`] while a plan of another device is recorded; what the device has reported.
    pub fn run(&self) -> Result<()> {
        check_thread(&self.device)?;
        check_device(&self.device)?;
        for check in &self.recorded.checks {
            (check.run)()?;
            self.device.keep_check(check.clone());
        }
        self.replay.run()?;
        with_recording_of(&self.device, |recorded| {
            recorded.steps.extend(self.recorded.steps.iter().cloned());
        });
        for effect in &self.recorded.effects {
            effect();
            self.device.keep_effect(Arc::clone(effect));
        }
        Ok(())
    }

    /// Writes the work into a command encoder of the host's, which submits it: no submission and no wait of wgrad's own.
    /// What the encoder has before sees nothing of it, what comes after sees its results; a tensor's
    /// [`buffer`](crate::Tensor::buffer) is read and written there as any other.
    ///
    /// The order is that of the calls, and then that of the submissions:
    ///
    /// ```text
    /// x.write(…)            ─┐ recorded work of wgrad's that is still open goes into the encoder, too,
    /// another.run()         ─┤ before the plan: writes and uploads travel with the frame
    /// host's own passes     ─┤ (what the encoder has already comes first)
    /// plan.encode(encoder)  ─┘
    /// host's own passes        see the results
    /// queue.submit(encoder)    before wgrad reads or submits what follows on the same tensors
    /// ```
    ///
    /// An encoder may take a plan more than once, and plans may be encoded into several encoders, which are submitted
    /// in the order in which they were encoded. If an encoder is dropped without being submitted, its work is lost.
    ///
    /// ```no_run
    /// # fn frame(device: &wgrad::Device, plan: &wgrad::Plan<'_, wgrad::Tensor>) -> wgrad::Result<()> {
    /// if let Some((host, queue)) = device.wgpu() {
    ///     let mut encoder = host.create_command_encoder(&Default::default());
    ///     plan.encode(&mut encoder)?;
    ///     queue.submit([encoder.finish()]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run), before anything is encoded; [`Error::Unsupported`] on the CPU, and in the work of a plan.
    /// wgpu reports an encoder of another device when it is finished.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        check_thread(&self.device)?;
        check_device(&self.device)?;
        if self.device.is_recording() {
            return refuse("a plan that is encoded", "encode it after the recording");
        }
        // Settings of optimizers that have changed travel with the frame, too.
        let _held = self.device.backend.wgpu().map(Held::new);
        self.recorded.checks.iter().try_for_each(|check| (check.run)())?;
        self.replay.encode(encoder)?;
        self.recorded.effects.iter().for_each(|effect| effect());
        Ok(())
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

/// Whether what the host knows of a tensor still allows recorded work.
#[derive(Clone)]
pub(crate) struct Check {
    pub(crate) of: Storage,
    pub(crate) run: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

/// What recorded work does on the host.
pub(crate) type Effect = Arc<dyn Fn() + Send + Sync>;

/// What work did on its device.
#[derive(Default)]
struct Recorded {
    steps: Vec<Step>,
    /// What comes before each run.
    checks: Vec<Check>,
    /// What comes after each run.
    effects: Vec<Effect>,
}

/// The work of a plan, while this thread does it.
struct Working {
    device: Device,
    recorded: Recorded,
    /// What the work did meanwhile that a run cannot repeat, whatever it made of the error.
    refused: Option<Error>,
}

thread_local! {
    static WORKING: RefCell<Option<Working>> = const { RefCell::new(None) };
    /// Whether there is something in `WORKING`: each operation asks, and this takes no time.
    static RECORDS: Cell<bool> = const { Cell::new(false) };
}

/// Ends the recording also if the work panics.
struct Recording;

impl Recording {
    fn begin(device: &Device) -> Self {
        let (device, recorded) = (device.clone(), Recorded::default());
        WORKING.replace(Some(Working { device, recorded, refused: None }));
        RECORDS.set(true);
        Self
    }

    fn end(self) -> (Recorded, Option<Error>) {
        RECORDS.set(false);
        let working = WORKING.take();
        working.map(|it| (it.recorded, it.refused)).unwrap_or_default()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDS.set(false);
        // Dropped outside of the borrow: tensors go back to their device.
        drop(WORKING.take());
    }
}

/// Hands what this thread records on the device to the function, if it does so.
fn with_recording_of(device: &Device, of: impl FnOnce(&mut Recorded)) {
    if !RECORDS.get() {
        return;
    }
    WORKING.with_borrow_mut(|working| {
        if let Some(working) = working.as_mut().filter(|working| working.device.same(device)) {
            of(&mut working.recorded);
        }
    });
}

/// Does work that is no part of the plan that this thread may record.
pub(crate) fn unrecorded<T>(work: impl FnOnce() -> T) -> T {
    /// Goes on with the recording also if the work panics.
    struct Pause(bool);

    impl Drop for Pause {
        fn drop(&mut self) {
            RECORDS.set(self.0);
        }
    }

    let _pause = Pause(RECORDS.replace(false));
    work()
}

/// A thread of rayon's takes up other work while it waits, which would become a part of the plan.
fn check_thread(device: &Device) -> Result<()> {
    if device.info().kind.is_gpu() || rayon::current_thread_index().is_none() {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: "a plan on a thread of rayon's, on the CPU".to_owned(),
        reason: "such a thread does other work while it waits; use one of your own".to_owned(),
    })
}

fn refuse(what: &str, reason: &str) -> Result<()> {
    let error = Error::Unsupported { what: format!("{what} in a plan"), reason: reason.to_owned() };
    WORKING.with_borrow_mut(|working| {
        if let Some(working) = working {
            working.refused = Some(error.clone());
        }
    });
    Err(error)
}

/// That this thread may read what a device has computed.
pub(crate) fn check_reading(what: &str) -> Result<()> {
    if !RECORDS.get() {
        return Ok(());
    }
    refuse(
        what,
        "a run would not read it again; return it from the work and read it after Plan::run",
    )
}

/// That a device may be called: the work of a plan belongs to one.
fn check_device(device: &Device) -> Result<()> {
    let is_of_other = |working: &Option<Working>| {
        working.as_ref().is_some_and(|working| !working.device.same(device))
    };
    if !RECORDS.get() || !WORKING.with_borrow(is_of_other) {
        return Ok(());
    }
    refuse(
        "work on another device",
        "a run would not repeat it; do it before or after Plan::run, or in a plan of that device's own",
    )
}

impl Device {
    /// Runs an operation, and keeps it for the plan that this thread records. What the operation cannot use as it is, it
    /// uses in a copy.
    pub(crate) fn run(&self, op: Op<'_>) -> Result<()> {
        if there_are_parts() {
            return self.run_on_copies(&op);
        }
        self.run_directly(&op)
    }

    /// Runs an operation on storages that it can use as they are.
    pub(super) fn run_directly(&self, op: &Op<'_>) -> Result<()> {
        check_device(self)?;
        self.backend.run(op)?;
        with_recording_of(self, |recorded| {
            let op = op.map(&mut |&storage, _| Storage::clone(storage));
            recorded.steps.push(Step::Run(Arc::new(op)));
        });
        Ok(())
    }

    /// Writes from the host, and keeps what was written for the plan that this thread records.
    pub(crate) fn write(&self, bytes: &[u8], contents: Written, output: &Storage) -> Result<()> {
        check_device(self)?;
        self.backend.write(bytes, contents, output)?;
        with_recording_of(self, |recorded| {
            let (bytes, output) = (Arc::from(bytes), output.clone());
            recorded.steps.push(Step::Write { bytes, contents, output });
        });
        Ok(())
    }

    /// Whether this thread records a plan of the device.
    pub(crate) fn is_recording(&self) -> bool {
        let is_here = |it: &Option<Working>| it.as_ref().is_some_and(|it| it.device.same(self));
        RECORDS.get() && WORKING.with_borrow(is_here)
    }

    /// Lets what is recorded begin with a check each time, unless the work itself writes what is checked: the
    /// checks of the work are not repeated.
    pub(crate) fn keep_check(&self, check: Check) {
        with_recording_of(self, |recorded| {
            if !recorded.steps.iter().any(|step| step.writes(&check.of)) {
                recorded.checks.push(check);
            }
        });
    }

    /// Lets what is recorded end with this each time.
    pub(crate) fn keep_effect(&self, effect: Effect) {
        with_recording_of(self, |recorded| recorded.effects.push(effect));
    }
}
