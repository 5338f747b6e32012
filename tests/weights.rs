//! Weights of classes, rows, elements and positive targets that are not ordinary positive numbers: the CPU
//! and every GPU give the results of the f64 reference.

mod common;

use common::wide;
use wgrad::reference::{self, LossProblem, Problem};
use wgrad::{Activation, Device, Logits, Loss, OutputLayer, Outputs, Reduction, Targets};

const ODD: [f32; 7] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -3.5, 0.0, -0.0, 1.0];

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::BatchMean];

const CLASSES: usize = 3;
const LABELS: [i32; 4] = [0, 1, 2, 1];
/// Rows of targets: one class, two, all, and none of the first class.
const DENSE: [f32; 12] = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.2, 0.3, 0.5, 0.0, 0.25, 0.75];

/// Whether two results agree: finite numbers up to rounding, NaN and infinities exactly.
fn agree(found: f32, exact: f64) -> bool {
    let exact =
        if exact.abs() > f64::from(f32::MAX) { exact.signum() * f64::INFINITY } else { exact };
    if !exact.is_finite() || !found.is_finite() {
        return found.is_nan() == exact.is_nan() && (exact.is_nan() || f64::from(found) == exact);
    }
    (f64::from(found) - exact).abs() <= 2e-6 * exact.abs().max(1.0)
}

fn check_all(what: &str, found: &[f32], exact: &[f64]) {
    assert_eq!(found.len(), exact.len(), "{what}");
    let fits = found.iter().zip(exact).all(|(&found, &exact)| agree(found, exact));
    assert!(fits, "{what}: {found:?}, the reference has {exact:?}");
}

/// What the weights apply to.
#[derive(Clone, Copy, Debug)]
enum Weighing {
    Classes,
    Rows,
    Elements,
    PositiveTargets,
}

fn losses_on_rows() -> Vec<Loss> {
    let texts = [
        "cross_entropy",
        "cross_entropy(label_smoothing=0.1)",
        "cross_entropy(ignore_index=1)",
        "cross_entropy_with_logits",
        "cross_entropy_with_logits(label_smoothing=0.1)",
        "cross_entropy_with_logits(ignore_index=1)",
        "nll",
        "nll(ignore_index=1)",
        "multi_margin",
        "multi_margin(p=2)",
    ];
    texts.map(|text| text.parse().unwrap()).to_vec()
}

/// Four rows of outputs that the loss is defined for.
fn outputs(loss: &Loss) -> Vec<f32> {
    let p = [0.2f32, 0.35, 0.45, 0.7, 0.1, 0.2, 0.22, 0.33, 0.45, 0.1, 0.6, 0.3];
    match loss.takes() {
        "probabilities" => p.to_vec(),
        "log-probabilities" => p.map(f32::ln).to_vec(),
        _ => p.map(|p| 4.0 * p - 1.0).to_vec(),
    }
}

fn check(device: &Device, loss: &Loss, labels: bool, weighing: Weighing, weights: &[f32]) {
    let y = outputs(loss);
    let (yd, rows) = (device.tensor(&y, [4, CLASSES]).unwrap(), LABELS.len());
    let mut targets: Targets = match labels {
        true => (&device.labels(&LABELS).unwrap()).into(),
        false => (&device.tensor(&DENSE, [4, CLASSES]).unwrap()).into(),
    };
    let (wide_y, dense, wide_weights) = (wide(&y), wide(&DENSE), wide(weights));
    let mut exact = match labels {
        true => reference::Targets::labels(&LABELS),
        false => reference::Targets::dense(&dense),
    };
    let tensor = |shape: &[usize]| device.tensor(weights, shape).unwrap();
    match weighing {
        Weighing::Classes => {
            targets = targets.class_weights(&tensor(&[CLASSES]));
            exact.class_weights = Some(&wide_weights);
        }
        Weighing::Rows => {
            targets = targets.weights(&tensor(&[rows]));
            exact.weights = Some(&wide_weights);
        }
        Weighing::Elements => {
            targets = targets.weights(&tensor(&[rows, CLASSES]));
            exact.weights = Some(&wide_weights);
        }
        Weighing::PositiveTargets => {
            targets = targets.pos_weight(&tensor(&[CLASSES]));
            exact.pos_weight = Some(&wide_weights);
        }
    }
    for reduction in REDUCTIONS {
        let problem = LossProblem { loss, reduction, y: &wide_y, classes: CLASSES, targets: exact };
        let exact = reference::loss(&problem).unwrap();
        let what = format!(
            "{loss} {reduction}, labels {labels}, {weighing:?} weigh {weights:?}, on {device:?}"
        );
        let found = loss.forward(&yd, &targets, reduction).unwrap().to_vec().unwrap();
        match reduction {
            Reduction::None => check_all(&what, &found, &exact.terms),
            _ => check_all(&what, &found, &[exact.loss]),
        }
        let gradient = loss.gradient(&yd, &targets, reduction).unwrap().to_vec().unwrap();
        check_all(&format!("gradient of {what}"), &gradient, &exact.dy);
    }
}

/// Ordinary weights with one odd weight at each place, and odd weights alone.
fn with_odd_ones(count: usize) -> Vec<Vec<f32>> {
    let plain: Vec<f32> = (0..count).map(|i| 0.5 + i as f32 / 4.0).collect();
    let mut all = vec![];
    for odd in ODD {
        all.push(vec![odd; count]);
        for place in 0..count {
            let mut weights = plain.clone();
            weights[place] = odd;
            all.push(weights);
        }
    }
    all
}

on_every_device! {
    fn weights_of_classes(device) {
        for loss in losses_on_rows() {
            for weights in with_odd_ones(CLASSES) {
                check(device, &loss, true, Weighing::Classes, &weights);
                if loss.name() != "multi_margin" {
                    check(device, &loss, false, Weighing::Classes, &weights);
                }
            }
        }
    }

    fn weights_of_rows(device) {
        for loss in losses_on_rows() {
            for weights in with_odd_ones(LABELS.len()) {
                check(device, &loss, true, Weighing::Rows, &weights);
                if loss.name() != "multi_margin" {
                    check(device, &loss, false, Weighing::Rows, &weights);
                }
            }
        }
    }

    fn weights_of_elements_and_of_positive_targets(device) {
        for loss in [Loss::Mse, Loss::Bce, Loss::bce_with_logits(), Loss::focal(), Loss::kl_div(), Loss::Mae] {
            for weights in with_odd_ones(LABELS.len() * CLASSES).iter().step_by(4) {
                check(device, &loss, false, Weighing::Elements, weights);
            }
            for weights in with_odd_ones(LABELS.len()) {
                check(device, &loss, false, Weighing::Rows, &weights);
            }
        }
        for weights in with_odd_ones(CLASSES) {
            check(device, &Loss::bce_with_logits(), false, Weighing::PositiveTargets, &weights);
        }
    }

    fn weights_of_classes_in_output_layers(device) {
        let x: Vec<f32> = outputs(&Loss::cross_entropy_with_logits());
        let unit = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let xd = device.tensor(&x, [4, CLASSES]).unwrap();
        let wd = device.tensor(&unit, [CLASSES, CLASSES]).unwrap();
        let labels = device.labels(&LABELS).unwrap();
        let pairs = [
            (Activation::Softmax, Loss::cross_entropy()),
            (Activation::LogSoftmax, Loss::nll()),
            (Activation::Sigmoid, Loss::cross_entropy()),
        ];
        for (activation, loss) in pairs {
            for weights in with_odd_ones(CLASSES) {
                let targets = Targets::from(&labels).class_weights(&device.tensor(&weights, [CLASSES]).unwrap());
                let (x, w, class_weights) = (wide(&x), wide(&unit), wide(&weights));
                let mut exact_targets = reference::Targets::labels(&LABELS);
                exact_targets.class_weights = Some(&class_weights);
                for reduction in [Reduction::Sum, Reduction::Mean] {
                    let exact = reference::output_layer(&Problem {
                        activation: &activation,
                        loss: &loss,
                        reduction,
                        x: &x,
                        w: &w,
                        b: &[0.0; CLASSES],
                        targets: exact_targets,
                        inputs: CLASSES,
                        z_loss: 0.0,
                    })
                    .unwrap();
                    let layer = OutputLayer::new(activation, loss).reduction(reduction);
                    let mut layers = vec![layer];
                    if activation != Activation::Sigmoid {
                        let outputs = Outputs::LOSS | Outputs::DB | Outputs::DX;
                        layers.push(layer.outputs(outputs).logits(Logits::Tiled));
                    }
                    for layer in layers {
                        let what = format!("{layer:?} with {weights:?} on {device:?}");
                        let step = layer.gradients(&xd, &wd, None, &targets).unwrap();
                        check_all(&what, &step.loss.to_vec().unwrap(), &[exact.loss]);
                        check_all(&what, &step.db.to_vec().unwrap(), &exact.db);
                        check_all(&what, &step.dx.to_vec().unwrap(), &exact.dx);
                    }
                }
            }
        }
    }
}
