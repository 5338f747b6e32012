//! Kernels: a template with an activation and a loss, as WGSL.

use super::conversions::Conversions;
use super::numbers::with_numbers;
use super::sources;
use super::subgroups::Subgroups;
pub(super) use super::table::{Access, HELD, MatMul, TargetKind, Template};
use super::table::{Products, Row, Tensors, shader};
use crate::dtype::DType;
use wgrad_formula::data::parameters::{Constant, ConstantKind};
use wgrad_formula::formulas::{Formula, Function};

/// What a kernel leaves to the device that it is compiled for.
#[derive(Clone, Copy, Debug, Default)]
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

/// What tells the kernels of a device apart. A number that is none of the constants comes with each dispatch.
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

    /// With an activation. The cache has few kernels of it: of a parameter that is a number only the default is a
    /// constant, so that a function of n numbers has at most 2^n kernels, and no function has more than two. Of a
    /// parameter that is a choice each value is a constant: none has more than two values (the booleans of losses
    /// and the exponent of multi_margin, 1 or 2).
    pub(super) fn activation(mut self, activation: impl Into<Function>) -> Self {
        let activation = activation.into();
        self.activation = Some(activation);
        self.parameters(activation.constants())
    }

    pub(super) fn loss(mut self, loss: Formula) -> Self {
        self.loss = Some(loss);
        self.parameters(loss.constants())
    }

    /// With the parameters of a function. The default of a number is a constant, which drivers make use of; any other
    /// value comes with the dispatch.
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
        let subgroups = uses.subgroups.filter(|_| self.template.row().reduces_rows);
        self.constants.extend(subgroups.map(Subgroups::constant));
        Self { uses: Uses { subgroups, ..uses }, ..self }
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

    /// What tells it from others.
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

    /// The WGSL with all parameters of functions as constants: a plain concatenation.
    pub(super) fn wgsl(&self) -> String {
        let row = self.template.row();
        let mut parts = vec![shader!("math"), shader!("trigonometry")];
        parts.extend(self.activation.map(sources::activation));
        parts.extend(self.loss.map(sources::loss));
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

    /// What its products are made with, which may be in the range of f32 where a factor is not: an activation or
    /// a loss of which that is so brings its own functions for it.
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

    /// How invocations put together what they have found in a row.
    fn reductions(&self, row: &Row) -> Option<&'static str> {
        row.reduces_rows.then_some(match self.uses.subgroups {
            Some(_) => shader!("kernels/row_reductions_subgroups"),
            None => shader!("kernels/row_reductions_memory"),
        })
    }

    /// How it reads and writes tensors of its types.
    fn access(&self, row: &Row) -> Vec<&'static str> {
        let [first, second] = self.types;
        let pick = |dtype, f32_file, f16_file| match dtype {
            DType::F32 => f32_file,
            DType::F16 => f16_file,
        };
        let mut files = match row.tensors {
            Tensors::Fixed => vec![],
            Tensors::Whole => vec![
                pick(first, shader!("kernels/input_f32"), shader!("kernels/input_f16")),
                pick(second, shader!("kernels/output_f32"), shader!("kernels/output_f16")),
            ],
            Tensors::Factors => vec![
                pick(first, shader!("kernels/matmul_a_f32"), shader!("kernels/matmul_a_f16")),
                pick(second, shader!("kernels/matmul_b_f32"), shader!("kernels/matmul_b_f16")),
            ],
        };
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
