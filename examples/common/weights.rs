//! Weights to begin with.

use wgrad::{Device, Result, Tensor};

/// Glorot and Bengio's uniform distribution (2010), for a layer without a preference for one sign.
pub fn glorot(
    device: &Device,
    random: &mut fastrand::Rng,
    inputs: usize,
    outputs: usize,
) -> Result<Tensor> {
    let limit = (6.0 / (inputs + outputs) as f32).sqrt();
    let values: Vec<f32> =
        (0..inputs * outputs).map(|_| limit * (2.0 * random.f32() - 1.0)).collect();
    device.tensor(&values, [inputs, outputs])
}
