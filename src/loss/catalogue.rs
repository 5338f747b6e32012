//! The catalogue of losses, and how it lowers to the functions underneath.

use std::ops::RangeInclusive;

use wgrad_formula::data::parameters::{self, Entry, Parameter, ParameterRow, Value};
use wgrad_formula::expression::Custom;
use wgrad_formula::formulas::{Formula, LossFunction, TermFunction, Unit};

use crate::catalogue::catalogue;

/// What the catalogue says of a loss.
struct Row {
    formula: &'static str,
    gradient: &'static str,
    takes: &'static str,
    special: &'static [&'static str],
    source: &'static str,
}

/// From the rows of the catalogue: the enum, what the rows say, and the functions underneath.
macro_rules! losses {
    ($( $group:ident { $($rows:tt)* } )+) => { losses! { @rows $( $($rows)* )+ } };
    (@rows $(
        $(#[$doc:meta])*
        $kind:ident $Variant:ident = $name:ident
        $(
            ( $( $(#[$option_doc:meta])* $option:ident : $Type:ty = $default:expr $(, in $range:expr)? );+ )
            $( => $rule:tt )?
        )?
        {
            formula $formula:literal,
            gradient $gradient:literal,
            y $takes:ident,
            $( view $view:expr, )?
            special [ $( $special:literal ),* $(,)? ],
            source $source:literal,
            $( note $note:literal, )?
            $( term $term:expr, )?
        }
    )+) => {
        catalogue! {
            "loss", with the names of other libraries in crate::names::LOSSES;
            /// A loss E(y, t), with its gradient dE/dy.
            ///
            /// Each variant carries its options; the function of the same name returns the loss with the defaults.
            /// `Display` and `FromStr` round-trip; capitals and hyphens are accepted on input, and so
            /// are other libraries' names, as `CrossEntropyLoss(label_smoothing=0.1)`: docs/names.md. Class weights and
            /// other weights are given with [`Targets`](crate::Targets). docs/losses.md shows the same catalogue as
            /// a table.
            ///
            /// Losses on elements have one value for each element; losses on rows (cross_entropy,
            /// cross_entropy_with_logits, nll and multi_margin) have one for each row.
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
                /// A formula of the caller's: see [`from_formula`](Self::from_formula).
                custom Custom;
                $(
                    $(#[$doc])*
                    ///
                    #[doc = concat!("* Formula: `", $formula, "`")]
                    #[doc = concat!("* Gradient with respect to y: `", $gradient, "`")]
                    #[doc = concat!("* y: ", losses!(@takes $takes))]
                    $( #[doc = concat!("* ", $special)] )*
                    #[doc = concat!("* Source: ", $source)]
                    $Variant = $name $(
                        ( $( $(#[$option_doc])* $option: $Type = $default $(, in $range)? );+ )
                        $( => $rule )?
                    )?
                    $(; $note)?
                )+
            }
        }

        impl Loss {
            const ROWS: &[Row] = &[ $( Row {
                formula: $formula,
                gradient: $gradient,
                takes: losses!(@takes $takes),
                special: &[ $( $special ),* ],
                source: $source,
            } ),+ ];

            /// The formula that the loss lowers to.
            const fn lowered(&self) -> Formula {
                match *self { $(
                    Self::$Variant { $( $( $option ),+ )? } => losses!(
                        @formula $kind $Variant { $( $( $option ),+ )? }
                    ),
                )+
                    Self::Custom(custom) => Formula::Terms(TermFunction::Custom(custom)),
                }
            }
        }
    };
    (@takes numbers) => { "numbers" };
    (@takes probabilities) => { "probabilities" };
    (@takes log_probabilities) => { "log-probabilities" };
    (@takes logits) => { "logits" };
    // The smoothing and the label to ignore go with the targets.
    (@formula LogSumExp $Variant:ident { $( $option:ident ),* }) => {{
        $( let _ = $option; )*
        Formula::LogSumExp
    }};
    (@formula Margins $Variant:ident $options:tt) => { Formula::Margins $options };
    (@formula $terms:ident $Variant:ident $options:tt) => {
        Formula::Terms(TermFunction::$Variant $options)
    };
}

wgrad_formula::losses!(losses);

impl Loss {
    /// What is known of a formula of the caller's besides its texts.
    const CUSTOM: Row = Row {
        formula: "",
        gradient: "",
        takes: losses!(@takes numbers),
        special: &[],
        source: "the caller's formula",
    };

    const fn row(&self) -> &'static Row {
        match self.index() {
            Some(index) => &Self::ROWS[index],
            None => &Self::CUSTOM,
        }
    }

    /// The function that the loss lowers to.
    pub(crate) const fn function(&self) -> LossFunction {
        LossFunction {
            formula: self.lowered(),
            label_smoothing: self.label_smoothing(),
            ignore_index: self.ignore_index(),
        }
    }

    pub(crate) const fn unit(&self) -> Unit {
        self.function().unit()
    }

    /// The formula before the reduction.
    ///
    /// ```
    /// assert_eq!(wgrad::Loss::Mse.formula(), "(y − t)²");
    /// ```
    pub const fn formula(&self) -> &'static str {
        match self {
            Self::Custom(custom) => custom.text(0),
            _ => self.row().formula,
        }
    }

    /// The formula of the gradient with respect to y, before the reduction.
    pub const fn gradient_formula(&self) -> &'static str {
        match self {
            Self::Custom(custom) => custom.text(1),
            _ => self.row().gradient,
        }
    }

    /// What the loss takes as its y: "numbers", "probabilities", "log-probabilities" or "logits".
    ///
    /// ```
    /// assert_eq!(wgrad::Loss::bce().takes(), "probabilities");
    /// assert_eq!(wgrad::Loss::bce_with_logits().takes(), "logits");
    /// ```
    pub const fn takes(&self) -> &'static str {
        self.row().takes
    }

    /// The values of the loss at its kinks, where its formula is undefined, and if nothing counts.
    pub const fn special_values(&self) -> &'static [&'static str] {
        self.row().special
    }

    /// The source of the definition.
    pub const fn source(&self) -> &'static str {
        self.row().source
    }

    /// Whether the loss has one value for each row, a distribution over the classes, rather than one for
    /// each element.
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

    /// The range of outputs that the loss is defined for, and the message for others; `None` if it is defined
    /// for all.
    pub(crate) const fn output_range(&self) -> Option<(RangeInclusive<f32>, &'static str)> {
        // Rounding may take a probability slightly outside.
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

    /// The range of targets that the loss is defined for, and the message for others; `None` if it is defined
    /// for all.
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
