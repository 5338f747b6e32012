//! Trains a network on real handwritten digits.
//!
//!     cargo run --release --example digits
//!     WGRAD_DEVICE=gpu cargo run --release --example digits
//!
//! Writes the learning curve and a grid of test images as pictures to target/digits, or to the folder
//! after `--out`. The seed is fixed: the same device gives the same result.

mod charts;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod network;
#[path = "../common/weights.rs"]
mod weights;

use std::error::Error;
use std::time::Instant;

use charts::Epoch;
use indicatif::{ProgressBar, ProgressStyle};
use network::{Batch, Network};
use wgrad::Device;

const EPOCHS: usize = 30;
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let device = Device::new()?;
    let folder = common::output_folder("target/digits")?;
    let mut random = fastrand::Rng::with_seed(1);
    let (training, held_out) = data::load(&mut random)?;
    println!(
        "{} images to train with, {} held out, on {}",
        training.len(),
        held_out.len(),
        device.info()
    );

    let start = Instant::now();
    let mut network = Network::new(&device, &mut random)?;
    let (all, test) = (Batch::new(&device, &training)?, Batch::new(&device, &held_out)?);
    let mut order: Vec<usize> = (0..training.len()).collect();
    let mut epochs = Vec::new();
    let mut predictions = Vec::new();
    device.synchronize()?;
    let (mut steps, mut submissions, mut dispatches) = (0, 0, 0);
    let bar = ProgressBar::new((EPOCHS * training.len().div_ceil(BATCH)) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {eta} left")?);
    for epoch in 1..=EPOCHS {
        random.shuffle(&mut order);
        let before = device.counters();
        for batch in order.chunks(BATCH) {
            let batch = Batch::new(&device, &training.select(batch))?;
            network.train(&batch.x, &batch.labels)?;
            steps += 1;
            bar.inc(1);
        }
        let after = device.counters();
        submissions += after.submissions - before.submissions;
        dispatches += after.dispatches - before.dispatches;

        let training_loss = all.loss(&network)?;
        let (found, accuracy) = test.predictions(&network)?;
        bar.suspend(|| {
            println!(
                "epoch {epoch:2}  training loss {training_loss:.6}  held-out accuracy {accuracy:.4}"
            );
        });
        epochs.push(Epoch { training_loss, accuracy });
        predictions = found.to_vec();
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();

    let (curve, grid) =
        (folder.join("digits_learning_curve.svg"), folder.join("digits_predictions.svg"));
    charts::learning_curve(&epochs, &device.info().to_string(), &curve)?;
    charts::predictions(&held_out, &predictions, &grid)?;
    println!("pictures: {} {}", curve.display(), grid.display());
    println!("memory: {}", device.memory());
    println!(
        "a training step: {:.2} submissions, {:.1} dispatches ({steps} steps)",
        submissions as f64 / f64::from(steps),
        dispatches as f64 / f64::from(steps)
    );
    let (first, last) = (&epochs[0], &epochs[EPOCHS - 1]);
    println!(
        "accuracy={:.4} first_epoch_loss={:.6} device=\"{}\" train_seconds={seconds:.1}",
        last.accuracy,
        first.training_loss,
        device.info()
    );
    Ok(())
}
