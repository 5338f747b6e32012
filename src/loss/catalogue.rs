//! The catalogue of losses: one row each.

use crate::catalogue::catalogue;
use crate::reference::losses as formulas;
use crate::reference::{LossTerm, Real};

/// The code that a loss's formula is handed to, in the precision R.
pub(crate) trait LossVisitor<R: Real> {
    type Output;
    fn visit<F: LossTerm<R>>(self, formula: F) -> Self::Output;
}

/// What a loss has one value for before it is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Each element.
    Element,
    /// Each row: a distribution over the classes.
    Row,
}

/// From the rows of the catalogue: the enum, its texts, its WGSL and the way to its formulas.
macro_rules! losses {
    (
        $(#[$enum_doc:meta])*
        pub enum Loss {
            $(
                $(#[$doc:meta])*
                $Unit:ident $Variant:ident = $name:ident
                $( ( $( $(#[$parameter_doc:meta])* $parameter:ident : $Type:ty = $default:expr $(, in $range:expr)? );+ ) )?,
                $formula:literal, $gradient:literal
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
                    #[doc = concat!("Formula: `", $formula, "`; gradient with respect to y: `", $gradient, "`.")]
                    $Variant = $name $( ( $( $(#[$parameter_doc])* $parameter: $Type = $default $(, in $range)? );+ ) )?
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

            /// The WGSL functions of the loss.
            pub(crate) const fn wgsl(&self) -> &'static str {
                match self { $(
                    Self::$Variant { .. } => include_str!(
                        concat!("../../shaders/losses/", stringify!($name), ".wgsl")
                    ),
                )+ }
            }

            pub(crate) const fn unit(&self) -> Unit {
                match self { $( Self::$Variant { .. } => Unit::$Unit, )+ }
            }

            /// Hands the formula to the visitor.
            pub(crate) fn visit<R: Real, V: LossVisitor<R>>(&self, visitor: V) -> V::Output {
                match self { $( Self::$Variant { .. } => visitor.visit(formulas::$Variant {}), )+ }
            }
        }
    };
}

losses! {
    /// A loss E(y, t), with its gradient dE/dy.
    ///
    /// Each variant carries its options; the function of the same name gives the defaults.
    /// `Display` and `FromStr` round-trip; capitals and hyphens are accepted on input.
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
        Element HalfSquaredError = half_squared_error, "½(y − t)²", "y − t";

        /// The squared error.
        Element Mse = mse, "(y − t)²", "2(y − t)";

        /// The cross-entropy between probabilities y and a label or target probabilities t, one value
        /// a row. A class with t = 0 adds nothing, also at y = 0.
        Row CrossEntropy = cross_entropy(
            /// The share ε of the target that is spread over all K classes: t becomes
            /// (1 − ε)·t + ε/K.
            label_smoothing: f32 = 0.0, in 0.0..=1.0;
            /// Rows with this label count in nothing: not in the loss, the gradient or the mean. Where
            /// all rows are ignored the mean is NaN and the gradient 0, as in PyTorch.
            ignore_index: Option<i32> = None
        ), "−Σ_k t_k·ln y_k", "−t_k / y_k";
    }
}

impl Loss {
    pub(crate) const fn label_smoothing(&self) -> f32 {
        match self {
            Self::CrossEntropy { label_smoothing, .. } => *label_smoothing,
            _ => 0.0,
        }
    }

    pub(crate) const fn ignore_index(&self) -> Option<i32> {
        match self {
            Self::CrossEntropy { ignore_index, .. } => *ignore_index,
            _ => None,
        }
    }
}
