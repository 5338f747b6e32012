//! Names of other libraries.

use std::collections::HashSet;

use wgrad::{Activation, Error, Loss, other_names};

/// A text, and what it is parsed as.
type Case = (&'static str, &'static str);

#[rustfmt::skip]
const ACTIVATIONS: &[Case] = &[
    // PyTorch's classes
    ("nn.ReLU()", "relu"), ("ReLU(inplace=True)", "relu"), ("torch.nn.ReLU6", "relu6"),
    ("nn.LeakyReLU(negative_slope=0.01)", "leaky_relu(slope=0.01)"), ("LeakyReLU(0.2)", "leaky_relu(slope=0.2)"),
    ("LeakyReLU(0.2, True)", "leaky_relu(slope=0.2)"), ("LeakyReLU(0.1, inplace=True)", "leaky_relu(slope=0.1)"),
    ("nn.PReLU()", "prelu(weight=0.25)"), ("PReLU(num_parameters=1, init=0.1)", "prelu(weight=0.1)"),
    ("RReLU(0.1, 0.3)", "rrelu(lower=0.1, upper=0.3)"), ("RReLU(lower=0.125, upper=0.25)", "rrelu(lower=0.125, upper=0.25)"),
    ("ELU(alpha=0.5)", "elu(alpha=0.5)"), ("nn.ELU(1.0)", "elu(alpha=1)"), ("SELU", "selu"), ("CELU(alpha=2)", "celu(alpha=2)"),
    ("GELU", "gelu"), ("GELU()", "gelu"), ("GELU(approximate='tanh')", "gelu_tanh"), ("nn.GELU(approximate=\"none\")", "gelu"),
    ("nn.GELU('tanh')", "gelu_tanh"), ("SiLU", "silu"), ("nn.SiLU(inplace=True)", "silu"), ("Mish", "mish"),
    ("Softplus(beta=1, threshold=20)", "softplus(beta=1, threshold=20)"), ("Softplus(2)", "softplus(beta=2, threshold=20)"),
    ("Softsign", "softsign"), ("Sigmoid()", "sigmoid"), ("LogSigmoid", "log_sigmoid"), ("Tanh", "tanh"),
    ("Hardsigmoid", "hard_sigmoid(slope=0.16666667, offset=0.5)"), ("Hardswish", "hard_swish"),
    ("Hardtanh(min_val=-1, max_val=1)", "hard_tanh(min=-1, max=1)"), ("Hardtanh(-2.0, 2.0)", "hard_tanh(min=-2, max=2)"),
    ("Tanhshrink", "tanhshrink"), ("Softshrink(lambd=0.3)", "softshrink(lambda=0.3)"), ("Hardshrink(0.3)", "hardshrink(lambda=0.3)"),
    ("Threshold(0.1, 20)", "threshold(threshold=0.1, value=20)"), ("Threshold(threshold=1, value=2, inplace=True)", "threshold(threshold=1, value=2)"),
    ("Identity", "identity"), ("Softmax(dim=-1)", "softmax"), ("nn.LogSoftmax(dim=-1)", "log_softmax"), ("Softmin(-1)", "softmin"), ("Softmax(dim=None)", "softmax"),
    // PyTorch's functions
    ("F.relu", "relu"), ("F.leaky_relu", "leaky_relu(slope=0.01)"), ("torch.nn.functional.gelu", "gelu"), ("F.hardtanh", "hard_tanh(min=-1, max=1)"),
    ("F.logsigmoid", "log_sigmoid"), ("torch.sigmoid", "sigmoid"), ("torch.tanh", "tanh"), ("F.softmax(dim=-1, dtype=None)", "softmax"), ("F.silu", "silu"),
    ("torch.exp", "exponential"), ("torch.sin", "sine(omega=1)"), ("torch.atan", "arctan"), ("clamp(min=0, max=6)", "hard_tanh(min=0, max=6)"),
    // Hugging Face's
    ("gelu_new", "gelu_tanh"), ("gelu_pytorch_tanh", "gelu_tanh"), ("gelu_fast", "gelu_tanh"), ("gelu_accurate", "gelu_tanh"),
    ("gelu_python", "gelu"), ("quick_gelu", "quick_gelu"), ("relu2", "squared_relu"), ("linear", "identity"), ("swish", "swish(beta=1)"), ("silu", "silu"), ("mish", "mish"),
    // Keras's and TensorFlow's
    ("keras.activations.relu", "relu"), ("keras.activations.leaky_relu", "leaky_relu(slope=0.2)"), ("keras.activations.leaky_relu(negative_slope=0.3)", "leaky_relu(slope=0.3)"),
    ("gelu(approximate=True)", "gelu_tanh"), ("gelu(approximate=False)", "gelu"), ("hard_silu", "hard_swish"), ("hard_shrink(threshold=0.4)", "hardshrink(lambda=0.4)"),
    ("soft_shrink", "softshrink(lambda=0.5)"), ("tanh_shrink", "tanhshrink"), ("threshold(threshold=1, default_value=3)", "threshold(threshold=1, value=3)"),
    ("squareplus(b=3)", "squareplus(b=3)"), ("sparsemax", "sparsemax"), ("exponential", "exponential"), ("log_softmax(axis=-1)", "log_softmax"), ("tf.nn.leaky_relu(alpha=0.1)", "leaky_relu(slope=0.1)"), ("tf.nn.leaky_relu", "leaky_relu(slope=0.2)"),
    // JAX's
    ("jax.nn.gelu", "gelu_tanh"), ("jax.nn.gelu(approximate=False)", "gelu"), ("jax.nn.squareplus", "squareplus(b=4)"), ("jax.nn.relu", "relu"), ("jax.nn.hard_tanh", "hard_tanh(min=-1, max=1)"),
    // ONNX's
    ("LeakyRelu(alpha=0.02)", "leaky_relu(slope=0.02)"), ("HardSigmoid(alpha=0.2, beta=0.5)", "hard_sigmoid(slope=0.2, offset=0.5)"), ("HardSigmoid(beta=0.4)", "hard_sigmoid(slope=0.2, offset=0.4)"),
    ("HardSigmoid(alpha=0.3)", "hard_sigmoid(slope=0.3, offset=0.5)"), ("ThresholdedRelu", "thresholded_relu(alpha=1)"), ("ThresholdedRelu(alpha=0.5)", "thresholded_relu(alpha=0.5)"),
    ("Shrink(lambd=0.2, bias=0.1)", "shrink(lambda=0.2, bias=0.1)"), ("Clip(min=-1, max=1)", "hard_tanh(min=-1, max=1)"), ("Swish(alpha=2)", "swish(beta=2)"), ("Exp", "exponential"),
    // The catalogue's own
    ("hard_sigmoid(offset=0.4)", "hard_sigmoid(slope=0.16666667, offset=0.4)"), ("nn.leaky_relu(slope=0.3)", "leaky_relu(slope=0.3)"), ("Leaky-ReLU", "leaky_relu(slope=0.01)"), ("nn.Snake(a=2)", "snake(a=2)"), ("scaled_tanh()", "scaled_tanh(a=1.7159, b=0.6666667)"),
];

#[rustfmt::skip]
const LOSSES: &[Case] = &[
    ("nn.MSELoss()", "mse"), ("F.mse_loss", "mse"), ("mean_squared_error", "mse"), ("MeanSquaredError", "mse"), ("L1Loss", "mae"), ("l1_loss", "mae"), ("mean_absolute_error", "mae"),
    ("SmoothL1Loss(beta=0.5)", "smooth_l1(beta=0.5)"), ("F.smooth_l1_loss", "smooth_l1(beta=1)"), ("HuberLoss(delta=2)", "huber(delta=2)"), ("keras.losses.Huber", "huber(delta=1)"), ("optax.huber_loss", "huber(delta=1)"), ("LogCosh", "log_cosh"),
    ("BCELoss", "bce"), ("binary_cross_entropy", "bce"), ("binary_crossentropy", "bce"), ("BinaryCrossentropy(from_logits=True)", "bce_with_logits"), ("BinaryCrossentropy(from_logits=False)", "bce"),
    ("BCEWithLogitsLoss", "bce_with_logits"), ("F.binary_cross_entropy_with_logits", "bce_with_logits"), ("optax.sigmoid_binary_cross_entropy", "bce_with_logits"), ("MultiLabelSoftMarginLoss", "bce_with_logits"),
    ("CrossEntropyLoss", "cross_entropy_with_logits(label_smoothing=0, ignore_index=-100)"), ("nn.CrossEntropyLoss(label_smoothing=0.1)", "cross_entropy_with_logits(label_smoothing=0.1, ignore_index=-100)"),
    ("CrossEntropyLoss(ignore_index=0)", "cross_entropy_with_logits(label_smoothing=0, ignore_index=0)"), ("F.cross_entropy", "cross_entropy_with_logits(label_smoothing=0, ignore_index=-100)"),
    ("CrossEntropyLoss(weight=None, ignore_index=3)", "cross_entropy_with_logits(label_smoothing=0, ignore_index=3)"), ("cross_entropy", "cross_entropy(label_smoothing=0, ignore_index=none)"),
    ("categorical_crossentropy", "cross_entropy(label_smoothing=0, ignore_index=none)"), ("CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)", "cross_entropy_with_logits(label_smoothing=0.2, ignore_index=none)"),
    ("sparse_categorical_crossentropy(ignore_class=5)", "cross_entropy(label_smoothing=0, ignore_index=5)"), ("softmax_cross_entropy", "cross_entropy_with_logits(label_smoothing=0, ignore_index=none)"),
    ("SoftmaxCrossEntropyLoss", "cross_entropy_with_logits(label_smoothing=0, ignore_index=none)"), ("NLLLoss", "nll(ignore_index=-100)"), ("F.nll_loss(ignore_index=2)", "nll(ignore_index=2)"), ("NegativeLogLikelihoodLoss", "nll(ignore_index=none)"),
    ("KLDivLoss", "kl_div(log_target=false)"), ("KLDivLoss(log_target=True)", "kl_div(log_target=true)"), ("PoissonNLLLoss(log_input=False)", "poisson_nll(log_input=false, full=false, eps=1e-8)"),
    ("poisson_nll_loss", "poisson_nll(log_input=true, full=false, eps=1e-8)"), ("keras.losses.poisson", "poisson_nll(log_input=false, full=false, eps=1e-8)"), ("GaussianNLLLoss(full=True)", "gaussian_nll(full=true, eps=1e-6)"),
    ("hinge", "hinge"), ("SquaredHinge", "squared_hinge"), ("SoftMarginLoss", "soft_margin"), ("MultiMarginLoss(p=2, margin=0.5)", "multi_margin(p=2, margin=0.5)"), ("HingeEmbeddingLoss(margin=2)", "hinge_embedding(margin=2)"),
    ("l2_loss", "half_squared_error"), ("sigmoid_focal_loss(alpha=0.3, gamma=1)", "focal_with_logits(alpha=0.3, gamma=1)"),
];

/// A text, and a part of the error.
#[rustfmt::skip]
const REFUSED: &[Case] = &[
    ("GLU", "Gated"), ("SwiGLU", "Gated"), ("Softmax2d", "Rowwise"), ("Softmax(dim=1)", "Rowwise::new"), ("softmax(axis=0)", "Rowwise::new"), ("PReLU(num_parameters=64)", "take Prelu"),
    ("gelu_10", "formula(\"max(-10"), ("serf", "formula(\"z * erf"), ("TanhExp", "formula("), ("SwooshR", "formula("), ("laplace", "formula("), ("nn.Erf", "formula("), ("hardmax", "no derivative"),
    ("GELU(approximate='tan')", "must be one of: none, tanh"), ("ELU(0.1, True, 0.3)", "has 2 arguments"), ("LeakyReLU(slope=0.1, negative_slope=0.2)", "given twice"), ("ELU(beta=1)", "alpha"),
    ("Hardtanh(min_val=2, max_val=1)", "min"), ("LeakyReLU(negative_slope=x)", "must be a number"), ("ReLU(negative_slope=0.1)", "has no parameters"), ("nn.Relo", "relu"), ("LeakyReLU(inplace=True, 0.1)", "give it a name"),
    ("nn.", "unknown activation"), ("LeakyReLU(0.1", "parenthesis"), ("", "unknown activation"),
];

#[rustfmt::skip]
const REFUSED_LOSSES: &[Case] = &[
    ("MSELoss(reduction='sum')", "OutputLayer::reduction"), ("CrossEntropyLoss(weight=w)", "Targets::class_weights"), ("CTCLoss", "aligns sequences"), ("TripletMarginLoss", "three rows"), ("CosineEmbeddingLoss", "two rows"),
    ("kl_divergence", "probabilities"), ("MultiLabelMarginLoss", "bce_with_logits"), ("BCEWithLogitsLoss(pos_weight=3)", "Targets::weights"), ("mape", "formula("), ("charbonnier", "formula("), ("MSLoss", "mse"),
];

#[test]
fn each_name_is_read() {
    assert!(ACTIVATIONS.len() + LOSSES.len() >= 120, "{}", ACTIVATIONS.len() + LOSSES.len());
    let mut faults = Vec::new();
    let mut check = |text: &str, expected: &str, found: Result<String, Error>| {
        let found = found.unwrap_or_else(|error| format!("an error: {error}"));
        if found != expected {
            faults.push(format!("{text}: {found}, not {expected}"));
        }
    };
    for (text, canonical) in ACTIVATIONS {
        check(text, canonical, text.parse::<Activation>().map(|it| it.to_string()));
    }
    for (text, canonical) in LOSSES {
        check(text, canonical, text.parse::<Loss>().map(|it| it.to_string()));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_is_refused_says_what_to_use() {
    let mut faults = Vec::new();
    let mut check = |text: &str, part: &str, error: Option<String>| {
        let error = error.unwrap_or_else(|| "no error".to_owned());
        if !error.contains(part) {
            faults.push(format!("{text}: {error:?} has no {part:?}"));
        }
    };
    for (text, part) in REFUSED {
        check(text, part, text.parse::<Activation>().err().map(|error| error.to_string()));
    }
    for (text, part) in REFUSED_LOSSES {
        check(text, part, text.parse::<Loss>().err().map(|error| error.to_string()));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Each row of the tables is an entry, or an error; no name is in two rows, nor hides an entry that it does not mean.
#[test]
fn the_tables_are_sound() {
    let mut known = HashSet::new();
    let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    for row in other_names() {
        for name in row.names {
            assert!(known.insert((row.kind, plain(name))), "{name} is there twice");
            let parsed = match row.kind {
                "activation" => name.parse::<Activation>().map(|it| it.to_string()),
                _ => name.parse::<Loss>().map(|it| it.to_string()),
            };
            match parsed {
                Ok(text) => {
                    assert!(text.starts_with(row.meaning.trim_end_matches(')')), "{name}: {text}")
                }
                Err(error) => assert!(error.to_string().contains(row.meaning), "{name}: {error}"),
            }
        }
    }
    for activation in Activation::all() {
        for text in [
            activation.to_string(),
            activation.name().to_owned(),
            format!("nn.{}", activation.name()),
        ] {
            assert_eq!(text.parse::<Activation>().unwrap(), activation, "{text}");
        }
    }
    for loss in Loss::all() {
        for text in [loss.to_string(), loss.name().to_owned()] {
            assert_eq!(text.parse::<Loss>().unwrap(), loss, "{text}");
        }
    }
}
