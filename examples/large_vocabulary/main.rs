//! Trains a next-word model over a large vocabulary, with the logits in tiles and with stored logits.
//!
//!     cargo run --release --example large_vocabulary
//!     WGRAD_DEVICE=gpu cargo run --release --example large_vocabulary -- --steps 2
//!
//! Both paths start from the same seed and see the same batches. Stored logits take one number for each word
//! of a batch and each word of the vocabulary; in tiles they stay below 64 MiB, however many words there are.

mod network;
mod options;
mod text;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use network::Network;
use options::{HELP, Options, Path};
use text::Text;
use wgrad::{Device, Error};

const SEED: u64 = 1;

/// The largest allowed difference between the losses of the two paths in the first steps. They do not agree to
/// the last bit: tiles sum dE/dw, dE/db and dE/dx in a different order, so the weights differ in their last
/// bits after a step. Training amplifies this difference until it is visible after hundreds of steps.
const AGREEMENT: f32 = 1e-4;
const FIRST_STEPS: usize = 25;

fn main() -> ExitCode {
    env_logger::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    let device = Device::new()?;
    let text = Text::load();
    let (training, held_out) = text.len();
    if options.batch > training {
        return Err(format!("--batch is at most {training}, the words to train with").into());
    }
    println!(
        "{training} words to train with, {held_out} held out, a vocabulary of {}, on {}",
        text.vocabulary(),
        device.info()
    );
    println!(
        "the logits of a batch of {} take {:.1} MiB",
        options.batch,
        mib(options.batch as u64 * text.vocabulary() as u64 * 4)
    );

    let mut results = Vec::new();
    for &path in &options.paths {
        match train(&device, &text, &options, path) {
            Err(error) if !does_not_fit(&error) => return Err(error.into()),
            result => results.push((path, result)),
        }
        // The other path cannot reuse the buffers that this one has pooled.
        device.trim();
    }
    for (path, result) in &results {
        let name = path.name();
        match result {
            Ok(outcome) => println!(
                "path={name} workspace_mib={:.1} seconds={:.1} loss={:.6}",
                mib(outcome.workspace),
                outcome.time.as_secs_f64(),
                outcome.losses[options.steps - 1]
            ),
            Err(error) => {
                println!("path={name} workspace_mib=- seconds=- loss=- (does not fit: {error})");
            }
        }
    }
    match &results[..] {
        [(_, Ok(one)), (_, Ok(other))] if !one.agrees_with(other) => {
            Err(format!("the losses of the two paths differ by more than {AGREEMENT}").into())
        }
        _ => Ok(()),
    }
}

fn does_not_fit(error: &Error) -> bool {
    matches!(error, Error::TooLarge { .. } | Error::OutOfMemory { .. })
}

/// The cost and the results of a path.
struct Outcome {
    /// The peak of the workspace, in bytes.
    workspace: u64,
    /// The time of the training steps, of which the first compiles the kernels on a GPU.
    time: Duration,
    /// The loss of the batch of each training step.
    losses: Vec<f32>,
}

impl Outcome {
    fn agrees_with(&self, other: &Self) -> bool {
        let mut pairs = self.losses.iter().zip(&other.losses).take(FIRST_STEPS);
        pairs.all(|(one, other)| (one - other).abs() <= AGREEMENT)
    }
}

fn train(device: &Device, text: &Text, options: &Options, path: Path) -> wgrad::Result<Outcome> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut network = Network::new(device, text, path.logits(), options.dtype, &mut random)?;
    let name = path.name();
    let bar = ProgressBar::new(options.steps as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {eta} left") {
        bar.set_style(style);
    }
    device.synchronize()?;
    device.reset_peak_memory();
    let start = Instant::now();
    let mut losses = Vec::new();
    for step in 1..=options.steps {
        let loss = network.train(&text.sample(options.batch, &mut random))?;
        losses.push(loss);
        bar.inc(1);
        if step == 1 || step == options.steps || step % 5 == 0 {
            bar.suspend(|| println!("{name:5}  step {step:3}  training loss {loss:.6}"));
        }
    }
    device.synchronize()?;
    let (time, workspace) = (start.elapsed(), device.memory().workspace.peak_bytes);
    bar.finish_and_clear();

    // The mean of the batches' means, weighted by their sizes.
    let mut sum = 0.0;
    for batch in text.held_out(options.batch) {
        sum += f64::from(network.loss(&batch)?) * batch.words.len() as f64;
    }
    let held_out = sum / text.len().1 as f64;
    println!("{name:5}  held-out loss {held_out:.6}, perplexity {:.1}", held_out.exp());
    println!("{name:5}  memory: {}", device.memory());
    Ok(Outcome { workspace, time, losses })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
