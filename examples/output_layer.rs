//! Computes the gradient of an output layer by hand and on the device.
//!
//!     cargo run --release --example output_layer
//!
//! One neuron with g = sigmoid and E = ½(g(z) − t)² has dE/dw_j = (g(z) − t)·g'(z)·x_j.

use wgrad::{Activation, Device, Loss, OutputLayer, Reduction, Result};

fn main() -> Result<()> {
    env_logger::init();
    let device = Device::new()?;
    println!("computed on {}\n", device.info());

    let (x, w, b, t) = ([0.5f32, -1.0, 2.0], [0.8f32, 0.3, -0.1], 0.6f32, 1.0f32);

    // By hand, step by step, in f64.
    let z: f64 =
        x.iter().zip(&w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>() + f64::from(b);
    let g = 1.0 / (1.0 + (-z).exp());
    let slope = g * (1.0 - g);
    let error = g - f64::from(t);
    let by_hand: Vec<f64> = x.iter().map(|&x| error * slope * f64::from(x)).collect();

    // The same on the device.
    let layer =
        OutputLayer::new(Activation::Sigmoid, Loss::HalfSquaredError).reduction(Reduction::Sum);
    let step = layer.gradients(
        &device.tensor(&x, [1, 3])?,
        &device.tensor(&w, [3, 1])?,
        Some(&device.tensor(&[b], [1])?),
        &device.tensor(&[t], [1, 1])?,
    )?;
    let (loss, y) = (step.loss.item()?, step.y.item()?);
    let dw = step.dw.to_vec()?;

    println!("z = x·w + b            = {z:.7}");
    println!("g(z) = 1/(1 + e^-z)    = {g:.7}    device {y:.7}");
    println!("g'(z) = g(z)(1 - g(z)) = {slope:.7}");
    println!("E = (g(z) - t)^2 / 2   = {:.7}    device {loss:.7}", 0.5 * error * error);
    println!("\ndE/dw_j = (g(z) - t) g'(z) x_j");
    let mut worst = 0.0f64;
    for (j, (exact, &found)) in by_hand.iter().zip(&dw).enumerate() {
        println!(
            "  j = {j}:  ({error:+.7}) ({slope:.7}) ({:+.1}) = {exact:+.8}    device {found:+.8}",
            x[j]
        );
        worst = worst.max(((f64::from(found) - exact) / exact).abs());
    }
    println!("\nworst relative difference: {worst:.1e}");
    assert!(worst < 1e-6, "the device's gradient is not the formula's");
    Ok(())
}
