//! Activations that are given in WGSL.

mod common;

use common::{EXTREMES, adapters, normal};
use wgrad::{Activation, Dense, Device, Error, Gated, Loss, OutputLayer, Tensor};

/// z·σ(βz), with a helper, a constant and a loop, and names that kernels use themselves.
const SWISH: &str = "
    const math_exp = 1.5f; // \"β\"

    fn logistic(z: f32) -> f32 {
        return 1.0 / (1.0 + exp(-math_exp * z));
    }

    fn forward(z: f32) -> f32 {
        var main = 0.0;
        for (var i = 0; i < 4; i++) {
            main += 0.25 * z * logistic(z);
        }
        return main;
    }

    fn derivative(z: f32) -> f32 {
        let s = logistic(z);
        return s + math_exp * z * s * (1.0 - s);
    }

    fn second_derivative(z: f32) -> f32 {
        let s = logistic(z);
        let slope = math_exp * s * (1.0 - s);
        return slope * (2.0 + math_exp * z * (1.0 - 2.0 * s));
    }
";

fn swish() -> [Activation; 2] {
    let formula = Activation::from_formula("z * sigmoid(1.5 * z)", &[]).unwrap();
    [Activation::from_wgsl(SWISH).unwrap_or_else(|error| panic!("{error}")), formula]
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    for (found, expected) in found.to_vec().unwrap().iter().zip(expected.to_vec().unwrap()) {
        let error = (found - expected).abs();
        assert!(error <= 2e-5 * (1.0 + expected.abs()), "{what}: {found} instead of {expected}");
    }
}

#[test]
fn it_works_wherever_a_formula_does() {
    let [wgsl, formula] = swish();
    assert!(!adapters().is_empty());
    for device in adapters() {
        let values = normal(64 * 12, 2.0, 1);
        let z = device.tensor(&values, [64, 12]).unwrap();
        let dy = device.tensor(&normal(64 * 12, 1.0, 2), [64, 12]).unwrap();
        type Of<'a> = (&'a str, &'a dyn Fn(Activation) -> wgrad::Result<Tensor>);
        let w = device.tensor(&normal(12 * 5, 0.3, 3), [12, 5]).unwrap();
        let b = device.tensor(&normal(5, 0.3, 4), [5]).unwrap();
        let t = device.tensor(&normal(64 * 5, 1.0, 5), [64, 5]).unwrap();
        let half = z.to_dtype(wgrad::DType::F16).unwrap();
        let layer = |it| OutputLayer::new(it, Loss::Mse).gradients(&z, &w, Some(&b), &t);
        let dense = |it| {
            let layer = Dense::new(it);
            layer.backward(&z, &w, &layer.forward(&z, &w, Some(&b))?, &t)
        };
        let operations: [Of<'_>; 11] = [
            ("forward", &|it| it.forward(&z)),
            ("derivative", &|it| it.derivative(&z)),
            ("second_derivative", &|it| it.second_derivative(&z)),
            ("backward", &|it| it.backward(&z, &dy)),
            ("f16", &|it| it.forward(&half)?.to_dtype(wgrad::DType::F32)),
            ("gated", &|it| Gated::new(it)?.forward(&z)),
            ("gated backward", &|it| Gated::new(it)?.backward(&z, &Gated::glu().forward(&z)?)),
            ("layer", &|it| OutputLayer::new(it, Loss::Mse).forward(&z, &w, Some(&b))),
            ("loss", &|it| Ok(layer(it)?.loss)),
            ("dw", &|it| Ok(layer(it)?.dw)),
            ("dense", &|it| Ok(dense(it)?.dw)),
        ];
        for (what, run) in operations {
            let what = format!("{what} on {}", device.info());
            assert_close(&what, &run(wgsl).unwrap(), &run(formula).unwrap());
        }
        let plan = device.record(|| wgsl.forward(&z)).unwrap();
        z.write(&normal(64 * 12, 1.0, 9)).unwrap();
        plan.run().unwrap();
        assert_close("plan", plan.outputs(), &formula.forward(&z).unwrap());
    }
}

#[test]
fn nan_stays_nan() {
    let constant =
        "fn forward(z: f32) -> f32 { return 1.0; } fn derivative(z: f32) -> f32 { return 0.0; }";
    let constant = Activation::from_wgsl(constant).unwrap();
    for device in adapters() {
        let z = device.tensor(&EXTREMES, [EXTREMES.len()]).unwrap();
        let [y, slope] = [constant.forward(&z), constant.derivative(&z)];
        let (y, slope) = (y.unwrap().to_vec().unwrap(), slope.unwrap().to_vec().unwrap());
        for ((z, y), slope) in EXTREMES.iter().zip(y).zip(slope) {
            assert_eq!((z.is_nan(), z.is_nan()), (y.is_nan(), slope.is_nan()), "{z}");
            assert!(z.is_nan() || (y, slope) == (1.0, 0.0));
        }
    }
}

#[test]
fn only_gpus_compute_it() {
    let [wgsl, _] = swish();
    let device = Device::cpu();
    let x = device.tensor(&[1.0, 2.0], [1, 2]).unwrap();
    let w = device.tensor(&[1.0, 2.0], [2, 1]).unwrap();
    let t = device.tensor(&[1.0], [1, 1]).unwrap();
    let refused = [
        wgsl.forward(&x).map(drop),
        wgsl.second_derivative(&x).map(drop),
        wgsl.backward(&x, &x).map(drop),
        Dense::new(wgsl).forward(&x, &w, None).map(drop),
        OutputLayer::new(wgsl, Loss::Mse).gradients(&x, &w, None, &t).map(drop),
        OutputLayer::new(wgsl, Loss::cross_entropy()).gradients(&x, &w, None, &t).map(drop),
        Gated::new(wgsl).unwrap().forward(&x).map(drop),
        device.record(|| wgsl.forward(&x)).map(drop),
    ];
    for (place, result) in refused.into_iter().enumerate() {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{place}: {error}");
        assert!(error.to_string().contains("from_formula runs on both"), "{error}");
    }
    assert_eq!(x.to_vec().unwrap(), [1.0, 2.0]);
}

#[test]
fn texts_round_trip() {
    let [wgsl, _] = swish();
    for activation in [wgsl, wgsl.named("bent").unwrap()] {
        let text = activation.to_string();
        assert_eq!(text.parse::<Activation>().unwrap(), activation, "{text}");
        let gated = Gated::new(activation).unwrap().gate_first();
        assert_eq!(gated.to_string().parse::<Gated>().unwrap(), gated);
    }
    assert_eq!((wgsl.name(), wgsl.named("bent").unwrap().name()), ("wgsl", "bent"));
    assert_eq!(wgsl.formula(), SWISH.trim());
    assert!(wgsl.kernel_source(2).unwrap().contains("custom_second_derivative"));
    assert_eq!((wgsl.derivative_formula(), wgsl.second_derivative_formula()), ("", None));
    assert!(wgsl.warnings().is_empty() && wgsl.to_latex(0).is_none());

    let first =
        "fn forward(z: f32) -> f32 { return z; } fn derivative(z: f32) -> f32 { return 1.0; }";
    let first = Activation::from_wgsl(first).unwrap();
    assert!(first.kernel_source(1).is_some() && first.kernel_source(2).is_none());
    let device = &adapters()[0];
    let error = first.second_derivative(&device.zeros([2]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("no fn second_derivative"), "{error}");
}

#[test]
fn long_expressions_compile() {
    let sum = vec!["z"; 7000].join("+");
    let nested = format!("{}z{}", "sin(".repeat(95), ")".repeat(95));
    let branches = format!("{}y = z;{}", "if z > 0.0 {".repeat(12), "}".repeat(12));
    for (expression, expected) in [(sum, 7000.0_f32), (nested, 0.17)] {
        let text = format!(
            "fn forward(z: f32) -> f32 {{ var y = 0.0; {branches} return {expression}; }} fn derivative(z: f32) -> f32 {{ return z; }}"
        );
        let activation = Activation::from_wgsl(&text).unwrap_or_else(|error| panic!("{error}"));
        for device in adapters() {
            let y = activation.forward(&device.tensor(&[1.0], [1]).unwrap()).unwrap();
            assert!((y.item().unwrap() - expected).abs() < 0.01, "{:?}", y.item());
        }
    }
}

/// A text after valid functions.
fn with(text: &str) -> String {
    let rest =
        "fn forward(z: f32) -> f32 { return z; }\nfn derivative(z: f32) -> f32 { return 1.0; }\n";
    format!("{rest}{text}")
}

#[test]
fn mistakes_are_errors_with_their_place() {
    let forward = |body: &str| {
        format!(
            "fn derivative(z: f32) -> f32 {{ return 1.0; }}\nfn forward(z: f32) -> f32 {{ {body} }}"
        )
    };
    let branches = format!("{}{{ return 1.0; }}", "if z > 0.0 { return 2.0; } else ".repeat(20));
    let deep = format!("return {}z{};", "(".repeat(400), ")".repeat(400));
    let cases: &[(String, usize, usize, &str)] = &[
        (String::new(), 1, 1, "there is no fn forward"),
        ("fn forward(z: f32) -> f32 { return z; }".into(), 1, 1, "there is no fn derivative"),
        (forward("return y;"), 2, 36, "no definition in scope for identifier: `y`"),
        (forward("return z"), 2, 38, "expected"),
        (forward("return 1u;"), 2, 36, "return"),
        (forward("return math_exp(z);"), 2, 36, "math_exp"),
        (forward("return forward(z);"), 2, 4, "recursive"),
        (forward("return 1.0f / 0.0f;"), 2, 36, ""),
        (forward(&branches), 2, 1, "16 blocks"),
        (forward(&deep), 1, 1, "recursion limit"),
        (forward("return dpdx(z);"), 2, 1, "more than to compute"),
        (forward("workgroupBarrier(); return z;"), 2, 1, "more than to compute"),
        (forward("discard; return z;"), 2, 1, "more than to compute"),
        (forward("return f32(f16(z));"), 2, 0, "f16"),
        (with("fn second_derivative(z: f32) -> i32 { return 1; }"), 3, 1, "must be fn second"),
        (with("fn second_derivative(z: f32, y: f32) -> f32 { return z; }"), 3, 1, "must be fn"),
        (with("fn second_derivative(z: vec2f) -> f32 { return z.x; }"), 3, 1, "must be fn"),
        (with("fn second_derivative(z: f32) {}"), 3, 1, "must be fn"),
        (with("@compute @workgroup_size(1) fn main() {}"), 3, 29, "entry point"),
        (with("var<private> state: f32;"), 3, 0, "outside of functions"),
        (with("var<workgroup> state: f32;"), 3, 0, "outside of functions"),
        (
            with("@group(0) @binding(0) var<storage, read_write> data: array<f32>;"),
            3,
            0,
            "outside of functions",
        ),
        (with("override g_beta: f32 = 1.0;"), 3, 0, "override"),
        (with("struct Pair { a: f32, b: f32 }"), 3, 0, "structure"),
        (with("enable f16;"), 3, 1, ""),
        (format!("enable f16;\n{}", forward("return f32(f16(z));")), 3, 0, ""),
        ("fn forward(z: f32) -> f32 { return z; } // ü\nfn derivative".into(), 2, 14, ""),
        (with("fn forward(z: f32) -> f32 { return z; }"), 3, 0, "redefinition"),
        (with("}"), 3, 1, ""),
        (with("} fn g() {"), 3, 1, ""),
        (with("fn β² (z: f32)"), 3, 0, ""),
        (with("\u{0}"), 3, 1, ""),
        (with("/* "), 3, 0, ""),
        (with(&" ".repeat(1 << 20)), 1, 1, "is the limit"),
        (with(&"fn f(){".repeat(1000)), 3, 0, ""),
        (with(&format!("const A = {};", "-".repeat(900) + "1")), 3, 0, ""),
        (with(&"{".repeat(10_000)), 3, 0, ""),
    ];
    for (text, line, column, reason) in cases {
        let shown: String = text.chars().take(200).collect();
        let Err(error) = Activation::from_wgsl(text) else { panic!("{shown}: no error") };
        let message = error.to_string();
        let Error::InvalidWgsl { line: at, column: from, .. } = error else {
            panic!("{shown}: {message}")
        };
        assert!(message.contains(reason), "{shown}: {message}");
        assert_eq!(at, *line, "{shown}: {message}");
        assert!(*column == 0 || from == *column, "{shown}: {message}");
        println!("{}", message.lines().next().unwrap());
    }
    for text in ["wgsl(", "wgsl(\"", "wgsl(\"fn", "wgsl(\"\")", "wgsl(\"x\", a=1)"] {
        assert!(text.parse::<Activation>().is_err(), "{text}");
    }
}
