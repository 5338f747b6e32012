//! The table of kernels. A row describes one kernel completely: the files that it is made of, its bindings and
//! parameters, what its invocations do, and the variants that the test of all kernels compiles.

use super::assembled::KernelKind::{self, Pointwise, Product, Reduction};
use super::clip::{
    ClipFactorParameters, ClipNormParameters, ClipValueParameters, SquareSumsParameters,
};
use super::column_sum::ColumnSumParameters;
use super::gated::GatedParameters;
use super::halves::LastHalfParameters;
use super::ignored::IgnoredRowsParameters;
use super::labels::CheckLabelsParameters;
use super::loss::LossParameters;
use super::masks::{BroadcastParameters, FillEmptyRowsParameters};
use super::matrix::{ProductParameters, SlicesParameters};
use super::operations::{PointwiseParameters, SumParameters};
use super::optimizer::{AdamParameters, AdvanceParameters, KeptParameters, SgdParameters};
use super::parameters::{Layout, Parameters};
use super::predictions::{CountPredictionsParameters, PredictionsParameters};
use super::prelu::{PreluParameters, RowSumParameters};
use super::rowwise::RowParameters;
use super::variant::{Patch, Tile};
use crate::backend::{Argument, Binary, RowProduct, Unary};
use crate::dtype::DType;
use wgrad_formula::formulas::{Formula, Function, PointwiseFunction, RowFunction, View};

/// The text of a file of shaders/.
macro_rules! shader {
    ($path:literal) => {
        include_str!(concat!("../../shaders/", $path, ".wgsl"))
    };
}

pub(super) use shader;

/// How the targets of a loss are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TargetKind {
    Dense,
    Labels,
}

impl TargetKind {
    const ALL: [Self; 2] = [Self::Dense, Self::Labels];

    const fn wgsl(self) -> &'static str {
        match self {
            Self::Dense => shader!("kernels/targets_dense"),
            Self::Labels => LABELS,
        }
    }
}

/// The number of elements of a row that an invocation can keep in registers. Measured on an H200: the loss and the
/// gradient of softmax cross-entropy of 65 536 x 1024 with held rows take 0.26 and 0.31 ms instead of 0.45 and 0.59
/// (CHANGELOG.md, "Softmax cross-entropy reads rows of up to 2048 logits once"). Not measured: other numbers of
/// elements.
pub(super) const HELD: usize = 8;

/// A kernel before the activation and the loss are put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Template {
    Unary(Unary),
    Binary(Binary),
    /// With `vectors`, here and below, rows are read as whole vec4s instead of number by number. With `held`, an
    /// invocation keeps its part of a row, at most [`HELD`] elements, in registers.
    RowForward {
        vectors: bool,
        held: bool,
    },
    RowProduct {
        product: RowProduct,
        vectors: bool,
    },
    RowJacobian,
    GatedForward,
    GatedBackward,
    PreluForward,
    PreluBackward,
    RowSum,
    /// A loss that is a sum of terms, computed from the activation's output or from its argument.
    LossTerms {
        targets: TargetKind,
        argument: Argument,
        vectors: bool,
    },
    /// A loss that is a sum of terms, with softmax or softmin below it; `view` is the form of their output that it
    /// sees.
    RowTerms {
        targets: TargetKind,
        view: View,
    },
    /// Writes dE/dz over the logits or into a buffer of its own. `vectors` and `held` are as for `RowForward`.
    SoftmaxCrossEntropy {
        targets: TargetKind,
        in_place: bool,
        vectors: bool,
        held: bool,
    },
    MultiMargin,
    TileStatistics,
    TileGradient,
    TileLosses,
    RowWeights(TargetKind),
    KeepRows,
    ClearRows,
    CheckLabels,
    Predictions,
    CountPredictions,
    Refresh,
    ExpandMask,
    AddBroadcast,
    FillEmptyRows,
    Sum,
    ColumnSum,
    MatMul(MatMul),
    MatMulSmall,
    MatMulCooperative {
        patch: Patch,
        output_vectors: bool,
    },
    MatMulSlices,
    LastHalf,
    /// With `on_device`, here and below, the device keeps the factors of a step.
    Sgd {
        momentum: bool,
        on_device: bool,
    },
    Adam {
        on_device: bool,
    },
    Advance,
    SquareSums,
    ClipFactor,
    ClipNorm,
    ClipValue,
}

/// A kernel of a matrix product: the shape of its tiles in workgroup memory (`None` if it works in registers
/// alone), which of its factors it reads as whole vec4s, and whether it writes whole vec4s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MatMul {
    pub(super) tile: Option<Tile>,
    pub(super) a_vectors: bool,
    pub(super) b_vectors: bool,
    pub(super) output_vectors: bool,
}

/// What a kernel does with a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Read,
    Write,
    Change,
}

use Access::{Change as C, Read as R, Write as W};

/// A kernel of the table.
pub(super) struct Row {
    /// What kind of work an invocation does.
    pub(super) kind: KernelKind,
    /// What the kernel does with each storage binding, from binding 1 on.
    pub(super) bindings: &'static [Access],
    /// The layout of the parameters, which are binding 0.
    pub(super) parameters: Layout,
    /// The WGSL files, besides math.wgsl and the files of the activation and the loss.
    pub(super) files: Vec<&'static str>,
    /// The constants that the WGSL begins with.
    pub(super) constants: String,
    /// Whether invocations that share a row reduce what each of them has found.
    pub(super) reduces_rows: bool,
    /// Whether the kernel takes an output in forms or parts.
    pub(super) takes_forms: bool,
    /// Whether the kernel is part of a matrix product.
    pub(super) is_of_product: bool,
    pub(super) tensors: Tensors,
    pub(super) products: Products,
    /// The variants that the test of all kernels and `cargo xtask isa` compile.
    pub(super) variants: Vec<(With, &'static [[DType; 2]])>,
}

/// The tensors that a kernel reads or writes as f32 or f16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tensors {
    /// No tensor can be f16: all are f32.
    Fixed,
    /// The inputs, which have one type, and the output, all in whole vec4s.
    Whole,
    /// The factors of a matrix product, element by element.
    Factors,
}

/// The products of a kernel that may be in the range of f32 although a factor is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Products {
    None,
    /// dE/dy times a derivative: computed in f32 if the activation has no functions of its own for it.
    Backward,
    /// The same, always with the functions that handle other ranges.
    Gated,
    /// A weight times a scale times a term of a loss or its derivative.
    Terms,
}

/// The activation and the loss that a variant is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum With {
    Nothing,
    One(Function),
    /// Each activation on elements.
    Pointwise,
    /// Each activation on elements whose derivative follows from its output.
    FromOutput,
    /// Each activation on rows.
    Rowwise,
    /// This activation, if any, with this loss.
    Loss(Option<Function>, Formula),
    /// Each activation on elements, with mse.
    PointwiseLoss,
    /// tanh, with each loss that is a sum of terms.
    Terms,
    /// Sigmoid, with each loss that is computed from its argument.
    Logits,
    /// Each pair whose loss is computed from this argument.
    Pairs(TargetKind, Argument),
    /// Each activation on rows, with each loss that sees this form of its output.
    RowPairs(TargetKind, View),
}

const F32: &[[DType; 2]] = &[[DType::F32; 2]];
const F16: &[[DType; 2]] = &[[DType::F16; 2]];
const HALVES: &[[DType; 2]] = &[[DType::F16; 2], [DType::BF16; 2]];
const EACH: &[[DType; 2]] = &[[DType::F16; 2], [DType::BF16; 2], [DType::F32; 2]];
const MIXED: &[[DType; 2]] = &[[DType::F16, DType::F32], [DType::F32, DType::F16]];
const SECOND_IS_F32: &[[DType; 2]] =
    &[[DType::F32; 2], [DType::F16, DType::F32], [DType::BF16, DType::F32]];

const ROWS: &str = shader!("kernels/rows");
const LINES: &str = shader!("kernels/row_lines");
const STATISTICS: &str = shader!("kernels/row_statistics");
const ROW_LOOPS: &str = shader!("kernels/row_loops");
const ROW_HELD: &str = shader!("kernels/row_held");
const LOGITS: &str = shader!("kernels/row_logits");
const LOGIT_NUMBERS: &str = shader!("kernels/row_logits_scalars");
const GATED: &str = shader!("kernels/gated_parameters");
const PRELU: &str = shader!("kernels/prelu_parameters");
const ARITHMETIC: &str = shader!("losses/arithmetic");
const FORMS: &str = shader!("losses/forms");
const TILE: &str = shader!("kernels/tile");
const LOSS: &str = shader!("kernels/loss_parameters");
const NUMBERS: &str = shader!("kernels/loss_scalars");
const VECTORS: &str = shader!("kernels/loss_vectors");
const LABELS: &str = shader!("kernels/targets_labels");
const PART: &str = shader!("kernels/part");
const SQUARES: &str = shader!("kernels/squares");
const IGNORED: &str = shader!("kernels/ignored_rows");
const BROADCAST: &str = shader!("kernels/broadcast");
const PRODUCT: &str = shader!("kernels/matmul_parameters");

/// What the loss kernels do with their bindings.
const LOSS_APART: &[Access] = &[R, R, R, R, R, W, W, W];
const LOSS_IN_PLACE: &[Access] = &[R, R, R, R, R, W, W, C];

impl Template {
    pub(super) fn row(self) -> Row {
        match self {
            Self::Unary(map) => {
                let operation = match map {
                    Unary::Forward => shader!("operations/forward"),
                    Unary::Derivative => shader!("operations/derivative"),
                    Unary::SecondDerivative => shader!("operations/second_derivative"),
                    Unary::DerivativeFromOutput => shader!("operations/derivative_from_output"),
                };
                let files = vec![operation, shader!("kernels/pointwise_unary")];
                let row = Row::new::<PointwiseParameters>(Pointwise, &[R, W], files)
                    .tensors(Tensors::Whole);
                match map {
                    Unary::Forward => row.variants(With::Pointwise, EACH).variants(
                        With::One(Function::Pointwise(PointwiseFunction::Identity)),
                        MIXED,
                    ),
                    Unary::DerivativeFromOutput => row.variants(With::FromOutput, EACH),
                    _ => row.variants(With::Pointwise, EACH),
                }
            }
            Self::Binary(map) => {
                let operation = match map {
                    Binary::Backward => shader!("operations/backward"),
                    Binary::BackwardFromOutput => shader!("operations/backward_from_output"),
                };
                let files = vec![operation, shader!("kernels/pointwise_binary")];
                let row = Row::new::<PointwiseParameters>(Pointwise, &[R, R, W], files)
                    .tensors(Tensors::Whole)
                    .products(Products::Backward);
                match map {
                    Binary::Backward => row.variants(With::Pointwise, EACH).variants(
                        With::One(Function::Pointwise(PointwiseFunction::Identity)),
                        MIXED,
                    ),
                    Binary::BackwardFromOutput => row.variants(With::FromOutput, EACH),
                }
            }
            Self::RowForward { vectors, held } => {
                let access = match vectors {
                    true => shader!("kernels/row_forward_vectors"),
                    false => shader!("kernels/row_forward_scalars"),
                };
                let [row, passes] = match held {
                    true => [ROW_HELD, shader!("kernels/row_forward_held")],
                    false => [ROW_LOOPS, shader!("kernels/row_forward_loops")],
                };
                let kernel = shader!("kernels/row_forward");
                let files = vec![ROWS, LINES, STATISTICS, access, kernel, row, passes];
                Row::new::<RowParameters>(Reduction, &[R, R, W], files)
                    .reduces_rows()
                    .of_rows(vectors)
            }
            Self::RowProduct { product, vectors } => {
                let access = match vectors {
                    true => shader!("kernels/row_product_vectors"),
                    false => shader!("kernels/row_product_scalars"),
                };
                let operation = match product {
                    RowProduct::Backward => shader!("operations/row_backward"),
                    RowProduct::Jvp => shader!("operations/row_jvp"),
                };
                let files = vec![ROWS, LINES, operation, access, shader!("kernels/row_product")];
                Row::new::<RowParameters>(Reduction, &[R, R, R, W], files)
                    .reduces_rows()
                    .of_rows(vectors)
            }
            Self::RowJacobian => {
                let files = vec![ROWS, LINES, shader!("kernels/row_jacobian")];
                Row::new::<RowParameters>(Reduction, &[R, R, W], files)
                    .reduces_rows()
                    .variants(With::Rowwise, F32)
            }
            Self::GatedForward => {
                let files = vec![GATED, shader!("kernels/gated_forward")];
                Row::new::<GatedParameters>(Pointwise, &[R, W], files)
                    .products(Products::Gated)
                    .variants(With::Pointwise, F32)
            }
            Self::GatedBackward => {
                let files = vec![GATED, shader!("kernels/gated_backward")];
                Row::new::<GatedParameters>(Pointwise, &[R, R, W], files)
                    .products(Products::Gated)
                    .variants(With::Pointwise, F32)
            }
            Self::PreluForward => {
                let files = vec![PRELU, shader!("kernels/prelu_forward")];
                Row::new::<PreluParameters>(Pointwise, &[R, R, W], files).alone()
            }
            Self::PreluBackward => {
                let files = vec![ROWS, PRELU, shader!("kernels/prelu_backward")];
                Row::new::<PreluParameters>(Reduction, &[R, R, R, W, W], files)
                    .reduces_rows()
                    .alone()
            }
            Self::RowSum => {
                let files = vec![ROWS, shader!("kernels/row_sum")];
                Row::new::<RowSumParameters>(Reduction, &[R, W], files).reduces_rows().alone()
            }
            Self::LossTerms { targets, argument, vectors } => {
                let operation = match argument {
                    Argument::Output => shader!("operations/loss_of_output"),
                    Argument::Logits => shader!("operations/loss_of_logits"),
                    Argument::Difference => shader!("operations/loss_of_difference"),
                    Argument::Margin => shader!("operations/loss_of_margin"),
                    Argument::Forms => shader!("operations/loss_of_forms"),
                };
                let takes_forms =
                    matches!(argument, Argument::Difference | Argument::Margin | Argument::Forms);
                let numbers = if vectors { VECTORS } else { NUMBERS };
                let mut files = vec![ROWS, LOSS, numbers, ARITHMETIC, targets.wgsl()];
                files.extend(takes_forms.then_some(FORMS));
                files.extend([operation, shader!("kernels/loss_terms")]);
                let row = Row::new::<LossParameters>(Reduction, LOSS_APART, files)
                    .reduces_rows()
                    .products(Products::Terms);
                let row = Row { takes_forms, ..row };
                match (argument, vectors, targets) {
                    (Argument::Output, true, _) => row.variants(With::Terms, F32),
                    (Argument::Output, false, TargetKind::Dense) => {
                        row.variants(With::PointwiseLoss, F32)
                    }
                    (Argument::Logits, true, _) => row.variants(With::Logits, F32),
                    (_, true, _) => row.variants(With::Pairs(targets, argument), F32),
                    // The variants with vectors contain the files that differ.
                    (_, false, _) => row,
                }
            }
            Self::RowTerms { targets, view } => {
                let operation = match view {
                    View::Output => shader!("operations/row_loss_of_output"),
                    View::Difference => shader!("operations/row_loss_of_difference"),
                    View::Margin => shader!("operations/row_loss_of_margin"),
                    View::Logarithms => shader!("operations/row_loss_of_logarithms"),
                };
                let logits = [ROWS, STATISTICS, LOGITS, ROW_LOOPS, LOGIT_NUMBERS];
                let loss = [LOSS, NUMBERS, ARITHMETIC, FORMS, targets.wgsl(), operation];
                let files = [&logits[..], &loss, &[shader!("kernels/row_terms")]].concat();
                let row = Row::new::<LossParameters>(Reduction, LOSS_IN_PLACE, files)
                    .reduces_rows()
                    .variants(With::RowPairs(targets, view), F32);
                Row { takes_forms: true, ..row }
            }
            Self::SoftmaxCrossEntropy { targets, in_place, vectors, held } => {
                let kernel = shader!("kernels/softmax_cross_entropy");
                let common = [ROWS, STATISTICS, LOGITS, LOSS, targets.wgsl(), kernel];
                let access: &[&str] = match vectors {
                    true => &[VECTORS, shader!("kernels/softmax_cross_entropy_vectors")],
                    false => {
                        &[NUMBERS, LOGIT_NUMBERS, shader!("kernels/softmax_cross_entropy_scalars")]
                    }
                };
                let passes = match held {
                    true => [ROW_HELD, shader!("kernels/softmax_cross_entropy_held")],
                    false => [ROW_LOOPS, shader!("kernels/softmax_cross_entropy_loops")],
                };
                let files = [&common[..], access, &passes].concat();
                let bindings = if in_place { LOSS_IN_PLACE } else { LOSS_APART };
                let row = Row::new::<LossParameters>(Reduction, bindings, files).reduces_rows();
                let softmax = Some(Function::Rows(RowFunction::Softmax));
                match in_place {
                    // The WGSL is the same as without `in_place`.
                    true => row,
                    false => row.variants(With::Loss(softmax, Formula::LogSumExp), F32),
                }
            }
            Self::MultiMargin => {
                let files = vec![ROWS, LOSS, NUMBERS, LABELS, shader!("kernels/multi_margin")];
                Row::new::<LossParameters>(Reduction, LOSS_APART, files)
                    .reduces_rows()
                    .variants(With::Loss(None, Formula::Margins { p: 1, margin: 1.0 }), F32)
            }
            Self::TileStatistics => {
                let logits = [ROWS, STATISTICS, ROW_LOOPS, LOGITS, LOGIT_NUMBERS];
                let tile = [LOSS, NUMBERS, ARITHMETIC, LABELS, TILE];
                let files = [&logits[..], &tile, &[shader!("kernels/tile_statistics")]].concat();
                Row::new::<LossParameters>(Reduction, &[R, R, R, R, R, W, C, W], files)
                    .reduces_rows()
                    .variants(With::One(Function::Rows(RowFunction::Softmax)), F32)
            }
            Self::TileGradient => {
                let files = vec![LOSS, NUMBERS, LABELS, TILE, shader!("kernels/tile_gradient")];
                Row::new::<LossParameters>(Pointwise, LOSS_IN_PLACE, files).alone()
            }
            Self::TileLosses => {
                let files = vec![LOSS, NUMBERS, LABELS, TILE, shader!("kernels/tile_losses")];
                Row::new::<LossParameters>(Pointwise, LOSS_APART, files).alone()
            }
            Self::RowWeights(targets) => {
                let files = vec![LOSS, NUMBERS, targets.wgsl(), shader!("kernels/row_weights")];
                Row::new::<LossParameters>(Pointwise, LOSS_APART, files).alone()
            }
            Self::KeepRows => {
                let files = vec![IGNORED, shader!("kernels/keep_rows")];
                Row::new::<IgnoredRowsParameters>(Pointwise, &[R, R, W], files)
                    .tensors(Tensors::Factors)
                    .variants(With::Nothing, SECOND_IS_F32)
            }
            Self::ClearRows => {
                let files = vec![IGNORED, shader!("kernels/clear_rows")];
                Row::new::<IgnoredRowsParameters>(Pointwise, &[R, C], files).alone()
            }
            Self::CheckLabels => {
                let files = vec![shader!("kernels/check_labels")];
                Row::new::<CheckLabelsParameters>(Pointwise, &[R, R, W, W, C], files).alone()
            }
            Self::Predictions => {
                let files = vec![ROWS, shader!("kernels/predictions")];
                Row::new::<PredictionsParameters>(Reduction, &[R, R, W], files)
                    .reduces_rows()
                    .alone()
            }
            Self::CountPredictions => {
                let files = vec![shader!("kernels/count_predictions")];
                Row::new::<CountPredictionsParameters>(Reduction, &[R, R, C], files).alone()
            }
            Self::Refresh => {
                let files = vec![shader!("kernels/refresh")];
                Row::new::<PointwiseParameters>(Pointwise, &[R, C], files)
                    .tensors(Tensors::Whole)
                    .variants(With::Nothing, HALVES)
            }
            Self::ExpandMask => {
                let files = vec![BROADCAST, shader!("kernels/expand_mask")];
                Row::new::<BroadcastParameters>(Pointwise, &[R, R, W], files).alone()
            }
            Self::AddBroadcast => {
                let files = vec![BROADCAST, shader!("kernels/add_broadcast")];
                Row::new::<BroadcastParameters>(Pointwise, &[R, R, W], files).alone()
            }
            Self::FillEmptyRows => {
                let files = vec![shader!("kernels/fill_empty_rows")];
                Row::new::<FillEmptyRowsParameters>(Pointwise, &[R, C], files).alone()
            }
            Self::Sum => {
                Row::new::<SumParameters>(Reduction, &[R, W], vec![shader!("kernels/sum")]).alone()
            }
            Self::ColumnSum => {
                let files = vec![shader!("kernels/column_sum")];
                Row::new::<ColumnSumParameters>(Reduction, &[R, W], files).alone()
            }
            Self::MatMul(MatMul { tile, a_vectors, b_vectors, output_vectors }) => {
                let a = match a_vectors {
                    true => shader!("kernels/matmul_a_vectors"),
                    false => shader!("kernels/matmul_a_scalars"),
                };
                let b = match b_vectors {
                    true => shader!("kernels/matmul_b_vectors"),
                    false => shader!("kernels/matmul_b_scalars"),
                };
                let kernel = match tile {
                    Some(_) => shader!("kernels/matmul_tiles"),
                    None => shader!("kernels/matmul_registers"),
                };
                let row =
                    Row::of_product(vec![PRODUCT, a, b, product_output(output_vectors), kernel])
                        .constants(tile.map(Tile::wgsl).unwrap_or_default())
                        .tensors(Tensors::Factors);
                match (tile, a_vectors && b_vectors && output_vectors) {
                    (None, true) => row
                        .variants(With::Pointwise, F32)
                        .variants(With::One(Function::Pointwise(PointwiseFunction::Tanh)), F16),
                    _ => {
                        row.variants(With::One(Function::Pointwise(PointwiseFunction::Tanh)), EACH)
                    }
                }
            }
            Self::MatMulSmall => {
                let kernel = shader!("kernels/matmul_small");
                Row::of_product(vec![PRODUCT, product_output(false), kernel])
                    .tensors(Tensors::Factors)
                    .alone()
                    .variants(With::Nothing, MIXED)
            }
            // These kernels can only be translated for Vulkan, so they have a test of their own.
            Self::MatMulCooperative { patch, output_vectors } => {
                let kernel = shader!("kernels/matmul_cooperative");
                Row::of_product(vec![PRODUCT, product_output(output_vectors), kernel])
                    .constants(patch.wgsl())
            }
            Self::MatMulSlices => {
                let files = vec![shader!("kernels/matmul_slices")];
                let row = Row::new::<SlicesParameters>(Reduction, &[R, R, W], files);
                Row { is_of_product: true, ..row }.variants(With::Pointwise, F32)
            }
            Self::LastHalf => {
                let files = vec![shader!("kernels/last_half")];
                Row::new::<LastHalfParameters>(Pointwise, &[R, C], files).alone()
            }
            Self::Sgd { momentum, on_device } => {
                let velocity = match momentum {
                    true => shader!("kernels/sgd_momentum"),
                    false => shader!("kernels/sgd_plain"),
                };
                let mut files = vec![PART, velocity, shader!("kernels/sgd")];
                let row = match (momentum, on_device) {
                    (false, false) => Row::new::<SgdParameters>(Pointwise, &[R, C], vec![]),
                    (true, false) => Row::new::<SgdParameters>(Pointwise, &[R, C, C], vec![]),
                    (false, true) => Row::new::<KeptParameters>(Pointwise, &[R, C, R], vec![]),
                    (true, true) => Row::new::<KeptParameters>(Pointwise, &[R, C, C, R], vec![]),
                };
                files.extend(match (momentum, on_device) {
                    (_, false) => vec![shader!("kernels/sgd_host")],
                    (false, true) => {
                        vec![shader!("kernels/settings_third"), shader!("kernels/sgd_device")]
                    }
                    (true, true) => {
                        vec![shader!("kernels/settings_fourth"), shader!("kernels/sgd_device")]
                    }
                });
                Row { files, ..row }.alone()
            }
            Self::Adam { on_device: false } => {
                let files = vec![PART, shader!("kernels/adam_host"), shader!("kernels/adam")];
                Row::new::<AdamParameters>(Pointwise, &[R, C, C, C], files).alone()
            }
            Self::Adam { on_device: true } => {
                let files = vec![PART, shader!("kernels/adam_device"), shader!("kernels/adam")];
                Row::new::<KeptParameters>(Pointwise, &[R, C, C, C, R, R], files).alone()
            }
            Self::Advance => {
                let files = vec![shader!("kernels/advance")];
                Row::new::<AdvanceParameters>(Pointwise, &[R, R, C], files).alone()
            }
            Self::SquareSums => {
                let files = vec![ROWS, SQUARES, shader!("kernels/square_sums")];
                Row::new::<SquareSumsParameters>(Reduction, &[R, W], files).reduces_rows().alone()
            }
            Self::ClipFactor => {
                let files = vec![ROWS, SQUARES, shader!("kernels/clip_factor")];
                Row::new::<ClipFactorParameters>(Reduction, &[R, W, W], files)
                    .reduces_rows()
                    .alone()
            }
            Self::ClipNorm => {
                let files = vec![shader!("kernels/clip_norm")];
                Row::new::<ClipNormParameters>(Pointwise, &[R, C], files).alone()
            }
            Self::ClipValue => {
                let files = vec![shader!("kernels/clip_value")];
                Row::new::<ClipValueParameters>(Pointwise, &[C], files).alone()
            }
        }
    }

    /// Every kernel of the table.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Sum,
            Self::ColumnSum,
            Self::LastHalf,
            Self::Adam { on_device: false },
            Self::Adam { on_device: true },
            Self::Advance,
            Self::SquareSums,
            Self::ClipFactor,
            Self::ClipNorm,
            Self::ClipValue,
            Self::PreluForward,
            Self::PreluBackward,
            Self::RowSum,
            Self::KeepRows,
            Self::ClearRows,
            Self::CheckLabels,
            Self::Predictions,
            Self::CountPredictions,
            Self::Refresh,
            Self::ExpandMask,
            Self::AddBroadcast,
            Self::FillEmptyRows,
            Self::Unary(Unary::Forward),
            Self::Unary(Unary::Derivative),
            Self::Unary(Unary::SecondDerivative),
            Self::Binary(Binary::Backward),
            Self::MatMulSlices,
            Self::GatedForward,
            Self::GatedBackward,
            Self::Unary(Unary::DerivativeFromOutput),
            Self::Binary(Binary::BackwardFromOutput),
        ];
        let bits = [[false, false], [false, true], [true, false], [true, true]];
        all.extend(bits.map(|[momentum, on_device]| Self::Sgd { momentum, on_device }));
        all.extend(bits.map(|[vectors, held]| Self::RowForward { vectors, held }));
        for product in [RowProduct::Backward, RowProduct::Jvp] {
            all.extend([false, true].map(|vectors| Self::RowProduct { product, vectors }));
        }
        all.push(Self::RowJacobian);
        for [a_vectors, b_vectors] in bits {
            for output_vectors in [false, true] {
                let tiles = Tile::ALL.map(Some).into_iter().chain([None]);
                let product = |tile| MatMul { tile, a_vectors, b_vectors, output_vectors };
                all.extend(tiles.map(product).map(Self::MatMul));
            }
        }
        all.push(Self::MatMulSmall);
        for patch in Patch::ALL {
            let template = |output_vectors| Self::MatMulCooperative { patch, output_vectors };
            all.extend([false, true].map(template));
        }
        let arguments = [
            Argument::Output,
            Argument::Difference,
            Argument::Margin,
            Argument::Forms,
            Argument::Logits,
        ];
        let views = [View::Output, View::Difference, View::Margin, View::Logarithms];
        for targets in TargetKind::ALL {
            for argument in arguments {
                let template = |vectors| Self::LossTerms { targets, argument, vectors };
                all.extend([true, false].map(template));
            }
            all.extend(views.map(|view| Self::RowTerms { targets, view }));
            for in_place in [false, true] {
                let template = |[vectors, held]: [bool; 2]| Self::SoftmaxCrossEntropy {
                    targets,
                    in_place,
                    vectors,
                    held,
                };
                all.extend(bits.map(template));
            }
            all.push(Self::RowWeights(targets));
        }
        all.extend([Self::TileStatistics, Self::TileGradient, Self::TileLosses, Self::MultiMargin]);
        all
    }
}

/// How a product writes its output: as whole vec4s, or number by number.
const fn product_output(vectors: bool) -> &'static str {
    match vectors {
        true => shader!("kernels/matmul_output_vectors"),
        false => shader!("kernels/matmul_output_scalars"),
    }
}

impl Row {
    fn new<P: Parameters>(
        kind: KernelKind,
        bindings: &'static [Access],
        files: Vec<&'static str>,
    ) -> Self {
        Self {
            kind,
            bindings,
            parameters: P::LAYOUT,
            files,
            constants: String::new(),
            reduces_rows: false,
            takes_forms: false,
            is_of_product: false,
            tensors: Tensors::Fixed,
            products: Products::None,
            variants: Vec::new(),
        }
    }

    fn of_product(files: Vec<&'static str>) -> Self {
        let row = Self::new::<ProductParameters>(Product, &[R, R, R, W], files);
        Self { is_of_product: true, ..row }
    }

    fn constants(self, constants: String) -> Self {
        Self { constants, ..self }
    }

    fn reduces_rows(self) -> Self {
        Self { reduces_rows: true, ..self }
    }

    fn tensors(self, tensors: Tensors) -> Self {
        Self { tensors, ..self }
    }

    fn products(self, products: Products) -> Self {
        Self { products, ..self }
    }

    /// Makes this the row of an activation on rows, whose tensors may be f16 if they are read as whole vec4s.
    fn of_rows(self, vectors: bool) -> Self {
        match vectors {
            true => self.tensors(Tensors::Whole).variants(With::Rowwise, EACH),
            false => self.variants(With::Rowwise, F32),
        }
    }

    /// Adds variants of these types.
    fn variants(mut self, with: With, types: &'static [[DType; 2]]) -> Self {
        self.variants.push((with, types));
        self
    }

    /// Adds the only variant of a kernel that has neither an activation nor a loss.
    fn alone(self) -> Self {
        self.variants(With::Nothing, F32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_listed() {
        let source = include_str!("table.rs");
        let body = source.split("enum Template {\n").nth(1).unwrap();
        let body = body.split("\n}").next().unwrap();
        let names = body.lines().filter_map(|line| {
            let name = line.strip_prefix("    ")?.split(['(', ',', ' ']).next()?;
            name.starts_with(char::is_uppercase).then_some(name)
        });
        let names: Vec<&str> = names.collect();
        assert!(names.contains(&"ClipValue") && names.contains(&"Unary"), "{names:?}");
        let all = Template::all();
        for name in names {
            let is_listed = |template: &Template| {
                format!("{template:?}").split(['(', ' ']).next() == Some(name)
            };
            assert!(all.iter().any(is_listed), "{name} is missing from Template::all");
        }
    }
}
