//! The names of the catalogues.

use wgrad::{Activation, Error, Loss, Reduction};

#[test]
fn names_round_trip() {
    for activation in Activation::all().chain([Activation::LeakyRelu { slope: -1.5e-7 }]) {
        assert_eq!(activation.to_string().parse::<Activation>().unwrap(), activation);
        assert_eq!(
            activation
                .name()
                .to_uppercase()
                .replace('_', "-")
                .parse::<Activation>()
                .unwrap()
                .name(),
            activation.name()
        );
        assert!(!activation.formula().is_empty() && !activation.derivative_formula().is_empty());
    }
    let smoothed = Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: Some(-100) };
    for loss in Loss::all().chain([smoothed]) {
        assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
        assert!(!loss.formula().is_empty() && !loss.gradient_formula().is_empty());
    }
    for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::BatchMean] {
        assert_eq!(reduction.to_string().parse::<Reduction>().unwrap(), reduction);
    }
}

#[test]
fn canonical_names_are_the_fields() {
    let names: Vec<String> = Activation::all().map(|activation| activation.to_string()).collect();
    let expected = [
        "identity",
        "relu",
        "leaky_relu(slope=0.01)",
        "prelu(weight=0.25)",
        "rrelu(lower=0.125, upper=0.33333334)",
        "relu6",
        "hard_tanh(min=-1, max=1)",
        "hard_sigmoid(slope=0.16666667, offset=0.5)",
        "hard_swish",
        "softshrink(lambda=0.5)",
        "hardshrink(lambda=0.5)",
        "shrink(lambda=0.5, bias=0)",
        "threshold(threshold=0, value=0)",
        "thresholded_relu(alpha=1)",
        "elu(alpha=1)",
        "selu",
        "exponential",
        "softsign",
        "log_sigmoid",
        "sigmoid",
        "tanh",
        "squared_relu",
        "celu(alpha=1)",
        "softplus(beta=1, threshold=20)",
        "scaled_tanh(a=1.7159, b=0.6666667)",
        "tanhshrink",
        "arctan",
        "logit",
        "silu",
        "swish(beta=1)",
        "quick_gelu",
        "gelu",
        "gelu_tanh",
        "mish",
        "lisht",
        "squareplus(b=4)",
        "sine(omega=1)",
        "snake(a=1)",
        "softmax",
        "log_softmax",
        "softmin",
        "sparsemax",
    ];
    for name in expected {
        assert!(names.iter().any(|found| found == name), "{name} is not among {names:?}");
    }
    let names: Vec<String> = Loss::all().map(|loss| loss.to_string()).collect();
    let expected = [
        "half_squared_error",
        "mse",
        "mae",
        "huber(delta=1)",
        "smooth_l1(beta=1)",
        "log_cosh",
        "cross_entropy(label_smoothing=0, ignore_index=none)",
        "nll(ignore_index=none)",
        "bce",
        "bce_with_logits",
        "focal(alpha=0.25, gamma=2)",
        "kl_div(log_target=false)",
        "cross_entropy_with_logits(label_smoothing=0, ignore_index=none)",
        "poisson_nll(log_input=true, full=false, eps=1e-8)",
        "gaussian_nll(full=false, eps=1e-6)",
        "hinge",
        "squared_hinge",
        "soft_margin",
        "multi_margin(p=1, margin=1)",
        "hinge_embedding(margin=1)",
    ];
    for name in expected {
        assert!(names.iter().any(|found| found == name), "{name} is not among {names:?}");
    }
}

#[test]
fn spellings_that_people_use_are_accepted() {
    let leaky = Activation::LeakyRelu { slope: 0.2 };
    for text in ["leaky_relu(slope=0.2)", " Leaky-ReLU( SLOPE = 0.2 ) ", "LeakyReLU(slope=2e-1)"] {
        assert_eq!(text.parse::<Activation>().unwrap(), leaky);
    }
    assert_eq!("relu()".parse::<Activation>().unwrap(), Activation::Relu);
    assert_eq!("LogSoftmax".parse::<Activation>().unwrap(), Activation::LogSoftmax);
    assert_eq!("Cross-Entropy".parse::<Loss>().unwrap(), Loss::cross_entropy());
    let ignoring: Loss = "cross_entropy(ignore_index=-100)".parse().unwrap();
    assert_eq!(ignoring, Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(-100) });
    assert_eq!("batch-mean".parse::<Reduction>().unwrap(), Reduction::BatchMean);
}

#[test]
fn errors_say_what_is_near() {
    let error = "sigmiod".parse::<Activation>().unwrap_err();
    let Error::UnknownName { nearest, .. } = &error else { panic!("{error:?}") };
    assert_eq!(nearest[0], "sigmoid");
    assert!(
        error.to_string().starts_with("unknown activation \"sigmiod\"; the nearest are: sigmoid")
    );
    let error = "leaky_relu(slop=1)".parse::<Activation>().unwrap_err();
    assert!(error.to_string().contains("slope"), "{error}");
    assert!("crossentropie".parse::<Loss>().unwrap_err().to_string().contains("cross_entropy"));
    assert!("average".parse::<Reduction>().is_err());
}

#[test]
fn a_long_text_is_refused_at_once_and_quoted_by_its_beginning() {
    let start = std::time::Instant::now();
    let long = "Ü".repeat(600_000);
    let texts = [
        long.clone(),
        format!("{long}(slope=1)"),
        format!("leaky_relu({long}=1)"),
        format!("leaky_relu(slope={long})"),
        format!("leaky_relu({long})"),
        format!("leaky_relu(slope=0.1{long}"),
        format!("gated({long})"),
        format!("gated({long}"),
        format!("swiglu(gate={long})"),
        format!("swiglu({long}=first)"),
        format!("relu({long}=1)"),
        format!("cross_entropy(ignore_index={long})"),
        format!("kl_div(log_target={long})"),
        format!("leaky_relu({})", "slope=1,".repeat(100_000)),
        "_".repeat(1_000_000),
    ];
    for text in &texts {
        for error in [
            text.parse::<Activation>().unwrap_err(),
            text.parse::<Loss>().unwrap_err(),
            text.parse::<wgrad::Gated>().unwrap_err(),
            text.parse::<Reduction>().unwrap_err(),
        ] {
            let (message, debug) = (error.to_string(), format!("{error:?}"));
            assert!(message.len() < 500 && debug.len() < 500, "{message}");
        }
    }
    let message = long.parse::<Activation>().unwrap_err().to_string();
    let expected = format!("unknown activation \"{}… (1200000 bytes in all)\"", "Ü".repeat(60));
    assert!(message.starts_with(&expected), "{message}");
    // Sixty texts of a megabyte: without a bound on the length, each takes seconds.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    // Short texts are quoted whole.
    let name = "x".repeat(60);
    let message = name.parse::<Loss>().unwrap_err().to_string();
    assert!(message.starts_with(&format!("unknown loss \"{name}\";")), "{message}");
}

#[test]
fn a_parameter_that_is_given_twice_is_an_error_that_names_it() {
    let twice = |text: &str, name: &str, value: &str| {
        let error = match text.split(['_', '(']).next() {
            Some("huber" | "focal" | "cross") => text.parse::<Loss>().unwrap_err(),
            Some("swiglu" | "gated") => text.parse::<wgrad::Gated>().unwrap_err(),
            _ => text.parse::<Activation>().unwrap_err(),
        };
        let expected = format!("{name} = {value}: is given twice; give it once");
        assert_eq!(error.to_string(), expected, "{text}");
    };
    twice("leaky_relu(slope=0.1, slope=0.2)", "slope", "0.2");
    twice("leaky_relu(slope=0.1, slope=0.1)", "slope", "0.1");
    twice("leaky_relu(slope=0.1, Slope = 0.3)", "slope", "0.3");
    twice("hard_tanh(min=-1, max=1, MIN=-2)", "min", "-2");
    twice("huber(delta=1, delta=2)", "delta", "2");
    twice(
        "cross_entropy(ignore_index=1, label_smoothing=0, ignore-index=none)",
        "ignore_index",
        "none",
    );
    twice("focal(gamma=1, alpha=0.5, gamma=1)", "gamma", "1");
    twice("swiglu(gate=first, gate=last)", "gate", "last");
    twice("gated(tanh, gate=first, gate=first)", "gate", "first");
    twice("gated(leaky_relu(slope=1, slope=2))", "slope", "2");
    "leaky_relu(slope=0.1)".parse::<Activation>().unwrap();
    "gated(leaky_relu(slope=1), gate=first)".parse::<wgrad::Gated>().unwrap();
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for text in [
        "",
        "(",
        "relu(",
        "relu)",
        "relu(x=1)",
        "leaky_relu(slope)",
        "leaky_relu(slope=)",
        "leaky_relu(slope=abc)",
        "leaky_relu(slope=nan)",
        "leaky_relu(slope=inf)",
        "leaky_relu(slope=1e999)",
        "softshrink(lambda=-0.1)",
        "hard_tanh(min=1, max=-1)",
        "rrelu(lower=1)",
        "leaky_relu(slope=1, slope2=1)",
    ] {
        assert!(text.parse::<Activation>().is_err(), "{text:?}");
    }
    for text in [
        "cross_entropy(label_smoothing=2)",
        "cross_entropy(label_smoothing=-0.1)",
        "cross_entropy(ignore_index=1.5)",
        "cross_entropy(ignore_index=99999999999)",
        "mse(delta=1)",
    ] {
        assert!(text.parse::<Loss>().is_err(), "{text:?}");
    }
}

#[test]
fn row_wise_activations_say_so() {
    let rowwise: Vec<Activation> = Activation::all().filter(Activation::is_rowwise).collect();
    let expected =
        [Activation::Softmax, Activation::LogSoftmax, Activation::Softmin, Activation::Sparsemax];
    assert_eq!(rowwise, expected);
}
