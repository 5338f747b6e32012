//! The output layer: every pair of activation and loss against the f64 reference.

mod common;

use common::{Within, assert_all, distributions, is_refused, normal, random_labels, wide};
use wgrad::reference::{Problem, Targets};
use wgrad::{
    Activation, DType, Device, Error, Loss, OutputGradients, OutputLayer, Outputs, Reduction,
    Tensor, reference,
};

const VARIANCE: f32 = 0.75;

const REDUCTIONS: [Reduction; 3] = [Reduction::Sum, Reduction::Mean, Reduction::BatchMean];

/// The data of one layer.
struct Data {
    batch: usize,
    inputs: usize,
    classes: usize,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    dense: Vec<f32>,
    labels: Vec<i32>,
}

impl Data {
    fn new(batch: usize, inputs: usize, classes: usize) -> Self {
        Self {
            batch,
            inputs,
            classes,
            x: normal(batch * inputs, 1.0, 1),
            w: normal(inputs * classes, 1.0 / (inputs as f32).sqrt(), 2),
            b: normal(classes, 0.5, 3),
            dense: distributions(batch, classes, 4),
            labels: random_labels(batch, classes, 5),
        }
    }

    fn on(&self, device: &Device) -> [Tensor; 4] {
        [
            device.tensor(&self.x, [self.batch, self.inputs]).unwrap(),
            device.tensor(&self.w, [self.inputs, self.classes]).unwrap(),
            device.tensor(&self.b, [self.classes]).unwrap(),
            device.tensor(&self.dense, [self.batch, self.classes]).unwrap(),
        ]
    }
}

/// Errors grow with the magnitude of the terms, not of the sum, in which they may cancel.
fn close(what: &str, found: &[f32], exact: &[f64], relative: f64) {
    let size = exact
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .fold(0.0, |size: f64, value| size.max(value.abs()));
    assert_all(what, found, exact, Within::Approx { relative, absolute: relative * size });
}

/// Checks one layer against the reference.
fn check(device: &Device, data: &Data, layer: (Activation, Loss, Reduction), labels: bool) {
    let (activation, loss, reduction) = layer;
    let [x, w, b, dense] = data.on(device);
    let mut targets: wgrad::Targets =
        if labels { (&device.labels(&data.labels).unwrap()).into() } else { (&dense).into() };
    if matches!(loss, Loss::GaussianNll { .. }) {
        targets = targets.variance(&device.tensor(&[VARIANCE], []).unwrap());
    }
    let dense_targets = wide(&data.dense);
    let exact = reference::output_layer(&Problem {
        activation: &activation,
        loss: &loss,
        reduction,
        x: &wide(&data.x),
        w: &wide(&data.w),
        b: &wide(&data.b),
        targets: with_variance(
            &loss,
            if labels { Targets::labels(&data.labels) } else { Targets::dense(&dense_targets) },
        ),
        inputs: data.inputs,
        z_loss: 0.0,
    })
    .unwrap();
    let layer = OutputLayer::new(activation, loss).reduction(reduction);
    let step = layer.gradients(&x, &w, Some(&b), &targets).unwrap();
    let what = |part: &str| {
        let shape = [data.batch, data.inputs, data.classes];
        format!(
            "{part} of {activation} + {loss}, {reduction}, {shape:?}, labels {labels}, on {device:?}"
        )
    };
    let values = |tensor: &Tensor| tensor.to_vec().unwrap();
    close(&what("y"), &values(&step.y), &exact.y, 1e-5);
    close(&what("loss"), &[step.loss.item().unwrap()], &[exact.loss], 2e-5);
    // A gradient that is divided by y or by 1 − y divides the error of y too.
    let fused = [Activation::Softmax, Activation::Sigmoid].contains(&activation);
    let divides = ["cross_entropy", "bce", "focal"].contains(&loss.name()) && !fused;
    let relative = if divides { 2e-3 } else { 1e-4 };
    close(&what("dz"), &values(&step.dz), &exact.dz, relative);
    close(&what("dw"), &values(&step.dw), &exact.dw, relative);
    close(&what("db"), &values(&step.db), &exact.db, relative);
    close(&what("dx"), &values(&step.dx), &exact.dx, relative);
    assert_eq!(step.dw.shape(), w.shape());
    assert_eq!(step.dx.shape(), x.shape());
    let y = layer.forward(&x, &w, Some(&b)).unwrap();
    close(&what("forward"), &values(&y), &exact.y, 1e-5);
}

fn with_variance<'a>(loss: &Loss, mut targets: Targets<'a>) -> Targets<'a> {
    if matches!(loss, Loss::GaussianNll { .. }) {
        targets.variance = Some(&[VARIANCE as f64]);
    }
    targets
}

/// Every pair, with the targets that the loss takes. If the loss is not defined for an output, both sides have
/// to give NaN.
fn pairs() -> Vec<(Activation, Loss, bool)> {
    let smoothed = ["cross_entropy", "cross_entropy_with_logits"]
        .map(|name| format!("{name}(label_smoothing=0.1, ignore_index=0)").parse().unwrap());
    let losses: Vec<Loss> = Loss::all().chain(smoothed).collect();
    let mut pairs = Vec::new();
    for activation in Activation::all() {
        for &loss in &losses {
            // An ignored row has no effect, but a composed pair multiplies its 0 by NaN.
            let is_smoothed = loss.to_string().contains("ignore_index=0");
            if activation == Activation::Logit && is_smoothed && loss.takes() == "logits" {
                continue;
            }
            // The loss has no slope at 0 and 1, which are outputs of this activation.
            if activation == Activation::Sparsemax && loss == Loss::focal() {
                continue;
            }
            let on_rows =
                ["cross_entropy", "cross_entropy_with_logits", "nll"].contains(&loss.name());
            if loss.name() != "multi_margin" {
                pairs.push((activation, loss, false));
            }
            if on_rows || loss.name() == "multi_margin" {
                pairs.push((activation, loss, true));
            }
        }
    }
    pairs
}

/// Pairs that are one kernel, computed from the logits.
fn fused_pairs() -> Vec<(Activation, Loss, bool)> {
    let fused = |activation: Activation, loss: &Loss| {
        let loss = loss.name();
        match activation {
            Activation::Softmax => loss == "cross_entropy",
            Activation::LogSoftmax => loss == "nll",
            Activation::Identity => true,
            Activation::Sigmoid => ["bce", "focal", "cross_entropy", "mse"].contains(&loss),
            _ => false,
        }
    };
    pairs().into_iter().filter(|(activation, loss, _)| fused(*activation, loss)).collect()
}

/// Checks every pair with these losses; the fused ones in every reduction.
fn check_pairs(device: &Device, is_wanted: impl Fn(&Loss) -> bool) {
    let data = Data::new(17, 5, 9);
    for (activation, loss, labels) in pairs().into_iter().filter(|(_, loss, _)| is_wanted(loss)) {
        if is_refused(activation, loss) {
            continue;
        }
        check(device, &data, (activation, loss, Reduction::Mean), labels);
    }
    for (activation, loss, labels) in
        fused_pairs().into_iter().filter(|(_, loss, _)| is_wanted(loss))
    {
        for reduction in [Reduction::Sum, Reduction::BatchMean] {
            check(device, &data, (activation, loss, reduction), labels);
        }
    }
}

on_every_device! {
    fn every_pair_with_losses_on_elements(device) {
        check_pairs(device, |loss| !loss.is_on_rows());
    }

    fn every_pair_with_losses_on_rows(device) {
        check_pairs(device, Loss::is_on_rows);
    }

    fn odd_shapes(device) {
        for (batch, inputs, classes) in [(1, 1, 1), (1, 1, 2), (7, 13, 5), (33, 31, 65), (257, 130, 67), (3, 500, 1003)] {
            let data = Data::new(batch, inputs, classes);
            for activation in [Activation::Softmax, Activation::Tanh] {
                check(device, &data, (activation, Loss::HalfSquaredError, Reduction::Mean), false);
            }
            check(device, &data, (Activation::Softmax, Loss::cross_entropy(), Reduction::Mean), true);
        }
    }

    fn targets_need_not_add_up_to_one(device) {
        let mut data = Data::new(9, 4, 7);
        data.dense.iter_mut().enumerate().for_each(|(i, t)| *t *= 0.3 + (i / 7) as f32);
        for loss in [
            Loss::cross_entropy(),
            Loss::CrossEntropy { label_smoothing: 0.2, ignore_index: None },
        ] {
            check(device, &data, (Activation::Softmax, loss, Reduction::Mean), false);
        }
    }

    fn pairs_without_a_defined_loss_are_nan_where_the_reference_is(device) {
        // ln of a negative output is NaN, on every device.
        let x = device.tensor(&[1.0], [1, 1]).unwrap();
        let w = device.tensor(&[-2.0, 0.5], [1, 2]).unwrap();
        for activation in [Activation::Identity, Activation::Tanh, Activation::leaky_relu()] {
            let layer = OutputLayer::new(activation, Loss::cross_entropy());
            let step = layer.gradients(&x, &w, None, &device.labels(&[0]).unwrap()).unwrap();
            assert!(step.loss.item().unwrap().is_nan(), "{activation}");
        }
        // relu gives 0 for the negative logit: the loss of that class is infinite.
        let layer = OutputLayer::new(Activation::Relu, Loss::cross_entropy());
        let step = layer.gradients(&x, &w, None, &device.labels(&[0]).unwrap()).unwrap();
        assert_eq!(step.loss.item().unwrap(), f32::INFINITY);
    }

    fn pairs_that_make_no_sense_are_refused(device) {
        let data = Data::new(4, 3, 2);
        let [x, w, b, dense] = data.on(device);
        let mut refused = 0;
        for (activation, loss) in Activation::all().flat_map(|a| Loss::all().map(move |l| (a, l))) {
            if !is_refused(activation, loss) {
                continue;
            }
            let layer = OutputLayer::new(activation, loss);
            let error = layer.gradients(&x, &w, Some(&b), &dense).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            let labels = device.labels(&data.labels).unwrap();
            assert_eq!(layer.gradients(&x, &w, None, &labels).unwrap_err(), error);
            refused += 1;
        }
        assert_eq!(refused, 5);
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy_with_logits());
        let text = layer.gradients(&x, &w, None, &dense).unwrap_err().to_string();
        assert!(text.starts_with("softmax with cross_entropy_with_logits is not supported: "), "{text}");
        assert!(text.contains("OutputLayer(Softmax, cross_entropy)"), "{text}");
        // The device still works afterwards.
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        assert!(layer.gradients(&x, &w, None, &dense).unwrap().loss.item().unwrap().is_finite());
    }

    fn a_checked_device_looks_at_outputs_and_refuses_more_pairs(device) {
        let options = wgrad::DeviceOptions::from(device.info()).checked(true);
        let checked = pollster::block_on(Device::request(options)).unwrap();
        let data = Data::new(4, 3, 2);
        for (device, is_checked) in [(device, false), (&checked, true)] {
            let [x, w, b, dense] = data.on(device);
            let run = |activation, loss| {
                OutputLayer::new(activation, loss).gradients(&x, &w, Some(&b), &dense)
            };
            let pairs = [
                (Activation::Sigmoid, Loss::bce_with_logits()),
                (Activation::Softmax, Loss::focal_with_logits()),
                (Activation::LogSigmoid, Loss::bce()),
                (Activation::Softmax, Loss::nll()),
                (Activation::Sparsemax, Loss::kl_div()),
            ];
            for (activation, loss) in pairs {
                let result = run(activation, loss);
                assert_eq!(result.is_err(), is_checked, "{activation} {loss} on {device:?}");
                if let Err(error) = result {
                    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
                }
            }
            for loss in [Loss::cross_entropy(), Loss::bce(), Loss::focal()] {
                for activation in [Activation::Identity, Activation::scaled_tanh()] {
                    let result = run(activation, loss);
                    assert_eq!(result.is_err(), is_checked, "{activation} {loss} on {device:?}");
                    if let Err(error) = result {
                        assert!(matches!(error, Error::InvalidOutput { .. }), "{error}");
                    }
                }
                run(Activation::Softmax, loss).unwrap();
                run(Activation::Sigmoid, loss).unwrap();
            }
        }
    }

    fn messages_say_what_to_do(device) {
        let x = device.zeros([5, 3]).unwrap();
        let w = device.zeros([3, 2]).unwrap();
        let stored_by_outputs = device.zeros([2, 3]).unwrap();
        let t = device.zeros([5, 2]).unwrap();
        let layer = OutputLayer::new(Activation::Sigmoid, Loss::Mse);
        let text = |result: wgrad::Result<wgrad::OutputGradients>| result.unwrap_err().to_string();
        assert_eq!(
            text(layer.gradients(&x, &stored_by_outputs, None, &t)),
            "output layer gradients: expected w of shape [3, outputs] for x of shape [5, 3], found [2, 3]; \
             weights that are stored as [outputs, inputs], as PyTorch does, need transposed_weights(true)"
        );
        let transposed = layer.transposed_weights(true);
        transposed.gradients(&x, &stored_by_outputs, None, &t).unwrap();
        assert!(text(transposed.gradients(&x, &w, None, &t)).contains("need no transposed_weights"));
        let dense = wgrad::Dense::new(Activation::Tanh);
        let error = dense.forward(&x, &stored_by_outputs, None).unwrap_err().to_string();
        assert!(error.contains("transposed_weights(true)"), "{error}");
        assert!(text(layer.gradients(&w, &x, None, &t)).contains("are they swapped?"));
        let row = x.reshape([15]).unwrap();
        assert!(text(layer.gradients(&row, &w, None, &t)).ends_with("is x.reshape([1, 15])"));
        let cube = x.reshape([5, 1, 3]).unwrap();
        assert!(text(layer.gradients(&cube, &w, None, &t)).ends_with("as many elements: reshape it"));
        let b = device.zeros([2, 1]).unwrap();
        assert!(text(layer.gradients(&x, &w, Some(&b), &t)).ends_with("b.reshape([2])"));

        // An output that was not requested.
        let step = layer.outputs(Outputs::DX).gradients(&x, &w, None, &t).unwrap();
        let ask = "found [0]; an output of a layer that was not asked for has that shape: ask for it with outputs(…)";
        let error = text(layer.accumulate_gradients(&x, &w, None, &t, &step));
        assert_eq!(error, format!("output layer gradients: expected the dw to add to of shape [3, 2], {ask}"));
        let error = step.loss.item().unwrap_err().to_string();
        assert_eq!(error, format!("item: expected a tensor of one element, {ask}"));
        let error = wgrad::Sgd::new(0.1).step(&[(&w, &step.dw)]).unwrap_err().to_string();
        assert!(error.ends_with(ask), "{error}");
        let error = Activation::Tanh.backward(&t, &step.dz).unwrap_err().to_string();
        assert!(error.ends_with(ask), "{error}");

        // Labels and dense targets in place of each other.
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let indices = device.tensor(&[0.0, 1.0, 1.0, 0.0, 1.0], [5]).unwrap();
        for indices in [indices.clone(), indices.reshape([5, 1]).unwrap()] {
            let error = text(layer.gradients(&x, &w, None, &indices));
            assert!(error.ends_with("class indices, one a row, go into device.labels(&[i32])"), "{error}");
        }
        let one_hot = device.labels(&[0; 10]).unwrap();
        assert!(text(layer.gradients(&x, &w, None, &one_hot)).contains("goes into device.tensor"));
        let flat = t.reshape([10]).unwrap();
        let mse = OutputLayer::new(Activation::Tanh, Loss::Mse);
        assert!(text(mse.gradients(&x, &w, None, &flat)).ends_with("as many elements: reshape it"));
        let from_1 = device.labels(&[1, 2, 1, 1, 1]).unwrap();
        assert_eq!(
            text(layer.gradients(&x, &w, None, &from_1)),
            "label 2 in row 1 is not one of the 2 classes (0 to 1); labels count from 0: subtract 1 where \
             yours count from 1"
        );
        let far = device.labels(&[1, 7, 1, 1, 1]).unwrap();
        assert!(text(layer.gradients(&x, &w, None, &far)).ends_with("(0 to 1)"));
        let one = device.zeros([3, 1]).unwrap();
        assert!(text(layer.gradients(&x, &one, None, &from_1)).contains("bce_with_logits"));
    }

    fn one_neuron_by_hand(device) {
        // dE/dw_j = (g(z) − t)·g'(z)·x_j
        let x = device.tensor(&[0.5, -1.0], [1, 2]).unwrap();
        let w = device.tensor(&[0.8, 0.3], [2, 1]).unwrap();
        let b = device.tensor(&[0.1], [1]).unwrap();
        let t = device.tensor(&[1.0], [1, 1]).unwrap();
        let layer = OutputLayer::new(Activation::Sigmoid, Loss::HalfSquaredError).reduction(Reduction::Sum);
        let step = layer.gradients(&x, &w, Some(&b), &t).unwrap();
        let z = 0.5 * 0.8 - 0.3 + 0.1f64;
        let p = 1.0 / (1.0 + (-z).exp());
        let dz = (p - 1.0) * p * (1.0 - p);
        let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
        assert_all("loss", &[step.loss.item().unwrap()], &[0.5 * (p - 1.0) * (p - 1.0)], within);
        assert_all("dw", &step.dw.to_vec().unwrap(), &[0.5 * dz, -dz], within);
        assert_all("db", &step.db.to_vec().unwrap(), &[dz], within);
        assert_all("dx", &step.dx.to_vec().unwrap(), &[0.8 * dz, 0.3 * dz], within);
    }

    fn logits_of_ten_thousand_give_finite_gradients(device) {
        let identity = device.tensor(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [3, 3]).unwrap();
        let z = [1e4, -1e4, 0.0, -1e4, -1e4, -1e4, 1e4, 1e4, -1e4, 0.0, -20.0, -30.0];
        let x = device.tensor(&z, [4, 3]).unwrap();
        let labels = device.labels(&[1, 2, 2, 0]).unwrap();
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy()).reduction(Reduction::Sum);
        let step = layer.gradients(&x, &identity, None, &labels).unwrap();
        let third = 1.0 / 3.0;
        let small = (-20f64).exp() + (-30f64).exp();
        let q = small / (1.0 + small);
        let exact = [
            1.0, -1.0, 0.0,
            third, third, third - 1.0,
            0.5, 0.5, -1.0,
            -q, (-20f64).exp() / (1.0 + small), (-30f64).exp() / (1.0 + small),
        ];
        // Including the gradient of the almost certain class, which p − 1 would round to zero.
        assert_all("dz", &step.dz.to_vec().unwrap(), &exact, Within::Ulps(4.0));
        let exact = 2e4 + 3f64.ln() + (2e4 + 2f64.ln()) + small.ln_1p();
        assert_all("loss", &[step.loss.item().unwrap()], &[exact], Within::Ulps(2.0));

        // The loss and gradient of an almost certain class keep their relative accuracy.
        let x = device.tensor(&z[9..], [1, 3]).unwrap();
        let step = layer.gradients(&x, &identity, None, &device.labels(&[0]).unwrap()).unwrap();
        assert_all("loss", &[step.loss.item().unwrap()], &[small.ln_1p()], Within::Ulps(3.0));
    }

    fn pairs_of_sigmoid_are_right_at_logits_of_ten_thousand(device) {
        // x is the unit matrix, so z are the weights. PyTorch's formulas for t = 0, 1 and ¾.
        let z = [1e4f32, -1e4, 30.0, -30.0, 100.0, -100.0];
        let x = device.tensor(&[1.0], [1, 1]).unwrap();
        let w = device.tensor(&z, [1, 6]).unwrap();
        let run = |loss: Loss, t: f32| {
            let t = device.tensor(&[t; 6], [1, 6]).unwrap();
            let layer = OutputLayer::new(Activation::Sigmoid, loss).reduction(Reduction::Sum);
            let step = layer.gradients(&x, &w, None, &t).unwrap();
            (step.loss.item().unwrap(), step.dz.to_vec().unwrap())
        };
        let sigmoid = |z: f64| if z < 0.0 { z.exp() / (1.0 + z.exp()) } else { 1.0 / (1.0 + (-z).exp()) };
        let softplus = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
        for t in [0.0, 1.0, 0.75] {
            // The gradient of bce is p − t; its logarithms are clamped at −100.
            let (loss, dz) = run(Loss::Bce, t);
            let t = f64::from(t);
            let exact: Vec<f64> =
                z.map(|z| (1.0 - t) * sigmoid(z.into()) - t * sigmoid(-f64::from(z))).to_vec();
            assert_all(format!("bce dz, t = {t} on {device:?}"), &dz, &exact, Within::Ulps(4.0));
            let term = |z: f64| t * softplus(-z).min(100.0) + (1.0 - t) * softplus(z).min(100.0);
            let exact = z.iter().map(|&z| term(z.into())).sum();
            assert_all(format!("bce, t = {t}"), &[loss], &[exact], Within::Ulps(3.0));

            // cross_entropy: −t·ln p, and −t·(1 − p).
            let (loss, dz) = run(Loss::cross_entropy(), t as f32);
            let exact: Vec<f64> = z.map(|z| -t * sigmoid(-f64::from(z))).to_vec();
            assert_all(format!("cross_entropy dz, t = {t}"), &dz, &exact, Within::Ulps(4.0));
            let exact = z.iter().map(|&z| if t == 0.0 { 0.0 } else { t * softplus(-f64::from(z)) }).sum();
            assert_all(format!("cross_entropy, t = {t}"), &[loss], &[exact], Within::Ulps(3.0));
        }
        // focal with t = 1: α(1 − p)²·softplus(−z), and α(1 − p)²·(2p·ln p − (1 − p)).
        let (loss, dz) = run(Loss::focal(), 1.0);
        let parts = |z: f32| (sigmoid(z.into()), sigmoid(-f64::from(z)), softplus(-f64::from(z)));
        let slope = |z: f32| {
            let (p, q, entropy) = parts(z);
            0.25 * q * q * (-2.0 * p * entropy - q)
        };
        assert_all("focal dz", &dz, &z.map(slope), Within::Ulps(8.0));
        let term = |z: f32| {
            let (_, q, entropy) = parts(z);
            0.25 * q * q * entropy
        };
        assert_all("focal", &[loss], &[z.map(term).iter().sum()], Within::Ulps(4.0));

        // log_sigmoid and logits, with their losses.
        let t = device.tensor(&[1.0; 6], [1, 6]).unwrap();
        for (activation, loss) in [
            (Activation::LogSigmoid, Loss::nll()),
            (Activation::LogSigmoid, Loss::kl_div()),
            (Activation::Identity, Loss::bce_with_logits()),
        ] {
            let layer = OutputLayer::new(activation, loss).reduction(Reduction::Sum);
            let step = layer.gradients(&x, &w, None, &t).unwrap();
            let exact: Vec<f64> = z.map(|z| -sigmoid(-f64::from(z))).to_vec();
            assert_all(format!("{activation} {loss} dz"), &step.dz.to_vec().unwrap(), &exact, Within::Ulps(4.0));
            let exact = z.iter().map(|&z| softplus(-f64::from(z))).sum();
            assert_all(format!("{activation} {loss}"), &[step.loss.item().unwrap()], &[exact], Within::Ulps(3.0));
        }
    }

    fn smoothing_counts_no_ignored_row(device) {
        // PyTorch: the mean over the two rows that count of (1 − ε)·nll + ε/K·Σ_k −ln p_k.
        let z = [0.5f32, -1.0, 2.0, f32::NAN, f32::NAN, f32::NAN, 1.0, 1.0, -3.0];
        let identity = device.tensor(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [3, 3]).unwrap();
        let x = device.tensor(&z, [3, 3]).unwrap();
        let loss = Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: Some(-100) };
        let layer = OutputLayer::new(Activation::Softmax, loss);
        let step = layer.gradients(&x, &identity, None, &device.labels(&[2, -100, 0]).unwrap()).unwrap();
        let row = |z: &[f32], label: usize| {
            let sum = z.iter().map(|&z| f64::from(z).exp()).sum::<f64>();
            let log = |k: usize| f64::from(z[k]) - sum.ln();
            let t = |k: usize| 0.9 * f64::from(k == label) + 0.1 / 3.0;
            let loss: f64 = (0..3).map(|k| -t(k) * log(k)).sum();
            (loss, [0, 1, 2].map(|k| (log(k).exp() - t(k)) / 2.0))
        };
        let ((first, first_dz), (last, last_dz)) = (row(&z[..3], 2), row(&z[6..], 0));
        let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
        assert_all("loss", &[step.loss.item().unwrap()], &[(first + last) / 2.0], within);
        let dz = step.dz.to_vec().unwrap();
        let within = Within::Approx { relative: 1e-6, absolute: 1e-8 };
        assert_all("dz", &dz, &[&first_dz[..], &[0.0; 3], &last_dz].concat(), within);
    }

    fn all_rows_ignored(device) {
        let data = Data::new(3, 2, 4);
        let [x, w, b, _] = data.on(device);
        let loss = Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: Some(-100) };
        let layer = OutputLayer::new(Activation::Softmax, loss);
        let labels = device.labels(&[-100; 3]).unwrap();
        let step = layer.gradients(&x, &w, Some(&b), &labels).unwrap();
        assert!(step.loss.item().unwrap().is_nan());
        assert_eq!(step.dw.to_vec().unwrap(), [0.0; 8]);
        assert_eq!(step.dz.to_vec().unwrap(), [0.0; 12]);
    }

    fn an_empty_batch_has_zero_gradients(device) {
        let x = device.tensor(&[], [0, 3]).unwrap();
        let w = device.tensor(&[0.5; 6], [3, 2]).unwrap();
        let b = device.tensor(&[0.1; 2], [2]).unwrap();
        let dense = device.tensor(&[], [0, 2]).unwrap();
        let labels = device.labels(&[]).unwrap();
        for (activation, loss) in [(Activation::Sigmoid, Loss::Mse), (Activation::Softmax, Loss::cross_entropy())] {
            for reduction in REDUCTIONS {
                let layer = OutputLayer::new(activation, loss).reduction(reduction);
                let step = match loss {
                    Loss::Mse => layer.gradients(&x, &w, Some(&b), &dense),
                    _ => layer.gradients(&x, &w, Some(&b), &labels),
                }
                .unwrap();
                assert_eq!(step.dw.to_vec().unwrap(), [0.0; 6]);
                assert_eq!(step.db.to_vec().unwrap(), [0.0; 2]);
                assert_eq!((step.y.shape(), step.dx.shape()), (&[0, 2][..], &[0, 3][..]));
                let total = step.loss.item().unwrap();
                assert!(if reduction == Reduction::Sum { total == 0.0 } else { total.is_nan() });
            }
        }
        // Without inputs, the logits are the bias.
        let layer = OutputLayer::new(Activation::Identity, Loss::Mse);
        let x = device.tensor(&[], [4, 0]).unwrap();
        let w = device.tensor(&[], [0, 2]).unwrap();
        assert_eq!(layer.forward(&x, &w, Some(&b)).unwrap().to_vec().unwrap(), [0.1; 8]);
        assert_eq!(layer.forward(&x, &w, None).unwrap().to_vec().unwrap(), [0.0; 8]);
    }

    fn only_what_is_asked_for_is_there(device) {
        let data = Data::new(5, 4, 3);
        let [x, w, b, dense] = data.on(device);
        for activation in [Activation::Softmax, Activation::Tanh] {
            let loss = if activation == Activation::Softmax { Loss::cross_entropy() } else { Loss::Mse };
            let layer = OutputLayer::new(activation, loss);
            let all = layer.gradients(&x, &w, Some(&b), &dense).unwrap();
            for outputs in Outputs::all().iter() {
                let some = layer.outputs(outputs).gradients(&x, &w, Some(&b), &dense).unwrap();
                let parts = [
                    (Outputs::LOSS, &some.loss, &all.loss),
                    (Outputs::Y, &some.y, &all.y),
                    (Outputs::DZ, &some.dz, &all.dz),
                    (Outputs::DW, &some.dw, &all.dw),
                    (Outputs::DB, &some.db, &all.db),
                    (Outputs::DX, &some.dx, &all.dx),
                ];
                for (output, found, expected) in parts {
                    if outputs.contains(output) {
                        assert_eq!(found.to_vec().unwrap(), expected.to_vec().unwrap());
                    } else {
                        assert_eq!(found.shape(), [0], "{output:?} was not asked for");
                    }
                }
            }
        }
    }

    fn nan_reaches_every_output_and_no_other_row(device) {
        let x = device.tensor(&[1.0, f32::NAN, 0.5, 0.5], [2, 2]).unwrap();
        let w = device.tensor(&[0.1, 0.2, 0.3, 0.4], [2, 2]).unwrap();
        let t = device.tensor(&[0.5; 4], [2, 2]).unwrap();
        for activation in Activation::all() {
            let layer = OutputLayer::new(activation, Loss::HalfSquaredError);
            let step = layer.gradients(&x, &w, None, &t).unwrap();
            assert!(step.loss.item().unwrap().is_nan(), "{activation}");
            assert!(step.dw.to_vec().unwrap().iter().all(|v| v.is_nan()), "{activation}");
            let dz = step.dz.to_vec().unwrap();
            assert!(dz[0].is_nan() && dz[1].is_nan() && dz[2].is_finite() && dz[3].is_finite());
        }
    }

    fn the_same_step_gives_the_same_bits(device) {
        let data = Data::new(65, 70, 33);
        let [x, w, b, dense] = data.on(device);
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let run = || {
            let step = layer.gradients(&x, &w, Some(&b), &dense).unwrap();
            [step.loss, step.dw, step.db, step.dx].map(|tensor| tensor.to_vec().unwrap())
        };
        let first = run();
        assert_eq!(run(), first);
    }

    fn outer_axes_are_those_of_the_result(device) {
        let data = Data::new(12, 3, 4);
        let [x, w, b, dense] = data.on(device);
        let labels = device.labels(&[0, 1, 2, 3, 0, -1, 2, 3, 0, 1, -1, 3]).unwrap();
        let row_weights = device.tensor(&(1..=12).map(|it| it as f32 * 0.1).collect::<Vec<_>>(), [12]).unwrap();
        let values = |gradients: &OutputGradients| {
            let OutputGradients { loss, y, dz, dw, db, dx, .. } = gradients;
            [loss, y, dz, dw, db, dx].map(|tensor| tensor.to_vec().unwrap())
        };
        let cross_entropy = Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: Some(-1) };
        let row_bias = b.reshape([1, 4]).unwrap();
        for outer in [&[3, 4][..], &[12, 1], &[1, 12], &[2, 3, 2]] {
            let shape = |last: usize| [outer, &[last]].concat();
            let (x_nd, dense_nd) = (x.reshape(shape(3)).unwrap(), dense.reshape(shape(4)).unwrap());
            let weights_nd = row_weights.reshape(outer).unwrap();
            let cases = [
                (OutputLayer::new(Activation::Softmax, cross_entropy), wgrad::Targets::from(&labels), wgrad::Targets::from(&labels)),
                (OutputLayer::new(Activation::Tanh, Loss::Mse), wgrad::Targets::from(&dense), wgrad::Targets::from(&dense_nd)),
                (
                    OutputLayer::new(Activation::LogSoftmax, Loss::nll()).reduction(Reduction::Sum),
                    wgrad::Targets::from(&dense).weights(&row_weights),
                    wgrad::Targets::from(&dense_nd).weights(&weights_nd),
                ),
                (OutputLayer::new(Activation::Sparsemax, Loss::Mae), wgrad::Targets::from(&dense), wgrad::Targets::from(&dense_nd)),
            ];
            for (layer, targets, targets_nd) in cases {
                let flat = layer.gradients(&x, &w, Some(&b), &targets).unwrap();
                let found = layer.gradients(&x_nd, &w, Some(&row_bias), &targets_nd).unwrap();
                assert_eq!(values(&found), values(&flat), "{layer:?} {outer:?}");
                assert_eq!((found.y.shape(), found.dz.shape()), (&shape(4)[..], &shape(4)[..]));
                assert_eq!((found.dx.shape(), found.db.shape()), (&shape(3)[..], &[1, 4][..]));
                let y = layer.forward(&x_nd, &w, Some(&row_bias)).unwrap();
                assert_eq!((y.shape(), y.to_vec().unwrap()), (&shape(4)[..], layer.forward(&x, &w, Some(&b)).unwrap().to_vec().unwrap()));
                let sum = layer.accumulate_gradients(&x_nd, &w, Some(&row_bias), &targets_nd, &found).unwrap();
                assert_eq!(sum.db.shape(), [1, 4]);
                wgrad::Sgd::new(0.0).step(&[(&row_bias, &sum.db)]).unwrap();
                let halves = x_nd.to_dtype(DType::F16).unwrap();
                assert_eq!(layer.gradients(&halves, &w, Some(&row_bias), &targets_nd).unwrap().dx.shape(), shape(3));
            }
            // The first axis is the batch.
            let layer = OutputLayer::new(Activation::Tanh, Loss::Mse);
            let [sum, mean] = [Reduction::Sum, Reduction::BatchMean].map(|reduction| {
                layer.reduction(reduction).gradients(&x_nd, &w, None, &dense_nd).unwrap().loss.item().unwrap()
            });
            assert!((sum / outer[0] as f32 - mean).abs() < 1e-5 * sum, "{sum} {mean} {outer:?}");

            let dense_layer = wgrad::Dense::new(Activation::Gelu);
            let [forward, forward_nd] = [(&x, &b), (&x_nd, &row_bias)].map(|(x, b)| dense_layer.forward(x, &w, Some(b)).unwrap());
            assert_eq!((forward_nd.y.shape(), forward_nd.y.to_vec().unwrap()), (&shape(4)[..], forward.y.to_vec().unwrap()));
            let backward = dense_layer.backward(&x, &w, &forward, &dense).unwrap();
            let backward_nd = dense_layer.backward(&x_nd, &w, &forward_nd, &dense_nd).unwrap();
            for (found, flat, shape) in [
                (&backward_nd.dx, &backward.dx, &shape(3)[..]),
                (&backward_nd.dw, &backward.dw, &[3, 4]),
                (&backward_nd.db, &backward.db, &[1, 4]),
            ] {
                assert_eq!((found.shape(), found.to_vec().unwrap()), (shape, flat.to_vec().unwrap()));
            }
            assert!(dense_layer.backward(&x_nd, &w, &forward_nd, &dense).is_err());
        }
    }

    fn what_does_not_fit_is_an_error(device) {
        let data = Data::new(4, 3, 2);
        let [x, w, b, dense] = data.on(device);
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let shape_errors = [
            layer.gradients(&w, &w, Some(&b), &dense),
            layer.gradients(&x, &x, Some(&b), &dense),
            layer.gradients(&x, &w, Some(&w), &dense),
            layer.gradients(&x, &w, Some(&b), &x),
            layer.gradients(&x.reshape([12]).unwrap(), &w, None, &dense),
            layer.gradients(&x, &device.tensor(&[], [3, 0]).unwrap(), None, &dense),
        ];
        for result in shape_errors {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
            assert!(error.to_string().starts_with("output layer gradients: expected"), "{error}");
        }
        let error = layer.gradients(&x, &w, None, &device.labels(&[0, 1, 2, 0]).unwrap()).unwrap_err();
        assert_eq!(error, Error::InvalidLabel { row: 2, label: 2, classes: 2 });
        let two = device.tensor(&[1.0, 2.0], [2]).unwrap();
        let error = layer.gradients(&x, &w, None, wgrad::Targets::from(&dense).loss_gradient(&two)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let broken = OutputLayer::new(Activation::LeakyRelu { slope: f32::NAN }, Loss::Mse);
        assert!(matches!(broken.forward(&x, &w, None).unwrap_err(), Error::InvalidParameter { .. }));
        let other = Device::cpu().tensor(&data.b, [2]).unwrap();
        let error = layer.gradients(&x, &w, Some(&other), &dense).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { .. }), "{error}");
        layer.forward(&x, &w, Some(&b)).unwrap();
    }
}

#[test]
fn the_reference_gradients_are_the_slopes_of_the_loss() {
    let data = Data::new(3, 4, 5);
    let (x, w, b, dense) = (wide(&data.x), wide(&data.w), wide(&data.b), wide(&data.dense));
    for (activation, loss, labels) in pairs() {
        for reduction in REDUCTIONS {
            let problem = |x: &[f64], w: &[f64], b: &[f64]| {
                reference::output_layer(&Problem {
                    activation: &activation,
                    loss: &loss,
                    reduction,
                    x,
                    w,
                    b,
                    targets: with_variance(
                        &loss,
                        if labels { Targets::labels(&data.labels) } else { Targets::dense(&dense) },
                    ),
                    inputs: 4,
                    z_loss: 0.0,
                })
                .unwrap()
            };
            let exact = problem(&x, &w, &b);
            let noise = 1e-7 + 1e-9 * exact.loss.abs();
            let slope = |part: usize, index: usize| {
                let at = |h: f64| {
                    let mut parts = [x.clone(), w.clone(), b.clone()];
                    parts[part][index] += h;
                    problem(&parts[0], &parts[1], &parts[2]).loss
                };
                (at(1e-6) - at(-1e-6)) / 2e-6
            };
            for (part, gradient) in [&exact.dx, &exact.dw, &exact.db].into_iter().enumerate() {
                for (index, &gradient) in gradient.iter().enumerate() {
                    let slope = slope(part, index);
                    // The loss is not defined for these outputs.
                    if !exact.loss.is_finite() {
                        assert!(!slope.is_finite(), "{activation} {loss}: {slope}, {gradient}");
                        continue;
                    }
                    assert!(
                        approx::relative_eq!(slope, gradient, epsilon = noise, max_relative = 1e-6),
                        "{activation} {loss} {reduction}: {slope}, {gradient}"
                    );
                }
            }
        }
    }
}
