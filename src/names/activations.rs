//! Names of activations.

use super::Argument::{Chooses, Ignored, Is, Only, Or};
use super::Meaning::{Elsewhere, Entry, Formula};
use super::{Argument, Meaning, Row};

const fn row(library: &'static str, names: &'static [&'static str], meaning: Meaning) -> Row {
    Row { library, names, meaning }
}

type Arguments = &'static [(&'static str, Argument)];

const IN_PLACE: Arguments = &[("inplace", Ignored)];

/// Softmax and its relatives work along the last axis.
const AXIS: Argument = Only(
    &["-1", "none"],
    "an activation works along the last axis, -1; along another one take Rowwise::new(activation)?.axis(axis)",
);
const ALONG: Arguments = &[
    ("dim", AXIS),
    ("axis", AXIS),
    ("dtype", Only(&["none"], "results have the type of the input; convert it by to_dtype")),
];

const GATED: &str = "it is a gated unit: \"glu\".parse::<Gated>(), or Gated::new(activation)";

#[rustfmt::skip]
pub(crate) const ACTIVATIONS: &[Row] = &[
    row("PyTorch, Keras, ONNX", &["relu"], Entry("relu", IN_PLACE)),
    row("PyTorch, Keras, Hugging Face", &["relu6"], Entry("relu6", IN_PLACE)),
    row("PyTorch", &["leaky_relu"], Entry("leaky_relu", &[("negative_slope", Is("slope")), ("inplace", Ignored), ("alpha", Is("slope"))])),
    row("Keras", &["keras.leaky_relu"], Entry("leaky_relu", &[("negative_slope", Argument::Defaults("slope", "0.2"))])),
    row("TensorFlow", &["tf.nn.leaky_relu"], Entry("leaky_relu", &[("alpha", Argument::Defaults("slope", "0.2"))])),
    row("PyTorch", &["prelu"], Entry("prelu", &[("num_parameters", Only(&["1"], "the activation has one weight; for more take Prelu")), ("init", Is("weight")), ("device", Ignored), ("dtype", Ignored)])),
    row("PyTorch", &["rrelu"], Entry("rrelu", &[("lower", Is("lower")), ("upper", Is("upper")), ("training", Only(&["false"], "it is evaluated at its mean slope")), ("inplace", Ignored)])),
    row("PyTorch, Keras, ONNX", &["elu"], Entry("elu", &[("alpha", Is("alpha")), ("inplace", Ignored)])),
    row("PyTorch, Keras, ONNX", &["selu"], Entry("selu", IN_PLACE)),
    row("PyTorch, Keras, ONNX", &["celu"], Entry("celu", &[("alpha", Is("alpha")), ("inplace", Ignored)])),
    row("PyTorch, Keras, ONNX, Hugging Face", &["gelu"], Entry("gelu", &[("approximate", Chooses(&[("none", "gelu"), ("tanh", "gelu_tanh"), ("false", "gelu"), ("true", "gelu_tanh")]))])),
    row("JAX", &["jax.nn.gelu"], Entry("gelu_tanh", &[("approximate", Chooses(&[("false", "gelu"), ("true", "gelu_tanh")]))])),
    row("Hugging Face", &["gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "gelu_approx"], Entry("gelu_tanh", &[])),
    row("Hugging Face", &["gelu_python", "gelu_erf", "gelu_exact"], Entry("gelu", &[])),
    row("Hugging Face", &["gelu_10"], Formula("formula(\"max(-10, min(10, gelu(z)))\")")),
    row("Hugging Face", &["quick_gelu", "gelu_quick", "sigmoid_gelu"], Entry("quick_gelu", &[])),
    row("Hugging Face", &["relu2", "relu_squared", "sqrelu", "square_relu"], Entry("squared_relu", &[])),
    row("Hugging Face", &["laplace"], Formula("formula(\"0.5 * (1 + erf((z - mu) / (sigma * sqrt(2))))\", mu=0.707107, sigma=0.282095)")),
    row("PyTorch, Keras", &["silu", "sigmoid_linear_unit"], Entry("silu", IN_PLACE)),
    row("Keras, ONNX", &["swish"], Entry("swish", &[("alpha", Is("beta"))])),
    row("PyTorch, Keras", &["mish"], Entry("mish", IN_PLACE)),
    row("PyTorch", &["softplus"], Entry("softplus", &[("beta", Is("beta")), ("threshold", Is("threshold"))])),
    row("PyTorch, Keras", &["softsign"], Entry("softsign", &[])),
    row("PyTorch, Keras", &["sigmoid", "logistic", "expit"], Entry("sigmoid", &[])),
    row("PyTorch, Keras", &["log_sigmoid"], Entry("log_sigmoid", &[])),
    row("PyTorch, Keras 3, ONNX", &["hard_sigmoid"], Entry("hard_sigmoid", &[("alpha", Or("slope", "0.2")), ("beta", Or("offset", "0.5")), ("inplace", Ignored)])),
    row("PyTorch, Keras, ONNX", &["hard_swish", "hard_silu"], Entry("hard_swish", IN_PLACE)),
    row("PyTorch, Keras", &["tanh"], Entry("tanh", &[])),
    row("PyTorch", &["hard_tanh"], Entry("hard_tanh", &[("min_val", Is("min")), ("max_val", Is("max")), ("inplace", Ignored)])),
    row("ONNX, PyTorch", &["clip", "clamp"], Entry("hard_tanh", &[("min", Is("min")), ("max", Is("max"))])),
    row("PyTorch, Keras", &["tanhshrink"], Entry("tanhshrink", &[])),
    row("PyTorch, Keras", &["softshrink"], Entry("softshrink", &[("lambd", Is("lambda")), ("threshold", Is("lambda"))])),
    row("PyTorch, Keras", &["hardshrink"], Entry("hardshrink", &[("lambd", Is("lambda")), ("threshold", Is("lambda"))])),
    row("ONNX", &["shrink"], Entry("shrink", &[("lambd", Is("lambda")), ("bias", Is("bias"))])),
    row("PyTorch, Keras", &["threshold"], Entry("threshold", &[("threshold", Is("threshold")), ("value", Is("value")), ("inplace", Ignored), ("default_value", Is("value"))])),
    row("ONNX", &["thresholded_relu"], Entry("thresholded_relu", &[("alpha", Is("alpha")), ("theta", Is("alpha"))])),
    row("Keras, JAX", &["squareplus"], Entry("squareplus", &[("b", Is("b"))])),
    row("Keras, Hugging Face", &["linear"], Entry("identity", &[])),
    row("PyTorch, ONNX", &["identity"], Entry("identity", &[])),
    row("ONNX, PyTorch", &["exp"], Entry("exponential", &[])),
    row("ONNX, PyTorch", &["sin"], Entry("sine", &[])),
    row("ONNX, PyTorch", &["atan"], Entry("arctan", &[])),
    row("PyTorch, Keras, ONNX", &["softmax"], Entry("softmax", ALONG)),
    row("PyTorch, Keras, ONNX", &["log_softmax"], Entry("log_softmax", ALONG)),
    row("PyTorch", &["softmin"], Entry("softmin", ALONG)),
    row("Keras", &["sparsemax"], Entry("sparsemax", ALONG)),
    row("PyTorch", &["glu"], Elsewhere(GATED)),
    row("Hugging Face", &["geglu", "swiglu", "reglu"], Elsewhere("it is a gated unit, and its name one of Gated: \"swiglu\".parse::<Gated>()")),
    row("PyTorch", &["softmax2d"], Elsewhere("it is softmax along axis 1: Rowwise::new(Activation::Softmax)?.axis(1)")),
    row("PyTorch", &["gumbel_softmax"], Elsewhere("it draws random numbers; add Gumbel noise to the logits and take softmax")),
    row("ONNX", &["hardmax"], Elsewhere("it has no derivative; of the outputs of softmax take the largest")),
    row("PyTorch, ONNX", &["erf"], Formula("formula(\"erf(z)\")")),
    row("PyTorch", &["cos"], Formula("formula(\"cos(z)\")")),
    row("papers", &["serf"], Formula("formula(\"z * erf(log(1 + exp(z)))\")")),
    row("papers", &["tanhexp"], Formula("formula(\"z * tanh(exp(z))\")")),
    row("papers", &["phish"], Formula("formula(\"z * tanh(gelu(z))\")")),
    row("papers", &["logish"], Formula("formula(\"z * log(1 + sigmoid(z))\")")),
    row("papers", &["swoosh_r"], Formula("formula(\"log(1 + exp(z - 1)) - 0.08 * z - 0.313261687\")")),
    row("papers", &["swoosh_l"], Formula("formula(\"log(1 + exp(z - 4)) - 0.08 * z - 0.035\")")),
    row("papers", &["isru"], Formula("formula(\"z / sqrt(1 + a * z^2)\", a=1)")),
    row("papers", &["isrlu"], Formula("formula(\"select(z >= 0, z, z / sqrt(1 + a * z^2))\", a=1)")),
    row("papers", &["gcu"], Formula("formula(\"z * cos(z)\")")),
    row("papers", &["dynamic_tanh", "dyt"], Formula("formula(\"tanh(alpha * z)\", alpha=0.5)")),
];
