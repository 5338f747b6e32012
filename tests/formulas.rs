//! Activations and losses that are defined by a formula.

mod common;
#[path = "../examples/digits/data.rs"]
mod digits;

use common::{EXTREMES, normal, ulps};
use wgrad::{
    Activation, Adam, DType, Dense, Device, Error, Gated, Loss, OutputLayer, Outputs, Reduction,
    Sgd, Tensor, reference,
};
use wgrad_formula::expression::{ACTIVATIONS, Custom, Of};

/// A formula, its parameters, and where it comes from.
type Case = (&'static str, &'static [(&'static str, f32)], &'static str);

const PUBLISHED: &[Case] = &[
    ("z * sigmoid(beta * z)", &[("beta", 1.702)], "swish, Ramachandran 2017"),
    ("log(1 + exp(z - 1)) - 0.08 * z - 0.313261687", &[], "SwooshR, Zipformer, Yao 2023"),
    ("log(1 + exp(z - 4)) - 0.08 * z - 0.035", &[], "SwooshL, Zipformer, Yao 2023"),
    ("z * erf(log(1 + exp(z)))", &[], "serf, Nag 2021"),
    ("z * tanh(exp(z))", &[], "TanhExp, Liu 2020"),
    ("z * atan(exp(z)) * 2 / pi", &[], "after Phish and others, 2023"),
    ("z * tanh(gelu(z))", &[], "phish, Naveen 2022"),
    ("z * log(1 + tanh(exp(z)))", &[], "LogTanhExp"),
    ("z * tanh(log(1 + sigmoid(z)))", &[], "logish-like, Zhu 2021"),
    ("a * z * log(1 + sigmoid(b * z))", &[("a", 1.0), ("b", 10.0)], "logish, Zhu 2021"),
    ("select(z > 0, z, z / (1 + abs(z)))", &[], "softsign-relu"),
    ("select(z > 0, z * atan(z), z / (1 + z^2))", &[], "after Wu 2023"),
    ("z / sqrt(1 + a * z^2)", &[("a", 3.0)], "ISRU, Carlile 2017"),
    ("select(z >= 0, z, z / sqrt(1 + a * z^2))", &[("a", 3.0)], "ISRLU, Carlile 2017"),
    ("select(z > 0, z^2 + 0.5 * z, select(z < -0.5, 0, 0.5 * z + z^2))", &[], "piecewise parabola"),
    ("relu(z)^3", &[], "cubic relu, splines"),
    ("max(z, 0.01 * z)", &[], "leaky relu as a maximum"),
    ("min(max(z + 3, 0), 6) / 6 * z", &[], "hard swish, Howard 2019"),
    ("z + sin(a * z)^2 / a", &[("a", 2.0)], "snake, Ziyin 2020"),
    ("sin(omega * z) * exp(-z^2 / 2)", &[("omega", 5.0)], "Gabor wavelet, WIRE, Saragadam 2023"),
    ("(1 - z^2) * exp(-z^2 / 2)", &[], "Mexican hat"),
    ("cos(z) - z", &[], "GCU's relative, Noel 2021"),
    ("z * cos(z)", &[], "growing cosine unit, Noel 2021"),
    (
        "tanh(alpha * z) * gamma + beta",
        &[("alpha", 0.5), ("gamma", 1.2), ("beta", 0.1)],
        "dynamic tanh, Zhu 2025",
    ),
    (
        "alpha * z^2 + select(z > 0, 0.5 * z, 0.5 * z)",
        &[("alpha", 0.8)],
        "xIELU's shape, Huang 2024",
    ),
    ("z * (1 + erf(z / sqrt(2))) / 2", &[], "gelu, Hendrycks 2016"),
    ("0.5 * z * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z^3)))", &[], "gelu's approximation"),
    ("log(1 + exp(beta * z)) / beta", &[("beta", 2.0)], "softplus"),
    ("z * min(1, max(0, 0.2 * z + 0.5))", &[], "hard silu, Keras 2"),
    ("elu(z, alpha=0.5) * sigmoid(z) + erfc(z) * expm1(-abs(z))", &[], "a composition"),
    ("z * normal_cdf(k * z) + log1p(z^2)", &[("k", 1.3)], "a composition"),
    ("(1 + z^2)^0.25 * sign(z) + pow(abs(z) + 1, p)", &[("p", 0.7)], "powers"),
];

fn activation(&(text, parameters, _): &Case) -> Activation {
    Activation::from_formula(text, parameters).unwrap_or_else(|error| panic!("{error}"))
}

fn arguments() -> Vec<f32> {
    let mut z = normal(601, 2.0, 3);
    z.extend([0.0, -0.0, 0.5, -0.5, 1.0, 3.0, -3.0, 6.0, 9.0, -9.0]);
    z
}

fn reference_value(activation: &Activation, z: f64) -> f64 {
    reference::forward(activation, &[z], 1)[0]
}

/// Values of the f64 reference: g, g' and g''.
fn exact(activation: Activation, z: f32) -> [f64; 3] {
    [
        reference_value(&activation, z.into()),
        reference::derivative(&activation, z.into()),
        reference::second_derivative(&activation, z.into()),
    ]
}

#[test]
fn derivatives_are_those_of_finite_differences() {
    for case in PUBLISHED {
        let activation = activation(case);
        for z in normal(200, 2.0, 5) {
            let (z, step) = (f64::from(z), 1e-5);
            let g = |z: f64| reference_value(&activation, z);
            let slope = |z: f64| reference::derivative(&activation, z);
            let [first, second] = [&g as &dyn Fn(f64) -> f64, &slope]
                .map(|f| (f(z + step) - f(z - step)) / (2.0 * step));
            let found = [slope(z), reference::second_derivative(&activation, z)];
            for (order, (found, estimate)) in found.into_iter().zip([first, second]).enumerate() {
                let error = (found - estimate).abs() / (1.0 + estimate.abs());
                assert!(
                    error < 1e-6,
                    "{activation} order {} at {z}: {found} {estimate}",
                    order + 1
                );
            }
        }
        // The last one jumps at 0.
        let expected = if case.0.contains("sign(") { 1 } else { 0 };
        assert_eq!(
            activation.warnings().len(),
            expected,
            "{activation}: {:?}",
            activation.warnings()
        );
    }
}

/// The functions whose plain formula loses digits at some arguments, by order. The hand-written kernels have a way around
/// that.
const EXEMPT: &[(&str, &[usize])] = &[
    // Around a root, a sum cancels.
    ("hard_sigmoid", &[0]),
    ("hard_swish", &[0, 1]),
    ("gaussian", &[2]),
    ("silu", &[2]),
    ("swish", &[2]),
    ("quick_gelu", &[2]),
    ("gelu", &[1, 2]),
    ("gelu_tanh", &[0, 1, 2]),
    ("mish", &[0, 1, 2]),
    ("lisht", &[2]),
    ("snake", &[1, 2]),
    // The difference cancels near 0.
    ("tanhshrink", &[0]),
    // The sum cancels for negative z; the square overflows.
    ("squareplus", &[0, 1]),
    // Around the root 0.5 the logarithm cancels; some drivers flush the square of a small argument.
    ("logit", &[0, 2]),
    // The fourth power overflows.
    ("arctan", &[2]),
];

/// The largest error of g, g' and g'' in ULP, with its argument, over arguments at a stride over all floats.
fn worst_errors(device: &Device, derived: Activation, known: Activation) -> [(f64, f32); 3] {
    const STRIDE: usize = 65_521;
    let z: Vec<f32> =
        (0..u32::MAX).step_by(STRIDE).map(f32::from_bits).filter(|z| z.is_normal()).collect();
    let tensor = device.tensor(&z, [z.len()]).unwrap();
    let found =
        [derived.forward(&tensor), derived.derivative(&tensor), derived.second_derivative(&tensor)];
    let mut worst = [(0.0, 0.0); 3];
    for (order, found) in found.into_iter().enumerate() {
        for (&z, found) in z.iter().zip(found.unwrap().to_vec().unwrap()) {
            let exact = exact(known, z)[order];
            // At the ends of the range, drivers that flush subnormal numbers lose an intermediate result.
            if !(1e-36..1e38).contains(&exact.abs()) {
                continue;
            }
            let error = ulps(found, exact);
            if error > worst[order].0 {
                worst[order] = (error, z);
            }
        }
    }
    worst
}

on_every_device! {
    fn formulas_from_papers_are_computed(device) {
        let values = arguments();
        let z = device.tensor(&values, [values.len()]).unwrap();
        let upstream = normal(values.len(), 1.0, 7);
        let dy = device.tensor(&upstream, [values.len()]).unwrap();
        for case in PUBLISHED {
            let g = activation(case);
            let found = [g.forward(&z), g.derivative(&z), g.second_derivative(&z), g.backward(&z, &dy)];
            let found = found.map(|it| it.unwrap().to_vec().unwrap());
            for (i, &z) in values.iter().enumerate() {
                let [y, slope, second] = exact(g, z);
                let exact = [y, slope, second, slope * f64::from(upstream[i])];
                for (order, exact) in exact.into_iter().enumerate() {
                    let error = (f64::from(found[order][i]) - exact).abs();
                    let tolerance = 2e-6 * (1.0 + exact.abs()) * (1.0 + f64::from(z.abs()));
                    assert!(error <= tolerance, "{g} [{order}] at {z}: {} for {exact}", found[order][i]);
                }
            }
        }
    }

    fn they_work_wherever_an_activation_does(device) {
        let g = Activation::from_formula("z * sigmoid(beta * z) + 0.1 * abs(z)", &[("beta", 1.3)]).unwrap();
        let like = |text: &str| Activation::from_formula(text, &[("beta", 1.3)]).unwrap();
        assert_eq!(g, like("z * sigmoid(beta * z) + 0.1 * abs(z)"));
        let (x, w) = (normal(37 * 5, 1.0, 1), normal(5 * 9, 0.7, 2));
        let (x, w) = (device.tensor(&x, [37, 5]).unwrap(), device.tensor(&w, [5, 9]).unwrap());
        // The layers agree with the functions, one after the other.
        let z = OutputLayer::new(Activation::Identity, Loss::mse()).forward(&x, &w, None).unwrap();
        let y = g.forward(&z).unwrap().to_vec().unwrap();
        let close = |what: &str, a: &Tensor, b: &[f32]| {
            let a = a.to_vec().unwrap();
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 3e-5 * (1.0 + b.abs()), "{what} on {device:?}: {a} {b}");
            }
        };
        let dense = Dense::new(g);
        let forward = dense.forward(&x, &w, None).unwrap();
        close("dense", &forward.y, &y);
        let dy = device.tensor(&normal(37 * 9, 1.0, 4), [37, 9]).unwrap();
        let dz = g.backward(&z, &dy).unwrap();
        let identity = Dense::new(Activation::Identity);
        let plain = identity.forward(&x, &w, None).unwrap();
        let plain = identity.backward(&x, &w, &plain, &dz).unwrap();
        let gradients = dense.backward(&x, &w, &forward, &dy).unwrap();
        close("dw", &gradients.dw, &plain.dw.to_vec().unwrap());
        close("dx", &gradients.dx, &plain.dx.to_vec().unwrap());
        // Every loss on top of it.
        let unit = |seed| normal(37 * 9, 1.0, seed).iter().map(|t| 0.5 + 0.4 * t.sin()).collect::<Vec<f32>>();
        let t = device.tensor(&unit(6), [37, 9]).unwrap();
        let positive = Activation::from_formula("sigmoid(beta * z) * 0.98 + 0.01", &[("beta", 1.3)]).unwrap();
        let y = positive.forward(&z).unwrap();
        for loss in Loss::all().filter(|loss| !loss.is_on_rows()) {
            let layer = OutputLayer::new(positive, loss);
            let targets = match loss {
                Loss::GaussianNll { .. } | Loss::Hinge | Loss::SquaredHinge | Loss::SoftMargin
                | Loss::HingeEmbedding { .. } => continue,
                _ => &t,
            };
            let found = layer.gradients(&x, &w, None, targets).unwrap();
            let dy = loss.gradient(&y, targets, Reduction::Mean).unwrap();
            let dz = positive.backward(&z, &dy).unwrap().to_vec().unwrap();
            close(&format!("dz of {loss}"), &found.dz, &dz);
            let value = loss.forward(&y, targets, Reduction::Mean).unwrap().item().unwrap();
            assert!((found.loss.item().unwrap() - value).abs() < 1e-5 * (1.0 + value.abs()), "{loss}");
        }
        // Gated units, halves and plans.
        let gated = Gated::new(g).unwrap();
        let pairs = device.tensor(&normal(6 * 8, 1.0, 8), [6, 8]).unwrap();
        let outputs = gated.forward(&pairs).unwrap();
        let out = device.tensor(&normal(6 * 4, 1.0, 9), [6, 4]).unwrap();
        gated.backward(&pairs, &out).unwrap().to_vec().unwrap();
        let halves = pairs.to_dtype(DType::F16).unwrap();
        let narrow = g.forward(&halves).unwrap();
        assert_eq!(narrow.dtype(), DType::F16);
        close("f16", &narrow.to_dtype(DType::F32).unwrap(), &g.forward(&halves.to_dtype(DType::F32).unwrap()).unwrap().to_dtype(DType::F16).unwrap().to_vec().unwrap());
        let plan = device.record(|| gated.forward(&pairs)).unwrap();
        plan.run().unwrap();
        assert_eq!(plan.outputs().to_vec().unwrap(), outputs.to_vec().unwrap());
    }

    fn nan_stays_nan_and_infinities_follow_f64(device) {
        let mut values = EXTREMES.to_vec();
        values.push(f32::NAN);
        let z = device.tensor(&values, [values.len()]).unwrap();
        for text in ["tanh(z)^3 * 2", "relu(z) * 0 + step(z)", "select(z > 1, 2, -atan(z))", "exp(-abs(z))",
            "max(z, 1)", "min(1, z)", "sigmoid(z) + 0.25", "sign(z) * 3", "erf(z) + 0.5", "7 + 0 * z"] {
            let g = Activation::from_formula(text, &[]).unwrap();
            let found = [g.forward(&z), g.derivative(&z)].map(|it| it.unwrap().to_vec().unwrap());
            for (i, &z) in values.iter().enumerate() {
                let [y, slope, _] = exact(g, z);
                for (found, exact) in [(found[0][i], y), (found[1][i], slope)] {
                    let is_same = if exact.is_nan() { found.is_nan() } else {
                        found == exact as f32 || (f64::from(found) - exact).abs() <= 4e-7 * exact.abs() + 1e-37
                    };
                    assert!(is_same, "{text} at {z} on {device:?}: {found} for {exact}");
                }
            }
        }
    }

    fn parameters_learn(device) {
        let values = normal(5000, 2.0, 3);
        let upstream = normal(5000, 1.0, 4);
        let [z, dy] = [&values, &upstream].map(|it| device.tensor(it, [5000]).unwrap());
        let text = "a * z * sigmoid(beta * z)";
        let g = Activation::from_formula(text, &[("a", 1.5), ("beta", 0.7)]).unwrap();
        let found: Vec<f32> = g.parameter_gradients(&z, &dy).unwrap().iter().map(|it| it.item().unwrap()).collect();
        let step = 1e-2;
        for (place, name) in ["a", "beta"].into_iter().enumerate() {
            let value: f32 = g.parameters()[place].1.parse().unwrap();
            let total = |value: f32| -> f64 {
                let g = g.with_parameter(name, value).unwrap();
                let terms = values.iter().zip(&upstream);
                terms.map(|(z, dy)| f64::from(*dy) * reference_value(&g, f64::from(*z))).sum()
            };
            let estimate = (total(value + step) - total(value - step)) / (2.0 * f64::from(step));
            let error = (f64::from(found[place]) - estimate).abs() / (1.0 + estimate.abs());
            assert!(error < 1e-3, "{name}: {} {estimate}", found[place]);
        }
    }

    fn parameters_learn_in_layers(device) {
        let shapes = [[9, 4], [4, 3], [1, 3], [9, 3]];
        let random = |place: usize| normal(shapes[place][0] * shapes[place][1], 0.8, place as u64);
        let tensor = |place: usize| device.tensor(&random(place), shapes[place]).unwrap();
        let [x, w, t] = [tensor(0), tensor(1), tensor(3)];
        let b = tensor(2).reshape([3]).unwrap();
        let layer = |it| OutputLayer::new(it, Loss::Mse).reduction(Reduction::Sum);
        let items = |tensors: &[Tensor]| -> Vec<f32> {
            tensors.iter().map(|it| { assert!(it.shape().is_empty()); it.item().unwrap() }).collect()
        };
        let close = |what: &str, found: &[f32], exact: &[f32]| {
            assert_eq!(found.len(), exact.len(), "{what}");
            for (found, exact) in found.iter().zip(exact) {
                let error = (found - exact).abs() / (1.0 + exact.abs());
                assert!(error < 2e-3, "{what} on {device:?}: {found} {exact}");
            }
        };
        for (text, parameters) in [
            ("a * z * sigmoid(beta * z)", &[("a", 1.5), ("beta", 0.7)][..]),
            // Equal to one of the catalogue whose output determines its derivative.
            ("select(z > 0, z, slope * z)", &[("slope", 0.2)]),
            ("a * z / a", &[("a", 0.5)]),
        ] {
            let g = Activation::from_formula(text, parameters).unwrap();
            // The slope of the loss of the f64 reference.
            let exact: Vec<f32> = parameters.iter().map(|&(name, value)| {
                let at = |value: f32| -> f64 {
                    let g = g.with_parameter(name, value).unwrap();
                    let (x, w, b, t) = (random(0), random(1), random(2), random(3));
                    let mut total = 0.0;
                    for row in 0..9 {
                        for column in 0..3 {
                            let z: f64 = (0..4).map(|i| f64::from(x[row * 4 + i]) * f64::from(w[i * 3 + column])).sum();
                            let z = z + f64::from(b[column]);
                            total += (reference_value(&g, z) - f64::from(t[row * 3 + column])).powi(2);
                        }
                    }
                    total
                };
                let step = 1.0 / 64.0;
                ((at(value + step) - at(value - step)) / (2.0 * f64::from(step))) as f32
            }).collect();
            let gradients = layer(g).gradients(&x, &w, Some(&b), &t).unwrap();
            close(text, &items(&gradients.parameters), &exact);
            let only = layer(g).outputs(Outputs::PARAMETERS).gradients(&x, &w, Some(&b), &t).unwrap();
            assert_eq!(items(&only.parameters), items(&gradients.parameters));
            assert!(only.y.is_empty() && only.dw.is_empty());
            let none = layer(g).outputs(Outputs::all() - Outputs::PARAMETERS).gradients(&x, &w, Some(&b), &t).unwrap();
            assert!(none.parameters.is_empty());
            assert_eq!(none.dw.to_vec().unwrap(), gradients.dw.to_vec().unwrap());

            // The same through a hidden layer, whose dE/dy is that of the loss.
            let dense = Dense::new(g);
            let forward = dense.forward(&x, &w, Some(&b)).unwrap();
            let dy = Loss::Mse.gradient(&forward.y, &t, Reduction::Sum).unwrap();
            let backward = dense.backward(&x, &w, &forward, &dy).unwrap();
            close(text, &items(&backward.parameters), &exact);
            let half = |tensor: &Tensor| tensor.to_dtype(DType::F16).unwrap();
            let halves = dense.backward(&half(&x), &half(&w), &dense.forward(&half(&x), &half(&w), Some(&b)).unwrap(), &dy).unwrap();
            for (found, exact) in items(&halves.parameters).iter().zip(&exact) {
                assert!((found - exact).abs() < 0.02 * (1.0 + exact.abs()), "{text}: {found} {exact}");
            }

            // In parts.
            let twice: Vec<f32> = exact.iter().map(|it| 2.0 * it).collect();
            let sum = dense.accumulate_backward(&x, &w, &forward, &dy, &backward).unwrap();
            close(text, &items(&sum.parameters), &twice);
            close(text, &items(&backward.parameters), &twice);
            let sum = layer(g).accumulate_gradients(&x, &w, Some(&b), &t, &gradients).unwrap();
            close(text, &items(&sum.parameters), &twice);
            let error = layer(g).accumulate_gradients(&x, &w, Some(&b), &t, &none).unwrap_err();
            assert!(error.to_string().contains("gradients of parameters"), "{error}");
            assert_eq!(items(&sum.parameters), items(&gradients.parameters), "nothing is added");

            // An optimizer takes them.
            let learned = g.parameter_tensors(device).unwrap();
            let pairs: Vec<_> = learned.iter().zip(&backward.parameters).collect();
            Sgd::new(0.01).step(&pairs).unwrap();
            let stepped = g.with_parameter_tensors(&learned).unwrap();
            for (((_, after), (_, before)), slope) in stepped.parameters().iter().zip(g.parameters()).zip(&twice) {
                let (after, before): (f32, f32) = (after.parse().unwrap(), before.parse().unwrap());
                assert!((after - (before - 0.01 * slope)).abs() < 1e-3, "{after} {before} {slope}");
            }
            assert!(g.with_parameter_tensors(&[]).is_err());
        }
        // Ignored rows add nothing, whatever x holds there.
        let g = Activation::from_formula("a * sigmoid(z)", &[("a", 0.9)]).unwrap();
        let layer = OutputLayer::new(g, Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(-1) });
        let labels = [0, 1, -1, 2, -1, 0, 1, 2, -1];
        let mut with_nan = random(0);
        for (row, label) in labels.iter().enumerate() {
            if *label < 0 {
                with_nan[row * 4..row * 4 + 4].fill(f32::NAN);
            }
        }
        let labels = device.labels(&labels).unwrap();
        let with_nan = device.tensor(&with_nan, shapes[0]).unwrap();
        let [clean, dirty] = [&x, &with_nan].map(|x| layer.gradients(x, &w, Some(&b), &labels).unwrap());
        assert_eq!(items(&clean.parameters), items(&dirty.parameters));
        assert!(clean.parameters[0].item().unwrap() < 0.0);
        // The catalogue has no such gradients.
        let silu = Dense::new(Activation::Silu);
        let dy = device.zeros([9, 3]).unwrap();
        let backward = silu.backward(&x, &w, &silu.forward(&x, &w, None).unwrap(), &dy).unwrap();
        assert!(backward.parameters.is_empty());
    }

    fn the_catalogue_is_derived_from_its_formulas(device) {
        let mut broken = Vec::new();
        for named in ACTIVATIONS {
            let custom = Custom::new(Of::Activation, named.text, named.parameters).unwrap();
            let (derived, known) = (Activation::Custom(custom), named.name.parse::<Activation>().unwrap());
            let worst = worst_errors(device, derived, known);
            let bounds = [0, 1, 2].map(|order| known.ulp_bound(order).unwrap());
            println!("{:<18} {:>10.1} {:>10.1} {:>10.1}   {bounds:?}", named.name, worst[0].0, worst[1].0, worst[2].0);
            for (order, (error, z)) in worst.into_iter().enumerate() {
                let is_exempt = EXEMPT.iter().any(|(name, orders)| *name == named.name && orders.contains(&order));
                if error > 16.0 && !is_exempt {
                    broken.push(format!("{} order {order}: {error} ULP at {z}", named.name));
                }
            }
        }
        assert!(broken.is_empty(), "on {device:?}: {broken:#?}");
    }

    fn losses_are_sums_of_their_terms(device) {
        let (y, t) = (normal(777, 1.5, 1), normal(777, 1.0, 2));
        let [ty, tt] = [&y, &t].map(|it| device.tensor(it, [111, 7]).unwrap());
        for (text, parameters) in [
            ("(y - t)^2 / 2", vec![]),
            ("log(exp(y - t) + exp(t - y)) - 0.693147", vec![]),
            ("c^2 / 2 * log(1 + ((y - t) / c)^2)", vec![("c", 2.0)]),
            ("select(abs(y - t) < delta, (y - t)^2 / 2, delta * (abs(y - t) - delta / 2))", vec![("delta", 0.8)]),
            ("max(q * (t - y), (q - 1) * (t - y))", vec![("q", 0.9)]),
        ] {
            let loss = Loss::from_formula(text, &parameters).unwrap();
            assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
            let terms = loss.forward(&ty, &tt, Reduction::None).unwrap().to_vec().unwrap();
            let slopes = loss.gradient(&ty, &tt, Reduction::Sum).unwrap().to_vec().unwrap();
            for i in 0..y.len() {
                let of = |y: f64| Loss::from_formula(text, &parameters).map(|loss| reference::loss_term(&loss, y, t[i].into())).unwrap();
                let estimate = (of(f64::from(y[i]) + 1e-6) - of(f64::from(y[i]) - 1e-6)) / 2e-6;
                assert!((f64::from(terms[i]) - of(y[i].into())).abs() < 2e-6 * (1.0 + of(y[i].into()).abs()), "{text}");
                assert!((f64::from(slopes[i]) - estimate).abs() < 1e-4, "{text} at {}: {} {estimate}", y[i], slopes[i]);
            }
            let sum = loss.forward(&ty, &tt, Reduction::Sum).unwrap().item().unwrap();
            let exact: f64 = terms.iter().map(|term| f64::from(*term)).sum();
            assert!((f64::from(sum) - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{text}: {sum} {exact}");
        }
    }
}

#[test]
fn warnings_name_an_argument() {
    for (text, warning) in [
        ("log(z)", "g(z) is not defined at z = -20"),
        ("sin(z) / z", "g(z) is not defined at z = 0"),
        ("sqrt(z + 500)", "g(z) is not defined at z = -1000"),
        (
            "(exp(z) + 2) / (exp(z) + 1)",
            "g'(z) is NaN at z = 100, where a part of the formula is more",
        ),
        ("exp(z) / (exp(z) + 2)", "g(z) is NaN at z = 100"),
        ("(z^10 + 1) / (z^10 + 2)", "g(z) is NaN at z = 10000, where a part"),
        ("sign(z) * z^2 + step(z - 3)", "g'(z) is not the slope of g near z = 3"),
    ] {
        let warnings = Activation::from_formula(text, &[]).unwrap().warnings();
        let found = warnings.first().map_or("no warning", String::as_str);
        assert!(found.starts_with(warning), "{text}: {found}");
    }
    for text in ["z * tanh(exp(z))", "exp(-z^2)", "1 / (1 + exp(-z))"] {
        assert!(Activation::from_formula(text, &[]).unwrap().warnings().is_empty(), "{text}");
    }
}

#[test]
fn another_value_compiles_nothing() {
    // Devices of its own: other tests compile at the same time.
    for info in Device::enumerate() {
        let device = Device::open(&info).unwrap();
        let g = Activation::from_formula("z * tanh(a * z)", &[("a", 0.5)]).unwrap();
        let z = device.tensor(&[1.0, -2.0], [2]).unwrap();
        g.forward(&z).unwrap().to_vec().unwrap();
        let before = device.counters();
        for step in 0..2000 {
            let a = 0.5 + step as f32 * 0.001;
            let y = g.with_parameter("a", a).unwrap().forward(&z).unwrap().to_vec().unwrap();
            let exact = [a.tanh(), -2.0 * (-2.0 * a).tanh()];
            assert!(
                (y[0] - exact[0]).abs() < 1e-6 && (y[1] - exact[1]).abs() < 1e-6,
                "{info} {a}: {y:?}"
            );
        }
        assert_eq!(device.counters().pipelines, before.pipelines, "{info}");
        assert!(device.counters().dispatches >= before.dispatches + 2000, "{info}");
    }
}

/// Trains 64-32-10 for one epoch, with the parameters of the formula; returns the accuracy on the rest of the digits.
fn trained(device: &Device, mut activation: Activation) -> f64 {
    let mut random = fastrand::Rng::with_seed(1);
    let (training, held_out) = digits::load(&mut random).unwrap();
    let weights = |inputs: usize, outputs: usize| {
        let values = normal(inputs * outputs, (2.0 / inputs as f32).sqrt(), 7);
        device.tensor(&values, [inputs, outputs]).unwrap()
    };
    let (w1, w2) = (weights(digits::PIXELS, 32), weights(32, digits::CLASSES));
    let (b1, b2) = (device.zeros([32]).unwrap(), device.zeros([digits::CLASSES]).unwrap());
    let top = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
    let mut adam = Adam::new(0.01);
    let learned = activation.parameter_tensors(device).unwrap();
    let images =
        |of: &digits::Images| device.tensor(&of.pixels, [of.len(), digits::PIXELS]).unwrap();
    let order: Vec<usize> = (0..training.len()).collect();
    for batch in order.chunks(16) {
        let batch = training.select(batch);
        let (x, labels) = (images(&batch), device.labels(&batch.labels).unwrap());
        let layer = Dense::new(activation);
        let hidden = layer.forward(&x, &w1, Some(&b1)).unwrap();
        let end = top.gradients(&hidden.y, &w2, Some(&b2), &labels).unwrap();
        let start = layer.backward(&x, &w1, &hidden, &end.dx).unwrap();
        let mut pairs = vec![(&w1, &start.dw), (&b1, &start.db), (&w2, &end.dw), (&b2, &end.db)];
        pairs.extend(learned.iter().zip(&start.parameters));
        adam.step(&pairs).unwrap();
        activation = activation.with_parameter_tensors(&learned).unwrap();
    }
    let hidden = Dense::new(activation).forward(&images(&held_out), &w1, Some(&b1)).unwrap();
    let p = top.forward(&hidden.y, &w2, Some(&b2)).unwrap().to_vec().unwrap();
    let right = p.chunks(digits::CLASSES).zip(&held_out.labels).filter(|(row, label)| {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        best == usize::try_from(**label).ok()
    });
    right.count() as f64 / held_out.len() as f64
}

#[test]
fn each_formula_trains_for_an_epoch_of_digits() {
    for case in PUBLISHED {
        let accuracy = trained(common::cpu(), activation(case));
        println!("{accuracy:.3} {}", case.0);
        assert!(accuracy > 0.8, "{}: {accuracy}", case.0);
    }
}

#[test]
fn hostile_texts_are_errors_that_point_at_the_place() {
    let deep = "(".repeat(4_000);
    let long = "z+".repeat(600_000);
    let minus = "-".repeat(3000) + "z";
    let tower = "z^".repeat(2000) + "z";
    let tall = "9^9^9^9^9^9^9^9 * z";
    let cases: &[(&str, &str)] = &[
        ("", "the formula ends here"),
        ("   ", "the formula ends here"),
        ("z *", "the formula ends here"),
        ("sigmod(z)", "the nearest are: sigmoid"),
        ("z * bet", "unknown name \"bet\""),
        ("sigmoid", "sigmoid is a function"),
        ("(z", "not closed"),
        ("z)", "was not opened"),
        ("2z", "write * for a product"),
        ("z z", "expected an operator"),
        ("z(z)", "unknown function \"z\""),
        ("2 (z)", "write * for a product"),
        ("sigmoid()", "sigmoid has 1 argument, found 0"),
        ("sigmoid(z, z)", "sigmoid has 1 argument, found 2"),
        ("max(z)", "max has 2 arguments, found 1"),
        ("select(z, 1, 2)", "expected a comparison"),
        ("select(z > 0, 1)", "has 3 arguments"),
        ("z > 0", "a comparison is not a number"),
        ("(z > 0) * 2", "only allowed as the first argument"),
        ("z / 0", "divided by the constant 0"),
        ("z / (1 - 1)", "divided by the constant 0"),
        ("1e39 * z", "too large"),
        ("1e400 * z", "too large"),
        ("1e38 * 1e38 * z", ""),
        ("z = 2", "expected == for a comparison"),
        ("z ! 2", "expected != for a comparison"),
        ("z · 2", "write *"),
        ("z − 2", "write -"),
        ("β * z", "spell the letter out"),
        ("ｚ", "is not a character of formulas"),
        ("z; }", "expected an operator"),
        ("z) -> f32 { return 0.0; } fn x(", "was not opened"),
        ("z // comment", "expected a number, a name or '('"),
        ("z /* comment */", "expected a number, a name or '('"),
        ("elu(z, beta=2)", "elu has no parameter \"beta\""),
        ("elu(z, alpha=2, alpha=3)", "given twice"),
        ("elu(alpha=2, z)", "arguments without a name come before"),
        ("softmax(z)", "unknown function \"softmax\""),
        ("z..2", "expected an operator"),
        ("1.2.3 * z", "expected an operator"),
        ("z ** ", "the formula ends here"),
        ("z\0", "expected an operator"),
        ("z ×2", "write *"),
        ("z²", "write ^2"),
        ("√z", "write sqrt"),
        ("z ≤ 1", "write <="),
        ("σ(z)", "write sigmoid"),
        ("zеta", "is not a character of formulas"),
        ("z ^", "the formula ends here"),
        ("* z", "expected a number, a name or '('"),
        ("z,", "expected an operator"),
        ("max(z,, 1)", "expected a number, a name or '('"),
        ("max(z; 1)", "expected an operator or ')'"),
        ("select(z > 0 > 1, z, 1)", ""),
        ("z & 1", "expected an operator"),
        ("z % 2", "expected an operator"),
        ("\"z\"", "expected a number, a name or '('"),
        ("0x10 * z", "write * for a product"),
        ("1e * z", "expected a number such as"),
        ("let x = 2; x * z", "expected an operator"),
        ("z -> f32", "expected a number, a name or '('"),
        ("@compute fn main() {}", "expected a number, a name or '('"),
        ("z * inf", "unknown name"),
        ("nan", "unknown name"),
        (&deep, "parentheses are open"),
        (&long, "bytes; at most"),
        (&minus, "which is the most"),
        (&tower, "which is the most"),
        (tall, ""),
    ];
    for (text, reason) in cases {
        let shown: String = text.chars().take(30).collect();
        match Activation::from_formula(text, &[]) {
            Err(error @ Error::InvalidFormula { .. }) => {
                let message = error.to_string();
                assert!(message.contains(reason), "{shown:?}: {message}");
                assert!(message.len() < 600 && message.contains("column"), "{shown:?}: {message}");
            }
            other => assert!(reason.is_empty(), "{shown:?}: {other:?}"),
        }
    }
    for (name, reason) in [
        ("g_x", "meaning in shaders"),
        ("while", "meaning in shaders"),
        ("z", "meaning in formulas"),
        ("pi", "meaning in formulas"),
        ("exp", "meaning in formulas"),
        ("1a", "must be a letter"),
        ("", "must be a letter"),
        ("a b", "must be a letter"),
        ("β", "must be a letter"),
        ("a;b", "must be a letter"),
        ("b", "does not contain"),
    ] {
        let error =
            Activation::from_formula("a * z", &[("a", 1.0), (name, 2.0)]).unwrap_err().to_string();
        assert!(error.contains(reason), "{name:?}: {error}");
    }
    let error = Activation::from_formula("a * z", &[("a", f32::NAN)]).unwrap_err().to_string();
    assert!(error.contains("must be finite"), "{error}");
    assert!(Activation::from_formula("a * z", &[("a", 1.0), ("a", 1.0)]).is_err());
    for text in [
        "formula(\"z\"",
        "formula(\"z)",
        "formula(\"a * z\", a)",
        "formula(\"a * z\", a=x)",
        "formula()",
    ] {
        assert!(text.parse::<Activation>().is_err(), "{text}");
    }
    let named: Activation = "formula(\"a * z\", a=2, name=double)".parse().unwrap();
    assert_eq!((named.name(), named.to_string().parse()), ("double", Ok(named)));
}

#[test]
fn formulas_of_the_catalogue_are_computed_as_it_is() {
    let z = normal(999, 3.0, 1);
    let tensor = Device::cpu().tensor(&z, [z.len()]).unwrap();
    for (text, parameters, known) in [
        ("z / (1 + exp(-z))", vec![], "silu"),
        ("0.5 * z * (1 + erf(z / sqrt(2)))", vec![], "gelu"),
        ("1 / (1 + e^-z)", vec![], "sigmoid"),
        ("z * tanh(log(1 + exp(z)))", vec![], "mish"),
        ("k * z * sigmoid(1.702 * z) / k", vec![("k", 2.0)], "quick_gelu"),
        ("z * sigmoid(b * z)", vec![("b", 0.3)], "swish(beta=0.3)"),
        ("select(z <= 0, 0.2 * z, z)", vec![], ""),
        ("select(z > 0, z, 0.2 * z)", vec![], "leaky_relu(slope=0.2)"),
        ("select(z > 0, z, a * (exp(z) - 1))", vec![("a", 2.0)], "elu(alpha=2)"),
        ("(z + sqrt(c + z^2)) / 2", vec![("c", 4.0)], "squareplus(b=4)"),
        // Not one that the catalogue allows.
        ("(z + sqrt(c + z^2)) / 2", vec![("c", -4.0)], ""),
    ] {
        let g = Activation::from_formula(text, &parameters).unwrap();
        let source = g.kernel_source(1).unwrap();
        let Ok(known) = known.parse::<Activation>() else {
            assert!(source.contains("fn derivative(z: f32) -> f32 {\n    var v0: f32;"), "{text}");
            continue;
        };
        assert!(source == known.kernel_source(1).unwrap(), "{text}");
        for order in 0..2 {
            let of = |g: Activation| match order {
                0 => g.forward(&tensor).unwrap().to_vec().unwrap(),
                _ => g.derivative(&tensor).unwrap().to_vec().unwrap(),
            };
            assert_eq!(of(g), of(known), "{text}");
        }
    }
}

#[test]
fn texts_are_simplified() {
    let g = Activation::from_formula("z / (1 + exp(-z))", &[]).unwrap();
    assert_eq!(g.formula(), "z * sigmoid(z)");
    assert_eq!(g.derivative_formula(), "sigmoid(z) * (1 + z * sigmoid(-z))");
    assert_eq!(
        g.second_derivative_formula(),
        Some("sigmoid(z) * sigmoid(-z) * (2 - z * tanh(0.5 * z))")
    );
    assert_eq!(Activation::from_formula("log(1 + e^z)", &[]).unwrap().formula(), "softplus(z)");
    assert_eq!(
        Activation::from_formula("1 - tanh(z)^2", &[]).unwrap().derivative_formula(),
        "-2 * tanh(z) * (1 - tanh(z)^2)"
    );
    assert_eq!(g.to_latex(0).unwrap(), r"z \cdot \sigma\left(z\right)");
    let device = Device::cpu();
    assert!(
        g.kernel_source(0).is_some_and(|source| source.contains("fn forward(z: f32)")),
        "{device:?}"
    );
}
