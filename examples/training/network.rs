//! 64-48-32-10: gelu, gelu, softmax with cross-entropy.

use std::path::Path;

use wgrad::{
    Activation, AdamW, Dense, Device, Labels, Loss, Metrics, OutputLayer, Plan, Result, Tensor,
    clip_gradient_norm, load, load_into, save,
};

use crate::data::{CLASSES, Images, PIXELS};
use crate::weights::glorot;

const WIDTHS: [usize; 4] = [PIXELS, 48, 32, CLASSES];
const NAMES: [&str; 6] = ["1.weight", "1.bias", "2.weight", "2.bias", "3.weight", "3.bias"];

/// The weights, the optimizer, and the tensors of a batch.
pub struct Network {
    device: Device,
    weights: [Tensor; 6],
    optimizer: AdamW,
    x: Tensor,
    labels: Labels,
}

fn hidden() -> Dense {
    Dense::new(Activation::Gelu)
}

fn top() -> OutputLayer {
    let loss = Loss::CrossEntropy { label_smoothing: 0.05, ignore_index: None };
    OutputLayer::new(Activation::Softmax, loss)
}

impl Network {
    pub fn new(device: &Device, batch: usize) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(1);
        let mut weights =
            |layer: usize| glorot(device, &mut random, WIDTHS[layer], WIDTHS[layer + 1]);
        let biases = |layer: usize| device.zeros([WIDTHS[layer + 1]]);
        Ok(Self {
            device: device.clone(),
            weights: [weights(0)?, biases(0)?, weights(1)?, biases(1)?, weights(2)?, biases(2)?],
            optimizer: AdamW::new(0.01).weight_decay(0.05),
            x: device.zeros([batch, PIXELS])?,
            labels: device.labels(&vec![0; batch])?,
        })
    }

    pub fn set_learning_rate(&mut self, rate: f32) {
        self.optimizer.set_learning_rate(rate);
    }

    /// The next batch.
    pub fn write(&self, images: &Images) -> Result<()> {
        self.x.write(&images.pixels)?;
        self.labels.write(&images.labels)
    }

    /// A whole step as a plan, whose output is the loss.
    pub fn record(&mut self) -> Result<Plan<'static, Tensor>> {
        let [w1, b1, w2, b2, w3, b3] = &self.weights;
        let (x, labels, optimizer) = (&self.x, &self.labels, &mut self.optimizer);
        self.device.record(|| {
            let first = hidden().forward(x, w1, Some(b1))?;
            let second = hidden().forward(&first.y, w2, Some(b2))?;
            let end = top().gradients(&second.y, w3, Some(b3), labels)?;
            let middle = hidden().backward(&first.y, w2, &second, &end.dx)?;
            let start = hidden().backward(x, w1, &first, &middle.dx)?;
            let gradients = [&start.dw, &start.db, &middle.dw, &middle.db, &end.dw, &end.db];
            clip_gradient_norm(&gradients, 1.0)?;
            let pairs: Vec<_> = self.weights.iter().zip(gradients).collect();
            optimizer.step(&pairs)?;
            Ok(end.loss)
        })
    }

    /// The digit that each image is taken for, and the fraction of them that is right.
    pub fn evaluate(&self, images: &Images) -> Result<(Labels, f64)> {
        let [w1, b1, w2, b2, w3, b3] = &self.weights;
        let x = self.device.tensor(&images.pixels, [images.len(), PIXELS])?;
        let first = hidden().forward(&x, w1, Some(b1))?;
        let second = hidden().forward(&first.y, w2, Some(b2))?;
        let p = top().forward(&second.y, w3, Some(b3))?;
        let metrics = Metrics::new(&self.device, CLASSES);
        metrics.add(&p, &self.device.labels(&images.labels)?)?;
        Ok((p.argmax()?, metrics.scores()?.accuracy()))
    }

    fn named(&self) -> [(&'static str, &Tensor); 6] {
        std::array::from_fn(|place| (NAMES[place], &self.weights[place]))
    }

    /// Saves the weights and the state of the optimizer.
    pub fn save(&self, path: &Path) -> Result<()> {
        let state = self.optimizer.state(&self.named())?;
        let state = state.iter().map(|(name, tensor)| (name.as_str(), tensor));
        save(path, &self.named().into_iter().chain(state).collect::<Vec<_>>())
    }

    pub fn load(&mut self, path: &Path) -> Result<()> {
        load_into(path, &self.named())?;
        let state = load(&self.device, path)?;
        let named: [_; 6] = std::array::from_fn(|place| (NAMES[place], &self.weights[place]));
        self.optimizer.set_state(&named, &state)
    }

    /// The weights, bit by bit.
    pub fn bits(&self) -> Result<Vec<Vec<u32>>> {
        let bits =
            |tensor: &Tensor| Ok(tensor.to_vec()?.iter().map(|value| value.to_bits()).collect());
        self.weights.iter().map(bits).collect()
    }
}
