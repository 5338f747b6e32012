//! Trains the digits network with an activation that is given as a formula, beside relu and gelu.
//!
//!     cargo run --release --example custom_activation
//!     cargo run --release --example custom_activation -- "z * sigmoid(beta * z)" beta=1.702
//!
//! Prints g, g' and g'' and draws them to target/custom_activation, or to the folder after `--out`. Parameters of the
//! formula learn with the weights.

mod common;
#[path = "digits/data.rs"]
mod data;
#[path = "common/weights.rs"]
mod weights;

use std::error::Error;
use std::path::Path;

use data::{CLASSES, Images, PIXELS};
use plotters::prelude::*;
use weights::glorot;
use wgrad::{Activation, Dense, Device, Loss, Metrics, OutputLayer, Result, Sgd, Tensor};

const EPOCHS: usize = 20;
const BATCH: usize = 32;
const HIDDEN: usize = 64;

/// The formula of swish, whose beta starts at gelu's: Ramachandran, Zoph and Le 2017.
const DEFAULT: (&str, &[(&str, f32)]) = ("z * sigmoid(beta * z)", &[("beta", 1.702)]);

fn main() -> std::result::Result<(), Box<dyn Error>> {
    env_logger::init();
    let device = Device::new()?;
    let folder = common::output_folder("target/custom_activation")?;
    let (formula, parameters) = arguments()?;
    let named: Vec<(&str, f32)> =
        parameters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let custom = Activation::from_formula(&formula, &named)?;
    println!("g(z)   = {}", custom.formula());
    println!("g'(z)  = {}", custom.derivative_formula());
    println!("g''(z) = {}", custom.second_derivative_formula().unwrap_or_default());
    for order in 0..3 {
        println!("LaTeX, order {order}: {}", custom.to_latex(order).unwrap_or_default());
    }
    for warning in custom.warnings() {
        println!("warning: {warning}");
    }
    let path = folder.join("custom_activation.svg");
    draw(&device, &custom, &path)?;
    println!("picture: {}", path.display());

    let (training, held_out) = data::load(&mut fastrand::Rng::with_seed(1))?;
    for activation in [Activation::Relu, Activation::Gelu] {
        let (accuracy, _) = train(&device, activation, &training, &held_out)?;
        println!("{:<8} accuracy={accuracy:.4}", activation.name());
    }
    let (accuracy, learned) = train(&device, custom, &training, &held_out)?;
    let parameters = learned.parameters();
    let values: String =
        parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    println!(
        "formula={:?} accuracy={accuracy:.4}{values} device=\"{}\"",
        custom.formula(),
        device.info()
    );
    Ok(())
}

/// A formula with the values of its parameters.
type Formula = (String, Vec<(String, f32)>);

/// The formula and the parameters that the command line gives.
fn arguments() -> std::result::Result<Formula, Box<dyn Error>> {
    let mut given = std::env::args().skip(1).peekable();
    let mut formula = None;
    let mut parameters = Vec::new();
    while let Some(argument) = given.next() {
        if argument == "--out" {
            given.next();
        } else if formula.is_none() {
            formula = Some(argument);
        } else {
            let (name, value) =
                argument.split_once('=').ok_or("parameters are written name=value")?;
            parameters.push((name.to_owned(), value.parse()?));
        }
    }
    Ok(match formula {
        Some(formula) => (formula, parameters),
        None => (
            DEFAULT.0.to_owned(),
            DEFAULT.1.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        ),
    })
}

/// Trains 64-64-10 with the activation; returns the held-out accuracy, and the activation with what its parameters have
/// learned.
fn train(
    device: &Device,
    mut activation: Activation,
    training: &Images,
    held_out: &Images,
) -> Result<(f64, Activation)> {
    let mut random = fastrand::Rng::with_seed(2);
    let mut weights = |inputs, outputs| glorot(device, &mut random, inputs, outputs);
    let (w1, w2) = (weights(PIXELS, HIDDEN)?, weights(HIDDEN, CLASSES)?);
    let (b1, b2) = (device.zeros([HIDDEN])?, device.zeros([CLASSES])?);
    let parameters = activation.parameter_tensors(device)?;
    let output = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
    let mut sgd = Sgd::new(0.05).momentum(0.9).weight_decay(1e-4);
    let mut order: Vec<usize> = (0..training.len()).collect();
    for _ in 0..EPOCHS {
        random.shuffle(&mut order);
        for batch in order.chunks(BATCH) {
            let images = training.select(batch);
            let x = device.tensor(&images.pixels, [images.len(), PIXELS])?;
            let labels = device.labels(&images.labels)?;
            let layer = Dense::new(activation);
            let hidden = layer.forward(&x, &w1, Some(&b1))?;
            let top = output.gradients(&hidden.y, &w2, Some(&b2), &labels)?;
            let bottom = layer.backward(&x, &w1, &hidden, &top.dx)?;
            sgd.step(&[(&w1, &bottom.dw), (&b1, &bottom.db), (&w2, &top.dw), (&b2, &top.db)])?;
            let learned: Vec<_> = parameters.iter().zip(&bottom.parameters).collect();
            sgd.step(&learned)?;
            activation = activation.with_parameter_tensors(&parameters)?;
        }
    }
    let x = device.tensor(&held_out.pixels, [held_out.len(), PIXELS])?;
    let hidden = Dense::new(activation).forward(&x, &w1, Some(&b1))?;
    let metrics = Metrics::new(device, CLASSES);
    let p = output.forward(&hidden.y, &w2, Some(&b2))?;
    metrics.add(&p, &device.labels(&held_out.labels)?)?;
    Ok((metrics.scores()?.accuracy(), activation))
}

fn draw(
    device: &Device,
    activation: &Activation,
    path: &Path,
) -> std::result::Result<(), Box<dyn Error>> {
    let z: Vec<f32> = (0..600).map(|i| -6.0 + (i as f32 + 0.5) * 0.02).collect();
    let tensor: Tensor = device.tensor(&z, [z.len()])?;
    let curves = [
        ("g(z)", RGBColor(31, 107, 180), activation.forward(&tensor)?.to_vec()?),
        ("g'(z)", RGBColor(214, 108, 20), activation.derivative(&tensor)?.to_vec()?),
        ("g''(z)", RGBColor(60, 140, 60), activation.second_derivative(&tensor)?.to_vec()?),
    ];
    let values = || curves.iter().flat_map(|(_, _, y)| y).copied().filter(|y| y.is_finite());
    let (low, high) = values().fold((0.0f32, 1.0f32), |(low, high), y| (low.min(y), high.max(y)));
    let (low, high) = (low.max(-6.0) - 0.2, high.min(6.0) + 0.2);
    let root = SVGBackend::new(path, (640, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(activation.formula(), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(44)
        .build_cartesian_2d(-6.0f32..6.0, low..high)?;
    chart
        .configure_mesh()
        .x_desc("z")
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    for (label, color, y) in &curves {
        let points =
            z.iter().zip(y).map(|(z, y)| (*z, *y)).filter(|(_, y)| (low..high).contains(y));
        let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        line.label(*label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    Ok(())
}
