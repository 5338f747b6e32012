//! The catalogue of losses: one row each.

use std::ops::RangeInclusive;

use crate::catalogue::{Constant, Parameter, catalogue};
use crate::reference::losses as formulas;
use crate::reference::losses::LossOfForms;
use crate::reference::{LossTerm, Real};

/// The code that a loss's formula is handed to, in the precision R.
pub(crate) trait LossVisitor<R: Real> {
    type Output;
    fn visit<F: LossTerm<R>>(self, formula: F) -> Self::Output;
}

/// The code that the formula of a loss of forms is handed to.
pub(crate) trait FormsVisitor<R: Real> {
    type Output;
    fn visit<F: LossOfForms<R>>(self, formula: F) -> Self::Output;
}

/// What a loss sees of an output: what must not be lost where the output is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum View {
    /// The output as it is.
    Output,
    /// Its difference from the target: `loss(y, t) = loss(y − a, t − a)`.
    Difference,
    /// Its product with the target below the margin: `loss(y, t, 1) = loss(y − a, t, 1 − t·a)`.
    Margin,
    /// Its logarithm, or that of 1 − y.
    Logarithms,
}

/// What a loss has one value for before it is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Each element.
    Element,
    /// Each row: a distribution over the classes.
    Row,
}

/// How a loss is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Structure {
    /// Of terms, one for each output and its target.
    Terms,
    /// Of the log-sum-exp of a row.
    LogSumExp,
    /// Of the differences to the output of the label.
    Margins,
}

/// A parameter in the precision of the formulas.
fn number<R: Real>(parameter: f32) -> R {
    R::from_f64(f64::from(parameter))
}

/// From the rows of the catalogue: the enum, its texts, its WGSL and the way to its formulas.
macro_rules! losses {
    (
        $(#[$enum_doc:meta])*
        pub enum Loss {
            $(
                $(#[$doc:meta])*
                $kind:ident $Variant:ident = $name:ident
                $( (
                    $( $(#[$parameter_doc:meta])* $parameter:ident : $Type:ty = $default:expr $(, in $range:expr)? );+
                ) $(=> [$rule:expr, $reason:literal])? )?,
                $formula:literal, $gradient:literal, y $takes:ident,
                special [ $( $special:literal ),* ],
                source $source:literal
                $(, note $note:literal)?
                $(, term $term:expr)?
            );+ $(;)?
        }
    ) => {
        catalogue! {
            "loss"
            $(#[$enum_doc])*
            pub enum Loss {
                $(
                    $(#[$doc])*
                    ///
                    #[doc = concat!("* Formula: `", $formula, "`")]
                    #[doc = concat!("* Gradient with respect to y: `", $gradient, "`")]
                    #[doc = concat!("* y: ", losses!(@takes $takes))]
                    $( #[doc = concat!("* ", $special)] )*
                    #[doc = concat!("* Source: ", $source)]
                    $Variant = $name $(
                        ( $( $(#[$parameter_doc])* $parameter: $Type = $default $(, in $range)? );+ )
                        $(=> [$rule, $reason])?
                    )?
                    $(; $note)?
                )+
            }
        }

        impl Loss {
            /// The formula before the reduction.
            ///
            /// ```
            /// assert_eq!(wgrad::Loss::Mse.formula(), "(y − t)²");
            /// ```
            pub const fn formula(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => $formula, )+ }
            }

            /// The formula of the gradient with respect to y, before the reduction.
            pub const fn gradient_formula(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => $gradient, )+ }
            }

            /// What the loss takes as its y: "numbers", "probabilities", "log-probabilities" or "logits".
            ///
            /// ```
            /// assert_eq!(wgrad::Loss::bce().takes(), "probabilities");
            /// assert_eq!(wgrad::Loss::bce_with_logits().takes(), "logits");
            /// ```
            pub const fn takes(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => losses!(@takes $takes), )+ }
            }

            /// What the loss gives at its kinks, where its formula has no value, and where nothing counts.
            pub const fn special_values(&self) -> &'static [&'static str] {
                match self { $( Self::$Variant { .. } => &[ $( $special ),* ], )+ }
            }

            /// Where the definition is from.
            pub const fn source(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => $source, )+ }
            }

            /// The WGSL functions of the loss.
            pub(crate) const fn wgsl(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => losses!(@wgsl $kind $name), )+ }
            }

            /// The options, for the `override` constants of the WGSL: l_delta is delta.
            pub(crate) fn constants(&self) -> Vec<Constant> {
                let all: Vec<Option<Constant>> = match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => vec![
                        $( $( $parameter.constant(concat!("l_", stringify!($parameter)), $default) ),+ )?
                    ],
                )+ };
                // The smoothing goes with the targets.
                all.into_iter().flatten().filter(|it| it.name != "l_label_smoothing").collect()
            }

            pub(crate) const fn unit(&self) -> Unit {
                match self { $( Self::$Variant { .. } => losses!(@unit $kind), )+ }
            }

            pub(crate) const fn structure(&self) -> Structure {
                match self { $( Self::$Variant { .. } => losses!(@structure $kind), )+ }
            }

            /// Hands the formula to the visitor; nothing for a loss that is not made of terms.
            pub(crate) fn visit<R: Real, V: LossVisitor<R>>(&self, visitor: V) -> Option<V::Output> {
                match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => {
                        $( $( let _ = $parameter; )+ )?
                        losses!(@visit visitor $(, $term)?)
                    }
                )+ }
            }
        }
    };

    (@takes numbers) => { "numbers" };
    (@takes probabilities) => { "probabilities" };
    (@takes log_probabilities) => { "log-probabilities" };
    (@takes logits) => { "logits" };
    (@unit Element) => { Unit::Element };
    (@unit $other:ident) => { Unit::Row };
    (@structure LogSumExp) => { Structure::LogSumExp };
    (@structure Margins) => { Structure::Margins };
    (@structure $other:ident) => { Structure::Terms };
    (@wgsl LogSumExp $name:ident) => { "" };
    (@wgsl Margins $name:ident) => { "" };
    (@wgsl $other:ident $name:ident) => {
        include_str!(concat!("../../shaders/losses/", stringify!($name), ".wgsl"))
    };
    (@visit $visitor:ident, $term:expr) => { Some($visitor.visit($term)) };
    (@visit $visitor:ident) => {{ let _ = $visitor; None }};
}

losses! {
    /// A loss E(y, t), with its gradient dE/dy.
    ///
    /// Each variant carries its options; the function of the same name gives the defaults.
    /// `Display` and `FromStr` round-trip; capitals and hyphens are accepted on input. What goes with the
    /// targets, weights of classes say, is given with [`Targets`](crate::Targets). docs/losses.md is the
    /// same catalogue as a table.
    ///
    /// Losses on elements have one value for each; losses on rows (cross_entropy,
    /// cross_entropy_with_logits, nll and multi_margin) one for each row.
    ///
    /// ```
    /// use wgrad::{Device, Loss, Reduction};
    ///
    /// let device = Device::cpu();
    /// let y = device.tensor(&[0.1, 0.7, 0.2, 0.8, 0.1, 0.1], [2, 3])?;
    /// let labels = device.labels(&[1, 0])?;
    /// let loss = Loss::cross_entropy().forward(&y, &labels, Reduction::Mean)?;
    /// assert!((loss.item()? - 0.289_909_25).abs() < 1e-6);
    ///
    /// let parsed: Loss = "cross_entropy(label_smoothing=0.1, ignore_index=-100)".parse()?;
    /// assert_eq!(parsed, Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: Some(-100) });
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub enum Loss {
        /// Half the squared error, the loss of classical backpropagation.
        Element HalfSquaredError = half_squared_error,
            "½(y − t)²", "y − t", y numbers,
            special [],
            source "Rumelhart, Hinton and Williams 1986",
            term formulas::HalfSquaredError;

        /// The squared error.
        Element Mse = mse,
            "(y − t)²", "2(y − t)", y numbers,
            special [],
            source "PyTorch's MSELoss",
            term formulas::Mse;

        /// The absolute error, also called l1.
        Element Mae = mae,
            "|y − t|", "sign(y − t)", y numbers,
            special ["The gradient at y = t is 0; where both are infinite NaN"],
            source "PyTorch's L1Loss",
            term formulas::Mae;

        /// The squared error where it is small, the absolute error where it is large.
        Element Huber = huber(
            /// Where the parabola goes over into its tangent.
            delta: f32 = 1.0
        ) => [delta > 0.0, "delta must be positive"],
            "½e² if |e| < δ, else δ(|e| − ½δ), for e = y − t", "e if |e| < δ, else δ·sign(e)", y numbers,
            special [],
            source "Huber 1964; PyTorch's HuberLoss",
            term formulas::Huber { delta: number(delta) };

        /// huber divided by its β: the slope of the tangents is 1.
        Element SmoothL1 = smooth_l1(
            /// Where the parabola goes over into its tangent; 0 is [`Mae`](Self::Mae).
            beta: f32 = 1.0, in 0.0..=f32::MAX
        ),
            "½e²/β if |e| < β, else |e| − ½β, for e = y − t", "e/β if |e| < β, else sign(e)", y numbers,
            special ["β = 0 is mae, with the gradient 0 at y = t"],
            source "Girshick 2015; PyTorch's SmoothL1Loss",
            term formulas::SmoothL1 { beta: number(beta) };

        /// The logarithm of the hyperbolic cosine of the error.
        Element LogCosh = log_cosh,
            "ln cosh(y − t)", "tanh(y − t)", y numbers,
            special ["Large errors e: |e| − ln 2, without overflow"],
            source "Keras's LogCosh",
            term formulas::LogCosh;

        /// The cross-entropy between probabilities y and a label or target probabilities t, one value
        /// a row.
        Row CrossEntropy = cross_entropy(
            /// The share ε of the target that is spread over all K classes: t becomes
            /// (1 − ε)·t + ε/K.
            label_smoothing: f32 = 0.0, in 0.0..=1.0;
            /// Rows with this label count in nothing: not in the loss, the gradient, the smoothing or the
            /// mean.
            ignore_index: Option<i32> = None
        ),
            "−Σ_k w_k·t_k·ln y_k", "−w_k·t_k / y_k", y probabilities,
            special ["y are probabilities, not logits: PyTorch's cross_entropy is `cross_entropy_with_logits`, or `OutputLayer(Softmax, cross_entropy)`", "A class with t = 0 adds nothing, also at y = 0", "Mean divides by the weights w of the labels that count; for dense targets by the rows", "All rows ignored: mean NaN, sum 0, gradient 0; weights that add up to 0: mean and gradient NaN"],
            source "PyTorch's CrossEntropyLoss, on probabilities",
            note "Of probabilities, not of logits: PyTorch's cross_entropy is `cross_entropy_with_logits`, or `OutputLayer(Softmax, cross_entropy)`.",
            term formulas::CrossEntropy;

        /// The cross-entropy between softmax(y) and a label or target probabilities t, one value a row.
        LogSumExp CrossEntropyWithLogits = cross_entropy_with_logits(
            /// The share ε of the target that is spread over all K classes: t becomes
            /// (1 − ε)·t + ε/K.
            label_smoothing: f32 = 0.0, in 0.0..=1.0;
            /// Rows with this label count in nothing: not in the loss, the gradient, the smoothing or the
            /// mean.
            ignore_index: Option<i32> = None
        ),
            "Σ_k w_k·t_k·(ln Σ_j e^(y_j) − y_k)", "p_k·Σ_j w_j·t_j − w_k·t_k, p = softmax(y)", y logits,
            special ["This is what PyTorch calls cross_entropy", "Right at logits of ±1e4, and to the last digits where one class is all but certain", "A row with NaN or +∞, or with nothing but −∞, is NaN", "Mean divides by the weights w of the labels that count; for dense targets by the rows", "All rows ignored: mean NaN, sum 0, gradient 0; weights that add up to 0: mean and gradient NaN"],
            source "PyTorch's CrossEntropyLoss",
            note "Of logits: this is what PyTorch calls cross_entropy.";

        /// The negative log-likelihood of log-probabilities y, one value a row.
        Row Nll = nll(
            /// Rows with this label count in nothing: not in the loss, the gradient, the smoothing or the
            /// mean.
            ignore_index: Option<i32> = None
        ),
            "−Σ_k w_k·t_k·y_k", "−w_k·t_k", y log_probabilities,
            special ["y are the logarithms of probabilities, as log_softmax gives them; of probabilities themselves it is −p, without an error", "A class with t = 0 adds nothing, also at y = −∞", "Mean divides by the weights w of the labels that count; for dense targets by the rows", "All rows ignored: mean NaN, sum 0, gradient 0; weights that add up to 0: mean and gradient NaN"],
            source "PyTorch's NLLLoss",
            note "Of the logarithms of probabilities, as log_softmax gives them.",
            term formulas::Nll;

        /// The binary cross-entropy of probabilities y for targets from 0 to 1.
        Element Bce = bce,
            "−(t·ln y + (1 − t)·ln(1 − y))", "(y − t) / (y(1 − y))", y probabilities,
            special ["The logarithms are at least −100, the gradient's divisor at least 1e−12", "With sigmoid in an OutputLayer the gradient is y − t, from the logits", "y outside of [0, 1] is an error where the host knows it, else NaN"],
            source "PyTorch's BCELoss",
            note "Of probabilities; `bce_with_logits` is that of logits.",
            term formulas::Bce;

        /// The binary cross-entropy of sigmoid(y), with a weight w for positive targets.
        Element BceWithLogits = bce_with_logits,
            "(1 − t)·ln(1 + e^y) + w·t·ln(1 + e^(−y))", "(1 − t)·p − w·t·(1 − p), p = sigmoid(y)", y logits,
            special ["Right at logits of ±1e4; a part with the weight 0 adds nothing at ±∞"],
            source "PyTorch's BCEWithLogitsLoss",
            term formulas::BceWithLogits;

        /// The focal loss of probabilities y, for targets from 0 to 1.
        Element Focal = focal(
            /// The weight of positive targets, 1 − α that of negative ones; a negative α weighs neither.
            alpha: f32 = 0.25, in -1.0..=1.0;
            /// How much less the outputs count that are nearly right already.
            gamma: f32 = 2.0, in 0.0..=f32::MAX
        ),
            "−α_t·(1 − p_t)^γ·(t·ln y + (1 − t)·ln(1 − y)), p_t = t·y + (1 − t)(1 − y), α_t = α·t + (1 − α)(1 − t)", "for t = 1: α(1 − y)^γ·(γ·ln y/(1 − y) − 1/y)", y probabilities,
            special ["Powers other than 1, 2 and 3 lose digits where 1 − p_t is small", "y outside of [0, 1] is an error where the host knows it, else NaN"],
            source "Lin et al. 2017",
            note "Of probabilities; `focal_with_logits` is that of logits.",
            term formulas::Focal { alpha: number(alpha), gamma: number(gamma) };

        /// The focal loss of sigmoid(y).
        Element FocalWithLogits = focal_with_logits(
            /// The weight of positive targets, 1 − α that of negative ones; a negative α weighs neither.
            alpha: f32 = 0.25, in -1.0..=1.0;
            /// How much less the outputs count that are nearly right already.
            gamma: f32 = 2.0, in 0.0..=f32::MAX
        ),
            "focal(p, t), p = sigmoid(y)", "for t = 1: α(1 − p)^γ·(γ·p·ln p − (1 − p))", y logits,
            special ["Right at logits of ±1e4"],
            source "Lin et al. 2017; torchvision's sigmoid_focal_loss",
            term formulas::FocalWithLogits { alpha: number(alpha), gamma: number(gamma) };

        /// The Kullback-Leibler divergence from log-probabilities y to target probabilities t.
        Element KlDiv = kl_div(
            /// Whether the targets are log-probabilities too.
            log_target: bool = false
        ),
            "t·(ln t − y); with log_target e^t·(t − y)", "−t; with log_target −e^t", y log_probabilities,
            special ["t = 0 (with log_target −∞) adds nothing, also at y = −∞", "Mean divides by all elements as in PyTorch; BatchMean is the divergence for each row"],
            source "PyTorch's KLDivLoss",
            term formulas::KlDiv { log_target };

        /// The negative log-likelihood of counts t under a Poisson distribution.
        Element PoissonNll = poisson_nll(
            /// Whether y is the logarithm of the rate.
            log_input: bool = true;
            /// Whether to add what is constant in y, by Stirling's formula.
            full: bool = false;
            /// Keeps the logarithm of a rate of 0 finite.
            eps: f32 = 1e-8, in 0.0..=f32::MAX
        ),
            "e^y − t·y; without log_input y − t·ln(y + ε); full adds t·ln t − t + ½ln(2πt) if t > 1", "e^y − t; without log_input 1 − t/(y + ε)", y numbers,
            special ["t = 0 adds no logarithm", "Without log_input a negative y is an error where the host knows it", "With log_input a rate that overflows gives ∞"],
            source "PyTorch's PoissonNLLLoss",
            term formulas::PoissonNll { log_input, full, eps: number(eps) };

        /// The negative log-likelihood of t under a normal distribution with the mean y and the variance v
        /// of [`Targets::variance`](crate::Targets::variance).
        Element GaussianNll = gaussian_nll(
            /// Whether to add the constant ½ln 2π.
            full: bool = false;
            /// The least variance: v becomes max(v, ε).
            eps: f32 = 1e-6
        ) => [eps > 0.0, "eps must be positive"],
            "½(ln v + (y − t)²/v); full adds ½ln 2π", "(y − t)/v", y numbers,
            special ["A variance below ε counts as ε; a negative one is an error"],
            source "Nix and Weigend 1994; PyTorch's GaussianNLLLoss",
            term formulas::GaussianNll { full, eps: number(eps) };

        /// The hinge loss, for targets −1 and 1.
        Element Hinge = hinge,
            "max(0, 1 − t·y)", "−t if t·y < 1, else 0", y logits,
            special ["The gradient at t·y = 1 is 0", "Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them"],
            source "Cortes and Vapnik 1995; torchmetrics' HingeLoss",
            term formulas::Hinge;

        /// The squared hinge loss, for targets −1 and 1.
        Element SquaredHinge = squared_hinge,
            "max(0, 1 − t·y)²", "−2t·max(0, 1 − t·y)", y logits,
            special ["Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them"],
            source "Keras's SquaredHinge",
            term formulas::SquaredHinge;

        /// The logistic loss, for targets −1 and 1.
        Element SoftMargin = soft_margin,
            "ln(1 + e^(−t·y))", "−t·sigmoid(−t·y)", y logits,
            special ["Right at logits of ±1e4", "Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them"],
            source "PyTorch's SoftMarginLoss",
            term formulas::SoftMargin;

        /// The multi-class hinge loss for labels l, one value a row.
        Margins MultiMargin = multi_margin(
            /// The exponent, 1 or 2.
            p: u32 = 1;
            /// How far the label's logit should be above the others.
            margin: f32 = 1.0
        ) => [p == 1 || p == 2, "p must be 1 or 2"],
            "w_l/K·Σ_{i≠l} max(0, margin − y_l + y_i)^p", "for i ≠ l w_l/K·p·max(0, …)^(p−1) where it is positive; for l minus the sum of these", y logits,
            special ["The gradient of a difference that just keeps the margin is 0", "Takes labels only; mean divides by the rows, also with weights"],
            source "PyTorch's MultiMarginLoss";

        /// The loss of distances y between pairs that are alike (t = 1) or not (t = −1).
        Element HingeEmbedding = hinge_embedding(
            /// The distance that is asked of pairs that are not alike.
            margin: f32 = 1.0
        ),
            "y if t = 1; max(0, margin − y) if t = −1", "1 if t = 1; −1 if t = −1 and y ≤ margin, else 0", y numbers,
            special ["Any other target adds both, as in PyTorch", "Targets from 0 to 1 instead of −1 to 1 are an error where the host knows them"],
            source "PyTorch's HingeEmbeddingLoss",
            term formulas::HingeEmbedding { margin: number(margin) };
    }
}

impl Loss {
    /// Whether the loss has one value for each row, a distribution over the classes, and not one for each
    /// element.
    ///
    /// ```
    /// use wgrad::Loss;
    /// assert!(Loss::cross_entropy().is_on_rows() && !Loss::mse().is_on_rows());
    /// ```
    pub const fn is_on_rows(&self) -> bool {
        matches!(self.unit(), Unit::Row)
    }

    pub(crate) const fn label_smoothing(&self) -> f32 {
        match self {
            Self::CrossEntropy { label_smoothing, .. }
            | Self::CrossEntropyWithLogits { label_smoothing, .. } => *label_smoothing,
            _ => 0.0,
        }
    }

    pub(crate) const fn ignore_index(&self) -> Option<i32> {
        match self {
            Self::CrossEntropy { ignore_index, .. }
            | Self::CrossEntropyWithLogits { ignore_index, .. }
            | Self::Nll { ignore_index } => *ignore_index,
            _ => None,
        }
    }

    pub(crate) const fn view(&self) -> View {
        match self {
            Self::HalfSquaredError
            | Self::Mse
            | Self::Mae
            | Self::Huber { .. }
            | Self::SmoothL1 { .. }
            | Self::LogCosh
            | Self::GaussianNll { .. } => View::Difference,
            Self::Hinge | Self::SquaredHinge => View::Margin,
            Self::CrossEntropy { .. }
            | Self::Bce
            | Self::Focal { .. }
            | Self::PoissonNll { log_input: false, .. } => View::Logarithms,
            _ => View::Output,
        }
    }

    /// Hands the formula of forms to the visitor; `None` for a loss that takes no logarithm of y.
    pub(crate) fn visit_forms<R: Real, V: FormsVisitor<R>>(&self, visitor: V) -> Option<V::Output> {
        Some(match *self {
            Self::CrossEntropy { .. } => visitor.visit(formulas::CrossEntropy),
            Self::Bce => visitor.visit(formulas::Bce),
            Self::Focal { alpha, gamma } => {
                visitor.visit(formulas::Focal { alpha: number(alpha), gamma: number(gamma) })
            }
            Self::PoissonNll { log_input: false, full, eps } => {
                visitor.visit(formulas::PoissonNll { log_input: false, full, eps: number(eps) })
            }
            _ => return None,
        })
    }

    /// The WGSL functions of the loss of forms; empty for a loss that takes no logarithm of y.
    pub(crate) const fn forms_wgsl(&self) -> &'static str {
        match self {
            Self::CrossEntropy { .. } => {
                include_str!("../../shaders/losses/cross_entropy_of_forms.wgsl")
            }
            Self::Bce => include_str!("../../shaders/losses/bce_of_forms.wgsl"),
            Self::Focal { .. } => include_str!("../../shaders/losses/focal_of_forms.wgsl"),
            Self::PoissonNll { log_input: false, .. } => {
                include_str!("../../shaders/losses/poisson_nll_of_forms.wgsl")
            }
            _ => "",
        }
    }

    /// Whether the mean divides by the weights of the rows, and not by their number.
    pub(crate) const fn has_weighted_mean(&self) -> bool {
        matches!(
            self,
            Self::CrossEntropy { .. } | Self::CrossEntropyWithLogits { .. } | Self::Nll { .. }
        )
    }

    /// The outputs that the loss is defined for, where not all are, with what it says of others.
    pub(crate) const fn output_range(&self) -> Option<(RangeInclusive<f32>, &'static str)> {
        // A probability that was rounded, or summed up, may be a little beyond.
        const PROBABILITY: RangeInclusive<f32> = -1e-3..=1.001;
        match self {
            Self::CrossEntropy { .. } => Some((
                PROBABILITY,
                "must be a probability, from 0 to 1; PyTorch's cross_entropy, of logits, is \
                 cross_entropy_with_logits, or OutputLayer(Softmax, cross_entropy)",
            )),
            Self::Bce => Some((
                PROBABILITY,
                "must be a probability, from 0 to 1; of logits take bce_with_logits, or \
                 OutputLayer(Sigmoid, bce)",
            )),
            Self::Focal { .. } => Some((
                PROBABILITY,
                "must be a probability, from 0 to 1; of logits take focal_with_logits, or \
                 OutputLayer(Sigmoid, focal)",
            )),
            Self::PoissonNll { log_input: false, .. } => Some((
                -1e-3..=f32::INFINITY,
                "must be a rate, not negative; of the logarithms of rates take log_input = true",
            )),
            _ => None,
        }
    }

    /// Whether the targets are −1 and 1.
    pub(crate) const fn takes_signs(&self) -> bool {
        matches!(
            self,
            Self::Hinge | Self::SquaredHinge | Self::SoftMargin | Self::HingeEmbedding { .. }
        )
    }

    /// The targets that the loss is defined for, where not all are.
    pub(crate) const fn target_range(&self) -> Option<(RangeInclusive<f32>, &'static str)> {
        match self {
            Self::Bce | Self::Focal { .. } | Self::FocalWithLogits { .. } => {
                Some((0.0..=1.0, "must be from 0 to 1"))
            }
            Self::CrossEntropy { .. }
            | Self::CrossEntropyWithLogits { .. }
            | Self::Nll { .. }
            | Self::KlDiv { log_target: false } => {
                Some((0.0..=f32::INFINITY, "must not be negative"))
            }
            _ => None,
        }
    }
}
