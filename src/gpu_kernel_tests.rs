//! Software adapters have their own kernels for row-wise work, losses and products. These tests make them run
//! the kernels of GPUs: rows that many invocations share, and tiles.

use std::sync::OnceLock;

use crate::common::{Within, assert_all, cpu, distributions, normal, wide};
use crate::gpu::Policy;
use crate::loss::Loss;
use crate::{Activation, Device, OutputLayer, Outputs, Reduction, Rowwise, Targets, Tensor};

/// The tolerance for sums that are added up in different orders, with terms that may be as large as the largest sum.
fn within(exact: &[f32]) -> Within {
    let largest = exact.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    Within::Approx { relative: 2e-6, absolute: 1e-6 * f64::from(largest) }
}

/// Every adapter, with the kernels of GPUs.
fn as_on_gpus() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| Policy::devices(|_| Policy::GPUS))
}

/// Compares the results of every adapter, which runs the kernels of GPUs, with those of the CPU.
fn compare(what: &str, run: impl Fn(&Device) -> Vec<Tensor>) {
    let exact: Vec<Vec<f32>> = run(cpu()).iter().map(|tensor| tensor.to_vec().unwrap()).collect();
    for device in as_on_gpus() {
        let before = device.counters().dispatches;
        for (i, (found, exact)) in run(device).iter().zip(&exact).enumerate() {
            let what = format!("{what}, output {i} on {device:?}");
            assert_all(what, &found.to_vec().unwrap(), &wide(exact), within(exact));
        }
        assert!(device.counters().dispatches > before, "{device:?} did nothing");
    }
}

#[test]
fn rows_along_every_axis() {
    let shapes: [&[usize]; 5] = [&[3, 7], &[5, 64], &[3, 1000], &[2, 4099], &[2, 70, 37]];
    for shape in shapes {
        let count = shape.iter().product();
        let (z, dy) = (normal(count, 2.0, 1), normal(count, 1.0, 2));
        for activation in Activation::all().filter(Activation::is_rowwise) {
            for axis in 0..shape.len() {
                compare(&format!("{activation} of {shape:?} along {axis}"), |device| {
                    let rowwise = Rowwise::new(activation).unwrap().axis(axis as isize);
                    let z = device.tensor(&z, shape).unwrap();
                    let dy = device.tensor(&dy, shape).unwrap();
                    let y = rowwise.forward(&z).unwrap();
                    let dz = rowwise.backward_from_output(&y, &dy).unwrap();
                    vec![y, dz]
                });
            }
        }
    }
}

#[test]
fn subgroups_change_no_bit() {
    // Rows for one invocation, for a subgroup and for a workgroup; and short rows that lie across the tensor.
    let shapes = [([3, 7], 1), ([9, 64], 1), ([5, 1000], 1), ([2, 4100], 1), ([700, 37], 0)];
    let without = Policy::devices(|_| Policy { subgroups: false, ..Policy::GPUS });
    let features = |device: &Device| device.wgpu().unwrap().0.features();
    let able =
        |(device, _): &(&Device, &Device)| features(device).contains(wgpu::Features::SUBGROUP);
    let pairs: Vec<(&Device, &Device)> = as_on_gpus().iter().zip(&without).filter(able).collect();
    assert!(!pairs.is_empty(), "no adapter has subgroups");
    for (by_subgroups, by_memory) in pairs {
        for (shape, axis) in shapes {
            let mut values = normal(shape[0] * shape[1], 3.0, 1);
            values[2] = -0.0;
            let dy = normal(values.len(), 1.0, 2);
            let nan = values.len() / 2;
            values[nan] = f32::NAN;
            let run = |activation, device: &Device| {
                let rowwise = Rowwise::new(activation).unwrap().axis(axis);
                let z = device.tensor(&values, shape).unwrap();
                let dy = device.tensor(&dy, shape).unwrap();
                let y = rowwise.forward(&z).unwrap();
                let dz = rowwise.backward_from_output(&y, &dy).unwrap();
                let mse = Loss::Mse.forward(&z, &dy, Reduction::Sum).unwrap();
                [y, dz, mse].map(|tensor| tensor.to_vec().unwrap())
            };
            for activation in Activation::all().filter(Activation::is_rowwise) {
                let expected = run(activation, by_memory);
                let what = format!("{activation} of {shape:?} on {by_subgroups:?}");
                for (found, expected) in run(activation, by_subgroups).iter().zip(expected) {
                    let mut pairs = found.iter().zip(&expected);
                    let wrong = pairs.position(|(a, b)| a.to_bits() != b.to_bits());
                    assert_eq!(wrong, None, "{what}");
                }
            }
        }
    }
}

#[test]
fn cross_entropies() {
    let smooth = Loss::CrossEntropyWithLogits { label_smoothing: 0.1, ignore_index: Some(1) };
    let layers = [
        OutputLayer::new(Activation::Identity, smooth),
        OutputLayer::new(Activation::Softmax, Loss::cross_entropy()),
        OutputLayer::new(Activation::Softmax, Loss::cross_entropy()).z_loss(1e-2),
        OutputLayer::new(Activation::LogSoftmax, Loss::Nll { ignore_index: Some(1) }),
    ];
    // Rows for one invocation, rows that several invocations hold, and rows that are too long to be held.
    for [batch, classes] in [[70, 7], [33, 100], [5, 2000], [3, 2100]] {
        let x = normal(batch * 4, 1.0, 1);
        let w = normal(4 * classes, 2.0, 2);
        let labels: Vec<i32> = (0..batch).map(|row| (row * 3 % classes) as i32).collect();
        let dense = distributions(batch, classes, 3);
        let class_weights: Vec<f32> = (0..classes).map(|class| 0.5 + class as f32).collect();
        for (number, layer) in layers.iter().enumerate() {
            for (is_weighted, is_dense) in [(false, false), (true, false), (true, true)] {
                if is_dense && number != 1 {
                    continue;
                }
                let what = format!("layer {number} of {batch} x {classes}, {is_weighted}");
                compare(&what, |device| {
                    let x = device.tensor(&x, [batch, 4]).unwrap();
                    let w = device.tensor(&w, [4, classes]).unwrap();
                    let weights = device.tensor(&class_weights, [classes]).unwrap();
                    let mut targets = if is_dense {
                        Targets::from(&device.tensor(&dense, [batch, classes]).unwrap())
                    } else {
                        Targets::from(&device.labels(&labels).unwrap())
                    };
                    if is_weighted {
                        targets = targets.class_weights(&weights);
                    }
                    let step = layer.gradients(&x, &w, None, targets.clone()).unwrap();
                    // If y is not wanted, the kernel that computes dE/dz also adds up its columns.
                    let layer = layer.outputs(Outputs::LOSS | Outputs::DZ | Outputs::DB);
                    let short = layer.gradients(&x, &w, None, targets).unwrap();
                    vec![step.loss, step.y, step.dz, step.db, short.loss, short.dz, short.db]
                });
            }
        }
    }
}

#[test]
fn output_layers() {
    for [batch, inputs, classes] in [[7, 20, 3], [33, 64, 100], [5, 9, 1000], [130, 300, 33]] {
        let x = normal(batch * inputs, 1.0, 1);
        // Keeps arguments away from where tanh is flat: the rounding error of a sum would be large compared with
        // the output there.
        let w = normal(inputs * classes, 0.25 / (inputs as f32).sqrt(), 2);
        let b = normal(classes, 0.1, 3);
        let labels: Vec<i32> = (0..batch).map(|row| (row * 7 % classes) as i32).collect();
        let dense = normal(batch * classes, 1.0, 4);
        let pairs = [
            (Activation::Softmax, Loss::cross_entropy()),
            (Activation::Tanh, Loss::Mse),
            // These have numbers that are passed with the dispatch, also to products with tiles.
            (Activation::Elu { alpha: 0.5 }, Loss::Huber { delta: 0.5 }),
            (Activation::Identity, Loss::multi_margin()),
        ];
        for (activation, loss) in pairs {
            let what = format!("{activation} and {loss} of {batch}, {inputs}, {classes}");
            compare(&what, |device| {
                let tensor =
                    |values: &[f32], shape: [usize; 2]| device.tensor(values, shape).unwrap();
                let (x, w) = (tensor(&x, [batch, inputs]), tensor(&w, [inputs, classes]));
                let b = device.tensor(&b, [classes]).unwrap();
                let dense = tensor(&dense, [batch, classes]);
                let labels = device.labels(&labels).unwrap();
                let targets = match loss.is_on_rows() {
                    true => Targets::from(&labels),
                    false => Targets::from(&dense),
                };
                let layer = OutputLayer::new(activation, loss).reduction(Reduction::Sum);
                let step = layer.gradients(&x, &w, Some(&b), targets).unwrap();
                vec![step.y, step.dz, step.dw, step.db, step.dx]
            });
        }
    }
}
