//! Predicts the next word from the words before it: Bengio et al. (2003), *A Neural Probabilistic
//! Language Model*, JMLR 3.

use wgrad::{
    Activation, Adam, DType, Dense, Device, Logits, Loss, OutputLayer, Outputs, Reduction, Result,
    Tensor,
};

use crate::text::{Batch, CONTEXT, Text};

/// The length of a word's embedding.
const EMBEDDING: usize = 48;
const INPUTS: usize = CONTEXT * EMBEDDING;
const HIDDEN: usize = 128;

/// The embeddings are trained by plain gradient descent on the host. A word is in few contexts of a batch,
/// but the loss is the mean over all of them: hence the large rate.
const EMBEDDING_RATE: f32 = 50.0;

/// The optimizer of all other parameters.
type Optimizer = Adam;

fn optimizer() -> Optimizer {
    Adam::new(0.01)
}

pub struct Network {
    device: Device,
    /// [vocabulary, EMBEDDING], on the host.
    embeddings: Vec<f32>,
    hidden: Dense,
    output: OutputLayer,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    optimizer: Optimizer,
}

impl Network {
    pub fn new(
        device: &Device,
        text: &Text,
        logits: Logits,
        dtype: DType,
        random: &mut fastrand::Rng,
    ) -> Result<Self> {
        let mut uniform = |count: usize, limit: f32| -> Vec<f32> {
            (0..count).map(|_| limit * (2.0 * random.f32() - 1.0)).collect()
        };
        let vocabulary = text.vocabulary();
        // Weights that are uniform up to √(3/inputs) preserve the variance of their inputs. The weights of the
        // output layer start small, and its biases at the words' frequencies, as a first guess.
        let embeddings = uniform(vocabulary * EMBEDDING, 1.0);
        let w1 = uniform(INPUTS * HIDDEN, (3.0 / INPUTS as f32).sqrt());
        let w2 = uniform(HIDDEN * vocabulary, 0.1 * (3.0 / HIDDEN as f32).sqrt());
        let total = text.len().0 + vocabulary;
        let frequency = |&count: &usize| ((count + 1) as f32 / total as f32).ln();
        let b2: Vec<f32> = text.counts.iter().map(frequency).collect();
        Ok(Self {
            device: device.clone(),
            embeddings,
            hidden: Dense::new(Activation::Gelu),
            output: OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
                .reduction(Reduction::Mean)
                .logits(logits),
            w1: device.tensor(&w1, [INPUTS, HIDDEN])?.to_dtype(dtype)?,
            b1: device.zeros([HIDDEN])?,
            w2: device.tensor(&w2, [HIDDEN, vocabulary])?.to_dtype(dtype)?,
            b2: device.tensor(&b2, [vocabulary])?,
            optimizer: optimizer(),
        })
    }

    /// Trains one step on a batch; returns its mean cross-entropy before the step.
    pub fn train(&mut self, batch: &Batch) -> Result<f32> {
        let x = self.look_up(&batch.contexts)?;
        let words = self.device.labels(&batch.words)?;
        let layer = self.output.outputs(Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX);
        let hidden = self.hidden.forward(&x, &self.w1, Some(&self.b1))?;
        let top = layer.gradients(&hidden.y, &self.w2, Some(&self.b2), &words)?;
        let bottom = self.hidden.backward(&x, &self.w1, &hidden, &top.dx)?;
        self.optimizer.step(&[
            (&self.w1, &bottom.dw),
            (&self.b1, &bottom.db),
            (&self.w2, &top.dw),
            (&self.b2, &top.db),
        ])?;
        self.step_embeddings(&batch.contexts, &bottom.dx.to_vec()?);
        top.loss.item()
    }

    /// The mean cross-entropy of a batch.
    pub fn loss(&self, batch: &Batch) -> Result<f32> {
        let x = self.look_up(&batch.contexts)?;
        let words = self.device.labels(&batch.words)?;
        let layer = self.output.outputs(Outputs::LOSS);
        let hidden = self.hidden.forward(&x, &self.w1, Some(&self.b1))?;
        layer.gradients(&hidden.y, &self.w2, Some(&self.b2), &words)?.loss.item()
    }

    /// The embeddings of each context side by side, [B, INPUTS].
    fn look_up(&self, contexts: &[i32]) -> Result<Tensor> {
        let mut x = Vec::with_capacity(contexts.len() * EMBEDDING);
        for &word in contexts {
            let start = word as usize * EMBEDDING;
            x.extend_from_slice(&self.embeddings[start..start + EMBEDDING]);
        }
        self.device.tensor(&x, [contexts.len() / CONTEXT, INPUTS])
    }

    /// Updates the embeddings: each row of dE/dx belongs to the words of its context.
    fn step_embeddings(&mut self, contexts: &[i32], dx: &[f32]) {
        for (&word, gradient) in contexts.iter().zip(dx.chunks(EMBEDDING)) {
            let start = word as usize * EMBEDDING;
            let embedding = &mut self.embeddings[start..start + EMBEDDING];
            for (value, gradient) in embedding.iter_mut().zip(gradient) {
                *value -= EMBEDDING_RATE * gradient;
            }
        }
    }
}
