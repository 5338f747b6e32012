//! A 64-64-10 network: tanh, softmax, cross-entropy, gradient descent with momentum.

use wgrad::{
    Activation, Dense, Device, Labels, Loss, OutputLayer, Outputs, Reduction, Result, Sgd, Tensor,
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

    /// The mean cross-entropy of a network's predictions, and the predictions.
    pub fn evaluate(&self, network: &Network) -> Result<(f32, Vec<usize>)> {
        let y = network.predict(&self.x)?;
        let loss = Loss::cross_entropy().forward(&y, &self.labels, Reduction::Mean)?.item()?;
        let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        Ok((loss, y.to_vec()?.chunks(CLASSES).map(|row| best(row).unwrap_or(0)).collect()))
    }
}

/// The fraction of predictions that are right.
pub fn accuracy(predictions: &[usize], images: &Images) -> f64 {
    let pairs = predictions.iter().zip(&images.labels);
    let right = pairs.filter(|(found, label)| **found as i32 == **label).count();
    right as f64 / images.len().max(1) as f64
}
