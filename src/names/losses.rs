//! Names of losses.

use super::Argument::{Chooses, Defaults, Ignored, Is, Only};
use super::Meaning::{Elsewhere, Entry};
use super::{Argument, Meaning, Row};

const fn row(library: &'static str, names: &'static [&'static str], meaning: Meaning) -> Row {
    Row { library, names, meaning }
}

const REDUCTION: (&str, Argument) = (
    "reduction",
    Only(
        &[],
        "a loss has no reduction of its own; pass it to its functions, or to OutputLayer::reduction",
    ),
);
const WEIGHT: (&str, Argument) = (
    "weight",
    Only(&["none"], "weights go with the targets: Targets::class_weights, Targets::weights"),
);
const OLD: [(&str, Argument); 2] = [("size_average", Ignored), ("reduce", Ignored)];

/// Whether y are logits, as Keras has it.
const fn from_logits(no: &'static [(&'static str, &'static str)]) -> (&'static str, Argument) {
    ("from_logits", Chooses(no))
}

#[rustfmt::skip]
pub(crate) const LOSSES: &[Row] = &[
    row("PyTorch, Keras", &["mse", "MSELoss", "mean_squared_error", "squared_error"], Entry("mse", &[OLD[0], OLD[1], REDUCTION])),
    row("Optax", &["l2_loss"], Entry("half_squared_error", &[])),
    row("PyTorch, Keras", &["mae", "L1Loss", "mean_absolute_error", "absolute_error"], Entry("mae", &[OLD[0], OLD[1], REDUCTION])),
    row("PyTorch", &["smooth_l1", "SmoothL1Loss"], Entry("smooth_l1", &[OLD[0], OLD[1], REDUCTION, ("beta", Is("beta"))])),
    row("PyTorch, Keras, Optax", &["huber", "HuberLoss"], Entry("huber", &[REDUCTION, ("delta", Is("delta"))])),
    row("Keras, Optax", &["log_cosh"], Entry("log_cosh", &[])),
    row("PyTorch, Keras", &["bce", "BCELoss", "binary_cross_entropy"], Entry("bce", &[WEIGHT, OLD[0], OLD[1], REDUCTION, from_logits(&[("false", "bce"), ("true", "bce_with_logits")])])),
    row("PyTorch, Optax", &["bce_with_logits", "BCEWithLogitsLoss", "binary_cross_entropy_with_logits", "sigmoid_binary_cross_entropy", "sigmoid_cross_entropy_with_logits", "MultiLabelSoftMarginLoss"], 
        Entry("bce_with_logits", &[WEIGHT, OLD[0], OLD[1], REDUCTION, ("pos_weight", Only(&["none"], "weights go with the targets: Targets::weights, one for each element"))])),
    row("PyTorch", &["CrossEntropyLoss", "F.cross_entropy"], Entry("cross_entropy_with_logits", &[WEIGHT, OLD[0], ("ignore_index", Defaults("ignore_index", "-100")), OLD[1], REDUCTION, ("label_smoothing", Is("label_smoothing"))])),
    row("Optax, TensorFlow, ONNX", &["softmax_cross_entropy", "softmax_cross_entropy_with_logits", "softmax_cross_entropy_with_integer_labels", "sparse_softmax_cross_entropy_with_logits", "SoftmaxCrossEntropyLoss"], 
        Entry("cross_entropy_with_logits", &[REDUCTION, ("ignore_index", Is("ignore_index"))])),
    row("Keras", &["categorical_crossentropy", "sparse_categorical_crossentropy"], 
        Entry("cross_entropy", &[from_logits(&[("false", "cross_entropy"), ("true", "cross_entropy_with_logits")]), ("label_smoothing", Is("label_smoothing")), ("ignore_class", Is("ignore_index")), ("axis", Only(&["-1"], "the classes are along the last axis, -1"))])),
    row("PyTorch", &["NLLLoss"], Entry("nll", &[WEIGHT, OLD[0], ("ignore_index", Defaults("ignore_index", "-100")), OLD[1], REDUCTION])),
    row("ONNX", &["nll", "NegativeLogLikelihoodLoss"], Entry("nll", &[REDUCTION, ("ignore_index", Is("ignore_index"))])),
    row("PyTorch", &["kl_div", "KLDivLoss"], Entry("kl_div", &[OLD[0], OLD[1], REDUCTION, ("log_target", Is("log_target"))])),
    row("PyTorch", &["poisson_nll", "PoissonNLLLoss"], Entry("poisson_nll", &[("log_input", Is("log_input")), ("full", Is("full")), OLD[0], ("eps", Is("eps")), OLD[1], REDUCTION])),
    row("Keras", &["poisson"], Entry("poisson_nll(log_input=false)", &[])),
    row("PyTorch", &["gaussian_nll", "GaussianNLLLoss"], Entry("gaussian_nll", &[("full", Is("full")), ("eps", Is("eps")), REDUCTION])),
    row("Keras, Optax", &["hinge", "hinge_loss"], Entry("hinge", &[])),
    row("Keras", &["squared_hinge"], Entry("squared_hinge", &[])),
    row("PyTorch", &["soft_margin", "SoftMarginLoss"], Entry("soft_margin", &[OLD[0], OLD[1], REDUCTION])),
    row("PyTorch", &["multi_margin", "MultiMarginLoss"], Entry("multi_margin", &[("p", Is("p")), ("margin", Is("margin")), WEIGHT, OLD[0], OLD[1], REDUCTION])),
    row("PyTorch", &["hinge_embedding", "HingeEmbeddingLoss"], Entry("hinge_embedding", &[("margin", Is("margin")), OLD[0], OLD[1], REDUCTION])),
    row("torchvision, Optax", &["sigmoid_focal_loss"], Entry("focal_with_logits", &[("alpha", Is("alpha")), ("gamma", Is("gamma")), REDUCTION])),
    row("Keras", &["kl_divergence"], Elsewhere("it takes probabilities; take their logarithms and kl_div, or log_softmax and kl_div")),
    row("Keras", &["categorical_hinge"], Elsewhere("multi_margin is the sum over the other classes of what it takes the largest of")),
    row("PyTorch, Keras", &["cosine_similarity", "CosineEmbeddingLoss"], Elsewhere("it compares two rows, not outputs with targets")),
    row("PyTorch", &["TripletMarginLoss", "TripletMarginWithDistanceLoss"], Elsewhere("it compares three rows, not outputs with targets")),
    row("PyTorch", &["MarginRankingLoss"], Elsewhere("it compares two outputs; hinge of their difference computes it")),
    row("PyTorch", &["MultiLabelMarginLoss"], Elsewhere("its targets are lists of labels; bce_with_logits takes several labels in a row, as 0 and 1")),
    row("PyTorch", &["CTCLoss"], Elsewhere("it aligns sequences, which no loss here does")),
    row("Keras", &["mean_squared_logarithmic_error", "msle"], Elsewhere("as a formula it is formula(\"(log1p(y) - log1p(t))^2\")")),
    row("Keras", &["mean_absolute_percentage_error", "mape"], Elsewhere("as a formula it is formula(\"100 * abs((y - t) / max(abs(t), 1e-7))\")")),
    row("papers", &["charbonnier"], Elsewhere("as a formula it is formula(\"sqrt((y - t)^2 + eps^2)\", eps=0.001)")),
    row("papers", &["cauchy", "lorentzian"], Elsewhere("as a formula it is formula(\"log(1 + ((y - t) / c)^2)\", c=1)")),
];
