//! A 64-64-10 network: tanh, softmax, cross-entropy, gradient descent with momentum.

use wgrad::{
    Activation, Dense, Device, Labels, Loss, Metrics, OutputLayer, Outputs, Reduction, Result, Sgd,
    Tensor,
};

use crate::data::{CLASSES, Images, PIXELS};
use crate::weights::glorot;

const HIDDEN: usize = 64;

pub struct Network {
    hidden: Dense,
    output: OutputLayer,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    sgd: Sgd,
}

impl Network {
    pub fn new(device: &Device, random: &mut fastrand::Rng) -> Result<Self> {
        let mut weights = |inputs, outputs| glorot(device, random, inputs, outputs);
        Ok(Self {
            hidden: Dense::new(Activation::Tanh),
            output: OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
                .reduction(Reduction::Mean)
                .outputs(Outputs::DW | Outputs::DB | Outputs::DX),
            w1: weights(PIXELS, HIDDEN)?,
            b1: device.zeros([HIDDEN])?,
            w2: weights(HIDDEN, CLASSES)?,
            b2: device.zeros([CLASSES])?,
            sgd: Sgd::new(0.05).momentum(0.9).weight_decay(1e-4),
        })
    }

    /// Forward pass, every gradient and update: recorded, and sent to the device as one submission.
    pub fn train(&mut self, x: &Tensor, labels: &Labels) -> Result<()> {
        let hidden = self.hidden.forward(x, &self.w1, Some(&self.b1))?;
        let top = self.output.gradients(&hidden.y, &self.w2, Some(&self.b2), labels)?;
        let bottom = self.hidden.backward(x, &self.w1, &hidden, &top.dx)?;
        self.sgd.step(&[
            (&self.w1, &bottom.dw),
            (&self.b1, &bottom.db),
            (&self.w2, &top.dw),
            (&self.b2, &top.db),
        ])?;
        x.device().flush()
    }

    /// The probability of each digit for each image.
    pub fn predict(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = self.hidden.forward(x, &self.w1, Some(&self.b1))?;
        self.output.forward(&hidden.y, &self.w2, Some(&self.b2))
    }
}

/// Images on a device.
pub struct Batch {
    pub x: Tensor,
    pub labels: Labels,
}

impl Batch {
    pub fn new(device: &Device, images: &Images) -> Result<Self> {
        Ok(Self {
            x: device.tensor(&images.pixels, [images.len(), PIXELS])?,
            labels: device.labels(&images.labels)?,
        })
    }

    /// The mean cross-entropy of a network's predictions.
    pub fn loss(&self, network: &Network) -> Result<f32> {
        let y = network.predict(&self.x)?;
        Loss::cross_entropy().forward(&y, &self.labels, Reduction::Mean)?.item()
    }

    /// The digits that a network predicts, and the fraction of them that is right.
    pub fn predictions(&self, network: &Network) -> Result<(Labels, f64)> {
        let (y, metrics) = (network.predict(&self.x)?, Metrics::new(self.x.device(), CLASSES));
        metrics.add(&y, &self.labels)?;
        Ok((y.argmax()?, metrics.scores()?.accuracy()))
    }
}
