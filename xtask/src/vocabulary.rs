//! `cargo xtask vocabulary`: measures the memory and time of one step of an output layer over a large
//! vocabulary, in tiles and with stored logits.

use std::time::Instant;

use lexopt::prelude::*;
use wgrad::{
    Activation, Device, DeviceOptions, Labels, Logits, Loss, OutputLayer, Outputs, Preference,
    Tensor,
};

const USAGE: &str = "\
cargo xtask vocabulary [options]
  One step of softmax with cross-entropy, with the gradients of x, w and b.
  --rows B       rows of x (4096)
  --inputs M     inputs (512)
  --classes K    classes (131072)
  --path P       tiled, full or both (both); one alone for /usr/bin/time -v
  --device D     cpu or gpu (cpu)
  --repeat N     steps of which the fastest counts (3)
  --transposed   weights stored [K, M]";

/// What to measure.
struct Options {
    rows: usize,
    inputs: usize,
    classes: usize,
    paths: Vec<(&'static str, Logits)>,
    preference: Preference,
    repeat: usize,
    transposed: bool,
}

const PATHS: [(&str, Logits); 2] = [("tiled", Logits::Tiled), ("full", Logits::Full)];

pub fn command(words: impl Iterator<Item = String>) -> Result<(), String> {
    let Some(options) = parse(words).map_err(|error| format!("{error}\n{USAGE}"))? else {
        println!("{USAGE}");
        return Ok(());
    };
    options.run().map_err(|error| error.to_string())
}

/// Returns `None` if help is asked for.
fn parse(words: impl Iterator<Item = String>) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        rows: 4096,
        inputs: 512,
        classes: 131_072,
        paths: PATHS.to_vec(),
        preference: Preference::Cpu,
        repeat: 3,
        transposed: false,
    };
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("rows") => options.rows = parser.value()?.parse()?,
            Long("inputs") => options.inputs = parser.value()?.parse()?,
            Long("classes") => options.classes = parser.value()?.parse()?,
            Long("repeat") => options.repeat = parser.value()?.parse()?,
            Long("transposed") => options.transposed = true,
            Long("path") => {
                let name = parser.value()?.string()?;
                options.paths.retain(|(path, _)| name == "both" || name == *path);
                if options.paths.is_empty() {
                    return Err(format!("there is no path {name:?}").into());
                }
            }
            Long("device") => {
                options.preference = match parser.value()?.string()?.as_str() {
                    "cpu" => Preference::Cpu,
                    "gpu" => Preference::Gpu,
                    other => return Err(format!("there is no device {other:?}").into()),
                }
            }
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(options))
}

impl Options {
    fn run(&self) -> wgrad::Result<()> {
        let options = DeviceOptions::default().preference(self.preference);
        let device = pollster::block_on(Device::request(options))?;
        let Self { rows, inputs, classes, .. } = *self;
        println!(
            "rows={rows} inputs={inputs} classes={classes} device={:?}",
            device.info().to_string()
        );
        let mut random = fastrand::Rng::with_seed(1);
        let mut numbers = |count: usize, size: f32| -> Vec<f32> {
            (0..count).map(|_| size * (2.0 * random.f32() - 1.0)).collect()
        };
        let x = device.tensor(&numbers(rows * inputs, 1.0), [rows, inputs])?;
        let size = (3.0 / inputs as f32).sqrt();
        let shape = if self.transposed { [classes, inputs] } else { [inputs, classes] };
        let w = device.tensor(&numbers(inputs * classes, size), shape)?;
        let labels: Vec<i32> = (0..rows).map(|row| (row * 7919 % classes) as i32).collect();
        let labels = device.labels(&labels)?;
        for &(name, logits) in &self.paths {
            match self.measure(&device, logits, &x, &w, &labels) {
                Ok((workspace, seconds, loss)) => {
                    let mib = workspace as f64 / f64::from(1 << 20);
                    println!(
                        "path={name} workspace_mib={mib:.1} seconds={seconds:.2} loss={loss:.6}"
                    );
                }
                Err(error) => println!("path={name} error={error:?}"),
            }
            device.trim();
        }
        Ok(())
    }

    /// Returns the peak of the workspace in bytes, the seconds of the fastest step, and the loss.
    fn measure(
        &self,
        device: &Device,
        logits: Logits,
        x: &Tensor,
        w: &Tensor,
        labels: &Labels,
    ) -> wgrad::Result<(u64, f64, f32)> {
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
            .outputs(Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX)
            .transposed_weights(self.transposed)
            .logits(logits);
        device.synchronize()?;
        device.reset_peak_memory();
        let mut best = (f64::INFINITY, f32::NAN);
        for _ in 0..self.repeat.max(1) {
            let start = Instant::now();
            let step = layer.gradients(x, w, None, labels)?;
            let loss = step.loss.item()?;
            device.synchronize()?;
            best = (best.0.min(start.elapsed().as_secs_f64()), loss);
        }
        Ok((device.memory().workspace.peak_bytes, best.0, best.1))
    }
}
