//! The WGSL of the functions in the catalogue.

use wgrad_formula::formulas::{Formula, Function, PointwiseFunction, RowFunction, TermFunction};

/// Includes the files of activations by their names in the catalogue.
macro_rules! activation_sources {
    (
        pointwise { $(
            $(#[$doc:meta])*
            pointwise $Variant:ident = $name:ident $( ( $($parameters:tt)* ) $( => $rule:tt )? )? { $($texts:tt)* }
        )+ }
        rowwise { $( $(#[$row_doc:meta])* rowwise $Row:ident = $row:ident { $($row_texts:tt)* } )+ }
    ) => {
        /// The WGSL functions of an activation.
        pub(super) const fn activation(function: Function) -> &'static str {
            match function {
                $( Function::Pointwise(PointwiseFunction::$Variant { .. }) => include_str!(
                    concat!("../../shaders/activations/", stringify!($name), ".wgsl")
                ), )+
                Function::Pointwise(PointwiseFunction::Custom(custom)) => custom.wgsl(),
                $( Function::Rows(RowFunction::$Row) => include_str!(
                    concat!("../../shaders/activations/", stringify!($row), ".wgsl")
                ), )+
            }
        }
    };
}

wgrad_formula::activations!(activation_sources);

/// Includes the files of losses that are sums of terms by their names in the catalogue.
macro_rules! term_sources {
    ($(
        terms { $(
            $(#[$doc:meta])*
            $kind:ident $Variant:ident = $name:ident $( ( $($options:tt)* ) $( => $rule:tt )? )? { $($texts:tt)* }
        )+ }
        $( whole_rows { $($row:tt)* } )?
    )+) => {
        /// The WGSL functions `loss` and `gradient` of a loss that is a sum of terms.
        const fn term(term: TermFunction) -> &'static str {
            match term {
                $( $( TermFunction::$Variant { .. } => include_str!(
                    concat!("../../shaders/losses/", stringify!($name), ".wgsl")
                ), )+ )+
                TermFunction::Custom(custom) => custom.wgsl(),
                TermFunction::SigmoidBce => include_str!("../../shaders/losses/sigmoid_bce.wgsl"),
                TermFunction::SigmoidCrossEntropy => {
                    include_str!("../../shaders/losses/sigmoid_cross_entropy.wgsl")
                }
            }
        }
    };
}

wgrad_formula::losses!(term_sources);

/// The WGSL functions of the loss; empty if the kernel itself contains them.
pub(super) const fn loss(formula: Formula) -> &'static str {
    match formula {
        Formula::Terms(loss) => term(loss),
        Formula::LogSumExp | Formula::Margins { .. } => "",
    }
}

/// The WGSL functions of the loss for an output in forms; empty for a loss that takes no logarithm of y.
pub(super) const fn loss_of_forms(formula: Formula) -> &'static str {
    let Formula::Terms(term) = formula else { return "" };
    match term {
        TermFunction::CrossEntropy { .. } => {
            include_str!("../../shaders/losses/cross_entropy_of_forms.wgsl")
        }
        TermFunction::Bce => include_str!("../../shaders/losses/bce_of_forms.wgsl"),
        TermFunction::Focal { .. } => include_str!("../../shaders/losses/focal_of_forms.wgsl"),
        TermFunction::PoissonNll { log_input: false, .. } => {
            include_str!("../../shaders/losses/poisson_nll_of_forms.wgsl")
        }
        _ => "",
    }
}

/// The WGSL functions `apart` of an activation with limits and `forms` of an activation with forms;
/// shaders/losses/forms.wgsl has to come before them. Empty for other activations.
pub(super) const fn forms(function: Function) -> &'static str {
    let Function::Pointwise(function) = function else { return "" };
    match function {
        PointwiseFunction::Sigmoid => include_str!("../../shaders/forms/sigmoid.wgsl"),
        PointwiseFunction::Tanh => include_str!("../../shaders/forms/tanh.wgsl"),
        PointwiseFunction::ScaledTanh { .. } => {
            include_str!("../../shaders/forms/scaled_tanh.wgsl")
        }
        PointwiseFunction::Softsign => include_str!("../../shaders/forms/softsign.wgsl"),
        PointwiseFunction::Elu { .. } => include_str!("../../shaders/forms/elu.wgsl"),
        PointwiseFunction::Selu => include_str!("../../shaders/forms/selu.wgsl"),
        PointwiseFunction::Celu { .. } => include_str!("../../shaders/forms/celu.wgsl"),
        PointwiseFunction::Exponential => include_str!("../../shaders/forms/exponential.wgsl"),
        PointwiseFunction::Gaussian => include_str!("../../shaders/forms/gaussian.wgsl"),
        PointwiseFunction::Softplus { .. } => include_str!("../../shaders/forms/softplus.wgsl"),
        PointwiseFunction::SquaredRelu => include_str!("../../shaders/forms/squared_relu.wgsl"),
        _ => "",
    }
}
