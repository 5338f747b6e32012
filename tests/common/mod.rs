//! What the test files share: devices, comparisons and data.
#![allow(dead_code)] // each test file uses its own part

use std::sync::OnceLock;

use approx::relative_eq;
use wgrad::{Activation, Device, Loss, wgpu};

/// The CPU backend.
pub fn cpu() -> &'static Device {
    static CPU: OnceLock<Device> = OnceLock::new();
    CPU.get_or_init(Device::cpu)
}

/// Every available adapter, including software ones. A test that finds none fails.
pub fn adapters() -> &'static [Device] {
    static ADAPTERS: OnceLock<Vec<Device>> = OnceLock::new();
    let adapters = ADAPTERS.get_or_init(|| {
        let infos = Device::enumerate().into_iter().filter(|info| info.kind.is_gpu());
        infos.map(|info| Device::open(&info).unwrap()).collect()
    });
    assert!(
        !adapters.is_empty(),
        "this test needs a GPU adapter and found none: install your GPU's driver, or on Debian and \
         Ubuntu a software one with `apt-get install mesa-vulkan-drivers libvulkan1`; \
         `cargo xtask test` does that by itself",
    );
    adapters
}

/// A GPU device that binds at most 1 MiB of a buffer at once.
pub fn narrow() -> Device {
    let (adapter, device, queue) = narrow_wgpu();
    Device::from_wgpu(&adapter, device, queue).unwrap()
}

/// wgpu's own of such a device.
pub fn narrow_wgpu() -> (wgpu::Adapter, wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let options = wgpu::RequestAdapterOptions::default();
    let adapter = pollster::block_on(instance.request_adapter(&options)).unwrap();
    let required_limits =
        wgpu::Limits { max_storage_buffer_binding_size: 1 << 20, ..wgpu::Limits::default() };
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    (adapter, device, queue)
}

/// The memory of tensors and operations. Uploads are left out: how many are in flight or kept depends on how
/// far behind the GPU is, and is at most the number of batches in flight.
pub fn held(device: &Device) -> [wgrad::MemoryUse; 2] {
    let memory = device.memory();
    assert_eq!(memory.in_use_bytes, memory.tensors.current_bytes + memory.workspace.current_bytes);
    assert!(memory.pooled_bytes <= memory.peak_bytes + (32 << 20), "{device:?}: {memory}");
    [memory.tensors, memory.workspace]
}

/// Defines tests with one body each, which run on the CPU and on every adapter.
#[macro_export]
macro_rules! on_every_device {
    ( $( $(#[$meta:meta])* fn $name:ident($device:ident) $body:block )+ ) => {
        $(
            $(#[$meta])*
            mod $name {
                #[allow(unused_imports)]
                use super::*;

                fn body($device: &wgrad::Device) $body

                #[test]
                fn cpu() {
                    body($crate::common::cpu());
                }

                #[test]
                fn gpu() {
                    for device in $crate::common::adapters() {
                        let before = device.counters().dispatches;
                        body(device);
                        // A comparison whose GPU side never ran proves nothing.
                        assert!(device.counters().dispatches > before, "{device:?} did nothing");
                    }
                }
            }
        )+
    };
}

/// Whether an output layer rejects a pair because it makes no sense, on every device.
pub fn is_refused(activation: Activation, loss: Loss) -> bool {
    matches!(
        (activation, loss),
        (
            Activation::Softmax | Activation::Softmin | Activation::Sparsemax,
            Loss::CrossEntropyWithLogits { .. }
        ) | (Activation::LogSoftmax | Activation::LogSigmoid, Loss::CrossEntropy { .. })
    )
}

/// The error that a result may have.
#[derive(Clone, Copy, Debug)]
pub enum Within {
    /// In units in the last place of the correctly rounded result. Subnormal results may be flushed.
    Ulps(f64),
    /// Relative, or absolute for small numbers if sums cancel.
    Approx { relative: f64, absolute: f64 },
}

/// The error in units in the last place of the correctly rounded result, which is the spacing of the
/// floats in its binade, as in `cargo xtask ulp`.
pub fn ulps(found: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if found == rounded || (found.is_nan() && rounded.is_nan()) {
        return 0.0;
    }
    let magnitude = rounded.abs().min(f32::MAX);
    let fraction = magnitude.to_bits() & 0x007f_ffff;
    let least_of_binade = f32::from_bits(magnitude.to_bits() - fraction);
    let unit = f64::from(least_of_binade.next_up()) - f64::from(least_of_binade);
    // A driver may flush a subnormal number to zero.
    if magnitude < f32::MIN_POSITIVE && found.abs() <= f32::MIN_POSITIVE {
        return 0.0;
    }
    (f64::from(found) - exact).abs() / unit
}

fn fits(found: f32, exact: f64, within: Within) -> bool {
    if found.is_nan() || exact.is_nan() {
        return found.is_nan() && exact.is_nan();
    }
    match within {
        Within::Ulps(bound) => ulps(found, exact) <= bound,
        Within::Approx { relative, absolute } => {
            f64::from(found) == exact
                || found == exact as f32
                || relative_eq!(
                    f64::from(found),
                    exact,
                    epsilon = absolute,
                    max_relative = relative
                )
        }
    }
}

/// Asserts that each result is within the bound; the message gives `what`, the place and both values.
#[track_caller]
pub fn assert_all(what: impl std::fmt::Display, found: &[f32], exact: &[f64], within: Within) {
    assert_eq!(found.len(), exact.len(), "{what}: lengths");
    for (i, (&found, &exact)) in found.iter().zip(exact).enumerate() {
        assert!(
            fits(found, exact, within),
            "{what}: element {i} is {found:e}, exactly {exact:e}: {:.2} ULP, beyond {within:?}",
            ulps(found, exact),
        );
    }
}

/// f32 values as f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// Numbers that break careless code: zeros, kinks, subnormal, large, infinite, NaN.
pub const EXTREMES: [f32; 44] = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-40,
    -1e-40,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-20,
    -1e-20,
    1e-5,
    -1e-5,
    0.4142,
    -0.5,
    0.5,
    0.9,
    -0.9,
    1.0,
    -1.0,
    3.0,
    -3.0,
    6.0,
    9.01,
    -9.01,
    16.5,
    -16.6,
    40.0,
    -40.1,
    60.5,
    -60.5,
    87.9,
    -87.9,
    88.72284,
    -88.72284,
    89.0,
    -103.9,
    -104.5,
    1e4,
    -1e4,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// Reproducible numbers, normally distributed around 0.
pub fn normal(count: usize, deviation: f32, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut next = || {
        // The sum of twelve uniform numbers has the variance 1.
        let sum: f32 = (0..12).map(|_| random.f32()).sum();
        deviation * (sum - 6.0)
    };
    (0..count).map(|_| next()).collect()
}

/// Rows of positive numbers that sum to 1.
pub fn distributions(rows: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut values = Vec::with_capacity(rows * width);
    for _ in 0..rows {
        let row: Vec<f32> = (0..width).map(|_| random.f32() + 0.01).collect();
        let sum: f32 = row.iter().sum();
        values.extend(row.iter().map(|value| value / sum));
    }
    values
}

/// Class indices.
pub fn random_labels(rows: usize, classes: usize, seed: u64) -> Vec<i32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..rows).map(|_| random.i32(0..classes as i32)).collect()
}
