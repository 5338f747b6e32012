//! Losses and their gradients against the f64 reference.

mod common;

use common::{EXTREMES, Within, assert_all, distributions, normal, random_labels, wide};
use wgrad::reference::{self, LossProblem};
use wgrad::{Activation, Device, Error, Loss, Reduction, Targets, Tensor};

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::BatchMean];

/// The catalogue, and losses with options other than the defaults.
fn losses() -> Vec<Loss> {
    let options = [
        "huber(delta=0.3)",
        "smooth_l1(beta=0.4)",
        "smooth_l1(beta=0)",
        "cross_entropy(label_smoothing=0.1)",
        "cross_entropy(ignore_index=1)",
        "cross_entropy(label_smoothing=0.3, ignore_index=-100)",
        "cross_entropy_with_logits(label_smoothing=0.1)",
        "cross_entropy_with_logits(ignore_index=1)",
        "cross_entropy_with_logits(label_smoothing=0.3, ignore_index=-100)",
        "nll(ignore_index=0)",
        "focal(alpha=-1, gamma=1)",
        "focal(alpha=0.6, gamma=3)",
        "focal(alpha=0.5, gamma=0)",
        "focal(gamma=1.7)",
        "focal_with_logits(alpha=-1, gamma=1)",
        "focal_with_logits(alpha=0.5, gamma=0)",
        "focal_with_logits(gamma=1.7)",
        "kl_div(log_target=true)",
        "poisson_nll(log_input=false)",
        "poisson_nll(full=true)",
        "poisson_nll(log_input=false, full=true, eps=0.001)",
        "gaussian_nll(full=true, eps=0.5)",
        "multi_margin(p=2)",
        "multi_margin(margin=0.4)",
        "hinge_embedding(margin=2)",
    ];
    Loss::all().chain(options.map(|text| text.parse().unwrap())).collect()
}

fn is_on_rows(loss: &Loss) -> bool {
    matches!(loss.name(), "cross_entropy" | "cross_entropy_with_logits" | "nll" | "multi_margin")
}

fn takes_labels_only(loss: &Loss) -> bool {
    matches!(loss, Loss::MultiMargin { .. })
}

/// Whether terms cancel or a power is computed from a logarithm: such losses keep no relative accuracy.
fn is_cancelling(loss: &Loss) -> bool {
    let has_odd_power = matches!(loss, Loss::Focal { gamma, .. } | Loss::FocalWithLogits { gamma, .. } if *gamma == 1.7);
    has_odd_power
        || matches!(
            loss.name(),
            "kl_div"
                | "poisson_nll"
                | "gaussian_nll"
                | "bce_with_logits"
                | "focal"
                | "focal_with_logits"
                | "hinge"
                | "squared_hinge"
                | "multi_margin"
                | "cross_entropy_with_logits"
                | "hinge_embedding"
        )
}

/// The data of one loss: outputs and targets that it is defined for, and all weights that may be given with
/// them.
struct Data {
    shape: Vec<usize>,
    classes: usize,
    y: Vec<f32>,
    dense: Vec<f32>,
    labels: Vec<i32>,
    positive: Vec<f32>,
}

impl Data {
    fn new(loss: &Loss, shape: &[usize]) -> Self {
        let classes = *shape.last().unwrap();
        let count: usize = shape.iter().product();
        let rows = count / classes.max(1);
        let numbers = normal(count, 2.0, 1);
        let is_element = !is_on_rows(loss);
        let unit = |seed| -> Vec<f32> {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..count).map(|_| random.f32()).collect()
        };
        let y = match loss.takes() {
            "probabilities" if is_element => unit(2),
            "probabilities" => distributions(rows, classes, 2),
            "log-probabilities" => distributions(rows, classes, 2).iter().map(|p| p.ln()).collect(),
            _ if matches!(loss, Loss::PoissonNll { log_input: false, .. }) => {
                numbers.iter().map(|y| y.abs()).collect()
            }
            _ => numbers,
        };
        let dense = match loss.name() {
            "bce" | "bce_with_logits" | "focal" | "focal_with_logits" => {
                // Hard and soft targets.
                unit(3)
                    .iter()
                    .map(|t| {
                        if *t < 0.3 {
                            0.0
                        } else if *t < 0.6 {
                            1.0
                        } else {
                            *t
                        }
                    })
                    .collect()
            }
            "hinge" | "squared_hinge" | "soft_margin" | "hinge_embedding" => {
                unit(3).iter().map(|t| if *t < 0.5 { -1.0 } else { 1.0 }).collect()
            }
            "poisson_nll" => unit(3).iter().map(|t| (t * 9.0).floor()).collect(),
            "kl_div" if matches!(loss, Loss::KlDiv { log_target: true }) => {
                distributions(rows, classes, 3).iter().map(|t| t.ln()).collect()
            }
            "cross_entropy" | "cross_entropy_with_logits" | "nll" | "kl_div" => {
                let mut targets = distributions(rows, classes, 3);
                targets.iter_mut().step_by(7).for_each(|t| *t = 0.0);
                targets
            }
            _ => normal(count, 2.0, 3),
        };
        let mut labels = random_labels(rows, classes, 4);
        if let Some(ignored) = loss_ignores(loss) {
            labels.iter_mut().step_by(3).skip(1).for_each(|label| *label = ignored);
        }
        let positive = unit(5).iter().map(|w| w + 0.25).collect();
        Self { shape: shape.to_vec(), classes, y, dense, labels, positive }
    }

    fn rows(&self) -> usize {
        self.labels.len()
    }
}

fn loss_ignores(loss: &Loss) -> Option<i32> {
    match loss {
        Loss::CrossEntropy { ignore_index, .. }
        | Loss::CrossEntropyWithLogits { ignore_index, .. }
        | Loss::Nll { ignore_index } => *ignore_index,
        _ => None,
    }
}

/// What is given with the targets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum With {
    Nothing,
    ClassWeights,
    RowWeights,
    ElementWeights,
    OneWeight,
    ColumnWeights,
    PosWeight,
    Everything,
}

/// What may be given with the targets of this loss.
fn extras(loss: &Loss) -> Vec<With> {
    let mut extras = vec![With::Nothing, With::RowWeights, With::OneWeight];
    if is_on_rows(loss) {
        extras.extend([With::ClassWeights, With::Everything]);
    } else {
        extras.extend([With::ElementWeights, With::ColumnWeights]);
    }
    if *loss == Loss::BceWithLogits {
        extras.extend([With::PosWeight, With::Everything]);
    }
    extras
}

/// Checks one loss with one kind of targets on one device, in every reduction.
fn check(device: &Device, loss: &Loss, data: &Data, labels: bool, with: With) {
    let (rows, classes) = (data.rows(), data.classes);
    let y = device.tensor(&data.y, &data.shape[..]).unwrap();
    let mut targets: Targets = if labels {
        (&device.labels(&data.labels).unwrap()).into()
    } else {
        (&device.tensor(&data.dense, &data.shape[..]).unwrap()).into()
    };
    let (wide_y, wide_dense) = (wide(&data.y), wide(&data.dense));
    let positive = wide(&data.positive);
    let mut exact = if labels {
        reference::Targets::labels(&data.labels)
    } else {
        reference::Targets::dense(&wide_dense)
    };
    let tensor = |values: &[f32], shape: &[usize]| device.tensor(values, shape).unwrap();
    let outer = &data.shape[..data.shape.len() - 1];
    let all = with == With::Everything;
    if with == With::RowWeights || all {
        targets = targets.weights(&tensor(&data.positive[..rows], outer));
        exact.weights = Some(&positive[..rows]);
    }
    if with == With::ClassWeights || (all && is_on_rows(loss)) {
        targets = targets.class_weights(&tensor(&data.positive[..classes], &[classes]));
        exact.class_weights = Some(&positive[..classes]);
    }
    if with == With::OneWeight {
        targets = targets.weights(&tensor(&data.positive[..1], &[]));
        exact.weights = Some(&positive[..1]);
    }
    let repeated: Vec<f64> =
        positive[..classes].iter().copied().cycle().take(wide_y.len()).collect();
    if with == With::ColumnWeights {
        targets = targets.weights(&tensor(&data.positive[..classes], &[1, classes]));
        exact.weights = Some(&repeated);
    }
    if with == With::ElementWeights {
        targets = targets.weights(&tensor(&data.positive, &data.shape));
        exact.weights = Some(&positive);
    }
    if with == With::PosWeight || (all && *loss == Loss::BceWithLogits) {
        targets = targets.pos_weight(&tensor(&data.positive[..classes], &[classes]));
        exact.pos_weight = Some(&positive[..classes]);
    }
    if matches!(loss, Loss::GaussianNll { .. }) {
        // In each of the allowed shapes.
        let shape: &[usize] = match with {
            With::Nothing => &data.shape,
            With::OneWeight => &[1],
            _ => outer,
        };
        let count = shape.iter().product();
        targets = targets.variance(&tensor(&data.positive[..count], shape));
        exact.variance = Some(&positive[..count]);
    }

    for reduction in REDUCTIONS {
        let problem = LossProblem { loss, reduction, y: &wide_y, classes, targets: exact };
        let mut exact = reference::loss(&problem).unwrap();
        if reduction == Reduction::BatchMean {
            // The reference combines all axes of rows into one.
            let factor = rows as f64 / data.shape[0] as f64;
            exact.loss *= factor;
            exact.dy.iter_mut().for_each(|slope| *slope *= factor);
        }
        let what = format!(
            "{loss} {reduction} of {:?}, labels {labels}, with {with:?}, on {device:?}",
            data.shape
        );
        let size = exact.terms.iter().fold(0.0, |size: f64, term| size.max(term.abs()));
        let close = |size: f64| Within::Approx { relative: 1e-6, absolute: 1e-6 * size };
        let cancels = is_cancelling(loss) || with != With::Nothing || is_on_rows(loss);
        let found = loss.forward(&y, &targets, reduction).unwrap();
        if reduction == Reduction::None {
            let shape = if is_on_rows(loss) { outer } else { &data.shape };
            assert_eq!(found.shape(), shape, "{what}");
            let within = if cancels { close(size.max(1.0)) } else { Within::Ulps(6.0) };
            assert_all(&what, &found.to_vec().unwrap(), &exact.terms, within);
        } else {
            assert!(found.shape().is_empty(), "{what}");
            let total = exact.terms.iter().map(|term| term.abs()).sum::<f64>();
            let relative =
                if exact.loss == 0.0 { 1.0 } else { total / exact.terms.iter().sum::<f64>().abs() };
            let within =
                Within::Approx { relative: 1e-6 * relative.clamp(1.0, 1e6), absolute: 0.0 };
            assert_all(&what, &[found.item().unwrap()], &[exact.loss], within);
        }

        let gradient = loss.gradient(&y, &targets, reduction).unwrap();
        assert_eq!(gradient.shape(), data.shape);
        let size = exact.dy.iter().fold(0.0, |size: f64, slope| size.max(slope.abs()));
        let within = if cancels { close(size) } else { Within::Ulps(6.0) };
        assert_all(format!("gradient of {what}"), &gradient.to_vec().unwrap(), &exact.dy, within);
    }
}

/// Numbers around every kink and beyond every limit.
fn extremes() -> Vec<f32> {
    let targets =
        [0.0, 1.0, -1.0, 0.25, 2.0, -3.0, 1e4, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    EXTREMES.iter().flat_map(|_| targets).collect()
}

fn scalar(device: &Device, value: f32) -> Tensor {
    device.tensor(&[value], []).unwrap()
}

on_every_device! {
    fn every_loss_with_all_its_options(device) {
        for loss in losses() {
            for shape in [&[7, 13][..], &[1, 1], &[3, 4, 5], &[65, 3], &[2, 1030]] {
                let data = Data::new(&loss, shape);
                let extras = if shape == [7, 13] { extras(&loss) } else { vec![With::Nothing] };
                for with in extras {
                    if !takes_labels_only(&loss) {
                        check(device, &loss, &data, false, with);
                    }
                    if is_on_rows(&loss) {
                        check(device, &loss, &data, true, with);
                    }
                }
            }
        }
    }

    fn sizes_beyond_a_workgroup_and_a_partial_sum(device) {
        for loss in [Loss::HalfSquaredError, Loss::Mae, Loss::bce_with_logits(), Loss::kl_div()] {
            for shape in [&[1][..], &[257, 130], &[4096], &[4097], &[50_001]] {
                check(device, &loss, &Data::new(&loss, shape), false, With::Nothing);
            }
            check(device, &loss, &Data::new(&loss, &[257, 130]), false, With::RowWeights);
        }
        for loss in [Loss::cross_entropy(), Loss::cross_entropy_with_logits(), Loss::multi_margin()] {
            for shape in [[1000, 10], [33, 1000], [2, 70_001]] {
                let data = Data::new(&loss, &shape);
                check(device, &loss, &data, true, With::Nothing);
                check(device, &loss, &data, true, With::Everything);
            }
        }
    }

    fn extremes_follow_the_formulas(device) {
        let t = extremes();
        let y: Vec<f32> = EXTREMES.iter().flat_map(|&y| [y; 10]).collect();
        for loss in losses().into_iter().filter(|loss| !is_on_rows(loss)) {
            let allowed = |t: f32| match loss.name() {
                "bce" | "focal" | "focal_with_logits" => t.is_nan() || (0.0..=1.0).contains(&t),
                "bce_with_logits" | "poisson_nll" | "hinge" | "squared_hinge" | "soft_margin" => {
                    !t.is_infinite()
                }
                "kl_div" if loss == Loss::kl_div() => t.is_nan() || t >= 0.0,
                _ => true,
            };
            let (y, t): (Vec<f32>, Vec<f32>) =
                y.iter().copied().zip(t.iter().copied()).filter(|&(_, t)| allowed(t)).unzip();
            // Computed on the device, so that the host does not know whether the loss is defined for it.
            let yd = Activation::Identity.forward(&device.tensor(&y, [y.len()]).unwrap()).unwrap();
            let mut targets = Targets::from(&device.tensor(&t, [t.len()]).unwrap());
            let (wide_y, wide_t) = (wide(&y), wide(&t));
            let mut exact_targets = reference::Targets::dense(&wide_t);
            if matches!(loss, Loss::GaussianNll { .. }) {
                targets = targets.variance(&scalar(device, 2.0));
                exact_targets.variance = Some(&[2.0]);
            }
            let exact = reference::loss(&LossProblem {
                loss: &loss, reduction: Reduction::None, y: &wide_y, classes: y.len(), targets: exact_targets,
            }).unwrap();
            let found = [
                loss.forward(&yd, &targets, Reduction::None).unwrap().to_vec().unwrap(),
                loss.gradient(&yd, &targets, Reduction::Sum).unwrap().to_vec().unwrap(),
            ];
            for (part, (found, exact)) in ["loss", "gradient"].iter().zip(found.iter().zip([&exact.terms, &exact.dy])) {
                for (i, (&found, &exact)) in found.iter().zip(exact).enumerate() {
                    // Some drivers take subnormal numbers for 0.
                    if y[i].is_subnormal() && (found - exact as f32).abs() > 0.0 {
                        continue;
                    }
                    let size = f64::from(y[i]).abs().max(f64::from(t[i]).abs()).max(1.0);
                    let within = match found.is_finite() && exact.is_finite() && is_cancelling(&loss) {
                        true if size < 1e6 => Within::Approx { relative: 2e-6, absolute: 2e-6 * size },
                        true => Within::Approx { relative: 2e-6, absolute: 0.0 },
                        false => Within::Ulps(6.0),
                    };
                    let what = format!("{loss} {part} at y = {}, t = {} on {device:?}", y[i], t[i]);
                    assert_all(what, &[found], &[exact], within);
                }
            }
        }
    }

    fn a_class_with_target_zero_adds_nothing(device) {
        let y = device.tensor(&[0.0, 1.0, 0.0, 1.0], [2, 2]).unwrap();
        let t = device.tensor(&[0.0, 1.0, 1.0, 0.0], [2, 2]).unwrap();
        let rows = Loss::cross_entropy().forward(&y, &t, Reduction::None).unwrap();
        assert_eq!(rows.to_vec().unwrap(), [0.0, f32::INFINITY]);
        let gradient = Loss::cross_entropy().gradient(&y, &t, Reduction::Sum).unwrap();
        assert_eq!(gradient.to_vec().unwrap(), [0.0, -1.0, f32::NEG_INFINITY, 0.0]);
    }

    fn factors_of_zero_make_nothing_of_infinite_ones(device) {
        let infinity = f32::INFINITY;
        let at = |loss: Loss, y: f32, t: f32| {
            let (y, t) = (device.tensor(&[y], [1]).unwrap(), device.tensor(&[t], [1]).unwrap());
            let found = loss.forward(&y, &t, Reduction::Sum).unwrap().item().unwrap();
            [found, loss.gradient(&y, &t, Reduction::Sum).unwrap().item().unwrap()]
        };
        let focal = |alpha, gamma| Loss::Focal { alpha, gamma };
        let with_logits = |alpha, gamma| Loss::FocalWithLogits { alpha, gamma };
        let poisson: Loss = "poisson_nll(log_input=false, eps=0)".parse().unwrap();
        for (loss, y, t, expected) in [
            (focal(0.0, 2.0), 0.0, 1.0, [0.0, 0.0]),
            (focal(1.0, 2.0), 1.0, 0.0, [0.0, 0.0]),
            (focal(0.0, 0.0), 0.0, 1.0, [0.0, 0.0]),
            (focal(0.5, 2.0), 0.0, 1.0, [infinity, -infinity]),
            (focal(-1.0, 0.0), 1.0, 0.0, [infinity, infinity]),
            (focal(-1.0, 0.5), 1.0, 1.0, [0.0, 0.0]),
            (with_logits(0.0, 2.0), -infinity, 1.0, [0.0, 0.0]),
            (with_logits(1.0, 2.0), infinity, 0.0, [0.0, 0.0]),
            (with_logits(1.0, 2.0), infinity, 1.0, [0.0, 0.0]),
            (with_logits(-1.0, 0.0), infinity, 0.0, [infinity, 1.0]),
            (with_logits(0.25, 2.0), -infinity, 1.0, [infinity, -0.25]),
            (with_logits(0.25, 2.0), -infinity, 0.0, [0.0, 0.0]),
            (Loss::kl_div(), -infinity, 0.0, [0.0, 0.0]),
            (Loss::nll(), -infinity, 0.0, [0.0, 0.0]),
            (Loss::cross_entropy(), 0.0, 0.0, [0.0, 0.0]),
            (Loss::bce_with_logits(), infinity, 1.0, [0.0, 0.0]),
            (Loss::bce_with_logits(), -infinity, 0.0, [0.0, 0.0]),
            (poisson, 0.0, 0.0, [0.0, 1.0]),
        ] {
            assert_eq!(at(loss, y, t), expected, "{loss} at {y}, {t} on {device:?}");
            let exact = [
                reference::loss_term(&loss, y.into(), t.into()),
                reference::loss_term_gradient(&loss, y.into(), t.into()),
            ];
            assert_eq!(exact.map(|value| value as f32), expected, "{loss} at {y}, {t}");
        }
    }

    fn a_weight_of_zero_makes_nothing_of_an_infinite_term(device) {
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        let weights = device.tensor(&[0.0, 1.0], [2]).unwrap();
        let labels = device.labels(&[0, 1]).unwrap();
        let smoothed: Loss = "cross_entropy_with_logits(label_smoothing=0.25)".parse().unwrap();
        for (loss, first) in [
            (Loss::cross_entropy_with_logits(), [-infinity, 0.5, 0.0]),
            (smoothed, [-infinity, 0.5, 0.0]),
            (Loss::nll(), [-infinity, -0.5, -0.5]),
            (Loss::cross_entropy(), [0.0, 0.5, 0.5]),
            (Loss::multi_margin(), [-infinity, 0.0, 0.0]),
        ] {
            let second = [0.25, 0.5, 0.25];
            let y = device.tensor(&[first, second].concat(), [2, 3]).unwrap();
            let targets = || Targets::from(&labels).weights(&weights);
            let alone = device.tensor(&second, [1, 3]).unwrap();
            let label = device.labels(&[1]).unwrap();
            for reduction in [Reduction::Sum, Reduction::Mean] {
                let found = loss.forward(&y, targets(), reduction).unwrap().item().unwrap();
                let halves = reduction == Reduction::Mean && loss == Loss::multi_margin();
                let expected = loss.forward(&alone, &label, reduction).unwrap().item().unwrap();
                let expected = if halves { expected / 2.0 } else { expected };
                assert_eq!(found, expected, "{loss} on {device:?}");
                let slopes = loss.gradient(&y, targets(), reduction).unwrap().to_vec().unwrap();
                assert_eq!(slopes[..3], [0.0; 3], "{loss} on {device:?}");
            }
            let unknown = device.tensor(&[[nan; 3], second].concat(), [2, 3]).unwrap();
            let found = loss.forward(&unknown, targets(), Reduction::Sum).unwrap();
            let is_defined = loss == Loss::multi_margin();
            assert!(is_defined || found.item().unwrap().is_nan(), "{loss} on {device:?}");
        }
        // Element by element.
        let y = device.tensor(&[infinity, 0.5], [1, 2]).unwrap();
        let t = device.tensor(&[0.0, 0.5], [1, 2]).unwrap();
        let weights = device.tensor(&[0.0, 2.0], [1, 2]).unwrap();
        for loss in [Loss::bce_with_logits(), Loss::mse(), Loss::poisson_nll()] {
            let targets = Targets::from(&t).weights(&weights);
            let found = loss.forward(&y, &targets, Reduction::None).unwrap().to_vec().unwrap();
            assert!(found[0] == 0.0 && found[1].is_finite(), "{loss} on {device:?}: {found:?}");
            let slopes = loss.gradient(&y, &targets, Reduction::Sum).unwrap().to_vec().unwrap();
            assert!(slopes[0] == 0.0 && slopes[1].is_finite(), "{loss} on {device:?}: {slopes:?}");
        }
    }

    fn a_mean_over_no_weight_is_nan_with_smoothing_too(device) {
        let y = [0.25, 0.5, 0.25, 0.5, 0.25, 0.25];
        let yd = device.tensor(&y, [2, 3]).unwrap();
        let labels = device.labels(&[0, -100]).unwrap();
        let classes = [0.0, 1.0, 2.0];
        let class_weights = device.tensor(&classes, [3]).unwrap();
        for loss in [
            "cross_entropy(label_smoothing=0.25, ignore_index=-100)",
            "cross_entropy_with_logits(label_smoothing=0.25, ignore_index=-100)",
            "nll(ignore_index=-100)",
        ] {
            let loss: Loss = loss.parse().unwrap();
            let targets = Targets::from(&labels).class_weights(&class_weights);
            let found = loss.forward(&yd, &targets, Reduction::Mean).unwrap().item().unwrap();
            let slopes = loss.gradient(&yd, &targets, Reduction::Mean).unwrap().to_vec().unwrap();
            let mut exact = reference::Targets::labels(&[0, -100]);
            let wide_weights = wide(&classes);
            exact.class_weights = Some(&wide_weights);
            let exact = reference::loss(&LossProblem {
                loss: &loss, reduction: Reduction::Mean, y: &wide(&y), classes: 3, targets: exact,
            }).unwrap();
            assert!(found.is_nan() && exact.loss.is_nan(), "{loss} on {device:?}: {found}");
            // In a row with a label, only the output of that label contributes to nll.
            let parts = if matches!(loss, Loss::Nll { .. }) { 1 } else { 3 };
            for slopes in [&wide(&slopes[..3]), &exact.dy[..3]] {
                assert!(slopes[..parts].iter().all(|slope| slope.is_nan()), "{loss}: {slopes:?}");
                assert!(slopes[parts..].iter().all(|&slope| slope == 0.0), "{loss}: {slopes:?}");
            }
            assert_eq!((&slopes[3..], &exact.dy[3..]), (&[0.0; 3][..], &[0.0; 3][..]), "{loss}");
        }
    }

    fn ignored_rows_count_in_nothing_even_with_nan(device) {
        let loss = Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: Some(-1) };
        let y = device.tensor(&[0.5, 0.5, f32::NAN, 0.5, 0.25, 0.75], [3, 2]).unwrap();
        let all = device.labels(&[0, -1, 1]).unwrap();
        let found = loss.forward(&y, &all, Reduction::Mean).unwrap().item().unwrap();
        let kept = device.tensor(&[0.5, 0.5, 0.25, 0.75], [2, 2]).unwrap();
        let expected = loss.forward(&kept, &device.labels(&[0, 1]).unwrap(), Reduction::Mean).unwrap();
        assert_eq!(found, expected.item().unwrap());
        let gradient = loss.gradient(&y, &all, Reduction::Mean).unwrap().to_vec().unwrap();
        assert_eq!(gradient[2..4], [0.0, 0.0]);
    }

    fn nan_beside_the_label_is_one_of_its_row_and_changes_no_other(device) {
        let (rows, classes) = (7, 5);
        let classes_of_rows = random_labels(rows, classes, 3);
        let labels = device.labels(&classes_of_rows).unwrap();
        let weights = device.tensor(&[0.5, 1.0, 2.0, 0.25, 3.0, 0.1, 1.0], [rows]).unwrap();
        for loss in [Loss::nll(), Loss::cross_entropy()] {
            let values = distributions(rows, classes, 4);
            // In the third row, a class that is not its label.
            let at = 2 * classes + usize::from(classes_of_rows[2] == 0);
            let mut broken = values.clone();
            broken[at] = f32::NAN;
            let of = |values: &[f32]| {
                let y = device.tensor(values, [rows, classes]).unwrap();
                let targets = || Targets::from(&labels).weights(&weights);
                let losses = loss.forward(&y, targets(), Reduction::None).unwrap();
                let gradient = loss.gradient(&y, targets(), Reduction::Sum).unwrap();
                (losses.to_vec().unwrap(), gradient.to_vec().unwrap())
            };
            let ((whole, whole_gradient), (found, found_gradient)) = (of(&values), of(&broken));
            for row in 0..rows {
                assert_eq!(found[row].is_nan(), row == 2, "{loss}: {found:?}");
                assert!(row == 2 || found[row] == whole[row], "{loss}: {found:?}, {whole:?}");
            }
            for i in 0..rows * classes {
                assert_eq!(found_gradient[i].is_nan(), i == at, "{loss}: {found_gradient:?}");
                assert!(i == at || found_gradient[i] == whole_gradient[i], "{loss}: element {i}");
            }
        }
    }

    fn where_nothing_counts_the_mean_is_nan_the_sum_zero_and_the_gradient_zero(device) {
        let loss = Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(-100) };
        let y = device.tensor(&[0.5, 0.5, 0.5, 0.5], [2, 2]).unwrap();
        let labels = device.labels(&[-100, -100]).unwrap();
        assert!(loss.forward(&y, &labels, Reduction::Mean).unwrap().item().unwrap().is_nan());
        assert_eq!(loss.forward(&y, &labels, Reduction::Sum).unwrap().item().unwrap(), 0.0);
        assert_eq!(loss.gradient(&y, &labels, Reduction::Mean).unwrap().to_vec().unwrap(), [0.0; 4]);

        let empty = device.tensor(&[], [0, 2]).unwrap();
        for loss in [Loss::Mse, Loss::cross_entropy()] {
            assert!(loss.forward(&empty, &empty, Reduction::Mean).unwrap().item().unwrap().is_nan());
            assert_eq!(loss.forward(&empty, &empty, Reduction::Sum).unwrap().item().unwrap(), 0.0);
            assert!(loss.forward(&empty, &empty, Reduction::None).unwrap().is_empty());
            assert!(loss.gradient(&empty, &empty, Reduction::Mean).unwrap().is_empty());
        }
    }

    fn logits_are_not_taken_for_probabilities(device) {
        let t = device.tensor(&[0.0, 1.0, 0.0, 1.0, 0.0, 0.0], [2, 3]).unwrap();
        let labels = device.labels(&[1, 0]).unwrap();
        let logits = [0.5, 0.25, 0.125, 0.5, 2.0, 0.25];
        for loss in [Loss::cross_entropy(), Loss::bce(), Loss::focal()] {
            for (bad, column) in [(2.0, 1), (-0.5, 1), (f32::INFINITY, 1), (1.01, 1), (-0.01, 1)] {
                let mut values = logits;
                values[3 + column] = bad;
                let y = device.tensor(&values, [2, 3]).unwrap();
                for error in [
                    loss.forward(&y, &t, Reduction::Mean).unwrap_err(),
                    loss.forward(&y, &t, Reduction::None).unwrap_err(),
                    loss.gradient(&y, &t, Reduction::Mean).unwrap_err(),
                ] {
                    assert!(
                        matches!(error, Error::InvalidOutput { row: 1, column: 1, value, .. } if value == bad),
                        "{error}"
                    );
                    assert!(error.to_string().contains(&format!("{}_with_logits", loss.name())), "{error}");
                }
                // f16 values that the host wrote are known too.
                let halves = device.tensor_f16(&values.map(wgrad::half::f16::from_f32), [2, 3]).unwrap();
                let error = loss.gradient(&halves, &t, Reduction::Mean).unwrap_err();
                assert!(matches!(error, Error::InvalidOutput { row: 1, column: 1, .. }), "{error}");
                // Values computed on the device are not checked.
                let made = Activation::Identity.forward(&y).unwrap();
                loss.forward(&made, &t, Reduction::Mean).unwrap();
            }
            // Rounded probabilities, and NaN.
            for fine in [1.0, 0.0, -0.0, 1.0005, -1e-6, f32::NAN] {
                let mut values = logits;
                values[4] = fine;
                loss.forward(&device.tensor(&values, [2, 3]).unwrap(), &t, Reduction::Sum).unwrap();
            }
        }
        let y = device.tensor(&logits, [2, 3]).unwrap();
        let error = Loss::cross_entropy().forward(&y, &labels, Reduction::Mean).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cross_entropy: the output 2 in row 1, column 1 must be a probability, from 0 to 1; PyTorch's \
             cross_entropy, of logits, is cross_entropy_with_logits, or OutputLayer(Softmax, cross_entropy)"
        );
        // An ignored row, or one with the weight 0, may hold anything.
        let ignoring = Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(-1) };
        let padded = device.labels(&[1, -1]).unwrap();
        ignoring.forward(&y, &padded, Reduction::Mean).unwrap();
        let weights = device.tensor(&[1.0, 0.0], [2]).unwrap();
        let weighted = Targets::from(&labels).weights(&weights);
        ignoring.forward(&y, &weighted, Reduction::Mean).unwrap();
        weights.write(&[1.0, 0.5]).unwrap();
        assert!(ignoring.forward(&y, &weighted, Reduction::Mean).is_err());
        // Rates, and their logarithms.
        let rates = device.tensor(&[0.5, -1.5], [2]).unwrap();
        let counts = device.tensor(&[1.0, 2.0], [2]).unwrap();
        Loss::poisson_nll().forward(&rates, &counts, Reduction::Mean).unwrap();
        let of_rates = Loss::PoissonNll { log_input: false, full: false, eps: 1e-8 };
        let error = of_rates.forward(&rates, &counts, Reduction::Mean).unwrap_err();
        assert!(error.to_string().contains("log_input = true"), "{error}");
        // Losses that are linear in y, and losses of logits, accept any y.
        for loss in [Loss::nll(), Loss::cross_entropy_with_logits()] {
            loss.forward(&y, &labels, Reduction::Mean).unwrap();
        }
        Loss::kl_div().forward(&y, &t, Reduction::Mean).unwrap();
    }

    fn zeros_and_ones_are_not_taken_for_signs(device) {
        let y = device.tensor(&[0.5, -2.0, 1.5, 0.25], [2, 2]).unwrap();
        for loss in [Loss::hinge(), Loss::squared_hinge(), Loss::soft_margin(), Loss::hinge_embedding()] {
            for bad in [[1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.5, 0.0, 0.25]] {
                let t = device.tensor(&bad, [2, 2]).unwrap();
                let error = loss.gradient(&y, &t, Reduction::Mean).unwrap_err();
                assert!(matches!(error, Error::InvalidTarget { value: 0.0, .. }), "{error}");
                assert!(error.to_string().ends_with("it takes -1 and 1: 2t - 1"), "{error}");
                let made = Activation::Identity.forward(&t).unwrap();
                loss.gradient(&y, &made, Reduction::Mean).unwrap();
            }
            // Signs, equal signs, soft targets, targets that are left out, and targets not yet written.
            for fine in [[1.0, -1.0, 1.0, 1.0], [1.0; 4], [-1.0; 4], [0.5, -0.5, 0.0, 1.0], [0.0; 4]] {
                loss.forward(&y, &device.tensor(&fine, [2, 2]).unwrap(), Reduction::Mean).unwrap();
            }
        }
    }

    fn a_checked_device_looks_at_what_was_made_on_it(device) {
        let options = wgrad::DeviceOptions::from(device.info()).checked(true);
        let checked = pollster::block_on(Device::request(options)).unwrap();
        for (device, is_checked) in [(device, false), (&checked, true)] {
            let make = |values: &[f32]| {
                Activation::Identity.forward(&device.tensor(values, [values.len()]).unwrap()).unwrap()
            };
            let (logits, t) = (make(&[2.0, -1.0, 0.5]), make(&[0.0, 1.0, 1.0]));
            for loss in [Loss::bce(), Loss::focal(), Loss::cross_entropy()] {
                let result = loss.forward(&logits, &t, Reduction::Mean);
                assert_eq!(result.is_err(), is_checked, "{loss} on {device:?}");
                let result = loss.gradient(&logits.to_dtype(wgrad::DType::F16).unwrap(), &t, Reduction::Mean);
                assert_eq!(result.is_err(), is_checked, "{loss} on {device:?}");
            }
            for loss in [Loss::hinge(), Loss::squared_hinge(), Loss::soft_margin(), Loss::hinge_embedding()] {
                let result = loss.gradient(&logits, &t, Reduction::Mean);
                assert_eq!(result.is_err(), is_checked, "{loss} on {device:?}");
            }
        }
    }

    fn plans_look_at_outputs_at_each_run(device) {
        let y = device.tensor(&[0.5, 0.25], [1, 2]).unwrap();
        let t = device.tensor(&[1.0, 0.0], [1, 2]).unwrap();
        let plan = device.record(|| Loss::bce().forward(&y, &t, Reduction::Mean)).unwrap();
        plan.run().unwrap();
        y.write(&[3.0, -2.0]).unwrap();
        assert!(matches!(plan.run().unwrap_err(), Error::InvalidOutput { .. }));
        y.write(&[0.5, 0.5]).unwrap();
        plan.run().unwrap();
        assert!(plan.outputs().item().unwrap().is_finite());
    }

    fn what_does_not_fit_is_an_error(device) {
        let y = device.tensor(&[0.5; 6], [2, 3]).unwrap();
        let other = device.tensor(&[0.5; 6], [3, 2]).unwrap();
        let error = Loss::Mse.forward(&y, &other, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let none = device.zeros([2, 0]).unwrap();
        let error = Loss::cross_entropy().forward(&none, &none, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let labels = device.labels(&[0, 1, 2]).unwrap();
        let error = Loss::cross_entropy().forward(&y, &labels, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let error = Loss::Mse.gradient(&y, &device.labels(&[0, 1]).unwrap(), Reduction::Sum).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        for (bad, row) in [([0, 3], 1), ([-1, 0], 0), ([1, i32::MIN], 1)] {
            let error = Loss::cross_entropy()
                .forward(&y, &device.labels(&bad).unwrap(), Reduction::Mean)
                .unwrap_err();
            assert_eq!(error, Error::InvalidLabel { row, label: bad[row], classes: 3 });
        }
        for smoothing in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let loss = Loss::CrossEntropy { label_smoothing: smoothing, ignore_index: None };
            let error = loss.forward(&y, &y, Reduction::Mean).unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
        }
        let y_labels = device.labels(&[0, 1]).unwrap();
        let weights = device.tensor(&[1.0; 2], [2]).unwrap();
        let three = device.tensor(&[1.0; 3], [3]).unwrap();
        let shape_errors = [
            (Loss::cross_entropy(), Targets::from(&y_labels).class_weights(&weights)),
            (Loss::multi_margin(), Targets::from(&y_labels).class_weights(&weights)),
            (Loss::nll(), Targets::from(&y_labels).weights(&three)),
            (Loss::mse(), Targets::from(&y).weights(&three)),
            (Loss::bce_with_logits(), Targets::from(&y).pos_weight(&weights)),
            (Loss::gaussian_nll(), Targets::from(&y).variance(&three)),
        ];
        for (loss, targets) in shape_errors {
            let error = loss.forward(&y, &targets, Reduction::Mean).unwrap_err();
            assert!(matches!(error, Error::ShapeMismatch { .. }), "{loss}: {error}");
        }
        let unsupported = [
            (Loss::mse(), Targets::from(&y).class_weights(&three)),
            (Loss::mse(), Targets::from(&y).pos_weight(&three)),
            (Loss::bce(), Targets::from(&y).pos_weight(&three)),
            (Loss::mse(), Targets::from(&y).variance(&y)),
            (Loss::gaussian_nll(), Targets::from(&y)),
            (Loss::multi_margin(), Targets::from(&y)),
        ];
        for (loss, targets) in unsupported {
            let error = loss.gradient(&y, &targets, Reduction::Mean).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{loss}: {error}");
        }
        let bad_values = [
            (Loss::bce(), [0.0, 1.0, 0.5, 1.0, 1.5, 0.0], 1.5),
            (Loss::focal(), [0.0, 1.0, 0.5, 1.0, -0.5, 0.0], -0.5),
            (Loss::cross_entropy(), [0.0, 1.0, 0.5, 1.0, -0.1, 0.0], -0.1),
            (Loss::cross_entropy_with_logits(), [0.0, 1.0, 0.5, 1.0, -0.1, 0.0], -0.1),
            (Loss::kl_div(), [0.0, 1.0, 0.5, 1.0, -2.0, 0.0], -2.0),
        ];
        for (loss, values, bad) in bad_values {
            let targets = device.tensor(&values, [2, 3]).unwrap();
            let error = loss.gradient(&y, &targets, Reduction::Mean).unwrap_err();
            assert!(
                matches!(error, Error::InvalidTarget { row: 1, column: 1, value, .. } if value == bad),
                "{error}"
            );
        }
        let negative = device.tensor(&[0.5, -0.5], [2]).unwrap();
        let targets = Targets::from(&y).variance(&negative);
        let error = Loss::gaussian_nll().forward(&y, &targets, Reduction::Mean).unwrap_err();
        assert_eq!(error.to_string(), "variance = -0.5: must not be negative");
        let elsewhere = Device::cpu().tensor(&[1.0; 3], [3]).unwrap();
        let targets = Targets::from(&y_labels).class_weights(&elsewhere);
        let error = Loss::cross_entropy().forward(&y, &targets, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { .. }), "{error}");
        for text in ["huber(delta=0)", "gaussian_nll(eps=0)", "multi_margin(p=3)", "smooth_l1(beta=-1)", "focal(alpha=2)"] {
            let error = text.parse::<Loss>().unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{text}: {error}");
        }
        // Valid arguments, with the targets as a separate value.
        let targets = Targets::from(&y);
        assert_eq!(Loss::Mse.forward(&y, &targets, Reduction::Mean).unwrap().item().unwrap(), 0.0);
    }
}

/// Compares the gradients with finite differences of the reference's losses.
#[test]
fn the_reference_gradients_are_the_slopes_of_the_losses() {
    for loss in losses() {
        let data = Data::new(&loss, &[4, 3]);
        let (y, dense, positive) = (wide(&data.y), wide(&data.dense), wide(&data.positive));
        for labels in [false, true] {
            if (labels && !is_on_rows(&loss)) || (!labels && takes_labels_only(&loss)) {
                continue;
            }
            let mut targets = if labels {
                reference::Targets::labels(&data.labels)
            } else {
                reference::Targets::dense(&dense)
            };
            targets.weights = Some(&positive[..4]);
            targets.class_weights = is_on_rows(&loss).then_some(&positive[..3]);
            targets.pos_weight = (loss == Loss::BceWithLogits).then_some(&positive[..3]);
            targets.variance = Some(&positive);
            let at = |y: &[f64]| {
                let (loss, reduction) = (&loss, Reduction::Mean);
                reference::loss(&LossProblem { loss, reduction, y, classes: 3, targets }).unwrap()
            };
            let exact = at(&y);
            for i in 0..y.len() {
                let moved = |h: f64| {
                    let mut y = y.clone();
                    y[i] += h;
                    at(&y).loss
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                let what =
                    format!("{loss} at y = {}, labels {labels}: {slope} and {}", y[i], exact.dy[i]);
                assert!(
                    approx::relative_eq!(slope, exact.dy[i], epsilon = 1e-8, max_relative = 1e-6),
                    "{what}"
                );
            }
        }
    }
}

/// A fused loss equals the composition, at arguments for which the composition keeps its digits.
#[test]
fn losses_of_logits_are_those_of_probabilities() {
    let z = wide(&normal(12, 2.0, 1));
    let p: Vec<f64> = z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
    let t: Vec<f64> = (0..12).map(|i| f64::from(i % 4) / 3.0).collect();
    for (of_logits, of_probabilities) in
        [(Loss::bce_with_logits(), Loss::bce()), (Loss::focal_with_logits(), Loss::focal())]
    {
        for (i, (&z, &p)) in z.iter().zip(&p).enumerate() {
            let (loss, gradient) = (reference::loss_term, reference::loss_term_gradient);
            approx::assert_relative_eq!(
                loss(&of_logits, z, t[i]),
                loss(&of_probabilities, p, t[i]),
                max_relative = 1e-12
            );
            approx::assert_relative_eq!(
                gradient(&of_logits, z, t[i]),
                gradient(&of_probabilities, p, t[i]) * p * (1.0 - p),
                max_relative = 1e-10
            );
        }
    }
}
