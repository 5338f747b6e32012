//! Results that f32 holds although it does not hold the intermediate numbers.

mod common;

use common::{Within, assert_all, normal, wide};
use wgrad::reference::{self, LossProblem};
use wgrad::{
    Activation, Device, Gated, Loss, OutputLayer, Reduction, Sgd, Targets, Tensor,
    clip_gradient_norm,
};

fn tensor(device: &Device, values: &[f32]) -> Tensor {
    device.tensor(values, [values.len()]).unwrap()
}

/// Checks a loss of one row, or of rows of one element, with weights of the elements, and its gradient.
fn check_loss(device: &Device, loss: &Loss, y: &[f32], t: &[f32], weights: Option<&[f32]>) {
    let (wide_y, wide_t) = (wide(y), wide(t));
    let wide_weights = weights.map(wide);
    for shape in [[1, y.len()], [y.len(), 1]] {
        let upload = |values: &[f32]| device.tensor(values, shape).unwrap();
        let (y_tensor, t_tensor) = (upload(y), upload(t));
        let weight_tensor = weights.map(upload);
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::BatchMean] {
            let mut targets = Targets::from(&t_tensor);
            let mut exact_targets = reference::Targets::dense(&wide_t);
            if let Some(weights) = &weight_tensor {
                targets = targets.weights(weights);
                exact_targets.weights = wide_weights.as_deref();
            }
            if matches!(loss, Loss::GaussianNll { .. }) {
                let variance = device.tensor(&[1e-6], []).unwrap();
                targets = targets.variance(&variance);
                exact_targets.variance = Some(&[1e-6]);
            }
            let problem = LossProblem {
                loss,
                reduction,
                y: &wide_y,
                classes: shape[1],
                targets: exact_targets,
            };
            let exact = reference::loss(&problem).unwrap();
            let what = |part: &str| format!("{loss} {part} {reduction:?} {shape:?} on {device:?}");
            let within = Within::Approx { relative: 2e-6, absolute: 2e-38 };
            let found = loss.forward(&y_tensor, &targets, reduction).unwrap().to_vec().unwrap();
            match reduction {
                Reduction::None => assert_all(what("terms"), &found, &exact.terms, within),
                _ => assert_all(what("loss"), &found, &[exact.loss], within),
            }
            if reduction != Reduction::None {
                let found = loss.gradient(&y_tensor, &targets, reduction).unwrap();
                assert_all(what("gradient"), &found.to_vec().unwrap(), &exact.dy, within);
            }
        }
    }
}

on_every_device! {
    fn products_with_derivatives_beyond_f32(device) {
        let cases: [(Activation, Vec<(f32, f32)>); 4] = [
            (Activation::Exponential, vec![
                (100.0, 1e-10), (88.7, 1.0), (88.8, 0.5), (88.8, -1e-30), (95.0, -3e-7), (120.0, 1e-20), (150.0, 1e-30),
                (170.0, -1e-37), (100.0, 0.0), (100.0, 1.0), (-50.0, 1e30), (300.0, 1.0), (300.0, 0.0), (1e4, 1e-30), (f32::INFINITY, 1e-10), (1.0, 2.0),
            ]),
            (Activation::SquaredRelu, vec![
                (2e38, 1e-3), (3.4e38, -1e-30), (f32::MAX, 0.5), (2e38, 0.0), (-2e38, 1e-3), (1.7e38, 1.0), (3.0, 2.0),
            ]),
            (Activation::Logit, vec![(0.25, 2.0), (0.5, 1.0), (1e-38, 0.5), (0.999, -1.0)]),
            (Activation::ScaledTanh { a: 1e20, b: 1e20 }, vec![(0.0, 1e-10), (1e-20, -1e-5), (1.0, 1e-5)]),
        ];
        for (activation, pairs) in cases {
            let (z, dy): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let exact = reference::backward(&activation, &wide(&z), &wide(&dy), 1);
            let found = activation.backward(&tensor(device, &z), &tensor(device, &dy)).unwrap();
            assert_all(format!("{activation} on {device:?}"), &found.to_vec().unwrap(), &exact, Within::Ulps(4.0));
        }
        // Many elements, mixed with ordinary ones.
        let z: Vec<f32> = normal(10_007, 60.0, 1).iter().map(|z| z.max(-80.0)).collect();
        let dy: Vec<f32> = z.iter().zip(normal(10_007, 1.0, 2)).map(|(z, dy)| dy * (-0.5 * z.max(0.0)).exp()).collect();
        let exact = reference::backward(&Activation::Exponential, &wide(&z), &wide(&dy), 1);
        let found = Activation::Exponential.backward(&tensor(device, &z), &tensor(device, &dy)).unwrap();
        assert_all("many", &found.to_vec().unwrap(), &exact, Within::Ulps(4.0));
        assert!(exact.iter().zip(&z).any(|(dz, z)| *z > 90.0 && dz.abs() < 3e38));
    }

    fn products_with_derivatives_of_the_smallest_numbers(device) {
        // A driver may take these for 0, at which the derivative is infinite.
        let (z, dy) = ([1e-39, 1e-40, 1.4e-45], [1e-10, -1e-5, 1e-8]);
        let logit = Activation::Logit;
        let exact = reference::backward(&logit, &wide(&z), &wide(&dy), 1);
        let found = logit.backward(&tensor(device, &z), &tensor(device, &dy)).unwrap().to_vec().unwrap();
        assert_all(format!("z on {device:?}"), &found, &exact, Within::Ulps(4.0));
        let (y, dy) = ([-100.0, 95.0, 89.0], [1e-10, -1e-5, 1e-8]);
        let exact: Vec<f64> = y.iter().zip(dy).map(|(&y, dy)| {
            f64::from(dy) * reference::derivative_from_output(&logit, y.into()).unwrap()
        }).collect();
        let found = logit.backward_from_output(&tensor(device, &y), &tensor(device, &dy)).unwrap();
        assert_all(format!("y on {device:?}"), &found.to_vec().unwrap(), &exact, Within::Ulps(4.0));
    }

    fn gates_beyond_f32(device) {
        let triples = [
            (Activation::Exponential, 1e-10f32, 100.0f32, 1e-5f32),
            (Activation::Exponential, 1e-30, 100.0, 1e-30),
            (Activation::Exponential, 1e-10, 100.0, 1e-8),
            (Activation::SquaredRelu, 1e-10, 1e20, 1e-12),
            (Activation::SquaredRelu, 1e30, 1e-15, 1e20),
            (Activation::Sigmoid, 1e30, -80.0, 1e20),
        ];
        for (activation, value, gate, dy) in triples {
            let unit = Gated::new(activation).unwrap();
            let x = device.tensor(&[value, gate], [1, 2]).unwrap();
            let exact = reference::gated(&activation, value.into(), gate.into());
            let what = format!("{activation} of {value} {gate} {dy} on {device:?}");
            let found = unit.forward(&x).unwrap().to_vec().unwrap();
            assert_all(&what, &found, &[exact], Within::Ulps(4.0));
            let (dvalue, dgate) = reference::gated_backward(&activation, value.into(), gate.into(), dy.into());
            let found = unit.backward(&x, &device.tensor(&[dy], [1, 1]).unwrap()).unwrap().to_vec().unwrap();
            assert_all(what, &found, &[dvalue, dgate], Within::Ulps(8.0));
        }
    }

    fn means_of_losses_with_sums_beyond_f32(device) {
        let mean = |loss: &Loss, values: &[f32], count: usize| {
            let y: Vec<f32> = values.iter().copied().cycle().take(count).collect();
            check_loss(device, loss, &y, &vec![0.0; count], None);
        };
        for count in [1, 2, 7, 8, 64, 257, 1000, 5003, 70_001] {
            mean(&Loss::Mse, &[1e19], count);
            mean(&Loss::Mae, &[3e38, -1e38], count);
        }
        mean(&Loss::HalfSquaredError, &[2.5e19, 1e19], 100);
        mean(&Loss::huber(), &[3e38], 100);
        mean(&Loss::Huber { delta: 1e10 }, &[1e28, 3e28], 100);
        // One term overflows f32, or two do.
        for place in [0, 3, 99] {
            let mut y = vec![1.0; 1000];
            y[place] = -3e19;
            y[999] = 2e19;
            check_loss(device, &Loss::Mse, &y, &vec![0.5; 1000], None);
            check_loss(device, &Loss::HalfSquaredError, &y, &vec![0.5; 1000], None);
            let ones: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
            check_loss(device, &Loss::SquaredHinge, &y, &ones, None);
            check_loss(device, &Loss::gaussian_nll(), &y.map_all(|y| 1e-3 * y), &ones, None);
        }
        // Small and ordinary terms are unaffected.
        mean(&Loss::Mse, &[1e-15, 3e-16], 1000);
        mean(&Loss::Mae, &[1e-30], 1000);
    }

    fn weights_bring_terms_back_into_range(device) {
        let weights = [1e-10f32, 1e-12, 1e-8, 1.0];
        check_loss(device, &Loss::poisson_nll(), &[95.0, 100.0, 90.0, 2.0], &[3.0, 0.0, 1e30, 1.0], Some(&weights));
        check_loss(device, &Loss::poisson_nll(), &[89.0, 120.0, -3.0, 88.9], &[4e36, 1.0, 0.0, 1e5], Some(&[1e-3, 1e-30, 1.0, 0.5]));
        check_loss(device, &Loss::Mse, &[1e22, -1e24, 1e21, 3.0], &[0.0; 4], Some(&weights));
        check_loss(device, &Loss::KlDiv { log_target: true }, &[-1.0, 2.0, -3e3, 0.5], &[95.0, 100.0, 90.0, 0.1], Some(&weights));
        check_loss(device, &Loss::SquaredHinge, &[1e22, -1e24, 1e21, 3.0], &[-1.0, 1.0, 1.0, 1.0], Some(&weights));
    }

    fn weighted_means_of_terms_beyond_f32(device) {
        let (rows, classes) = (6, 5);
        let labels = [0, 3, 4, 1, 2, 4];
        let class_weights = [10.0, 30.0, 1e3, 1.0, 5.0];
        let row_weights = [1e2, 1.0, 2.0, 30.0, 1e-3, 7.0];
        for (loss, size) in [
            (Loss::cross_entropy_with_logits(), 1e37),
            (Loss::nll(), 1e37),
            (Loss::cross_entropy_with_logits(), 2.0),
        ] {
            let y = normal(rows * classes, size, 5);
            let wide_y = wide(&y);
            let (wide_classes, wide_rows) = (wide(&class_weights), wide(&row_weights));
            let mut exact_targets = reference::Targets::labels(&labels);
            exact_targets.class_weights = Some(&wide_classes);
            exact_targets.weights = Some(&wide_rows);
            let reduction = Reduction::Mean;
            let problem = LossProblem { loss: &loss, reduction, y: &wide_y, classes, targets: exact_targets };
            let exact = reference::loss(&problem).unwrap();
            let y = device.tensor(&y, [rows, classes]).unwrap();
            let (class_weights, row_weights) = (tensor(device, &class_weights), tensor(device, &row_weights));
            let labels = device.labels(&labels).unwrap();
            let targets = Targets::from(&labels).class_weights(&class_weights).weights(&row_weights);
            let found = loss.forward(&y, &targets, reduction).unwrap().to_vec().unwrap();
            let within = Within::Approx { relative: 2e-6, absolute: 0.0 };
            assert_all(format!("{loss} on {device:?}"), &found, &[exact.loss], within);
        }
    }

    fn layers_with_slopes_beyond_f32(device) {
        // One input with w = 1, so that z = x.
        let x = device.tensor(&[95.0, 1.0, 0.5, -2.0], [4, 1]).unwrap();
        let w = device.tensor(&[1.0], [1, 1]).unwrap();
        let t = device.tensor(&[0.0; 4], [4, 1]).unwrap();
        let weights = device.tensor(&[1e-10, 1.0, 1.0, 1.0], [4, 1]).unwrap();
        let layer = OutputLayer::new(Activation::Identity, Loss::poisson_nll()).reduction(Reduction::Mean);
        let step = layer.gradients(&x, &w, None, Targets::from(&t).weights(&weights)).unwrap();
        let z: [f64; 4] = [95.0, 1.0, 0.5, -2.0];
        let weights = [1e-10f32, 1.0, 1.0, 1.0].map(f64::from);
        let dz: Vec<f64> = z.iter().zip(weights).map(|(z, weight)| 0.25 * weight * z.exp()).collect();
        let within = Within::Approx { relative: 2e-6, absolute: 0.0 };
        assert_all(format!("dz on {device:?}"), &step.dz.to_vec().unwrap(), &dz, within);
        assert_all(format!("loss on {device:?}"), &step.loss.to_vec().unwrap(), &[dz.iter().sum()], within);
    }

    fn multi_margin_with_sums_beyond_f32(device) {
        let (rows, classes) = (5, 9);
        let labels = [0, 3, 8, 1, 4];
        for (p, size) in [(2, 1.5e19f32), (1, 1.5e38), (2, 3.0)] {
            let loss = Loss::MultiMargin { p, margin: 1.0 };
            let y: Vec<f32> = normal(rows * classes, 0.4 * size, 3);
            let wide_y = wide(&y);
            let problem = LossProblem {
                loss: &loss,
                reduction: Reduction::Mean,
                y: &wide_y,
                classes,
                targets: reference::Targets::labels(&labels),
            };
            let exact = reference::loss(&problem).unwrap();
            let (y, targets) = (device.tensor(&y, [rows, classes]).unwrap(), device.labels(&labels).unwrap());
            let within = Within::Approx { relative: 2e-6, absolute: 2e-7 };
            let found = loss.forward(&y, &targets, Reduction::Mean).unwrap().to_vec().unwrap();
            assert_all(format!("{loss} on {device:?}"), &found, &[exact.loss], within);
            let found = loss.gradient(&y, &targets, Reduction::Mean).unwrap().to_vec().unwrap();
            assert_all(format!("{loss} on {device:?}"), &found, &exact.dy, within);
        }
    }

    fn sums_of_nothing_are_zero_and_not_minus_zero(device) {
        let empty = device.zeros([0]).unwrap();
        let zeros = |tensor: &Tensor| {
            let values = tensor.to_vec().unwrap();
            assert!(values.iter().all(|value| value.to_bits() == 0), "{values:?} on {device:?}");
        };
        for loss in [Loss::Mse, Loss::Mae, Loss::huber()] {
            zeros(&loss.forward(&empty, &empty, Reduction::Sum).unwrap());
        }
        let rows = device.zeros([0, 3]).unwrap();
        zeros(&Loss::cross_entropy_with_logits().forward(&rows, &device.labels(&[]).unwrap(), Reduction::Sum).unwrap());
        zeros(&clip_gradient_norm(&[&empty], 1.0).unwrap());
        // No rows, and no inputs.
        for (batch, inputs) in [(0, 2), (0, 0), (2, 0)] {
            let x = device.zeros([batch, inputs]).unwrap();
            let w = device.zeros([inputs, 3]).unwrap();
            let b = device.zeros([3]).unwrap();
            let t = device.zeros([batch, 3]).unwrap();
            let layer = OutputLayer::new(Activation::Identity, Loss::Mse).reduction(Reduction::Sum);
            let step = layer.gradients(&x, &w, Some(&b), &t).unwrap();
            for tensor in [&step.loss, &step.y, &step.dw, &step.db, &step.dx] {
                zeros(tensor);
            }
        }
        let problem = LossProblem {
            loss: &Loss::Mse, reduction: Reduction::Sum, y: &[], classes: 3, targets: reference::Targets::dense(&[]),
        };
        assert_eq!(reference::loss(&problem).unwrap().loss.to_bits(), 0);
        assert_eq!(reference::matmul(&[], &[], 1, 0, 1)[0].to_bits(), 0);
        // So that this device has something to do.
        Sgd::new(0.5).step(&[(&tensor(device, &[1.0]), &tensor(device, &[1.0]))]).unwrap();
    }
}

trait MapAll {
    fn map_all(&self, f: impl Fn(f32) -> f32) -> Vec<f32>;
}

impl MapAll for Vec<f32> {
    fn map_all(&self, f: impl Fn(f32) -> f32) -> Vec<f32> {
        self.iter().map(|&value| f(value)).collect()
    }
}
