//! Kernels: which files they are made of.

use super::conversions::Conversions;
use super::sources;
use super::subgroups::Subgroups;
use super::variant::{Patch, Tile};
use crate::backend::{Argument, Binary, RowProduct, Unary};
use crate::dtype::DType;
use wgrad_formula::data::parameters::{Constant, ConstantKind};
use wgrad_formula::formulas::{Formula, Function, View};

macro_rules! shader {
    ($path:literal) => {
        include_str!(concat!("../../shaders/", $path, ".wgsl"))
    };
}

/// How the targets of a loss are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TargetKind {
    Dense,
    Labels,
}

impl TargetKind {
    const fn wgsl(self) -> &'static str {
        match self {
            Self::Dense => shader!("kernels/targets_dense"),
            Self::Labels => shader!("kernels/targets_labels"),
        }
    }
}

/// The elements of a row that an invocation can hold on to.
pub(super) const HELD: usize = 8;

/// A kernel before the activation and the loss are put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Template {
    Unary(Unary),
    Binary(Binary),
    /// With rows that are read as whole vec4s, or number by number; so is the next. With rows of which an
    /// invocation can hold its part, of [`HELD`] elements at most.
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
    /// A loss made of terms; of the activation's output, or of its argument.
    LossTerms {
        targets: TargetKind,
        argument: Argument,
        vectors: bool,
    },
    /// A loss made of terms, of softmax or softmin, of whose output it sees this.
    RowTerms {
        targets: TargetKind,
        view: View,
    },
    /// With dE/dz in the place of the logits, or apart from them; and rows as for `RowForward`.
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
    Sgd {
        momentum: bool,
    },
    Adam,
    SquareSums,
    ClipFactor,
    ClipNorm,
    ClipValue,
}

/// A kernel of a matrix product: with tiles of this shape in workgroup memory or from registers alone, which
/// of its factors it reads as whole vec4s, and whether it writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MatMul {
    pub(super) tile: Option<Tile>,
    pub(super) a_vectors: bool,
    pub(super) b_vectors: bool,
    pub(super) output_vectors: bool,
}

impl MatMul {
    fn wgsl(self) -> Vec<&'static str> {
        let a = match self.a_vectors {
            true => shader!("kernels/matmul_a_vectors"),
            false => shader!("kernels/matmul_a_scalars"),
        };
        let b = match self.b_vectors {
            true => shader!("kernels/matmul_b_vectors"),
            false => shader!("kernels/matmul_b_scalars"),
        };
        let output = matmul_output(self.output_vectors);
        let kernel = match self.tile {
            Some(_) => shader!("kernels/matmul_tiles"),
            None => shader!("kernels/matmul_registers"),
        };
        vec![shader!("kernels/matmul_parameters"), a, b, output, kernel]
    }
}

/// How a product writes its output: as whole vec4s, or number by number.
const fn matmul_output(vectors: bool) -> &'static str {
    match vectors {
        true => shader!("kernels/matmul_output_vectors"),
        false => shader!("kernels/matmul_output_scalars"),
    }
}

/// What a kernel does with a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Read,
    Write,
    Change,
}

use Access::{Change as C, Read as R, Write as W};

impl Template {
    /// The files of the kernel itself, besides math.wgsl, the activation's and the loss's.
    fn wgsl(self) -> Vec<&'static str> {
        const ROWS: &str = shader!("kernels/rows");
        const LINES: &str = shader!("kernels/row_lines");
        const STATISTICS: &str = shader!("kernels/row_statistics");
        const LOOPS: &str = shader!("kernels/row_loops");
        const HELD: &str = shader!("kernels/row_held");
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
        const PART: &str = shader!("kernels/part");
        const SQUARES: &str = shader!("kernels/squares");
        const UNARY: &str = shader!("kernels/pointwise_unary");
        const BINARY: &str = shader!("kernels/pointwise_binary");
        match self {
            Self::Unary(map) => {
                let operation = match map {
                    Unary::Forward => shader!("operations/forward"),
                    Unary::Derivative => shader!("operations/derivative"),
                    Unary::SecondDerivative => shader!("operations/second_derivative"),
                    Unary::DerivativeFromOutput => shader!("operations/derivative_from_output"),
                };
                vec![operation, UNARY]
            }
            Self::Binary(Binary::Backward) => vec![shader!("operations/backward"), BINARY],
            Self::Binary(Binary::BackwardFromOutput) => {
                vec![shader!("operations/backward_from_output"), BINARY]
            }
            Self::RowForward { vectors, held } => {
                let access = match vectors {
                    true => shader!("kernels/row_forward_vectors"),
                    false => shader!("kernels/row_forward_scalars"),
                };
                let mut files =
                    vec![ROWS, LINES, STATISTICS, access, shader!("kernels/row_forward")];
                files.extend(match held {
                    true => [HELD, shader!("kernels/row_forward_held")],
                    false => [LOOPS, shader!("kernels/row_forward_loops")],
                });
                files
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
                vec![ROWS, LINES, operation, access, shader!("kernels/row_product")]
            }
            Self::RowJacobian => vec![ROWS, LINES, shader!("kernels/row_jacobian")],
            Self::GatedForward => vec![GATED, shader!("kernels/gated_forward")],
            Self::GatedBackward => vec![GATED, shader!("kernels/gated_backward")],
            Self::PreluForward => vec![PRELU, shader!("kernels/prelu_forward")],
            Self::PreluBackward => vec![ROWS, PRELU, shader!("kernels/prelu_backward")],
            Self::RowSum => vec![ROWS, shader!("kernels/row_sum")],
            Self::LossTerms { targets, argument, vectors } => {
                let operation = match argument {
                    Argument::Output => shader!("operations/loss_of_output"),
                    Argument::Logits => shader!("operations/loss_of_logits"),
                    Argument::Difference => shader!("operations/loss_of_difference"),
                    Argument::Margin => shader!("operations/loss_of_margin"),
                    Argument::Forms => shader!("operations/loss_of_forms"),
                };
                let kernel = shader!("kernels/loss_terms");
                let numbers = if vectors { VECTORS } else { NUMBERS };
                let mut files = vec![ROWS, LOSS, numbers, ARITHMETIC, targets.wgsl()];
                if self.takes_forms() {
                    files.push(FORMS);
                }
                files.extend([operation, kernel]);
                files
            }
            Self::RowTerms { targets, view } => {
                let operation = match view {
                    View::Output => shader!("operations/row_loss_of_output"),
                    View::Difference => shader!("operations/row_loss_of_difference"),
                    View::Margin => shader!("operations/row_loss_of_margin"),
                    View::Logarithms => shader!("operations/row_loss_of_logarithms"),
                };
                let logits = [ROWS, STATISTICS, LOGITS, LOOPS, LOGIT_NUMBERS];
                let loss = [LOSS, NUMBERS, ARITHMETIC, FORMS, targets.wgsl(), operation];
                let kernel = shader!("kernels/row_terms");
                logits.into_iter().chain(loss).chain([kernel]).collect()
            }
            Self::SoftmaxCrossEntropy { targets, vectors, held, .. } => {
                let mut files = vec![ROWS, STATISTICS, LOGITS, LOSS, targets.wgsl()];
                files.push(shader!("kernels/softmax_cross_entropy"));
                files.extend(match vectors {
                    true => vec![VECTORS, shader!("kernels/softmax_cross_entropy_vectors")],
                    false => vec![
                        NUMBERS,
                        LOGIT_NUMBERS,
                        shader!("kernels/softmax_cross_entropy_scalars"),
                    ],
                });
                files.extend(match held {
                    true => [HELD, shader!("kernels/softmax_cross_entropy_held")],
                    false => [LOOPS, shader!("kernels/softmax_cross_entropy_loops")],
                });
                files
            }
            Self::MultiMargin => {
                let labels = TargetKind::Labels.wgsl();
                vec![ROWS, LOSS, NUMBERS, labels, shader!("kernels/multi_margin")]
            }
            Self::TileStatistics => {
                let (labels, kernel) =
                    (TargetKind::Labels.wgsl(), shader!("kernels/tile_statistics"));
                let logits = [LOOPS, LOGITS, LOGIT_NUMBERS];
                let loss = [LOSS, NUMBERS, ARITHMETIC, labels, TILE, kernel];
                [ROWS, STATISTICS].into_iter().chain(logits).chain(loss).collect()
            }
            Self::TileGradient => {
                vec![
                    LOSS,
                    NUMBERS,
                    TargetKind::Labels.wgsl(),
                    TILE,
                    shader!("kernels/tile_gradient"),
                ]
            }
            Self::TileLosses => {
                vec![LOSS, NUMBERS, TargetKind::Labels.wgsl(), TILE, shader!("kernels/tile_losses")]
            }
            Self::RowWeights(targets) => {
                vec![LOSS, NUMBERS, targets.wgsl(), shader!("kernels/row_weights")]
            }
            Self::KeepRows => {
                vec![shader!("kernels/ignored_rows"), shader!("kernels/keep_rows")]
            }
            Self::ClearRows => {
                vec![shader!("kernels/ignored_rows"), shader!("kernels/clear_rows")]
            }
            Self::Sum => vec![shader!("kernels/sum")],
            Self::ColumnSum => vec![shader!("kernels/column_sum")],
            Self::MatMul(product) => product.wgsl(),
            Self::MatMulSmall => {
                let kernel = shader!("kernels/matmul_small");
                vec![shader!("kernels/matmul_parameters"), matmul_output(false), kernel]
            }
            Self::MatMulCooperative { output_vectors, .. } => {
                let kernel = shader!("kernels/matmul_cooperative");
                vec![shader!("kernels/matmul_parameters"), matmul_output(output_vectors), kernel]
            }
            Self::MatMulSlices => vec![shader!("kernels/matmul_slices")],
            Self::LastHalf => vec![shader!("kernels/last_half")],
            Self::Sgd { momentum } => {
                let velocity = match momentum {
                    true => shader!("kernels/sgd_momentum"),
                    false => shader!("kernels/sgd_plain"),
                };
                vec![PART, velocity, shader!("kernels/sgd")]
            }
            Self::Adam => vec![PART, shader!("kernels/adam")],
            Self::SquareSums => vec![ROWS, SQUARES, shader!("kernels/square_sums")],
            Self::ClipFactor => vec![ROWS, SQUARES, shader!("kernels/clip_factor")],
            Self::ClipNorm => vec![shader!("kernels/clip_norm")],
            Self::ClipValue => vec![shader!("kernels/clip_value")],
        }
    }

    /// Whether it takes an output in forms or parts.
    const fn takes_forms(self) -> bool {
        matches!(
            self,
            Self::LossTerms {
                argument: Argument::Difference | Argument::Margin | Argument::Forms,
                ..
            } | Self::RowTerms { .. }
        )
    }

    /// Whether there are kernels that read and write tensors of f16.
    pub(super) const fn takes_types(self) -> bool {
        match self {
            Self::Unary(_) | Self::Binary(_) => true,
            Self::RowForward { vectors, .. } | Self::RowProduct { vectors, .. } => vectors,
            _ => false,
        }
    }

    /// Whether invocations put together what they have found in a row.
    const fn reduces_rows(self) -> bool {
        matches!(
            self,
            Self::RowForward { .. }
                | Self::RowProduct { .. }
                | Self::RowJacobian
                | Self::PreluBackward
                | Self::RowSum
                | Self::LossTerms { .. }
                | Self::RowTerms { .. }
                | Self::SoftmaxCrossEntropy { .. }
                | Self::MultiMargin
                | Self::TileStatistics
                | Self::SquareSums
                | Self::ClipFactor
        )
    }

    /// How it does so.
    fn reductions(self, subgroups: Option<Subgroups>) -> Option<&'static str> {
        self.reduces_rows().then_some(match subgroups {
            Some(_) => shader!("kernels/row_reductions_subgroups"),
            None => shader!("kernels/row_reductions_memory"),
        })
    }

    /// How it reads and writes tensors of these types.
    fn access(self, [first, second]: [DType; 2], conversions: Conversions) -> Vec<&'static str> {
        let pick = |dtype, f32_file, f16_file| match dtype {
            DType::F32 => f32_file,
            DType::F16 => f16_file,
        };
        let mut files = match self {
            Self::MatMul(_) | Self::MatMulSmall | Self::KeepRows => vec![
                pick(first, shader!("kernels/matmul_a_f32"), shader!("kernels/matmul_a_f16")),
                pick(second, shader!("kernels/matmul_b_f32"), shader!("kernels/matmul_b_f16")),
            ],
            _ if self.takes_types() => vec![
                pick(first, shader!("kernels/input_f32"), shader!("kernels/input_f16")),
                pick(second, shader!("kernels/output_f32"), shader!("kernels/output_f16")),
            ],
            _ => vec![],
        };
        if [first, second].contains(&DType::F16) {
            files.push(shader!("halves"));
            files.push(match conversions.widens {
                true => shader!("kernels/widen_by_device"),
                false => shader!("kernels/widen_by_integers"),
            });
            files.push(match conversions.narrows {
                true => shader!("kernels/narrow_by_device"),
                false => shader!("kernels/narrow_by_integers"),
            });
        }
        files
    }

    /// The storage bindings, from binding 1 on.
    pub(super) const fn bindings(self) -> &'static [Access] {
        match self {
            Self::Unary(_) | Self::GatedForward | Self::RowSum | Self::Sum | Self::ColumnSum => {
                &[R, W]
            }
            Self::Binary(_)
            | Self::RowForward { .. }
            | Self::RowJacobian
            | Self::MatMulSlices
            | Self::GatedBackward
            | Self::PreluForward
            | Self::KeepRows => &[R, R, W],
            Self::Sgd { momentum: false } => &[R, C],
            Self::Sgd { momentum: true } => &[R, C, C],
            Self::Adam => &[R, C, C, C],
            Self::SquareSums => &[R, W],
            Self::LastHalf | Self::ClipNorm | Self::ClearRows => &[R, C],
            Self::ClipFactor => &[R, W, W],
            Self::ClipValue => &[C],
            Self::PreluBackward => &[R, R, R, W, W],
            Self::MatMul(_)
            | Self::MatMulSmall
            | Self::MatMulCooperative { .. }
            | Self::RowProduct { .. } => &[R, R, R, W],
            Self::LossTerms { .. }
            | Self::SoftmaxCrossEntropy { in_place: false, .. }
            | Self::MultiMargin
            | Self::TileLosses
            | Self::RowWeights(_) => &[R, R, R, R, R, W, W, W],
            Self::SoftmaxCrossEntropy { in_place: true, .. }
            | Self::RowTerms { .. }
            | Self::TileGradient => &[R, R, R, R, R, W, W, C],
            Self::TileStatistics => &[R, R, R, R, R, W, C, W],
        }
    }
}

/// What a kernel leaves to the device that it is compiled for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Uses {
    /// The conversions of f16.
    pub(super) conversions: Conversions,
    /// What the invocations of a row reach each other by; without them it is workgroup memory.
    pub(super) subgroups: Option<Subgroups>,
}

/// A kernel with all that it is made of.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) template: Template,
    pub(super) activation: Option<Function>,
    pub(super) loss: Option<Formula>,
    /// The types of the tensors that it reads and writes, or of a product's factors: f32 where the template
    /// has no other.
    types: [DType; 2],
    uses: Uses,
    /// The values of `override` constants.
    pub(super) constants: Vec<(&'static str, f64)>,
    /// Numbers that it is given with every dispatch, after the other parameters, instead of constants of
    /// these names: a number that changes at every step needs no kernel of its own.
    pub(super) numbers: Vec<(&'static str, f32)>,
}

/// What tells kernels apart. A number that is none of the constants comes with each dispatch.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    template: Template,
    activation: &'static str,
    loss: &'static str,
    types: [DType; 2],
    uses: Uses,
    constants: Vec<(&'static str, u64)>,
}

impl Kernel {
    pub(super) fn new(template: Template) -> Self {
        let types = [DType::F32; 2];
        let (uses, constants, numbers) = (Uses::default(), Vec::new(), Vec::new());
        Self { template, activation: None, loss: None, types, uses, constants, numbers }
    }

    pub(super) fn activation(mut self, activation: impl Into<Function>) -> Self {
        let activation = activation.into();
        self.activation = Some(activation);
        self.parameters(activation.constants())
    }

    pub(super) fn loss(mut self, loss: Formula) -> Self {
        self.loss = Some(loss);
        self.parameters(loss.constants())
    }

    /// With the parameters of a function. There is a kernel for the default of each number, a constant that
    /// drivers make use of, and one for all others.
    fn parameters(mut self, parameters: Vec<Constant>) -> Self {
        for Constant { name, value, kind } in parameters {
            match kind {
                ConstantKind::Number { is_default: false } => {
                    self.numbers.push((name, value as f32));
                }
                _ => self.constants.push((name, value)),
            }
        }
        self
    }

    pub(super) fn types(self, types: [DType; 2]) -> Self {
        Self { types, ..self }
    }

    /// For a device on which it uses these.
    pub(super) fn using(mut self, uses: Uses) -> Self {
        let subgroups = uses.subgroups.filter(|_| self.reduces_rows());
        self.constants.extend(subgroups.map(Subgroups::constant));
        Self { uses: Uses { subgroups, ..uses }, ..self }
    }

    /// Whether invocations put together what they have found in a row.
    pub(super) const fn reduces_rows(&self) -> bool {
        self.template.reduces_rows()
    }

    /// Whether it reads or writes tensors of f16.
    pub(super) fn has_halves(&self) -> bool {
        self.types.contains(&DType::F16)
    }

    pub(super) fn constant(mut self, name: &'static str, value: f64) -> Self {
        self.constants.push((name, value));
        self
    }

    /// With all numbers given with every dispatch, also default ones.
    #[cfg(test)]
    pub(super) fn of_any_numbers(mut self) -> Self {
        let activation = self.activation.into_iter().flat_map(Function::constants);
        let parameters = activation.chain(self.loss.iter().flat_map(Formula::constants));
        let numbers: Vec<Constant> =
            parameters.filter(|it| matches!(it.kind, ConstantKind::Number { .. })).collect();
        self.constants.retain(|(name, _)| numbers.iter().all(|number| number.name != *name));
        self.numbers = numbers.iter().map(|number| (number.name, number.value as f32)).collect();
        self
    }

    /// What tells it from others, for a device on which it uses these.
    pub(super) fn key(&self, uses: Uses) -> Key {
        Key {
            template: self.template,
            activation: self.activation.map_or("", Function::name),
            loss: self.loss.map_or("", |loss| loss.name()),
            types: self.types,
            uses,
            constants: self
                .constants
                .iter()
                .map(|&(name, value)| (name, value.to_bits()))
                .collect(),
        }
    }

    pub(super) fn label(&self) -> String {
        let key = self.key(self.uses);
        let types = match self.types {
            [DType::F32, DType::F32] => String::new(),
            [first, second] => format!("({first}, {second})"),
        };
        let numbers: String = self.numbers.iter().map(|(name, _)| format!(" any {name}")).collect();
        let label =
            format!("{:?} {} {} {types}", key.template, key.activation, key.loss) + &numbers;
        label.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What its products are made with, which may be in the range of f32 where a factor is not: an activation or
    /// a loss of which that is so brings its own functions for it.
    fn products(&self) -> Vec<&'static str> {
        let source = self.activation.map_or("", sources::activation);
        let has_own = source.contains("fn derivative_ranged(");
        let activation = (!has_own).then_some(shader!("activations/ranged"));
        let products = match self.template {
            Template::Binary(_) if !has_own => return vec![shader!("operations/products")],
            Template::Binary(_) | Template::GatedForward | Template::GatedBackward => {
                Some(shader!("operations/ranged_products"))
            }
            Template::LossTerms { .. } => {
                let source = self.loss.map_or("", sources::loss);
                (!source.contains("fn loss_ranged(")).then_some(shader!("losses/ranged"))
            }
            _ => return vec![],
        };
        activation.into_iter().chain(products).collect()
    }

    /// The WGSL to compile.
    pub(super) fn source(&self) -> String {
        let wgsl = self.wgsl();
        if self.numbers.is_empty() { wgsl } else { with_numbers(&wgsl, &self.numbers) }
    }

    /// The WGSL with all parameters of functions as constants: a plain concatenation.
    pub(super) fn wgsl(&self) -> String {
        let constants = match self.template {
            Template::MatMul(MatMul { tile: Some(tile), .. }) => tile.wgsl(),
            Template::MatMulCooperative { patch, .. } => patch.wgsl(),
            _ => String::new(),
        };
        let mut parts = vec![shader!("math"), shader!("trigonometry")];
        parts.extend(self.activation.map(sources::activation));
        parts.extend(self.loss.map(sources::loss));
        if self.template.takes_forms() {
            parts.extend(self.activation.map(sources::forms));
            parts.extend(self.loss.map(sources::loss_of_forms));
        }
        parts.extend(self.products());
        parts.extend(self.template.wgsl());
        parts.extend(self.template.reductions(self.uses.subgroups));
        parts.extend(self.template.access(self.types, self.uses.conversions));
        constants + &parts.join("\n")
    }
}

/// The WGSL with these numbers as the last parameters of each dispatch, in place of constants.
fn with_numbers(wgsl: &str, numbers: &[(&str, f32)]) -> String {
    let mut lines = Vec::new();
    let mut is_in_parameters = false;
    for line in wgsl.lines() {
        let constant = line.strip_prefix("override ").and_then(|rest| rest.split_once(':'));
        let is_number = |&(name, _): &(&str, f32)| constant.is_some_and(|it| it.0 == name);
        if let Some((name, _)) = numbers.iter().find(|number| is_number(number)) {
            lines.push(format!("var<private> {name}: f32;"));
            continue;
        }
        if line == "const NUMBERS_ARE_CONSTANTS: bool = true;" {
            lines.push(line.replace("true", "false"));
            continue;
        }
        is_in_parameters |= line == "struct Parameters {";
        if is_in_parameters && line == "}" {
            lines.extend(numbers.iter().map(|(name, _)| format!("    {name}: f32,")));
            is_in_parameters = false;
        }
        lines.push(line.to_owned());
        // What main begins with.
        if line == "    opaque_zero = parameters.zero;" {
            lines
                .extend(numbers.iter().map(|(name, _)| format!("    {name} = parameters.{name};")));
        }
    }
    lines.join("\n") + "\n"
}
