//! Pairs of an activation and a loss at outputs that are rounded to a limit, against the f64 reference, which
//! does not use the rounded output either.

mod common;

use common::{is_refused, wide};
use wgrad::reference::{self, Problem};
use wgrad::{Activation, Device, Loss, OutputLayer, Reduction, Targets};

const VARIANCE: f32 = 0.75;

/// The loss, y and dE/dz of one row of logits with dense targets.
fn row(
    device: &Device,
    (activation, loss): (Activation, Loss),
    z: &[f32],
    t: &[f32],
) -> (f32, Vec<f32>, Vec<f32>) {
    let x = device.tensor(&[1.0], [1, 1]).unwrap();
    let w = device.tensor(z, [1, z.len()]).unwrap();
    let targets = device.tensor(t, [1, z.len()]).unwrap();
    let mut targets = Targets::from(&targets);
    if matches!(loss, Loss::GaussianNll { .. }) {
        targets = targets.variance(&device.tensor(&[VARIANCE], []).unwrap());
    }
    let layer = OutputLayer::new(activation, loss).reduction(Reduction::Sum);
    let step = layer.gradients(&x, &w, None, &targets).unwrap();
    (step.loss.item().unwrap(), step.y.to_vec().unwrap(), step.dz.to_vec().unwrap())
}

/// The loss and dE/dz from the reference.
fn exact_row((activation, loss): (Activation, Loss), z: &[f32], t: &[f32]) -> (f64, Vec<f64>) {
    let (w, t) = (wide(z), wide(t));
    let mut targets = reference::Targets::dense(&t);
    if matches!(loss, Loss::GaussianNll { .. }) {
        targets.variance = Some(&[VARIANCE as f64]);
    }
    let found = reference::output_layer(&Problem {
        activation: &activation,
        loss: &loss,
        reduction: Reduction::Sum,
        x: &[1.0],
        w: &w,
        b: &vec![0.0; z.len()],
        targets,
        inputs: 1,
        z_loss: 0.0,
    })
    .unwrap();
    (found.loss, found.dz)
}

fn text<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

on_every_device! {
    fn saturated_rows_have_the_loss_and_the_slopes_of_their_logits(device) {
        let focal = Loss::Focal { alpha: -1.0, gamma: 2.0 };
        type Case<'a> = (Activation, Loss, &'a [f32], &'a [f32], f32, &'a [f32]);
        let cases: [Case; 9] = [
            (Activation::Softmax, focal, &[200.0, 0.0], &[0.0, 1.0], 400.0, &[2.0, -2.0]),
            (Activation::Softmax, Loss::Bce, &[30.0, 0.0], &[0.0, 1.0], 60.0, &[2.0, -2.0]),
            (Activation::Softmin, Loss::Bce, &[0.0, 30.0], &[0.0, 1.0], 60.0, &[-2.0, 2.0]),
            (Activation::Softmin, Loss::cross_entropy(), &[200.0, 0.0], &[1.0, 0.0], 200.0, &[1.0, -1.0]),
            (Activation::Exponential, Loss::cross_entropy(), &[-200.0], &[1.0], 200.0, &[-1.0]),
            (Activation::softplus(), Loss::cross_entropy(), &[-200.0], &[1.0], 200.0, &[-1.0]),
            (Activation::Gaussian, Loss::cross_entropy(), &[-20.0], &[1.0], 400.0, &[-40.0]),
            (Activation::Exponential, text("poisson_nll(log_input=false, eps=0)"), &[-200.0], &[3.0], 600.0, &[-3.0]),
            (Activation::softplus(), text("poisson_nll(log_input=false, eps=0)"), &[-200.0], &[3.0], 600.0, &[-3.0]),
        ];
        for (activation, loss, z, t, expected, slopes) in cases {
            let found = row(device, (activation, loss), z, t);
            assert_eq!((found.0, &found.2[..]), (expected, slopes), "{activation} + {loss} on {device:?}");
            let exact = exact_row((activation, loss), z, t);
            let exact_slopes: Vec<f32> = exact.1.iter().map(|&slope| slope as f32).collect();
            assert_eq!((exact.0 as f32, &exact_slopes[..]), (expected, slopes), "{activation} + {loss}");
        }
    }
}

/// Arguments at which no output is rounded to a limit, to arguments at which all are.
const ARGUMENTS: [f32; 46] = [
    -1e4, -1e3, -200.0, -110.0, -102.0, -95.0, -60.0, -30.0, -20.0, -17.0, -12.0, -9.0, -8.0, -5.0,
    -3.0, -2.0, -1.0, -0.75, -0.5, -0.1, -1e-3, -1e-6, -1e-15, 1e-15, 1e-6, 1e-3, 0.1, 0.5, 0.75,
    0.9, 1.5, 2.0, 3.0, 5.0, 8.0, 9.0, 12.0, 17.0, 20.0, 30.0, 60.0, 95.0, 102.0, 110.0, 200.0,
    1e4,
];

/// Targets that the loss is defined for, including the limits that the activation is rounded to.
fn targets_of(activation: &Activation, loss: &Loss) -> Vec<f32> {
    match loss.name() {
        "bce" | "focal" | "bce_with_logits" | "focal_with_logits" => vec![0.0, 1.0, 0.25],
        "cross_entropy" | "nll" | "kl_div" => vec![1.0, 0.5],
        "hinge" | "squared_hinge" | "soft_margin" | "hinge_embedding" => vec![-1.0, 1.0],
        "poisson_nll" => vec![0.0, 3.0],
        _ => {
            let limit = match activation {
                Activation::Selu => -1.758_099_3,
                // scaled_tanh passes through 1 and −1.
                Activation::ScaledTanh { a, .. } => return vec![0.0, *a, -a],
                _ => 0.3,
            };
            vec![0.0, 1.0, -1.0, limit, -limit]
        }
    }
}

/// The losses that are sums of terms, with options.
fn losses() -> Vec<Loss> {
    let options =
        ["poisson_nll(log_input=false)", "poisson_nll(log_input=false, full=true, eps=0)"];
    let others = ["focal(alpha=-1, gamma=1)", "focal(alpha=0.5, gamma=0)", "huber(delta=0.3)"];
    let is_sum =
        |loss: &Loss| !["multi_margin", "cross_entropy_with_logits"].contains(&loss.name());
    Loss::all().filter(is_sum).chain(options.into_iter().chain(others).map(text)).collect()
}

/// The error relative to the exact result; 0 if that is subnormal or overflows f32.
fn relative_error(found: f32, exact: f64) -> f64 {
    let least = f64::from(f32::MIN_POSITIVE);
    if exact.is_nan() || exact.abs() > f64::from(f32::MAX) {
        return if found.is_nan() || found.is_infinite() || exact.is_infinite() {
            0.0
        } else {
            1.0
        };
    }
    if f64::from(found) == exact || (exact.abs() < least && f64::from(found).abs() <= least) {
        return 0.0;
    }
    let error = (f64::from(found) - exact).abs() / exact.abs().max(least);
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The largest errors of a pair, as one layer and as separate primitives.
#[derive(Clone, Copy, Debug, Default)]
struct Errors {
    layer: [(f64, f32, f32); 2],
    primitives: [(f64, f32, f32); 2],
}

fn record(worst: &mut (f64, f32, f32), error: f64, z: f32, t: f32) {
    if error > worst.0 {
        *worst = (error, z, t);
    }
}

/// The errors of a pointwise pair over all arguments and targets; of its loss at one in `step` of them.
fn pointwise(device: &Device, pair: (Activation, Loss), step: usize) -> Errors {
    let (activation, loss) = pair;
    let targets = targets_of(&activation, &loss);
    let points: Vec<(f32, f32)> =
        ARGUMENTS.iter().flat_map(|&z| targets.iter().map(move |&t| (z, t))).collect();
    let (z, t): (Vec<f32>, Vec<f32>) = points.iter().copied().unzip();
    let count = z.len();
    let zs = device.tensor(&z, [count, 1]).unwrap();
    let ts = device.tensor(&t, [count, 1]).unwrap();
    let one = device.tensor(&[1.0], [1, 1]).unwrap();
    let mut all = Targets::from(&ts);
    if matches!(loss, Loss::GaussianNll { .. }) {
        all = all.variance(&device.tensor(&[VARIANCE], []).unwrap());
    }
    let layer = OutputLayer::new(activation, loss).reduction(Reduction::Sum);
    let dz = layer.gradients(&zs, &one, None, &all).unwrap().dz.to_vec().unwrap();
    let y = activation.forward(&zs).unwrap();
    let dy = loss.gradient(&y, &all, Reduction::Sum).unwrap();
    let primitive = activation.backward(&zs, &dy).unwrap().to_vec().unwrap();
    let terms = loss.forward(&y, &all, Reduction::None).unwrap().to_vec().unwrap();
    let outputs = y.to_vec().unwrap();
    let mut errors = Errors::default();
    for i in 0..count {
        if outputs[i].is_infinite() {
            continue;
        }
        let (exact, slopes) = exact_row(pair, &z[i..=i], &t[i..=i]);
        // Outside the domain of the loss.
        if exact.is_nan()
            || (activation == Activation::Exponential
                && z[i] > 0.0
                && loss.takes() == "probabilities")
        {
            continue;
        }
        record(&mut errors.layer[1], relative_error(dz[i], slopes[0]), z[i], t[i]);
        record(&mut errors.primitives[1], relative_error(primitive[i], slopes[0]), z[i], t[i]);
        record(&mut errors.primitives[0], relative_error(terms[i], exact), z[i], t[i]);
        if i % step == 0 {
            let found = row(device, pair, &z[i..=i], &t[i..=i]);
            record(&mut errors.layer[0], relative_error(found.0, exact), z[i], t[i]);
        }
    }
    errors
}

fn report(device: &Device, pair: (Activation, Loss), errors: Errors) {
    let [loss, dz] = errors.layer;
    let [loss_before, dz_before] = errors.primitives;
    println!(
        "{:?} | {} | {} | {:.1e} | {:.1e} {:?} | {:.1e} | {:.1e} {:?}",
        device.info().kind,
        pair.0,
        pair.1,
        loss_before.0,
        loss.0,
        (loss.1, loss.2),
        dz_before.0,
        dz.0,
        (dz.1, dz.2),
    );
}

on_every_device! {
    fn pointwise_pairs_keep_their_digits(device) {
        let is_cpu = !device.info().kind.is_gpu();
        let (mut count, mut broken) = (0, vec![]);
        for activation in Activation::all().filter(|activation| !activation.is_rowwise()) {
            for loss in losses() {
                let pair = (activation, loss);
                if is_refused(activation, loss) || (!is_cpu && !is_held(activation, loss)) {
                    continue;
                }
                let step = if is_cpu { 1 } else { 29 };
                let errors = pointwise(device, pair, step);
                report(device, pair, errors);
                count += 1;
                let [of_loss, of_dz] = errors.layer.map(|worst| worst.0);
                if is_held(activation, loss) && (of_loss > 3e-5 || of_dz > 1e-5) {
                    broken.push(format!("{activation} + {loss}: {errors:?}"));
                }
            }
        }
        println!("{count} pairs, {} broken", broken.len());
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}

/// Whether y is rounded to a limit, and the loss takes it relative to that limit. Otherwise the error is the
/// error of y, half a unit in its last place, which dominates if y − t or ln y pass through 0.
fn is_held(activation: Activation, loss: Loss) -> bool {
    let saturates = [
        "sigmoid",
        "tanh",
        "scaled_tanh",
        "softsign",
        "exponential",
        "gaussian",
        "softplus",
        "squared_relu",
        "elu",
        "selu",
        "celu",
    ];
    let has_forms = !["elu", "selu", "celu"].contains(&activation.name());
    // scaled_tanh passes through 1 and −1, which are not its limits.
    let is_on_its_way = activation.name() == "scaled_tanh" && loss.name().ends_with("hinge");
    let takes_margins = loss.name() == "hinge_embedding" || is_on_its_way;
    let takes_logarithms =
        loss.takes() == "probabilities" || loss.to_string().contains("log_input=false");
    saturates.contains(&activation.name()) && !takes_margins && (has_forms || !takes_logarithms)
}

/// Rows with an increasingly certain output.
fn rows() -> Vec<Vec<f32>> {
    let gaps = [
        0.0, 1e-3, 0.5, 1.0, 4.0, 9.0, 16.0, 17.0, 20.0, 30.0, 50.0, 88.0, 100.0, 110.0, 200.0, 1e4,
    ];
    let with = |gap: f32| {
        [
            vec![gap, 0.0],
            vec![-gap, 0.0],
            vec![gap, 0.0, -1.5],
            vec![0.25, gap, gap - 0.125, -2.0, -gap],
            vec![-3.0, 0.5, -gap, 0.5, gap + 0.5, 1.0, 0.0],
        ]
    };
    gaps.into_iter().flat_map(with).collect()
}

/// The errors of a pair with softmax or a related activation, each relative to the greatest result of its row.
fn rowwise(device: &Device, pair: (Activation, Loss)) -> Errors {
    let (activation, loss) = pair;
    let some = targets_of(&activation, &loss);
    let mut errors = Errors::default();
    for (n, z) in rows().into_iter().enumerate() {
        let t: Vec<f32> = (0..z.len()).map(|k| some[(k * k + n) % some.len()]).collect();
        let (exact, slopes) = exact_row(pair, &z, &t);
        let (found, _, dz) = row(device, pair, &z, &t);
        record(&mut errors.layer[0], relative_error(found, exact), z[0], n as f32);
        let size = slopes.iter().fold(0.0, |size: f64, slope| size.max(slope.abs()));
        for (found, exact) in dz.iter().zip(&slopes) {
            let part = (exact.abs() / size).clamp(0.0, 1.0);
            let error = relative_error(*found, *exact);
            record(
                &mut errors.layer[1],
                if error.is_finite() { error * part.sqrt() } else { error },
                z[0],
                n as f32,
            );
        }
    }
    errors
}

on_every_device! {
    fn pairs_with_softmax_keep_their_digits(device) {
        let mut broken = vec![];
        for activation in [Activation::Softmax, Activation::Softmin, Activation::LogSoftmax, Activation::Sparsemax] {
            for loss in losses() {
                let pair = (activation, loss);
                if is_refused(activation, loss) {
                    continue;
                }
                let errors = rowwise(device, pair);
                report(device, pair, errors);
                let is_held = [Activation::Softmax, Activation::Softmin].contains(&activation);
                // The margin of hinge_embedding is computed from p itself.
                let takes_margins = loss.name() == "hinge_embedding";
                let is_broken = errors.layer.iter().any(|worst| worst.0 > 3e-5);
                if is_held && is_broken && !takes_margins {
                    broken.push(format!("{activation} + {loss}: {errors:?}"));
                }
            }
        }
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
