//! Every kernel that can be assembled: for the test that all of them are valid, and for
//! `cargo xtask isa`.

use super::conversions::{self, Conversions};
use super::kernel::{Kernel, MatMul, TargetKind, Template, Uses};
use super::subgroups::{self, Subgroups};
#[cfg(test)]
use super::variant::Patch;
use super::variant::Tile;
use crate::backend::{Argument, Binary, RowProduct, Unary};
use crate::dtype::DType;
use wgrad_formula::formulas::{
    Formula, Function, Head, Pair, PointwiseFunction, RowFunction, TermFunction, Unit,
};

/// What a kernel has a thread do.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelKind {
    /// A formula on each element.
    Pointwise,
    /// Sums along rows, columns or all elements.
    Reduction,
    /// A tile of a matrix product.
    Product,
}

/// A kernel with all that it is made of.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct AssembledKernel {
    /// The template, then the activation and the loss.
    pub label: String,
    pub kind: KernelKind,
    /// WGSL.
    pub source: String,
    /// The values of `override` constants.
    pub constants: Vec<(&'static str, f64)>,
}

/// The templates and catalogues in every combination that the backend makes, for GPUs with all that the
/// kernels can use.
#[doc(hidden)]
pub fn assembled_kernels() -> Vec<AssembledKernel> {
    let subgroups = Some(Subgroups::usual());
    assembled(Uses { subgroups, ..Uses::default() })
}

/// The same for devices on which kernels use these.
pub(super) fn assembled(uses: Uses) -> Vec<AssembledKernel> {
    let probes = [("Conversions", conversions::SOURCE), ("Subgroups", subgroups::SOURCE)];
    let probes = probes.map(|(label, source)| AssembledKernel {
        label: label.to_owned(),
        kind: KernelKind::Pointwise,
        source: source.to_owned(),
        constants: vec![],
    });
    kernels(uses).iter().map(assemble).chain(probes).collect()
}

/// Those of activations and losses with numbers, for any numbers: they have other sources.
#[cfg(test)]
pub(super) fn kernels_of_any_numbers() -> Vec<AssembledKernel> {
    let kernels = kernels(Uses::default()).into_iter().map(Kernel::of_any_numbers);
    kernels.filter(|kernel| !kernel.numbers.is_empty()).map(|kernel| assemble(&kernel)).collect()
}

fn assemble(kernel: &Kernel) -> AssembledKernel {
    AssembledKernel {
        label: kernel.label(),
        kind: kind(kernel.template),
        source: kernel.source(),
        constants: kernel.constants.clone(),
    }
}

/// The kernels with cooperative matrices, which have no translation but for Vulkan.
#[cfg(test)]
pub(super) fn cooperative_kernels() -> Vec<Kernel> {
    let templates = Patch::ALL.into_iter().flat_map(|patch| {
        [false, true].map(|output_vectors| Template::MatMulCooperative { patch, output_vectors })
    });
    templates.map(|it| Kernel::new(it).activation(PointwiseFunction::Tanh)).collect()
}

const fn kind(template: Template) -> KernelKind {
    match template {
        Template::Unary(_)
        | Template::Binary(_)
        | Template::GatedForward
        | Template::GatedBackward
        | Template::PreluForward
        | Template::LastHalf
        | Template::Sgd { .. }
        | Template::Adam
        | Template::ClipNorm
        | Template::ClipValue
        | Template::TileGradient
        | Template::TileLosses
        | Template::RowWeights(_)
        | Template::KeepRows
        | Template::ClearRows => KernelKind::Pointwise,
        Template::RowForward { .. }
        | Template::RowProduct { .. }
        | Template::RowJacobian
        | Template::PreluBackward
        | Template::RowSum
        | Template::LossTerms { .. }
        | Template::RowTerms { .. }
        | Template::SoftmaxCrossEntropy { .. }
        | Template::MultiMargin
        | Template::TileStatistics
        | Template::Sum
        | Template::ColumnSum
        | Template::MatMulSlices
        | Template::SquareSums
        | Template::ClipFactor => KernelKind::Reduction,
        Template::MatMul(_) | Template::MatMulSmall | Template::MatMulCooperative { .. } => {
            KernelKind::Product
        }
    }
}

/// The losses of an output in more parts than one, with each activation and each loss that there is for them.
fn of_parts(targets: TargetKind) -> Vec<Kernel> {
    let is_wanted = |Pair { activation, term, argument }: &Pair| match argument {
        Argument::Output | Argument::Logits => false,
        Argument::Forms => true,
        Argument::Difference | Argument::Margin => {
            *term == TermFunction::Mse || *activation == PointwiseFunction::Tanh
        }
    };
    let kernel = |head: Head| match head {
        Head::Terms(pair) if is_wanted(&pair) => {
            let argument = pair.argument;
            let kernel = Kernel::new(Template::LossTerms { targets, argument, vectors: true });
            Some(kernel.activation(pair.activation).loss(Formula::Terms(pair.term)))
        }
        Head::RowTerms { function, term } => {
            let kernel = Kernel::new(Template::RowTerms { targets, view: term.view() });
            Some(kernel.activation(function).loss(Formula::Terms(term)))
        }
        _ => None,
    };
    let losses = TermFunction::ALL
        .iter()
        .filter(|loss| targets == TargetKind::Dense || loss.unit() == Unit::Row);
    let pairs = activations().flat_map(|activation| {
        losses.clone().filter_map(move |&loss| Head::of_pair(activation, Formula::Terms(loss)))
    });
    pairs.filter_map(kernel).collect()
}

/// All activations.
fn activations() -> impl Iterator<Item = Function> {
    let pointwise = PointwiseFunction::ALL.iter().map(|&function| Function::Pointwise(function));
    pointwise.chain(RowFunction::ALL.iter().map(|&function| Function::Rows(function)))
}

fn kernels(uses: Uses) -> Vec<Kernel> {
    let mut kernels = vec![
        Kernel::new(Template::Sum),
        Kernel::new(Template::ColumnSum),
        Kernel::new(Template::LastHalf),
        Kernel::new(Template::Sgd { momentum: false }),
        Kernel::new(Template::Sgd { momentum: true }),
        Kernel::new(Template::Adam),
        Kernel::new(Template::SquareSums),
        Kernel::new(Template::ClipFactor),
        Kernel::new(Template::ClipNorm),
        Kernel::new(Template::ClipValue),
        Kernel::new(Template::PreluForward),
        Kernel::new(Template::PreluBackward),
        Kernel::new(Template::RowSum),
        Kernel::new(Template::KeepRows),
        Kernel::new(Template::KeepRows).types([DType::F16, DType::F32]),
        Kernel::new(Template::ClearRows),
    ];
    for activation in activations() {
        let templates = match activation {
            Function::Rows(_) => vec![
                Template::RowForward { vectors: false, held: false },
                Template::RowForward { vectors: false, held: true },
                Template::RowForward { vectors: true, held: false },
                Template::RowForward { vectors: true, held: true },
                Template::RowProduct { product: RowProduct::Backward, vectors: false },
                Template::RowProduct { product: RowProduct::Backward, vectors: true },
                Template::RowProduct { product: RowProduct::Jvp, vectors: false },
                Template::RowJacobian,
            ],
            Function::Pointwise(function) => {
                let mut templates = vec![
                    Template::Unary(Unary::Forward),
                    Template::Unary(Unary::Derivative),
                    Template::Unary(Unary::SecondDerivative),
                    Template::Binary(Binary::Backward),
                    Template::MatMul(MatMul {
                        tile: None,
                        a_vectors: true,
                        b_vectors: true,
                        output_vectors: true,
                    }),
                    Template::MatMulSlices,
                    Template::GatedForward,
                    Template::GatedBackward,
                ];
                if function.has_derivative_from_output() {
                    templates.push(Template::Unary(Unary::DerivativeFromOutput));
                    templates.push(Template::Binary(Binary::BackwardFromOutput));
                }
                templates
            }
        };
        for template in templates {
            let kernel = Kernel::new(template).activation(activation);
            if template.takes_types() {
                kernels.push(kernel.clone().types([DType::F16; 2]));
            }
            kernels.push(kernel);
        }
    }
    for types in [[DType::F16, DType::F32], [DType::F32, DType::F16]] {
        for template in [Template::Unary(Unary::Forward), Template::Binary(Binary::Backward)] {
            kernels
                .push(Kernel::new(template).activation(PointwiseFunction::Identity).types(types));
        }
    }
    for bits in 0..8 {
        let [a_vectors, b_vectors, output_vectors] = [1, 2, 4].map(|bit| bits & bit != 0);
        for tile in Tile::ALL.map(Some).into_iter().chain([None]) {
            let product = MatMul { tile, a_vectors, b_vectors, output_vectors };
            let kernel = Kernel::new(Template::MatMul(product)).activation(PointwiseFunction::Tanh);
            kernels.push(kernel.clone().types([DType::F16; 2]));
            kernels.push(kernel);
        }
    }
    for types in [[DType::F32; 2], [DType::F16, DType::F32], [DType::F32, DType::F16]] {
        kernels.push(Kernel::new(Template::MatMulSmall).types(types));
    }
    let target_kinds = [TargetKind::Dense, TargetKind::Labels];
    for targets in target_kinds {
        let terms =
            |argument| Kernel::new(Template::LossTerms { targets, argument, vectors: true });
        for &loss in TermFunction::ALL {
            let kernel = terms(Argument::Output).activation(PointwiseFunction::Tanh);
            kernels.push(kernel.loss(Formula::Terms(loss)));
        }
        kernels.extend(of_parts(targets));
        for &loss in TermFunction::ALL {
            let sigmoid = PointwiseFunction::Sigmoid;
            let head = Head::of_pair(sigmoid.into(), Formula::Terms(loss));
            if let Some(Head::Terms(Pair { term, argument: Argument::Logits, .. })) = head {
                let kernel = terms(Argument::Logits).activation(sigmoid);
                kernels.push(kernel.loss(Formula::Terms(term)));
            }
        }
        for (vectors, held) in [(false, false), (false, true), (true, false), (true, true)] {
            let template =
                Template::SoftmaxCrossEntropy { targets, in_place: false, vectors, held };
            let kernel = Kernel::new(template).activation(RowFunction::Softmax);
            kernels.push(kernel.loss(Formula::LogSumExp));
        }
        kernels.push(Kernel::new(Template::RowWeights(targets)));
    }
    for &activation in PointwiseFunction::ALL {
        let (targets, argument) = (TargetKind::Dense, Argument::Output);
        let kernel = Kernel::new(Template::LossTerms { targets, argument, vectors: false });
        kernels.push(kernel.activation(activation).loss(Formula::Terms(TermFunction::Mse)));
    }
    kernels.push(Kernel::new(Template::TileStatistics).activation(RowFunction::Softmax));
    kernels.push(Kernel::new(Template::TileGradient));
    kernels.push(Kernel::new(Template::TileLosses));
    kernels.push(Kernel::new(Template::MultiMargin).loss(Formula::Margins { p: 1, margin: 1.0 }));
    let mut kernels: Vec<Kernel> = kernels.into_iter().map(|kernel| kernel.using(uses)).collect();
    let conversions = Conversions { widens: true, narrows: true };
    let identity =
        Kernel::new(Template::Unary(Unary::Forward)).activation(PointwiseFunction::Identity);
    kernels.push(identity.types([DType::F16; 2]).using(Uses { conversions, ..uses }));
    kernels
}
