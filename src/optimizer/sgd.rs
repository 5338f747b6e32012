//! Gradient descent with momentum.

use super::{States, check_not_negative};
use crate::backend::{OpOf, SgdStep, Update};
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
    step: SgdStep,
    velocities: States<Tensor>,
}

impl Sgd {
    /// Plain gradient descent with this learning rate.
    pub const fn new(learning_rate: f32) -> Self {
        let step = SgdStep { learning_rate, momentum: 0.0, weight_decay: 0.0 };
        Self { step, velocities: States::new() }
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

    /// Changes the learning rate, for a schedule. The velocities stay.
    pub fn set_learning_rate(&mut self, learning_rate: f32) {
        self.step.learning_rate = learning_rate;
    }

    /// One step: pairs of weights, changed in place, and their gradients.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter) if the learning rate, the momentum or
    /// the weight decay is negative or not finite;
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) or
    /// [`Error::DeviceMismatch`](crate::Error::DeviceMismatch) if a pair does not match;
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory). No weight is changed then.
    pub fn step(&mut self, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
        const OP: &str = "sgd step";
        let step = self.step;
        check_not_negative("learning_rate", step.learning_rate)?;
        check_not_negative("momentum", step.momentum)?;
        check_not_negative("weight_decay", step.weight_decay)?;
        if step.momentum == 0.0 {
            let run = |device: &Device, update: Update<'_>| {
                device.run(OpOf::Sgd { step, update, velocity: None })
            };
            return self.velocities.step_without(OP, pairs, run);
        }
        let start = |weights: &Tensor| weights.device().zeros(weights.shape());
        self.velocities.step(OP, pairs, start, |device, update, velocity| {
            device.run(OpOf::Sgd { step, update, velocity: Some(velocity.storage()) })
        })
    }
}
