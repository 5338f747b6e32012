//! Kernels: a template with an activation and a loss, as WGSL.

use super::conversions::Conversions;
use super::numbers::with_numbers;
use super::sources;
use super::subgroups::Subgroups;
pub(super) use super::table::{Access, HELD, MatMul, TargetKind, Template};
use super::table::{Products, Row, Tensors, shader};
use crate::dtype::DType;
use wgrad_formula::data::parameters::{Constant, ConstantKind};
use wgrad_formula::formulas::{Formula, Function, PointwiseFunction};

/// The files that read and write tensors, and read the factors of products, of f32, f16 and bf16.
const INPUTS: [&str; 3] =
    [shader!("kernels/input_f32"), shader!("kernels/input_f16"), shader!("kernels/input_bf16")];
const OUTPUTS: [&str; 3] =
    [shader!("kernels/output_f32"), shader!("kernels/output_f16"), shader!("kernels/output_bf16")];
const FIRST_FACTORS: [&str; 3] = [
    shader!("kernels/matmul_a_f32"),
    shader!("kernels/matmul_a_f16"),
    shader!("kernels/matmul_a_bf16"),
];
const SECOND_FACTORS: [&str; 3] = [
    shader!("kernels/matmul_b_f32"),
    shader!("kernels/matmul_b_f16"),
    shader!("kernels/matmul_b_bf16"),
];

/// The features of a device that a kernel compiled for it relies on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    /// The conversions of f16 that the device does right.
    pub(super) conversions: Conversions,
    /// The subgroups through which invocations of a row exchange values; without them they use workgroup memory.
    pub(super) subgroups: Option<Subgroups>,
}

/// A kernel with everything that it is made of.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) template: Template,
    pub(super) activation: Option<Function>,
    pub(super) loss: Option<Formula>,
    /// The types of the tensors that the kernel reads and writes, or of a product's factors: f32 if the template
    /// supports no other type.
    types: [DType; 2],
    uses: Uses,
    /// The values of `override` constants.
    pub(super) constants: Vec<(&'static str, f64)>,
    /// Numbers that are passed with every dispatch, after the other parameters, instead of being constants of
    /// these names: a number that changes at every step does not need a new kernel.
    pub(super) numbers: Vec<(&'static str, f32)>,
}

/// The key of a kernel among those of a device. Numbers that are not constants are passed with each dispatch, so they
/// are not part of it.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    template: Template,
    activation: &'static str,
    loss: &'static str,
    types: [DType; 2],
    constants: Vec<(&'static str, u64)>,
}

impl Kernel {
    pub(super) fn new(template: Template) -> Self {
        let types = [DType::F32; 2];
        let (uses, constants, numbers) = (Uses::default(), Vec::new(), Vec::new());
        Self { template, activation: None, loss: None, types, uses, constants, numbers }
    }

    /// Adds an activation. The cache holds few kernels of each. If a parameter is a number, only its default is a
    /// constant, so a function with n numbers has at most 2^n kernels, and no function has more than two. If a
    /// parameter is a choice, each of its values is a constant: none has more than two values (the booleans of
    /// losses and the exponent of multi_margin, 1 or 2).
    pub(super) fn activation(mut self, activation: impl Into<Function>) -> Self {
        let activation = activation.into();
        self.activation = Some(activation);
        self.parameters(activation.constants())
    }

    pub(super) fn loss(mut self, loss: Formula) -> Self {
        self.loss = Some(loss);
        self.parameters(loss.constants())
    }

    /// Adds the parameters of a function. The default of a number is a constant, which drivers make use of; any
    /// other value is passed with the dispatch.
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

    /// Adapts the kernel to a device on which it can rely on `uses`.
    pub(super) fn using(mut self, uses: Uses) -> Self {
        let subgroups = uses.subgroups.filter(|_| self.template.row().reduces_rows);
        self.constants.extend(subgroups.map(Subgroups::constant));
        Self { uses: Uses { subgroups, ..uses }, ..self }
    }

    /// Whether it has WGSL of the caller's.
    pub(super) fn has_code_of_the_caller(&self) -> bool {
        let is_wgsl = |function| matches!(function, PointwiseFunction::Custom(it) if it.is_wgsl());
        self.activation.and_then(Function::pointwise).is_some_and(is_wgsl)
    }

    /// Whether the kernel reads or writes tensors of f16.
    pub(super) fn has_halves(&self) -> bool {
        self.types.contains(&DType::F16)
    }

    pub(super) fn constant(mut self, name: &'static str, value: f64) -> Self {
        self.constants.push((name, value));
        self
    }

    /// Passes all numbers with every dispatch, even defaults.
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

    /// The key that tells the kernel from others.
    pub(super) fn key(&self) -> Key {
        Key {
            template: self.template,
            activation: self.activation.map_or("", Function::name),
            loss: self.loss.map_or("", |loss| loss.name()),
            types: self.types,
            constants: self
                .constants
                .iter()
                .map(|&(name, value)| (name, value.to_bits()))
                .collect(),
        }
    }

    pub(super) fn label(&self) -> String {
        let key = self.key();
        let types = match self.types {
            [DType::F32, DType::F32] => String::new(),
            [first, second] => format!("({first}, {second})"),
        };
        let numbers: String = self.numbers.iter().map(|(name, _)| format!(" any {name}")).collect();
        let label =
            format!("{:?} {} {} {types}", key.template, key.activation, key.loss) + &numbers;
        label.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The WGSL to compile.
    pub(super) fn source(&self) -> String {
        let wgsl = self.wgsl();
        if self.numbers.is_empty() { wgsl } else { with_numbers(&wgsl, &self.numbers) }
    }

    /// The WGSL with all parameters of functions as constants: the concatenation of the files.
    pub(super) fn wgsl(&self) -> String {
        let row = self.template.row();
        let mut parts = vec![shader!("math"), shader!("trigonometry")];
        let functions = [self.activation.map(sources::activation), self.loss.map(sources::loss)];
        if functions.iter().flatten().any(|source| source.contains("formula_")) {
            parts.push(shader!("formulas"));
        }
        parts.extend(functions.into_iter().flatten());
        if row.takes_forms {
            parts.extend(self.activation.map(sources::forms));
            parts.extend(self.loss.map(sources::loss_of_forms));
        }
        parts.extend(self.products(&row));
        parts.extend(&row.files);
        parts.extend(self.reductions(&row));
        parts.extend(self.access(&row));
        row.constants + &parts.join("\n")
    }

    /// The WGSL that computes products which may be in the range of f32 although a factor is not. An activation or
    /// a loss that needs functions of its own for this brings them along.
    fn products(&self, row: &Row) -> Vec<&'static str> {
        let source = self.activation.map_or("", sources::activation);
        let has_own = source.contains("fn derivative_ranged(");
        let activation = (!has_own).then_some(shader!("activations/ranged"));
        let products = match row.products {
            Products::None => return vec![],
            Products::Backward if !has_own => return vec![shader!("operations/products")],
            Products::Backward | Products::Gated => Some(shader!("operations/ranged_products")),
            Products::Terms => {
                let source = self.loss.map_or("", sources::loss);
                (!source.contains("fn loss_ranged(")).then_some(shader!("losses/ranged"))
            }
        };
        activation.into_iter().chain(products).collect()
    }

    /// The WGSL by which invocations reduce what each has found in its part of a row.
    fn reductions(&self, row: &Row) -> Option<&'static str> {
        row.reduces_rows.then_some(match self.uses.subgroups {
            Some(_) => shader!("kernels/row_reductions_subgroups"),
            None => shader!("kernels/row_reductions_memory"),
        })
    }

    /// The WGSL that reads and writes tensors of the kernel's types.
    fn access(&self, row: &Row) -> Vec<&'static str> {
        let [first, second] = self.types;
        let pick = |dtype, [f32_file, f16_file, bf16_file]: [&'static str; 3]| match dtype {
            DType::F32 => f32_file,
            DType::F16 => f16_file,
            DType::BF16 => bf16_file,
        };
        let mut files = match row.tensors {
            Tensors::Fixed => vec![],
            Tensors::Whole => vec![pick(first, INPUTS), pick(second, OUTPUTS)],
            Tensors::Factors => vec![pick(first, FIRST_FACTORS), pick(second, SECOND_FACTORS)],
        };
        if self.types.contains(&DType::BF16) {
            files.push(shader!("bfloats"));
        }
        if self.has_halves() {
            let Conversions { widens, narrows } = self.uses.conversions;
            files.push(shader!("halves"));
            files.push(match widens {
                true => shader!("kernels/widen_by_device"),
                false => shader!("kernels/widen_by_integers"),
            });
            files.push(match narrows {
                true => shader!("kernels/narrow_by_device"),
                false => shader!("kernels/narrow_by_integers"),
            });
        }
        files
    }
}
