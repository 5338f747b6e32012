//! Training as it is done: three layers, AdamW with a schedule, clipping, evaluation, checkpoints. The step is one plan.
//!
//!     cargo run --release --example training
//!     WGRAD_DEVICE=gpu cargo run --release --example training
//!
//! Trains on handwritten digits, and saves weights and optimizer half way. Then it starts anew from that file, as after a
//! crash, and compares the bits of the weights at the end. Pictures and files go to target/training, or to the folder after
//! `--out`.

#[path = "../digits/charts.rs"]
mod charts;
#[path = "../common/mod.rs"]
mod common;
#[path = "../digits/data.rs"]
mod data;
mod network;
#[path = "../common/weights.rs"]
mod weights;

use std::error::Error;
use std::path::Path;

use charts::Epoch;
use data::Images;
use indicatif::{ProgressBar, ProgressStyle};
use network::Network;
use wgrad::Device;

const STEPS: usize = 1000;
const BATCH: usize = 32;
/// The number of batches in the images to train with, after which the network is evaluated.
const EPOCH: usize = 45;

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let device = Device::new()?;
    let folder = common::output_folder("target/training")?;
    let (training, held_out) = data::load(&mut fastrand::Rng::with_seed(1))?;
    let run = Run { device: &device, training: &training, held_out: &held_out };
    let checkpoint = folder.join("step_500.safetensors");

    let whole = run.train(0, None, Some(&checkpoint))?;
    // Another process would do the same.
    let resumed = run.train(STEPS / 2, Some(&checkpoint), None)?;
    let same = whole.network.bits()? == resumed.network.bits()?;

    let (found, accuracy) = whole.network.evaluate(&held_out)?;
    let curve = folder.join("training_curve.svg");
    charts::learning_curve(&whole.epochs, &device.info().to_string(), &curve)?;
    charts::predictions(&held_out, &found.to_vec(), &folder.join("training_predictions.svg"))?;
    println!("curve: {}, checkpoint: {}", curve.display(), checkpoint.display());
    println!(
        "accuracy={accuracy:.4} resumed={} submissions_per_step={} device=\"{}\"",
        if same { "same_bits" } else { "other_bits" },
        whole.submissions as f64 / (STEPS - 1) as f64,
        device.info()
    );
    Ok(())
}

/// What a run works on.
struct Run<'a> {
    device: &'a Device,
    training: &'a Images,
    held_out: &'a Images,
}

/// What has come out of it.
struct Trained {
    network: Network,
    epochs: Vec<Epoch>,
    submissions: u64,
}

impl Run<'_> {
    /// Trains from a step on: from a checkpoint, or from the beginning. Saves one half way.
    fn train(
        &self,
        start: usize,
        from: Option<&Path>,
        save: Option<&Path>,
    ) -> Result<Trained, Box<dyn Error>> {
        let device = self.device;
        let mut network = Network::new(device, BATCH)?;
        if let Some(path) = from {
            network.load(path)?;
        }
        network.write(&self.batch(start))?;
        network.set_learning_rate(rate(start));
        // The first step; each run of the plan is another one.
        let step = network.record()?;
        device.synchronize()?;
        let (mut epochs, mut submissions) = (Vec::new(), 0);
        let bar = ProgressBar::new(STEPS as u64).with_position(start as u64 + 1);
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {eta} left")?);
        for number in start + 1..STEPS {
            if number == STEPS / 2
                && let Some(path) = save
            {
                network.save(path)?;
            }
            let before = device.counters().submissions;
            network.write(&self.batch(number))?;
            network.set_learning_rate(rate(number));
            step.run()?;
            device.flush()?;
            submissions += device.counters().submissions - before;
            bar.inc(1);
            if (number + 1) % EPOCH == 0 {
                let training_loss = step.outputs().item()?;
                let (_, accuracy) = network.evaluate(self.held_out)?;
                epochs.push(Epoch { training_loss, accuracy });
                bar.suspend(|| {
                    println!(
                        "step {:4}  loss {training_loss:.5}  held-out accuracy {accuracy:.4}",
                        number + 1
                    );
                });
            }
        }
        bar.finish_and_clear();
        Ok(Trained { network, epochs, submissions })
    }

    /// The batch of a step, which is the same in each run.
    fn batch(&self, number: usize) -> Images {
        let mut random = fastrand::Rng::with_seed(number as u64);
        let indices: Vec<usize> =
            (0..BATCH).map(|_| random.usize(0..self.training.len())).collect();
        self.training.select(&indices)
    }
}

/// A linear warm-up, then half a cosine down to 0 (Loshchilov & Hutter 2017).
fn rate(step: usize) -> f32 {
    const HIGHEST: f32 = 0.01;
    const WARM_UP: usize = 50;
    let warm = ((step + 1) as f32 / WARM_UP as f32).min(1.0);
    let done = step as f32 / STEPS as f32;
    HIGHEST * warm * 0.5 * (1.0 + (std::f32::consts::PI * done).cos())
}
