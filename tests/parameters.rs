//! Parameters that change from one step to the next: on a GPU they are arguments of a kernel, so that a new
//! value compiles no kernel.

mod common;

use std::str::FromStr;

use common::{EXTREMES, Within, adapters, assert_all, normal, wide};
use wgrad::{
    Activation, Adam, DType, Dense, Device, Gated, Loss, OutputLayer, Reduction, Rowwise, Sgd,
    Targets, Tensor, clip_gradient_norm, clip_gradient_value, reference,
};

/// The adapters, opened again, so that kernels compiled by other tests do not count.
fn devices() -> impl Iterator<Item = Device> {
    adapters().iter().map(|device| Device::open(device.info()).unwrap())
}

/// The names and defaults of the parameters that are numbers rather than flags or choices.
fn numbers<T: FromStr>(
    name: &str,
    parameters: Vec<(&'static str, String)>,
) -> Vec<(&'static str, f32)> {
    let is_number = |parameter: &str| format!("{name}({parameter}=0.3125)").parse::<T>().is_ok();
    let numbers = parameters.into_iter().filter(|(parameter, _)| is_number(parameter));
    numbers.map(|(parameter, value)| (parameter, value.parse().unwrap())).collect()
}

/// The entry with `by` added to the defaults of all its numbers.
fn moved<T: FromStr<Err = wgrad::Error>>(name: &str, numbers: &[(&str, f32)], by: f32) -> T {
    let texts: Vec<String> =
        numbers.iter().map(|(parameter, value)| format!("{parameter}={:e}", value + by)).collect();
    format!("{name}({})", texts.join(", ")).parse().unwrap()
}

/// Runs fifty steps with a different number each, and checks that none compiles a kernel after the first.
fn anneal(device: &Device, what: &str, mut step: impl FnMut(f32)) {
    let dispatches = device.counters().dispatches;
    step(0.01);
    let compiled = device.counters().pipelines;
    assert!(device.counters().dispatches > dispatches, "{what} does nothing on {device:?}");
    for i in 2..=50 {
        step(0.01 * i as f32);
    }
    let more = device.counters().pipelines - compiled;
    assert_eq!(more, 0, "pipelines for {what} on {device:?}");
}

fn tensor(device: &Device, shape: [usize; 2], seed: u64) -> Tensor {
    device.tensor(&normal(shape[0] * shape[1], 1.5, seed), shape).unwrap()
}

#[test]
fn no_number_of_an_activation_compiles_a_kernel() {
    for device in devices() {
        let device = &device;
        let [z, dy, w] = [1, 2, 3].map(|seed| tensor(device, [6, 6], seed));
        let halves = z.to_dtype(DType::F16).unwrap();
        let arguments = wide(&z.to_vec().unwrap());
        let mut annealed = 0;
        for entry in Activation::all().filter(|entry| !entry.is_rowwise()) {
            let numbers = numbers::<Activation>(entry.name(), entry.parameters());
            assert_eq!(numbers.len(), entry.parameters().len(), "{entry}");
            if numbers.is_empty() {
                continue;
            }
            annealed += 1;
            anneal(device, entry.name(), |by| {
                let g: Activation = moved(entry.name(), &numbers, by);
                let y = g.forward(&z).unwrap();
                g.derivative(&z).unwrap();
                g.second_derivative(&z).unwrap();
                g.backward(&z, &dy).unwrap();
                if g.has_derivative_from_output() {
                    g.derivative_from_output(&y).unwrap();
                    g.backward_from_output(&y, &dy).unwrap();
                }
                g.forward(&halves).unwrap();
                g.backward(&halves, &halves).unwrap();
                let gated = Gated::new(g).unwrap();
                gated.backward(&z, &gated.forward(&z).unwrap()).unwrap();
                let dense = Dense::new(g);
                dense.backward(&z, &w, &dense.forward(&z, &w, None).unwrap(), &dy).unwrap();
                let layer = OutputLayer::new(g, Loss::Mse);
                layer.gradients(&z, &w, None, &dy).unwrap();
                // The step uses its own number.
                let exact = reference::forward(&g, &arguments, 1);
                assert_all(
                    format!("{g} on {device:?}"),
                    &y.to_vec().unwrap(),
                    &exact,
                    Within::Ulps(4.0),
                );
            });
        }
        assert!(annealed >= 18, "{annealed} activations with numbers");
    }
}

#[test]
fn no_number_of_a_loss_compiles_a_kernel() {
    for device in devices() {
        let device = &device;
        let [z, x, w] = [1, 2, 3].map(|seed| tensor(device, [6, 6], seed));
        let y = Activation::Sigmoid.forward(&z).unwrap();
        let t = Activation::Threshold { threshold: 0.0, value: 0.0 };
        let t = t.derivative(&x).unwrap();
        let labels = device.labels(&[0, 1, 2, 3, 4, 5]).unwrap();
        let mut annealed = 0;
        for entry in Loss::all() {
            let numbers = numbers::<Loss>(entry.name(), entry.parameters());
            if numbers.is_empty() {
                continue;
            }
            annealed += 1;
            let targets = || match entry {
                Loss::MultiMargin { .. } | Loss::CrossEntropyWithLogits { .. } => {
                    Targets::from(&labels)
                }
                Loss::GaussianNll { .. } => Targets::from(&t).variance(&y),
                _ => Targets::from(&t),
            };
            anneal(device, entry.name(), |by| {
                let loss: Loss = moved(entry.name(), &numbers, by);
                loss.forward(&y, targets(), Reduction::Mean).unwrap();
                loss.gradient(&y, targets(), Reduction::None).unwrap();
                let layer = OutputLayer::new(Activation::Identity, loss);
                layer.gradients(&x, &w, None, targets()).unwrap();
                if !matches!(loss, Loss::MultiMargin { .. }) {
                    // With an activation that has a number too, and one that the loss may be fused with.
                    for g in [Activation::Swish { beta: 1.0 + by }, Activation::Sigmoid] {
                        let layer = OutputLayer::new(g, loss);
                        layer.gradients(&x, &w, None, targets()).unwrap();
                    }
                }
            });
        }
        assert!(annealed >= 10, "{annealed} losses with numbers");
    }
}

#[test]
fn no_rate_limit_temperature_or_smoothing_compiles_a_kernel() {
    for device in devices() {
        let device = &device;
        let [x, w, dw] = [1, 2, 3].map(|seed| tensor(device, [6, 6], seed));
        let labels = device.labels(&[0, 1, 2, 3, 4, 5]).unwrap();
        let (mut sgd, mut adam) = (Sgd::new(0.1).momentum(0.9), Adam::new(0.1));
        anneal(device, "optimizers", |by| {
            clip_gradient_norm(&[&dw], 1.0 - by).unwrap();
            clip_gradient_value(&[&dw], 1.0 - by).unwrap();
            sgd.set_learning_rate(0.1 + by);
            sgd.step(&[(&w, &dw)]).unwrap();
            adam.set_learning_rate(0.1 + by);
            adam.step(&[(&w, &dw)]).unwrap();
        });
        anneal(device, "rows", |by| {
            let softmax = Rowwise::new(Activation::Softmax).unwrap().temperature(1.0 + by);
            softmax.backward(&x, &w).unwrap();
            let loss = Loss::CrossEntropy { label_smoothing: by, ignore_index: None };
            let layer = OutputLayer::new(Activation::Softmax, loss).z_loss(by);
            layer.gradients(&x, &w, None, &labels).unwrap();
        });
    }
}

#[test]
fn a_function_has_a_kernel_for_its_defaults_and_one_for_all_other_numbers() {
    for device in devices() {
        let z = tensor(&device, [6, 6], 1);
        let targets = tensor(&device, [6, 6], 2);
        let exact = |g: &Activation| reference::forward(g, &wide(&z.to_vec().unwrap()), 1);
        for step in 0..1100 {
            let beta = step as f32 / 100.0;
            let y = Activation::Swish { beta }.forward(&z).unwrap();
            if step % 100 == 0 {
                let found = y.to_vec().unwrap();
                let exact = exact(&Activation::Swish { beta });
                assert_all(format!("{beta} on {device:?}"), &found, &exact, Within::Ulps(4.0));
            }
        }
        assert_eq!(device.counters().pipelines, 2, "{device:?}");
        // A flag is not a number.
        for full in [false, true] {
            for eps in [1e-8, 1e-3, 0.1] {
                let loss = Loss::PoissonNll { log_input: true, full, eps };
                loss.gradient(&z, &targets, Reduction::None).unwrap();
            }
        }
        assert_eq!(device.counters().pipelines, 2 + 4, "{device:?}");
    }
}

on_every_device! {
    fn values_are_the_reference_for_numbers_of_every_size(device) {
        // For other arguments, products may be subnormal and angles may overflow.
        let is_ordinary =
            |z: f32| z == 0.0 || !z.is_finite() || (1e-30..1e30).contains(&z.abs());
        let mut arguments: Vec<f32> = EXTREMES.into_iter().filter(|z| is_ordinary(*z)).collect();
        for (seed, deviation) in [(1, 0.01), (2, 1.0), (3, 40.0), (4, 1e4)] {
            arguments.extend(normal(101, deviation, seed));
        }
        let z = device.tensor(&arguments, [arguments.len()]).unwrap();
        for entry in Activation::all().filter(|entry| !entry.is_rowwise()) {
            let names = numbers::<Activation>(entry.name(), entry.parameters());
            let values = [0.0, 1e-20, 0.003, 0.7, 30.0, 1e4, -0.7, -30.0];
            let texts = names.iter().flat_map(|(parameter, _)| {
                values.map(|value| format!("{}({parameter}={value:e})", entry.name()))
            });
            // Parsing rejects values that a function does not allow.
            for g in texts.filter_map(|text| text.parse::<Activation>().ok()) {
                let found = [
                    g.forward(&z).unwrap(),
                    g.derivative(&z).unwrap(),
                    g.second_derivative(&z).unwrap(),
                ];
                let exact = |z: &f32| {
                    let z = f64::from(*z);
                    [
                        reference::forward(&g, &[z], 1)[0],
                        reference::derivative(&g, z),
                        reference::second_derivative(&g, z),
                    ]
                };
                let exact: Vec<[f64; 3]> = arguments.iter().map(exact).collect();
                for (order, bound) in [4.0, 4.0, 8.0].into_iter().enumerate() {
                    let exact: Vec<f64> = exact.iter().map(|exact| exact[order]).collect();
                    let what = format!("{g}, derivative {order} on {device:?}");
                    assert_all(what, &found[order].to_vec().unwrap(), &exact, Within::Ulps(bound));
                }
            }
        }
    }

    fn the_greatest_and_least_numbers_are_right_and_break_nothing(device) {
        let arguments = [f32::NEG_INFINITY, -1.0, -0.5, 0.0, 0.5, 1.0, f32::INFINITY];
        let z = device.tensor(&arguments, [arguments.len()]).unwrap();
        for text in [
            "scaled_tanh(b=0)",
            "scaled_tanh(a=3e38, b=3e38)",
            "scaled_tanh(a=-1e20, b=1e20)",
            "rrelu(lower=3e38, upper=3e38)",
            "hard_tanh(min=-3e38, max=3e38)",
            "softplus(beta=1e-30, threshold=3e38)",
            "squareplus(b=3e38)",
            "swish(beta=-3e38)",
        ] {
            let g: Activation = text.parse().unwrap();
            let exact = reference::forward(&g, &wide(&arguments), 1);
            let found = g.forward(&z).unwrap().to_vec().unwrap();
            assert_all(format!("{g} on {device:?}"), &found, &exact, Within::Ulps(4.0));
            g.derivative(&z).unwrap().to_vec().unwrap();
            g.second_derivative(&z).unwrap().to_vec().unwrap();
        }
        let z = device.tensor(&[-1e-45, 1e-45], [2]).unwrap();
        for text in ["softshrink(lambda=1e-40)", "hardshrink(lambda=1e-40)", "shrink(lambda=1e-40)"] {
            let g: Activation = text.parse().unwrap();
            let slopes = g.derivative(&z).unwrap().to_vec().unwrap();
            assert_eq!(slopes, [0.0, 0.0], "{g} on {device:?}");
        }
    }

    fn a_plan_keeps_the_numbers_that_it_was_recorded_with(device) {
        let z = tensor(device, [6, 6], 1);
        let swish = |beta: f32| Activation::Swish { beta }.forward(&z).unwrap();
        let expected = [2.0, 3.0].map(|beta| swish(beta).to_vec().unwrap());
        let plan = device.record(|| Ok([swish(2.0), swish(3.0)])).unwrap();
        for beta in [1.0, 4.0] {
            swish(beta);
            plan.run().unwrap();
            assert_eq!(plan.outputs().each_ref().map(|y| y.to_vec().unwrap()), expected);
        }
    }
}
