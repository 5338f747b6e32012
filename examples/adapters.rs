//! Lists every adapter and the CPU with what it can do, and checks wgrad's results on each.
//!
//!     cargo run --release --example adapters
//!
//! Exits with 1 if a check fails. With `--require-gpu` it exits with 2 if there is no adapter for
//! Vulkan, Metal or DX12.

use std::process::ExitCode;
use std::time::Instant;

use wgrad::{
    Activation, Device, DeviceInfo, Loss, OutputLayer, Reduction, Result, reference, wgpu,
};

fn main() -> ExitCode {
    env_logger::init();
    let devices = Device::enumerate();
    let mut failed = false;
    for info in &devices {
        describe(info);
        let start = Instant::now();
        match Device::open(info).and_then(|device| check(&device)) {
            Ok(worst) => {
                let seconds = start.elapsed().as_secs_f64();
                let verdict = if worst <= 1.0 { "ok" } else { "FAILED" };
                failed |= worst > 1.0;
                println!(
                    "  self-check   {verdict}: worst error {worst:.2} of the bound, {seconds:.2} s"
                );
            }
            Err(error) => {
                failed = true;
                println!("  self-check   FAILED: {error}");
            }
        }
        println!();
    }
    let adapters = devices.iter().filter_map(|info| info.backend);
    let modern = adapters.clone().filter(|backend| *backend != wgpu::Backend::Gl).count();
    println!("adapters={} failed={failed}", adapters.count());
    if failed {
        return ExitCode::from(1);
    }
    if modern == 0 && std::env::args().any(|argument| argument == "--require-gpu") {
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn describe(info: &DeviceInfo) {
    println!("{info}");
    println!("  kind         {}", info.kind);
    println!("  driver       {}", info.driver);
    let Some(backend) = info.backend else { return };
    println!("  interface    {backend:?}");
    println!("  one tensor   up to {}", mebibytes(info.max_tensor_bytes));
    println!("  one binding  up to {}", mebibytes(info.max_binding_bytes));
    let known = [
        ("f16", wgpu::Features::SHADER_F16),
        ("f64", wgpu::Features::SHADER_F64),
        ("subgroups", wgpu::Features::SUBGROUP),
        ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
        ("immediates", wgpu::Features::IMMEDIATES),
        ("pipeline cache", wgpu::Features::PIPELINE_CACHE),
    ];
    let there: Vec<&str> = known
        .iter()
        .filter(|(_, bit)| info.features.contains(*bit))
        .map(|(name, _)| *name)
        .collect();
    println!("  features     {}", if there.is_empty() { "none".into() } else { there.join(", ") });
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The largest error as a fraction of its bound; more than 1 is a failure.
fn check(device: &Device) -> Result<f64> {
    let mut worst = 0.0f64;
    let z: Vec<f32> = (-2000..2000).map(|i| i as f32 * 0.02).chain([0.0, 1e4, -1e4]).collect();
    let exact: Vec<f64> = z.iter().map(|&z| z.into()).collect();
    let tensor = device.tensor(&z, [z.len()])?;
    let (ones, exact_ones) = (device.tensor(&vec![1.0; z.len()], [z.len()])?, vec![1.0; z.len()]);
    for activation in Activation::all() {
        let y = activation.forward(&tensor)?.to_vec()?;
        let oracle = reference::forward(&activation, &exact, z.len());
        worst = worst.max(distance(&y, &oracle, 4.0));
        // The Jacobian product of a row with thousands of elements cancels: the bound is relative to the
        // sum. For other activations dE/dy is 1, because a derivative flushed to zero cannot be scaled back.
        let (dy, exact_dy, units) = match activation.is_rowwise() {
            true => (&tensor, &exact, 1e7),
            false => (&ones, &exact_ones, 8.0),
        };
        let dz = activation.backward(&tensor, dy)?.to_vec()?;
        let oracle = reference::backward(&activation, &exact, exact_dy, z.len());
        worst = worst.max(distance(&dz, &oracle, units));
    }
    let labels: Vec<i32> = (0..64).map(|row| row % 10).collect();
    let x = device.tensor(&z[..64 * 30], [64, 30])?;
    let w = device.tensor(&z[1850..2150], [30, 10])?;
    let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
    let step = layer.gradients(&x, &w, None, &device.labels(&labels)?)?;
    let oracle = reference::output_layer(&reference::Problem {
        activation: &Activation::Softmax,
        loss: &Loss::cross_entropy(),
        reduction: Reduction::Mean,
        x: &exact[..64 * 30],
        w: &exact[1850..2150],
        b: &[0.0; 10],
        targets: reference::Targets::labels(&labels),
        z_loss: 0.0,
        inputs: 30,
    })?;
    worst = worst.max(distance(&[step.loss.item()?], &[oracle.loss], 64.0));
    let size = oracle.dw.iter().fold(0.0f64, |size, dw| size.max(dw.abs()));
    let error = |(found, exact): (&f32, &f64)| (f64::from(*found) - exact).abs() / size;
    let dw = step.dw.to_vec()?;
    Ok(dw.iter().zip(&oracle.dw).map(error).fold(worst, |worst, error| worst.max(error / 1e-5)))
}

/// The largest error in units in the last place, as a fraction of the bound.
fn distance(found: &[f32], exact: &[f64], bound: f64) -> f64 {
    let ulps = |(&found, &exact): (&f32, &f64)| {
        let rounded = exact as f32;
        if found == rounded
            || (found.is_nan() && rounded.is_nan())
            || (rounded.abs() < f32::MIN_POSITIVE && found.abs() < f32::MIN_POSITIVE)
        {
            return 0.0;
        }
        let unit = f64::from(rounded.abs().next_up()) - f64::from(rounded.abs());
        let error = (f64::from(found) - exact).abs() / unit;
        if error.is_nan() { f64::INFINITY } else { error }
    };
    found.iter().zip(exact).map(ulps).fold(0.0, f64::max) / bound
}
