//! A graphics application that trains a network within its frames.
//!
//!     cargo run --release --example host_application
//!
//! In each frame, a compute pass of the application makes a batch in wgrad's tensors, a plan of wgrad's takes a step of
//! training, another one computes the picture that the network has learned, and a render pass draws it: all in one
//! command encoder of the application's. wgrad submits nothing and waits for nothing. The last frame is written to
//! target/host_application, or to the folder after `--out`.

#[path = "../common/mod.rs"]
mod common;
mod graphics;
#[path = "../common/weights.rs"]
mod weights;

use std::error::Error;

use graphics::{GRID, Graphics};
use weights::glorot;
use wgrad::{Activation, AdamW, Dense, Device, Loss, OutputLayer, Outputs, Plan, Tensor};

const FRAMES: u32 = 240;
const SAMPLES: usize = 1024;
const FEATURES: usize = 32;
const HIDDEN: usize = 64;
const COLOURS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let folder = common::output_folder("target/host_application")?;
    let graphics = Graphics::new()?;
    let device = graphics.wgrad()?;
    let mut network = Network::new(&device)?;
    let Plans { step, picture, batch, grid } = network.plans(&device)?;

    let mut encoder = graphics.encoder();
    graphics.make_samples(&mut encoder, &grid, 0, GRID);
    graphics.submit(encoder);
    let before = device.counters();
    for frame in 1..=FRAMES {
        network.optimizer.set_learning_rate(0.01 * (1.0 - frame as f32 / (FRAMES + 1) as f32));
        let mut encoder = graphics.encoder();
        graphics.make_samples(&mut encoder, &batch, frame, 0);
        step.encode(&mut encoder)?;
        picture.encode(&mut encoder)?;
        graphics.draw(&mut encoder, &grid[1], picture.outputs());
        graphics.submit(encoder);
    }
    let after = device.counters();
    let path = folder.join("host_application.png");
    graphics.write_png(&path)?;
    let loss = step.outputs().item()?;
    println!("loss of the last batch: {loss:.5}, on {}", device.info());
    println!(
        "frames={FRAMES} submissions={} waits={} picture={}",
        after.submissions - before.submissions,
        after.waits - before.waits,
        path.display()
    );
    Ok(())
}

/// What the network is and how it learns.
struct Network {
    weights: [Tensor; 6],
    optimizer: AdamW,
}

struct Plans {
    /// A step of training; its output is the loss.
    step: Plan<'static, Tensor>,
    /// The colours of the grid.
    picture: Plan<'static, Tensor>,
    /// The features and the colours of a batch, and of the grid.
    batch: [Tensor; 2],
    grid: [Tensor; 2],
}

impl Network {
    fn new(device: &Device) -> wgrad::Result<Self> {
        let mut random = fastrand::Rng::with_seed(1);
        let mut weights = |inputs, outputs| glorot(device, &mut random, inputs, outputs);
        Ok(Self {
            weights: [
                weights(FEATURES, HIDDEN)?,
                device.zeros([HIDDEN])?,
                weights(HIDDEN, HIDDEN)?,
                device.zeros([HIDDEN])?,
                weights(HIDDEN, COLOURS)?,
                device.zeros([COLOURS])?,
            ],
            optimizer: AdamW::new(0.01),
        })
    }

    fn plans(&mut self, device: &Device) -> wgrad::Result<Plans> {
        let [w1, b1, w2, b2, w3, b3] = &self.weights;
        let optimizer = &mut self.optimizer;
        let hidden = Dense::new(Activation::Gelu);
        let top = OutputLayer::new(Activation::Sigmoid, Loss::Mse)
            .outputs(Outputs::all() - Outputs::Y - Outputs::DZ);
        let samples = |count: usize| -> wgrad::Result<[Tensor; 2]> {
            Ok([device.zeros([count, FEATURES])?, device.zeros([count, COLOURS])?])
        };
        let (batch, grid) = (samples(SAMPLES)?, samples((GRID * GRID) as usize)?);
        let [x, colours] = &batch;
        let step = device.record(|| {
            let first = hidden.forward(x, w1, Some(b1))?;
            let second = hidden.forward(&first.y, w2, Some(b2))?;
            let end = top.gradients(&second.y, w3, Some(b3), colours)?;
            let middle = hidden.backward(&first.y, w2, &second, &end.dx)?;
            let start = hidden.backward(x, w1, &first, &middle.dx)?;
            optimizer.step(&[
                (w1, &start.dw),
                (b1, &start.db),
                (w2, &middle.dw),
                (b2, &middle.db),
                (w3, &end.dw),
                (b3, &end.db),
            ])?;
            Ok(end.loss)
        })?;
        let picture = device.record(|| {
            let first = hidden.forward(&grid[0], w1, Some(b1))?;
            let second = hidden.forward(&first.y, w2, Some(b2))?;
            top.forward(&second.y, w3, Some(b3))
        })?;
        // What was recorded so far is done before the first frame.
        device.synchronize()?;
        Ok(Plans { step, picture, batch, grid })
    }
}
