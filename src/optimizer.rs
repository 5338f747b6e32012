//! Optimizers: from gradients to better weights.

use crate::backend::{Identity, SgdStep};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, check_devices, check_shape};

/// Stochastic gradient descent with momentum and weight decay, as PyTorch defines it:
///
/// `g = dE/dw + weight_decay·w; v = momentum·v + g; w = w − learning_rate·v`
///
/// The velocity v starts at 0 and is kept for each weight tensor that has been stepped, for as long as
/// that tensor lives.
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
    /// The weights that have been stepped, with their velocities.
    velocities: Vec<(Identity, Tensor)>,
}

impl Sgd {
    /// Plain descent with this learning rate.
    pub const fn new(learning_rate: f32) -> Self {
        let step = SgdStep { learning_rate, momentum: 0.0, weight_decay: 0.0 };
        Self { step, velocities: Vec::new() }
    }

    /// The share of the velocity that is kept from step to step; 0 at first.
    #[must_use]
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.step.momentum = momentum;
        self
    }

    /// The pull of each weight towards 0, added to its gradient; 0 at first.
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
    /// [`Error::InvalidParameter`] where the learning rate, the momentum or the weight decay is negative
    /// or not finite; [`Error::ShapeMismatch`], [`Error::DeviceMismatch`] where a pair does not fit. No
    /// weight is changed then.
    pub fn step(&mut self, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
        check("learning_rate", self.step.learning_rate)?;
        check("momentum", self.step.momentum)?;
        check("weight_decay", self.step.weight_decay)?;
        for (weights, gradient) in pairs {
            check_devices("sgd step", [weights.device(), gradient.device()])?;
            check_shape("sgd step", "a gradient", gradient, weights.shape())?;
        }
        // All that can fail for want of memory comes before the first weight changes.
        let velocities: Vec<Tensor> =
            pairs.iter().map(|(weights, _)| self.velocity(weights)).collect::<Result<_>>()?;
        for ((weights, gradient), velocity) in pairs.iter().zip(&velocities) {
            weights.device().backend.sgd(
                self.step,
                gradient.storage(),
                weights.storage(),
                velocity.storage(),
                weights.len(),
            )?;
        }
        Ok(())
    }

    fn velocity(&mut self, weights: &Tensor) -> Result<Tensor> {
        let known = |(stepped, _): &&(Identity, Tensor)| stepped.is(weights.storage());
        if let Some((_, velocity)) = self.velocities.iter().find(known) {
            return Ok(velocity.clone());
        }
        self.velocities.retain(|(stepped, _)| stepped.is_alive());
        let velocity = weights.device().zeros(weights.shape())?;
        self.velocities.push((Identity::of(weights.storage()), velocity.clone()));
        Ok(velocity)
    }
}

fn check(name: &str, value: f32) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::parameter(name, value, "must be finite and not negative"))
}
