//! Assembles every kernel, for the test that all of them are valid and for `cargo xtask isa`.

use super::conversions::{self, Conversions};
use super::kernel::{Kernel, TargetKind, Template, Uses};
use super::subgroups::{self, Subgroups};
use super::table::With;
use crate::backend::{Argument, Unary};
use crate::dtype::DType;
use wgrad_formula::formulas::{
    Formula, Function, Head, Pair, PointwiseFunction, RowFunction, TermFunction, Unit,
};

/// What kind of work a thread of a kernel does.
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

/// A kernel with everything that it is made of.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct AssembledKernel {
    /// The template, then the activation and the loss, if any.
    pub label: String,
    pub kind: KernelKind,
    /// WGSL.
    pub source: String,
    /// The values of `override` constants.
    pub constants: Vec<(&'static str, f64)>,
}

/// All combinations of the templates and catalogues that the backend makes, for GPUs with every feature that
/// the kernels can use.
#[doc(hidden)]
pub fn assembled_kernels() -> Vec<AssembledKernel> {
    let subgroups = Some(Subgroups::usual());
    assembled(Uses { subgroups, ..Uses::default() })
}

/// The same for devices on which the kernels rely on `uses`.
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

/// The kernels of activations and losses that have numbers, for any numbers: their sources differ.
#[cfg(test)]
pub(super) fn kernels_of_any_numbers() -> Vec<AssembledKernel> {
    let kernels = kernels(Uses::default()).into_iter().map(Kernel::of_any_numbers);
    kernels.filter(|kernel| !kernel.numbers.is_empty()).map(|kernel| assemble(&kernel)).collect()
}

fn assemble(kernel: &Kernel) -> AssembledKernel {
    AssembledKernel {
        label: kernel.label(),
        kind: kernel.template.row().kind,
        source: kernel.source(),
        constants: kernel.constants.clone(),
    }
}

/// The kernels with cooperative matrices, which can only be translated for Vulkan.
#[cfg(test)]
pub(super) fn cooperative_kernels() -> Vec<Kernel> {
    let mut templates = Template::all();
    templates.retain(|template| matches!(template, Template::MatMulCooperative { .. }));
    templates.into_iter().map(|it| Kernel::new(it).activation(PointwiseFunction::Tanh)).collect()
}

/// Every variant of the table.
pub(super) fn kernels(uses: Uses) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for template in Template::all() {
        for (with, types) in template.row().variants {
            for (activation, loss) in functions(with) {
                let mut kernel = Kernel::new(template);
                if let Some(activation) = activation {
                    kernel = kernel.activation(activation);
                }
                if let Some(loss) = loss {
                    kernel = kernel.loss(loss);
                }
                kernels.extend(types.iter().map(|&it| kernel.clone().types(it).using(uses)));
            }
        }
    }
    let conversions = Conversions { widens: true, narrows: true };
    let identity =
        Kernel::new(Template::Unary(Unary::Forward)).activation(PointwiseFunction::Identity);
    kernels.push(identity.types([DType::F16; 2]).using(Uses { conversions, ..uses }));
    kernels
}

/// The activations and losses of variants.
fn functions(with: With) -> Vec<(Option<Function>, Option<Formula>)> {
    let alone = |function: Function| (Some(function), None);
    let with_loss = |function: PointwiseFunction, loss| (Some(function.into()), Some(loss));
    let pointwise = || PointwiseFunction::ALL.iter().copied();
    let terms = || TermFunction::ALL.iter().copied().map(Formula::Terms);
    match with {
        With::Nothing => vec![(None, None)],
        With::One(activation) => vec![alone(activation)],
        With::Pointwise => pointwise().map(|it| alone(it.into())).collect(),
        With::FromOutput => {
            let functions = pointwise().filter(|it| it.has_derivative_from_output());
            functions.map(|it| alone(it.into())).collect()
        }
        With::Rowwise => RowFunction::ALL.iter().map(|&it| alone(it.into())).collect(),
        With::Loss(activation, loss) => vec![(activation, Some(loss))],
        With::PointwiseLoss => {
            pointwise().map(|it| with_loss(it, Formula::Terms(TermFunction::Mse))).collect()
        }
        With::Terms => terms().map(|loss| with_loss(PointwiseFunction::Tanh, loss)).collect(),
        With::Logits => {
            let sigmoid = PointwiseFunction::Sigmoid;
            let of_logits = terms().filter_map(|loss| match Head::of_pair(sigmoid.into(), loss)? {
                Head::Terms(pair) if pair.argument == Argument::Logits => Some(pair.term),
                _ => None,
            });
            of_logits.map(|term| with_loss(sigmoid, Formula::Terms(term))).collect()
        }
        With::Pairs(targets, argument) => pairs(targets, argument),
        With::RowPairs(targets, view) => {
            let losses: Vec<TermFunction> =
                losses(targets).filter(|loss| loss.view() == view).collect();
            let pairs = RowFunction::ALL.iter().flat_map(|&function| {
                losses.iter().filter_map(move |&loss| {
                    let head = Head::of_pair(function.into(), Formula::Terms(loss))?;
                    let pair = (Some(function.into()), Some(Formula::Terms(loss)));
                    head.is_of_rows().then_some(pair)
                })
            });
            pairs.collect()
        }
    }
}

/// The losses made of terms that take such targets.
fn losses(targets: TargetKind) -> impl Iterator<Item = TermFunction> {
    let takes = move |loss: &TermFunction| targets == TargetKind::Dense || loss.unit() == Unit::Row;
    TermFunction::ALL.iter().copied().filter(takes)
}

/// The pairs whose loss is computed from `argument`. If that is a shifted output, only the pairs with tanh or with
/// mse.
fn pairs(targets: TargetKind, argument: Argument) -> Vec<(Option<Function>, Option<Formula>)> {
    let shifts = matches!(argument, Argument::Difference | Argument::Margin);
    let is_wanted = |pair: &Pair| {
        let is_shown = pair.term == TermFunction::Mse || pair.activation == PointwiseFunction::Tanh;
        pair.argument == argument && (is_shown || !shifts)
    };
    let losses: Vec<TermFunction> = losses(targets).collect();
    let heads = PointwiseFunction::ALL.iter().flat_map(|&function| {
        losses.iter().filter_map(move |&loss| Head::of_pair(function.into(), Formula::Terms(loss)))
    });
    let pairs = heads.filter_map(|head| match head {
        Head::Terms(pair) if is_wanted(&pair) => Some(pair),
        _ => None,
    });
    pairs.map(|it| (Some(it.activation.into()), Some(Formula::Terms(it.term)))).collect()
}
