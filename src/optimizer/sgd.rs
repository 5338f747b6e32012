//! Gradient descent with momentum.

use std::collections::BTreeMap;

use super::kept::KeptSettings;
use super::state::parts;
use super::{States, check_not_negative, devices};
use crate::backend::{FactorsOf, OpOf, SgdStep, Update};
use crate::device::Device;
use crate::device::tensor::Tensor;
use crate::error::Result;

/// Stochastic gradient descent with momentum and weight decay, as PyTorch defines it:
///
/// `g = dE/dw + weight_decay·w; v = momentum·v + g; w = w − learning_rate·v`
///
/// The velocity v starts at 0 and is kept for each weight tensor that has been stepped, for the lifetime of
/// that tensor. Without momentum there is none: a step is `w = w − learning_rate·g`, needs no memory
/// besides the weights and their gradient, and drops the velocities of its weights, so that they start at 0
/// again if momentum is set later.
///
/// A factor of 0 removes its term even if that is infinite: a learning rate of 0 leaves the weights unchanged,
/// and a weight decay of 0 the gradient. A weight tensor that is listed twice takes two steps, one after the
/// other.
///
/// ```
/// use wgrad::{Device, Sgd};
///
/// let device = Device::cpu();
/// let w = device.tensor(&[1.0, 2.0], [2])?;
/// let dw = device.tensor(&[0.5, -0.5], [2])?;
/// let mut sgd = Sgd::new(0.1).momentum(0.9);
/// sgd.step(&[(&w, &dw)])?;
/// sgd.step(&[(&w, &dw)])?;
/// assert_eq!(w.to_vec()?, [0.855, 2.145]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Sgd {
    pub(super) step: SgdStep,
    velocities: States<Tensor>,
    kept: KeptSettings,
}

impl Sgd {
    /// Plain gradient descent with this learning rate.
    pub const fn new(learning_rate: f32) -> Self {
        let step = SgdStep { learning_rate, momentum: 0.0, weight_decay: 0.0 };
        Self { step, velocities: States::new(), kept: KeptSettings::new() }
    }

    /// The fraction of the velocity that is kept from step to step; 0 by default.
    #[must_use]
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.step.momentum = momentum;
        self
    }

    /// The decay of each weight towards 0, which is added to its gradient; 0 by default.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.step.weight_decay = weight_decay;
        self
    }

    /// Whether weights of f16 and bf16 are stepped as f32 numbers, which are kept beside the tensor and rounded into it
    /// after each step; true by default. Without them, a step that is smaller than half the distance to the next f16 is
    /// lost: a weight of 1 does not move by 10⁻⁴. Weights that are written meanwhile begin anew with what was written.
    /// They take four bytes for each weight.
    ///
    /// ```
    /// use wgrad::{Sgd, DType, Device};
    ///
    /// let device = Device::cpu();
    /// let w = device.tensor(&[1.0], [1])?.to_dtype(DType::F16)?;
    /// let dw = device.tensor(&[1.0], [1])?;
    /// let mut optimizer = Sgd::new(1e-4);
    /// for _ in 0..100 {
    ///     optimizer.step(&[(&w, &dw)])?;
    /// }
    /// assert!((w.item()? - 0.99).abs() < 3e-4);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub const fn master_weights(mut self, kept: bool) -> Self {
        self.velocities.masters = kept;
        self
    }

    /// Changes the learning rate, for a schedule, also that of [plans](crate::Plan) with steps of this optimizer. The
    /// velocities stay.
    pub fn set_learning_rate(&mut self, learning_rate: f32) {
        self.step.learning_rate = learning_rate;
        self.kept.set(self.settings());
    }

    /// Changes the weight decay, also that of [plans](crate::Plan) with steps of this optimizer.
    pub fn set_weight_decay(&mut self, weight_decay: f32) {
        self.step.weight_decay = weight_decay;
        self.kept.set(self.settings());
    }

    pub(super) fn settings(&self) -> Result<Vec<f32>> {
        check_not_negative("learning_rate", self.step.learning_rate)?;
        check_not_negative("momentum", self.step.momentum)?;
        check_not_negative("weight_decay", self.step.weight_decay)?;
        Ok(self.step.settings().to_vec())
    }

    /// One step: pairs of weights, changed in place, and their gradients. In the work of a [`Plan`](crate::Plan) it is
    /// repeated by each run, with the settings that the optimizer has by then.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter) if the learning rate, the momentum or
    /// the weight decay is negative or not finite;
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) or
    /// [`Error::DeviceMismatch`](crate::Error::DeviceMismatch) if a pair does not match;
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory). No weight is changed then.
    pub fn step(&mut self, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
        const OP: &str = "sgd step";
        let (step, settings) = (self.step, self.settings()?);
        for device in devices(pairs) {
            // Gradient descent counts nothing, so only plans read what the device keeps.
            if device.is_recording() {
                self.kept.prepare(device, &settings, None)?;
            }
        }
        let kept = &self.kept;
        let factors_on = |device: &Device| {
            let kept = device.is_recording().then(|| kept.on(device)).flatten();
            kept.map_or(FactorsOf::Given(step), |kept| FactorsOf::Kept(&kept.settings))
        };
        if step.momentum == 0.0 {
            let run = |device: &Device, update: Update<'_>| {
                device.run(OpOf::Sgd { factors: factors_on(device), update, velocity: None })
            };
            return self.velocities.step_without(OP, pairs, run);
        }
        let start = |weights: &Tensor| weights.device().zeros(weights.shape());
        self.velocities.step(OP, pairs, start, None, |device, update, velocity| {
            let (factors, velocity) = (factors_on(device), Some(velocity.storage()));
            device.run(OpOf::Sgd { factors, update, velocity })
        })
    }

    /// The velocities of these weights, which have been stepped with momentum, as named tensors:
    /// `w.momentum_buffer` for a weight of the name `w`, as PyTorch has it.
    pub fn state(&self, weights: &[(&str, &Tensor)]) -> BTreeMap<String, Tensor> {
        let velocity = |&(name, weights): &(&str, &Tensor)| {
            let velocity = self.velocities.of(weights)?;
            Some((format!("{name}.{VELOCITY}"), velocity.clone()))
        };
        weights.iter().filter_map(velocity).chain(self.velocities.masters_of(weights)).collect()
    }

    /// Sets the velocities of these weights to those of a [`state`](Self::state), which may be on another device.
    /// Weights that it does not have begin anew.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch), and then nothing is changed; the errors of
    /// [`Tensor::to_vec`] and [`Tensor::write`].
    pub fn set_state(
        &mut self,
        weights: &[(&str, &Tensor)],
        state: &BTreeMap<String, Tensor>,
    ) -> Result<()> {
        const OP: &str = "sgd state";
        self.velocities.restore(
            OP,
            weights,
            state,
            |name, weights| parts(OP, state, name, [(VELOCITY, weights.shape())]),
            |weights| weights.device().zeros(weights.shape()),
            |velocity, new| match new {
                Some([values]) => velocity.write(&values),
                None => velocity.clear(),
            },
        )
    }
}

const VELOCITY: &str = "momentum_buffer";
