//! The catalogue of losses as rows of data.

/// Hands the rows of the catalogue of losses to a macro.
///
/// A row has the documentation, the unit and structure of the loss (`Element` and `Row`: a sum of
/// terms with one value for each element or row; `LogSumExp`, `Margins`), the variant, the
/// canonical name, and the options with their documentation, type, default and range; then the
/// formula of the loss and of its gradient, the kind of y that it takes, the quantity of an output
/// that it depends on (a [`View`](crate::formulas::View)), its values in special cases, the source of
/// the definition, and the term that it adds up.
#[doc(hidden)]
#[macro_export]
macro_rules! losses {
    ($callback:ident) => {
        $callback! {
            terms {
                /// Half the squared error, the loss of classical backpropagation.
                Element HalfSquaredError = half_squared_error {
                    formula "½(y − t)²",
                    gradient "y − t",
                    y numbers,
                    view View::Difference,
                    special [],
                    source "Rumelhart, Hinton and Williams 1986",
                    term HalfSquaredError,
                }

                /// The squared error.
                Element Mse = mse {
                    formula "(y − t)²",
                    gradient "2(y − t)",
                    y numbers,
                    view View::Difference,
                    special [],
                    source "PyTorch's MSELoss",
                    term Mse,
                }

                /// The absolute error, also called l1.
                Element Mae = mae {
                    formula "|y − t|",
                    gradient "sign(y − t)",
                    y numbers,
                    view View::Difference,
                    special ["The gradient at y = t is 0; where both are infinite NaN"],
                    source "PyTorch's L1Loss",
                    term Mae,
                }

                /// The squared error for small errors, the absolute error for large ones.
                Element Huber = huber(
                    /// The error at which the parabola becomes its tangent.
                    delta: f32 = 1.0
                ) => [delta > 0.0, "delta must be positive"] {
                    formula "½e² if |e| < δ, else δ(|e| − ½δ), for e = y − t",
                    gradient "e if |e| < δ, else δ·sign(e)",
                    y numbers,
                    view View::Difference,
                    special [],
                    source "Huber 1964; PyTorch's HuberLoss",
                    term Huber { delta: number(delta) },
                }

                /// huber with δ = β, divided by β: the slope of the tangents is 1.
                Element SmoothL1 = smooth_l1(
                    /// The error at which the parabola becomes its tangent; 0 gives [`Mae`](Self::Mae).
                    beta: f32 = 1.0, in 0.0..=f32::MAX
                ) {
                    formula "½e²/β if |e| < β, else |e| − ½β, for e = y − t",
                    gradient "e/β if |e| < β, else sign(e)",
                    y numbers,
                    view View::Difference,
                    special ["β = 0 is mae, with the gradient 0 at y = t"],
                    source "Girshick 2015; PyTorch's SmoothL1Loss",
                    term SmoothL1 { beta: number(beta) },
                }

                /// The logarithm of the hyperbolic cosine of the error.
                Element LogCosh = log_cosh {
                    formula "ln cosh(y − t)",
                    gradient "tanh(y − t)",
                    y numbers,
                    view View::Difference,
                    special ["Large errors e: |e| − ln 2, without overflow"],
                    source "Keras's LogCosh",
                    term LogCosh,
                }

                /// The cross-entropy between probabilities y and a label or target probabilities t, one value
                /// per row.
                Row CrossEntropy = cross_entropy(
                    /// The fraction ε of the target that is distributed over all K classes: t becomes
                    /// (1 − ε)·t + ε/K.
                    label_smoothing: f32 = 0.0, in 0.0..=1.0;
                    /// Rows with this label have no effect on the loss, the gradient, the smoothing or the mean.
                    ignore_index: Option<i32> = None
                ) {
                    formula "−Σ_k w_k·t_k·ln y_k",
                    gradient "−w_k·t_k / y_k",
                    y probabilities,
                    view View::Logarithms,
                    special [
                        "y are probabilities, not logits: PyTorch's cross_entropy is `cross_entropy_with_logits`, or `OutputLayer(Softmax, cross_entropy)`",
                        "A class with t = 0 adds nothing, also at y = 0",
                        "Mean divides by the weights w of the labels that count; for dense targets by the rows",
                        "All rows ignored: mean NaN, sum 0, gradient 0; weights that add up to 0: mean and gradient NaN",
                    ],
                    source "PyTorch's CrossEntropyLoss, on probabilities",
                    note "Of probabilities, not of logits: PyTorch's cross_entropy is `cross_entropy_with_logits`, or `OutputLayer(Softmax, cross_entropy)`.",
                    term CrossEntropy,
                }
            }
            whole_rows {
                /// The cross-entropy between softmax(y) and a label or target probabilities t, one value per row.
                LogSumExp CrossEntropyWithLogits = cross_entropy_with_logits(
                    /// The fraction ε of the target that is distributed over all K classes: t becomes
                    /// (1 − ε)·t + ε/K.
                    label_smoothing: f32 = 0.0, in 0.0..=1.0;
                    /// Rows with this label have no effect on the loss, the gradient, the smoothing or the mean.
                    ignore_index: Option<i32> = None
                ) {
                    formula "Σ_k w_k·t_k·(ln Σ_j e^(y_j) − y_k)",
                    gradient "p_k·Σ_j w_j·t_j − w_k·t_k, p = softmax(y)",
                    y logits,
                    special [
                        "This is what PyTorch calls cross_entropy",
                        "Right at logits of ±1e4, and to the last digits where one class is all but certain",
                        "A row with NaN or +∞, or with nothing but −∞, is NaN",
                        "Mean divides by the weights w of the labels that count; for dense targets by the rows",
                        "All rows ignored: mean NaN, sum 0, gradient 0; weights that add up to 0: mean and gradient NaN",
                    ],
                    source "PyTorch's CrossEntropyLoss",
                    note "Of logits: this is what PyTorch calls cross_entropy.",
                }
            }
            terms {
                /// The negative log-likelihood of log-probabilities y, one value per row.
                Row Nll = nll(
                    /// Rows with this label have no effect on the loss, the gradient, the smoothing or the mean.
                    ignore_index: Option<i32> = None
                ) {
                    formula "−Σ_k w_k·t_k·y_k",
                    gradient "−w_k·t_k",
                    y log_probabilities,
                    view View::Output,
                    special [
                        "y are the logarithms of probabilities, as log_softmax gives them; of probabilities themselves it is −p, without an error",
                        "A class with t = 0 adds nothing, also at y = −∞",
                        "Mean divides by the weights w of the labels that count; for dense targets by the rows",
                        "All rows ignored: mean NaN, sum 0, gradient 0; weights that add up to 0: mean and gradient NaN",
                    ],
                    source "PyTorch's NLLLoss",
                    note "Of the logarithms of probabilities, as log_softmax gives them.",
                    term Nll,
                }

                /// The binary cross-entropy of probabilities y for targets from 0 to 1.
                Element Bce = bce {
                    formula "−(t·ln y + (1 − t)·ln(1 − y))",
                    gradient "(y − t) / (y(1 − y))",
                    y probabilities,
                    view View::Logarithms,
                    special [
                        "The logarithms are at least −100, the gradient's divisor at least 1e−12",
                        "With sigmoid in an OutputLayer the gradient is y − t, from the logits",
                        "y outside of [0, 1] is an error where the host knows it, else NaN",
                    ],
                    source "PyTorch's BCELoss",
                    note "Of probabilities; `bce_with_logits` is that of logits.",
                    term Bce,
                }

                /// The binary cross-entropy of sigmoid(y), with a weight w for positive targets.
                Element BceWithLogits = bce_with_logits {
                    formula "(1 − t)·ln(1 + e^y) + w·t·ln(1 + e^(−y))",
                    gradient "(1 − t)·p − w·t·(1 − p), p = sigmoid(y)",
                    y logits,
                    view View::Output,
                    special [
                        "Right at logits of ±1e4; a part with the weight 0 adds nothing at ±∞",
                    ],
                    source "PyTorch's BCEWithLogitsLoss",
                    term BceWithLogits,
                }

                /// The focal loss of probabilities y, for targets from 0 to 1.
                Element Focal = focal(
                    /// The weight α of positive targets; 1 − α is the weight of negative ones. If α is negative, both
                    /// have the weight 1.
                    alpha: f32 = 0.25, in -1.0..=1.0;
                    /// The exponent γ, which reduces the weight of outputs that are already nearly right.
                    gamma: f32 = 2.0, in 0.0..=f32::MAX
                ) {
                    formula "−α_t·(1 − p_t)^γ·(t·ln y + (1 − t)·ln(1 − y)), p_t = t·y + (1 − t)(1 − y), α_t = α·t + (1 − α)(1 − t)",
                    gradient "for t = 1: α(1 − y)^γ·(γ·ln y/(1 − y) − 1/y)",
                    y probabilities,
                    view View::Logarithms,
                    special [
                        "Powers other than 1, 2 and 3 lose digits where 1 − p_t is small",
                        "y outside of [0, 1] is an error where the host knows it, else NaN",
                    ],
                    source "Lin et al. 2017",
                    note "Of probabilities; `focal_with_logits` is that of logits.",
                    term Focal { alpha: number(alpha), gamma: number(gamma) },
                }

                /// The focal loss of sigmoid(y).
                Element FocalWithLogits = focal_with_logits(
                    /// The weight α of positive targets; 1 − α is the weight of negative ones. If α is negative, both
                    /// have the weight 1.
                    alpha: f32 = 0.25, in -1.0..=1.0;
                    /// The exponent γ, which reduces the weight of outputs that are already nearly right.
                    gamma: f32 = 2.0, in 0.0..=f32::MAX
                ) {
                    formula "focal(p, t), p = sigmoid(y)",
                    gradient "for t = 1: α(1 − p)^γ·(γ·p·ln p − (1 − p))",
                    y logits,
                    view View::Output,
                    special ["Right at logits of ±1e4"],
                    source "Lin et al. 2017; torchvision's sigmoid_focal_loss",
                    term FocalWithLogits { alpha: number(alpha), gamma: number(gamma) },
                }

                /// The Kullback-Leibler divergence from log-probabilities y to target probabilities t.
                Element KlDiv = kl_div(
                    /// Whether the targets are log-probabilities too.
                    log_target: bool = false
                ) {
                    formula "t·(ln t − y); with log_target e^t·(t − y)",
                    gradient "−t; with log_target −e^t",
                    y log_probabilities,
                    view View::Output,
                    special [
                        "t = 0 (with log_target −∞) adds nothing, also at y = −∞",
                        "Mean divides by all elements as in PyTorch; BatchMean is the divergence for each row",
                    ],
                    source "PyTorch's KLDivLoss",
                    term KlDiv { log_target },
                }

                /// The negative log-likelihood of counts t under a Poisson distribution.
                Element PoissonNll = poisson_nll(
                    /// Whether y is the logarithm of the rate.
                    log_input: bool = true;
                    /// Whether to add the term that does not depend on y, by Stirling's formula.
                    full: bool = false;
                    /// Keeps the logarithm of a rate of 0 finite.
                    eps: f32 = 1e-8, in 0.0..=f32::MAX
                ) {
                    formula "e^y − t·y; without log_input y − t·ln(y + ε); full adds t·ln t − t + ½ln(2πt) if t > 1",
                    gradient "e^y − t; without log_input 1 − t/(y + ε)",
                    y numbers,
                    view if log_input { View::Output } else { View::Logarithms },
                    special [
                        "t = 0 adds no logarithm",
                        "Without log_input a negative y is an error where the host knows it",
                        "With log_input a rate that overflows gives ∞",
                    ],
                    source "PyTorch's PoissonNLLLoss",
                    term PoissonNll { log_input, full, eps: number(eps) },
                }

                /// The negative log-likelihood of t under a normal distribution with the mean y and the variance v,
                /// which [`Targets::variance`](crate::Targets::variance) gives.
                Element GaussianNll = gaussian_nll(
                    /// Whether to add the constant ½ln 2π.
                    full: bool = false;
                    /// The least variance: v becomes max(v, ε).
                    eps: f32 = 1e-6
                ) => [eps > 0.0, "eps must be positive"] {
                    formula "½(ln v + (y − t)²/v); full adds ½ln 2π",
                    gradient "(y − t)/v",
                    y numbers,
                    view View::Difference,
                    special ["A variance below ε counts as ε; a negative one is an error"],
                    source "Nix and Weigend 1994; PyTorch's GaussianNLLLoss",
                    term GaussianNll { full, eps: number(eps) },
                }

                /// The hinge loss, for targets −1 and 1.
                Element Hinge = hinge {
                    formula "max(0, 1 − t·y)",
                    gradient "−t if t·y < 1, else 0",
                    y logits,
                    view View::Margin,
                    special [
                        "The gradient at t·y = 1 is 0",
                        "Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them",
                    ],
                    source "Cortes and Vapnik 1995; torchmetrics' HingeLoss",
                    term Hinge,
                }

                /// The squared hinge loss, for targets −1 and 1.
                Element SquaredHinge = squared_hinge {
                    formula "max(0, 1 − t·y)²",
                    gradient "−2t·max(0, 1 − t·y)",
                    y logits,
                    view View::Margin,
                    special [
                        "Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them",
                    ],
                    source "Keras's SquaredHinge",
                    term SquaredHinge,
                }

                /// The logistic loss, for targets −1 and 1.
                Element SoftMargin = soft_margin {
                    formula "ln(1 + e^(−t·y))",
                    gradient "−t·sigmoid(−t·y)",
                    y logits,
                    view View::Output,
                    special [
                        "Right at logits of ±1e4",
                        "Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them",
                    ],
                    source "PyTorch's SoftMarginLoss",
                    term SoftMargin,
                }
            }
            whole_rows {
                /// The multi-class hinge loss for labels l, one value per row.
                Margins MultiMargin = multi_margin(
                    /// The exponent, 1 or 2.
                    p: u32 = 1;
                    /// The margin by which the label's logit should exceed the others.
                    margin: f32 = 1.0
                ) => [p == 1 || p == 2, "p must be 1 or 2"] {
                    formula "w_l/K·Σ_{i≠l} max(0, margin − y_l + y_i)^p",
                    gradient "for i ≠ l w_l/K·p·max(0, …)^(p−1) where it is positive; for l minus the sum of these",
                    y logits,
                    special [
                        "The gradient of a difference that just keeps the margin is 0",
                        "Takes labels only; mean divides by the rows, also with weights",
                    ],
                    source "PyTorch's MultiMarginLoss",
                }
            }
            terms {
                /// The loss of distances y between pairs that are alike (t = 1) or not (t = −1).
                Element HingeEmbedding = hinge_embedding(
                    /// The distance that pairs that are not alike should have.
                    margin: f32 = 1.0
                ) {
                    formula "y if t = 1; max(0, margin − y) if t = −1",
                    gradient "1 if t = 1; −1 if t = −1 and y ≤ margin, else 0",
                    y numbers,
                    view View::Output,
                    special [
                        "Any other target adds both, as in PyTorch",
                        "Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them",
                    ],
                    source "PyTorch's HingeEmbeddingLoss",
                    term HingeEmbedding { margin: number(margin) },
                }
            }
        }
    };
}
