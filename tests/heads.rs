//! Output layers with the options that heads of language models are trained with, in random combinations, against
//! formulas in f64.

mod common;

use common::{normal, random_labels};
use wgrad::{
    Activation, DType, Device, Error, Logits, Loss, OutputGradients, OutputLayer, Outputs,
    Reduction, Targets, Tensor,
};

/// What a layer is asked for.
#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    inputs: usize,
    classes: usize,
    activation: Activation,
    reduction: Reduction,
    scale: f32,
    cap: Option<f32>,
    smoothing: f32,
    z_loss: f32,
    ignored: Vec<usize>,
    bias: bool,
    row_weights: bool,
    class_weights: bool,
    divisor: Option<f32>,
    upstream: bool,
    transposed: bool,
    logits: Logits,
    tile_bytes: usize,
    dtype: DType,
    parts: bool,
    seed: u64,
}

impl Case {
    fn random(random: &mut fastrand::Rng) -> Self {
        let activation = match random.u8(0..3) {
            0 => Activation::Softmax,
            1 => Activation::LogSoftmax,
            _ => Activation::Identity,
        };
        let reduction = match random.u8(0..4) {
            0 => Reduction::Sum,
            1 => Reduction::BatchMean,
            2 => Reduction::None,
            _ => Reduction::Mean,
        };
        let batch = random.usize(1..7);
        let some = |random: &mut fastrand::Rng, value: f32| {
            if random.bool() { Some(value * (0.5 + random.f32())) } else { None }
        };
        Self {
            batch,
            inputs: random.usize(1..6),
            classes: random.usize(1..12),
            activation,
            reduction,
            scale: some(random, 1.5).unwrap_or(1.0),
            cap: some(random, 2.0),
            smoothing: match activation {
                Activation::LogSoftmax => 0.0,
                _ => some(random, 0.2).unwrap_or(0.0),
            },
            z_loss: some(random, 0.1).unwrap_or(0.0),
            ignored: if random.bool() { vec![random.usize(0..batch)] } else { vec![] },
            bias: random.bool(),
            row_weights: random.bool(),
            class_weights: random.bool(),
            divisor: if reduction == Reduction::Mean { some(random, 5.0) } else { None },
            upstream: reduction == Reduction::None && random.bool(),
            transposed: random.bool(),
            logits: if random.bool() { Logits::Tiled } else { Logits::Full },
            tile_bytes: random.usize(4..200),
            dtype: [DType::F32, DType::F32, DType::F16, DType::BF16][random.usize(0..4)],
            parts: random.u8(0..4) == 0,
            seed: random.u64(..),
        }
    }

    fn loss(&self) -> Loss {
        let (label_smoothing, ignore_index) = (self.smoothing, Some(-100));
        match self.activation {
            Activation::Softmax => Loss::CrossEntropy { label_smoothing, ignore_index },
            Activation::LogSoftmax => Loss::Nll { ignore_index },
            _ => Loss::CrossEntropyWithLogits { label_smoothing, ignore_index },
        }
    }
}

/// The operands, as the device has rounded them.
struct Operands {
    x: Tensor,
    w: Tensor,
    b: Tensor,
    labels: Vec<i32>,
    row_weights: Vec<f32>,
    class_weights: Vec<f32>,
    upstream: Vec<f32>,
}

impl Operands {
    fn new(device: &Device, case: &Case) -> Self {
        let Case { batch, inputs, classes, dtype, seed, .. } = *case;
        let tensor = |shape: &[usize], add: u64| {
            let values = normal(shape.iter().product(), 0.8, seed.wrapping_add(add));
            device.tensor(&values, shape).unwrap().to_dtype(dtype).unwrap()
        };
        let w = if case.transposed { [classes, inputs] } else { [inputs, classes] };
        let mut labels = random_labels(batch, classes, seed);
        case.ignored.iter().for_each(|&row| labels[row] = -100);
        let positive = |count, add| {
            normal(count, 0.3, seed.wrapping_add(add)).iter().map(|v| v.abs() + 0.25).collect()
        };
        Self {
            x: tensor(&[batch, inputs], 1),
            w: tensor(&w, 2),
            b: tensor(&[classes], 3),
            labels,
            row_weights: if case.row_weights { positive(batch, 4) } else { vec![1.0; batch] },
            class_weights: if case.class_weights {
                positive(classes, 5)
            } else {
                vec![1.0; classes]
            },
            upstream: if case.upstream {
                normal(batch, 1.0, seed.wrapping_add(6))
            } else {
                vec![1.0; batch]
            },
        }
    }

    fn targets(&self, device: &Device, case: &Case) -> Targets {
        let mut targets = Targets::from(&device.labels(&self.labels).unwrap());
        let vector = |values: &[f32]| device.tensor(values, [values.len()]).unwrap();
        if case.row_weights {
            targets = targets.weights(&vector(&self.row_weights));
        }
        if case.class_weights {
            targets = targets.class_weights(&vector(&self.class_weights));
        }
        if let Some(divisor) = case.divisor {
            targets = targets.divisor(&device.tensor(&[divisor], []).unwrap());
        }
        if case.upstream {
            targets = targets.loss_gradient(&vector(&self.upstream));
        }
        targets
    }
}

struct Exact {
    losses: Vec<f64>,
    dz: Vec<f64>,
    dw: Vec<f64>,
    db: Vec<f64>,
    dx: Vec<f64>,
}

/// Everything by its formula.
fn exact(case: &Case, operands: &Operands) -> Exact {
    let &Case { batch, inputs, classes, .. } = case;
    let [x, w, b] =
        [&operands.x, &operands.w, &operands.b].map(|it| common::wide(&it.to_vec().unwrap()));
    let at =
        |j: usize, k: usize| if case.transposed { w[k * inputs + j] } else { w[j * classes + k] };
    let (smoothing, z_loss) = (f64::from(case.smoothing), f64::from(case.z_loss));
    let weight_of = |k: usize| f64::from(operands.class_weights[k]);
    let counted: Vec<usize> = (0..batch).filter(|row| !case.ignored.contains(row)).collect();
    let label = |row: usize| operands.labels[row] as usize;
    let divisor = match (case.reduction, case.divisor) {
        (_, Some(divisor)) => f64::from(divisor),
        (Reduction::Mean, None) => counted
            .iter()
            .map(|&row| f64::from(operands.row_weights[row]) * weight_of(label(row)))
            .sum(),
        (Reduction::BatchMean, None) => batch as f64,
        _ => 1.0,
    };
    let mut found = Exact {
        losses: vec![0.0; batch],
        dz: vec![0.0; batch * classes],
        dw: vec![0.0; inputs * classes],
        db: vec![0.0; classes],
        dx: vec![0.0; batch * inputs],
    };
    for row in counted {
        let raw: Vec<f64> = (0..classes)
            .map(|k| {
                let bias = if case.bias { b[k] } else { 0.0 };
                f64::from(case.scale)
                    * ((0..inputs).map(|j| x[row * inputs + j] * at(j, k)).sum::<f64>() + bias)
            })
            .collect();
        let cap = case.cap.map(f64::from);
        let z: Vec<f64> =
            raw.iter().map(|&z| cap.map_or(z, |cap| cap * (z / cap).tanh())).collect();
        let slope = |k: usize| {
            let scale = f64::from(case.scale);
            cap.map_or(scale, |cap| scale * (1.0 - (z[k] / cap).powi(2)))
        };
        let log_sum = z.iter().map(|z| z.exp()).sum::<f64>().ln();
        let target = |k: usize| {
            let hit = if k == label(row) { 1.0 - smoothing } else { 0.0 };
            (hit + smoothing / classes as f64) * weight_of(k)
        };
        let mass: f64 = (0..classes).map(target).sum();
        let coefficient = z_loss * weight_of(label(row));
        let entropy: f64 = (0..classes).map(|k| target(k) * (log_sum - z[k])).sum();
        let weight = f64::from(operands.row_weights[row]) / divisor;
        found.losses[row] = weight * (entropy + coefficient * log_sum * log_sum);
        let weight = weight * f64::from(operands.upstream[row]);
        for (k, z) in z.iter().enumerate() {
            let p = (z - log_sum).exp();
            let of_z = weight * (p * mass - target(k) + 2.0 * coefficient * log_sum * p) * slope(k);
            found.dz[row * classes + k] = of_z;
            found.db[k] += of_z;
            for j in 0..inputs {
                let place = if case.transposed { k * inputs + j } else { j * classes + k };
                found.dw[place] += x[row * inputs + j] * of_z;
                found.dx[row * inputs + j] += at(j, k) * of_z;
            }
        }
    }
    found
}

#[track_caller]
fn near(what: &str, found: &Tensor, exact: &[f64], unit: f64) {
    let size = exact.iter().fold(1e-3, |size: f64, value| size.max(value.abs()));
    let found = found.to_vec().unwrap();
    assert_eq!(found.len(), exact.len(), "{what}");
    for (i, (&found, &exact)) in found.iter().zip(exact).enumerate() {
        let off = (f64::from(found) - exact).abs();
        // Terms may cancel.
        assert!(off <= unit * size + 1e-7, "{what}: element {i} is {found}, exactly {exact}");
    }
}

fn run(device: &Device, case: &Case) -> (OutputGradients, Operands) {
    let operands = Operands::new(device, case);
    let mut outputs = Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX;
    if case.logits == Logits::Full {
        outputs |= Outputs::DZ;
    }
    let mut layer = OutputLayer::new(case.activation, case.loss())
        .reduction(case.reduction)
        .outputs(outputs)
        .logit_scale(case.scale)
        .z_loss(case.z_loss)
        .transposed_weights(case.transposed)
        .logits(case.logits)
        .tile_bytes(case.tile_bytes)
        .gradient_dtype(DType::F32);
    if let Some(cap) = case.cap {
        layer = layer.logit_softcap(cap);
    }
    let b = case.bias.then_some(&operands.b);
    let Operands { x, w, .. } = &operands;
    let mut found = layer.gradients(x, w, b, operands.targets(device, case)).unwrap();
    if case.parts {
        // The same part once more.
        found =
            layer.accumulate_gradients(x, w, b, operands.targets(device, case), &found).unwrap();
    }
    (found, operands)
}

fn check(device: &Device, case: &Case) {
    let (found, operands) = run(device, case);
    let mut exact = exact(case, &operands);
    let is_empty = case.ignored.len() == case.batch
        && case.reduction == Reduction::Mean
        && case.divisor.is_none();
    let what = |part: &str| format!("{part} of {case:?} on {device:?}");
    match case.reduction {
        Reduction::None => near(&what("losses"), &found.loss, &exact.losses, 4e-6),
        _ if is_empty => assert!(found.loss.item().unwrap().is_nan(), "{}", what("loss")),
        _ => near(&what("loss"), &found.loss, &[exact.losses.iter().sum()], 4e-6),
    }
    if case.parts {
        exact.dw.iter_mut().chain(&mut exact.db).for_each(|sum| *sum *= 2.0);
    }
    // dx and dz have the type of x.
    let half = match case.dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        _ => 4e-6,
    };
    near(&what("dw"), &found.dw, &exact.dw, 4e-6);
    near(&what("db"), &found.db, &exact.db, 4e-6);
    near(&what("dx"), &found.dx, &exact.dx, half);
    if case.logits == Logits::Full {
        near(&what("dz"), &found.dz, &exact.dz, half);
    }
}

on_every_device! {
    fn options_in_random_combinations_are_their_formulas(device) {
        let mut random = fastrand::Rng::with_seed(23);
        let count = if device.info().kind.is_gpu() { 200 } else { 3000 };
        for _ in 0..count {
            check(device, &Case::random(&mut random));
        }
    }

    fn losses_on_elements_are_unreduced_too(device) {
        let (x, w) = (normal(6 * 4, 1.0, 1), normal(4 * 3, 1.0, 2));
        let (x, w) = (device.tensor(&x, [6, 4]).unwrap(), device.tensor(&w, [4, 3]).unwrap());
        let targets = device.tensor(&normal(18, 0.3, 3).iter().map(|t| t.abs().min(1.0)).collect::<Vec<_>>(), [6, 3]).unwrap();
        let upstream = device.tensor(&normal(18, 1.0, 4), [6, 3]).unwrap();
        let weights = device.tensor(&normal(18, 1.0, 5).iter().map(|t| t.abs()).collect::<Vec<_>>(), [6, 3]).unwrap();
        for (activation, loss) in [(Activation::Sigmoid, Loss::Bce), (Activation::Tanh, Loss::Mse), (Activation::Softmax, Loss::Mse), (Activation::Gelu, Loss::huber())] {
            for cap in [None, Some(1.5)] {
                let mut layer = OutputLayer::new(activation, loss).reduction(Reduction::None);
                if let Some(cap) = cap {
                    layer = layer.logit_softcap(cap);
                }
                let given = Targets::from(&targets).weights(&weights).loss_gradient(&upstream);
                let found = layer.gradients(&x, &w, None, given).unwrap();
                assert_eq!(found.loss.shape(), &[6, 3], "{loss}");
                let exact = loss.forward(&found.y, Targets::from(&targets).weights(&weights), Reduction::None).unwrap();
                let what = format!("{activation}, {loss}, {cap:?} on {device:?}");
                near(&what, &found.loss, &common::wide(&exact.to_vec().unwrap()), 4e-6);
                // The gradients are those of the sum with weights that dE/dloss multiplies.
                let both: Vec<f32> = weights.to_vec().unwrap().iter().zip(upstream.to_vec().unwrap()).map(|(a, b)| a * b).collect();
                let both = Targets::from(&targets).weights(&device.tensor(&both, [6, 3]).unwrap());
                let exact = layer.reduction(Reduction::Sum).gradients(&x, &w, None, both.clone()).unwrap();
                for (part, found, exact) in [("dz", &found.dz, &exact.dz), ("dw", &found.dw, &exact.dw), ("db", &found.db, &exact.db), ("dx", &found.dx, &exact.dx)] {
                    near(&format!("{part} of {what}"), found, &common::wide(&exact.to_vec().unwrap()), 1e-6);
                }
                let dy = loss.gradient(&found.y, Targets::from(&targets).weights(&weights).loss_gradient(&upstream), Reduction::None).unwrap();
                let exact = loss.gradient(&found.y, both, Reduction::Sum).unwrap();
                near(&format!("dy of {what}"), &dy, &common::wide(&exact.to_vec().unwrap()), 1e-6);
            }
        }
    }

    fn a_bound_is_the_activation_between(device) {
        let (x, w) = (normal(5 * 4, 2.0, 1), normal(4 * 3, 2.0, 2));
        let (x, w) = (device.tensor(&x, [5, 4]).unwrap(), device.tensor(&w, [4, 3]).unwrap());
        for activation in [Activation::Identity, Activation::Softmax, Activation::Relu] {
            let layer = OutputLayer::new(activation, Loss::Mse).logit_scale(0.5).logit_softcap(3.0);
            let z = OutputLayer::new(Activation::Identity, Loss::Mse).forward(&x, &w, None).unwrap();
            let bounded = Activation::ScaledTanh { a: 3.0, b: 0.5 / 3.0 }.forward(&z).unwrap();
            let exact = activation.forward(&bounded).unwrap();
            assert_eq!(layer.forward(&x, &w, None).unwrap().to_vec().unwrap(), exact.to_vec().unwrap());
            let t = device.zeros([5, 3]).unwrap();
            let plan = device.record(|| layer.gradients(&x, &w, None, &t)).unwrap();
            plan.run().unwrap();
            near("y", &plan.outputs().y, &common::wide(&exact.to_vec().unwrap()), 2e-7);
        }
    }

    fn a_divisor_makes_parts_the_mean_of_the_whole(device) {
        let (x, w) = (normal(10 * 3, 1.0, 1), normal(3 * 7, 1.0, 2));
        let (x, w) = (device.tensor(&x, [10, 3]).unwrap(), device.tensor(&w, [3, 7]).unwrap());
        let labels = device.labels(&[1, -100, 2, 3, -100, 6, 0, 5, -100, 4]).unwrap();
        let loss = Loss::CrossEntropyWithLogits { label_smoothing: 0.0, ignore_index: Some(-100) };
        for logits in [Logits::Tiled, Logits::Full] {
            let layer = OutputLayer::new(Activation::Identity, loss).logits(logits).outputs(Outputs::LOSS | Outputs::DW);
            let whole = layer.gradients(&x, &w, None, &labels).unwrap();
            let tokens = device.tensor(&[7.0], [1]).unwrap();
            let part = |rows: std::ops::Range<usize>| (x.rows(rows.clone()).unwrap(), Targets::from(&labels.rows(rows).unwrap()).divisor(&tokens));
            let ((first, one), (second, two)) = (part(0..4), part(4..10));
            let before = layer.gradients(&first, &w, None, one).unwrap();
            let sums = layer.accumulate_gradients(&second, &w, None, two, &before).unwrap();
            near("dw", &sums.dw, &common::wide(&whole.dw.to_vec().unwrap()), 1e-6);
            let both = before.loss.item().unwrap() + sums.loss.item().unwrap();
            assert!((both - whole.loss.item().unwrap()).abs() < 1e-6);
            // A part in which nothing counts adds nothing.
            let nothing = device.labels(&[-100; 4]).unwrap();
            let none = layer.gradients(&first, &w, None, Targets::from(&nothing).divisor(&tokens)).unwrap();
            assert_eq!(none.loss.item().unwrap(), 0.0);
            assert!(none.dw.to_vec().unwrap().iter().all(|&dw| dw == 0.0));
        }
    }

    fn what_makes_no_sense_is_an_error(device) {
        let (x, w) = (device.tensor(&[1.0; 6], [2, 3]).unwrap(), device.tensor(&[1.0; 6], [3, 2]).unwrap());
        let labels = device.labels(&[0, 1]).unwrap();
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let text = |layer: OutputLayer, targets: Targets| layer.gradients(&x, &w, None, targets).unwrap_err().to_string();
        for cap in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let found = text(layer.logit_softcap(cap), (&labels).into());
            assert!(found.contains("logit_softcap") && found.contains("positive"), "{found}");
            layer.logit_softcap(cap).forward(&x, &w, None).unwrap_err();
        }
        for scale in [0.0, f32::NAN, f32::INFINITY] {
            assert!(text(layer.logit_scale(scale), (&labels).into()).contains("logit_scale"));
        }
        for divisor in [0.0, -2.0, f32::INFINITY] {
            let divisor = device.tensor(&[divisor], [1]).unwrap();
            let found = text(layer, Targets::from(&labels).divisor(&divisor));
            assert!(found.contains("divisor") && found.contains("must be positive"), "{found}");
        }
        let two = device.tensor(&[1.0, 2.0], [2]).unwrap();
        assert!(text(layer, Targets::from(&labels).divisor(&two)).contains("a divisor of one element"));
        let one = device.tensor(&[4.0], []).unwrap();
        let found = text(layer.reduction(Reduction::Sum), Targets::from(&labels).divisor(&one));
        assert!(found.contains("a divisor with the reduction sum"), "{found}");
        let found = text(layer, Targets::from(&labels).loss_gradient(&two));
        assert!(found.contains("belongs to Reduction::None"), "{found}");
        let found = text(layer.reduction(Reduction::None), Targets::from(&labels).loss_gradient(&one));
        assert!(found.contains("dE/dloss"), "{found}");
        // What only the device knows: 0 gives NaN.
        let zero = Activation::Relu.forward(&device.tensor(&[-1.0], [1]).unwrap()).unwrap();
        let found = layer.gradients(&x, &w, None, Targets::from(&labels).divisor(&zero)).unwrap();
        assert!(found.loss.item().unwrap().is_nan() && found.dw.to_vec().unwrap()[0].is_nan());
        assert!(matches!(device.zeros([0]).unwrap().item().unwrap_err(), Error::ShapeMismatch { .. }));
    }
}
