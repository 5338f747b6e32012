//! The part of an output layer above the logits.

use super::{OutputLayer, Outputs, Parts};
use wgrad_formula::formulas::{self, PointwiseFunction, Unit};

use crate::activation::Activation;
use crate::backend::{LayerPass, LossOutputs, LossPass, OpOf};
use crate::device::Device;
use crate::device::tensor::Tensor;
use crate::error::{Error, Result};
use crate::linear::{Linear, bound_backward, bound_forward};
use crate::lines::Rows;
use crate::loss::Comparison;
use crate::reduction::Reduction;
use crate::shape::Shape;

/// The results above the logits; those that are not requested may be absent.
pub(super) struct Head {
    pub(super) loss: Option<Tensor>,
    pub(super) y: Option<Tensor>,
    pub(super) dz: Option<Tensor>,
    /// The gradients of a formula's parameters.
    pub(super) parameters: Vec<Tensor>,
}

impl OutputLayer {
    /// The head, and the gradients below it, as a sequence of primitives.
    pub(super) fn composed(
        &self,
        linear: &Linear<'_>,
        comparison: &Comparison<'_>,
        parts: &Parts,
    ) -> Result<Head> {
        let head = match self.head() {
            Some(head) => self.fused_head(linear, comparison, head, parts),
            None => self.composed_head(linear, comparison, parts),
        }?;
        head.dz.as_ref().map(|dz| parts.write_products(linear, dz)).transpose()?;
        Ok(head)
    }

    /// Everything in one pass over x; `None` if the device is not faster that way.
    pub(super) fn fused(
        &self,
        linear: &Linear<'_>,
        comparison: &Comparison<'_>,
        parts: &Parts,
    ) -> Result<Option<Head>> {
        let device = linear.x.device();
        if linear.bound.is_some() || self.reduction == Reduction::None {
            return Ok(None);
        }
        let head = self.head().filter(|_| !self.wants_parameters());
        let Some(head) = head else { return Ok(None) };
        let mut call = comparison.call();
        call.z_loss = self.z_loss;
        let pass = LayerPass {
            x: linear.x.storage(),
            w: linear.w.storage(),
            transposed: linear.transposed,
            bias: linear.b.map(Tensor::storage),
            batch: linear.batch,
            inputs: linear.inputs,
            outputs: linear.outputs,
            call,
            elementwise: comparison.is_elementwise() && !head.is_of_rows(),
            head,
            loss: None,
            y: None,
            dz: None,
            dw: parts.dw.as_ref().map(Tensor::storage),
            db: parts.db.as_ref().map(Tensor::storage),
            dx: parts.dx.as_ref().map(Tensor::storage),
            accumulate: parts.accumulate,
        };
        if !device.backend.supports(&OpOf::Layer(pass)) {
            return Ok(None);
        }
        let allocate = |output, shape: Shape| {
            let wanted = self.outputs.contains(output);
            wanted.then(|| device.allocate(shape)).transpose()
        };
        let y = allocate(Outputs::Y, linear.output_shape())?;
        let dz = allocate(Outputs::DZ, linear.output_shape())?;
        let loss = match comparison.empty {
            Some(_) => None,
            None => allocate(Outputs::LOSS, Shape::default())?,
        };
        let (x, w) = (linear.x.wide()?, linear.w.wide()?);
        device.run(OpOf::Layer(LayerPass {
            x: x.storage(),
            w: w.storage(),
            loss: loss.as_ref().map(Tensor::storage),
            y: y.as_ref().map(Tensor::storage),
            dz: dz.as_ref().map(Tensor::storage),
            ..pass
        }))?;
        if let Some(loss) = &loss {
            comparison.finish(device, loss)?;
        }
        let loss = match loss {
            None => comparison.sum(device, None, 0)?,
            loss => loss,
        };
        Ok(Some(Head { loss, y, dz, parameters: Vec::new() }))
    }

    /// Whether there are gradients of parameters to compute.
    pub(super) fn wants_parameters(&self) -> bool {
        self.outputs.contains(Outputs::PARAMETERS) && self.activation.has_parameters_to_learn()
    }

    /// The gradients of a formula's parameters, from z and y, which is computed if it is not given.
    fn parameters(
        &self,
        linear: &Linear<'_>,
        comparison: &Comparison<'_>,
        parts: &Parts,
        [z, y]: [Option<&Tensor>; 2],
    ) -> Result<Vec<Tensor>> {
        let Some(z) = z.filter(|_| self.wants_parameters()) else { return Ok(Vec::new()) };
        let device = z.device();
        let y = match y {
            Some(y) => y.clone(),
            None => {
                let y = device.workspace(z.dimensions().clone())?;
                self.activation.forward_into(z, &y)?;
                y
            }
        };
        let dy = device.workspace(z.dimensions().clone())?;
        comparison.gradient(&y, &dy)?;
        let rows = Rows { count: linear.batch, width: linear.outputs };
        // In ignored rows z may be NaN.
        let clear = |products: &Tensor| linear.clear_ignored(products.storage(), 0, rows);
        self.activation.parameter_sums(z, &dy, parts.parameters.as_deref(), clear)
    }

    /// The pair of the activation and the loss, if it is one function of z.
    pub(super) fn head(&self) -> Option<formulas::Head> {
        formulas::Head::of_pair(self.activation.function(), self.loss.function().formula)
    }

    pub(super) fn check_z_loss(&self) -> Result<()> {
        if !self.z_loss.is_finite() || self.z_loss < 0.0 {
            return Err(Error::parameter("z_loss", self.z_loss, "must be finite and not negative"));
        }
        let has_log_sum_exp = self.head().is_some_and(|head| head.has_log_sum_exp());
        if self.z_loss == 0.0 || has_log_sum_exp {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: format!("z_loss with {} and {}", self.activation, self.loss),
            reason:
                "it belongs to softmax with cross_entropy, log_softmax with nll, and identity with \
                     cross_entropy_with_logits"
                    .to_owned(),
        })
    }

    pub(super) fn wants_dz(&self) -> bool {
        self.outputs.intersects(Outputs::DZ | Outputs::DW | Outputs::DB | Outputs::DX)
    }

    /// The activation, the loss, dE/dz and dE/db in one pass over the logits.
    fn fused_head(
        &self,
        linear: &Linear<'_>,
        comparison: &Comparison<'_>,
        head: formulas::Head,
        parts: &Parts,
    ) -> Result<Head> {
        // The output of the identity is z itself.
        let wants_y = self.outputs.contains(Outputs::Y);
        let is_identity = self.activation == Activation::Identity;
        let (device, shape) = (linear.x.device(), linear.output_shape());
        // The losses of elements take the place of y, and dE/dloss multiplies only the gradients: each of them makes a
        // pass of its own of the losses. Kernels on rows have no losses of elements; they are those of y.
        let of_elements = self.reduction == Reduction::None && comparison.unit() == Unit::Element;
        let of_output = of_elements && head.is_of_rows();
        let y = match (wants_y && !is_identity, of_output) {
            (true, _) => Some(device.allocate(shape.clone())?),
            (false, true) => Some(device.workspace(shape.clone())?),
            (false, false) => None,
        };
        let dz = self.wants_dz().then(|| self.dz_of(device, &shape)).transpose()?;
        let has_log_sum_exp = head.has_log_sum_exp();
        let in_place = has_log_sum_exp && !(wants_y && is_identity) && !self.wants_parameters();
        // The logits before they are bounded.
        let mut raw = None;
        let z = match (&dz, linear.bound) {
            (_, Some(bound)) => {
                let before = linear.logits()?;
                // The identity returns them.
                let z = match wants_y && is_identity {
                    true => device.allocate(shape.clone())?,
                    false => device.workspace(shape.clone())?,
                };
                bound_forward(device, bound, [before.storage(), z.storage()], before.len())?;
                raw = Some((before, bound));
                Some(z)
            }
            // The logits are stored where dE/dz will replace them.
            (Some(dz), None) if in_place => {
                linear.forward_into(&linear.whole(), PointwiseFunction::Identity, dz.storage())?;
                None
            }
            _ if wants_y && is_identity => Some(linear.forward(PointwiseFunction::Identity)?),
            _ => Some(linear.logits()?),
        };
        let (mut call, rows) = match head.is_of_rows() {
            true => (comparison.call(), comparison.rows),
            false => comparison.call_in_rows(),
        };
        call.z_loss = self.z_loss;
        let wants_loss = self.outputs.contains(Outputs::LOSS) && comparison.empty.is_none();
        let elements = linear.batch * linear.outputs;
        let pass = |z: Option<&Tensor>, call, outputs| {
            let z = z.map(Tensor::storage);
            device.run(OpOf::Loss(LossPass {
                call,
                head,
                z,
                rows,
                elements,
                first_row: 0,
                outputs,
            }))
        };
        let apart = wants_loss && (of_elements || comparison.has_upstream());
        let count = if of_elements { elements } else { rows.count };
        let losses = wants_loss.then(|| self.row_losses(device, count)).transpose()?;
        if let Some(losses) = losses.as_ref().filter(|_| apart && !of_output) {
            // The logits may be where dE/dz will be.
            pass(z.as_ref().or(dz.as_ref()), call, comparison.unreduced_in(losses))?;
        }
        let sums_columns = has_log_sum_exp && raw.is_none();
        if !apart || y.is_some() || dz.is_some() {
            let outputs = LossOutputs {
                losses: losses.as_ref().filter(|_| !apart),
                terms: None,
                y: y.as_ref().map(Tensor::storage),
                dz: dz.as_ref().map(Tensor::storage),
                column_sums: parts.bias_sums().filter(|_| sums_columns),
            };
            pass(z.as_ref(), comparison.for_gradients(call, rows), outputs)?;
        }
        if let (Some(losses), Some(y)) = (losses.as_ref().filter(|_| of_output), &y) {
            comparison.run(y, comparison.unreduced_in(losses))?;
        }
        if let (Some(dz), Some((raw, bound))) = (&dz, &raw) {
            bound_backward(device, *bound, [raw.storage(), dz.storage()], elements)?;
        }
        if let Some(dz) = dz.as_ref().filter(|_| !sums_columns) {
            parts.write_bias(linear, dz)?;
        }
        let loss = self.reduced(linear, comparison, losses.as_ref(), count)?;
        let operands = [z.as_ref(), y.as_ref()];
        let parameters = self.parameters(linear, comparison, parts, operands)?;
        let y = if is_identity { z } else { y };
        Ok(Head { loss, y, dz, parameters })
    }

    /// The tensor for dE/dz, which is workspace if it is not returned.
    fn dz_of(&self, device: &Device, shape: &Shape) -> Result<Tensor> {
        if self.outputs.contains(Outputs::DZ) {
            device.allocate(shape.clone())
        } else {
            device.workspace(shape.clone())
        }
    }

    /// The activation, the loss and their gradients, one after the other.
    fn composed_head(
        &self,
        linear: &Linear<'_>,
        comparison: &Comparison<'_>,
        parts: &Parts,
    ) -> Result<Head> {
        let (z, raw) = match linear.bound {
            None => (linear.logits()?, None),
            Some(bound) => {
                let [raw, z] = linear.bounded_logits(bound)?;
                (z, Some((raw, bound)))
            }
        };
        let (device, shape) = (z.device(), z.dimensions());
        let y = match self.outputs.contains(Outputs::Y) {
            true => device.allocate(shape.clone())?,
            false => device.workspace(shape.clone())?,
        };
        self.activation.forward_into(&z, &y)?;
        let wants_loss = self.outputs.contains(Outputs::LOSS);
        let loss = match (wants_loss, self.reduction) {
            (false, _) => None,
            (true, Reduction::None) => {
                let losses = device.allocate(comparison.unreduced_shape(shape))?;
                match comparison.empty {
                    Some(_) => losses.clear()?,
                    None => comparison.run(&y, comparison.unreduced_in(losses.storage()))?,
                }
                Some(losses)
            }
            (true, _) => Some(comparison.total(&y)?),
        };
        let dz = if self.wants_dz() {
            let (dy, dz) = (device.workspace(shape.clone())?, self.dz_of(device, shape)?);
            comparison.gradient(&y, &dy)?;
            if self.activation.is_rowwise() {
                self.activation.backward_from_output_into(&y, &dy, &dz)?;
            } else {
                self.activation.backward_into(&z, &dy, &dz)?;
            }
            // In ignored rows y may be NaN, and so may the product with its Jacobian.
            let rows = Rows { count: linear.batch, width: linear.outputs };
            linear.clear_ignored(dz.storage(), 0, rows)?;
            if let Some((raw, bound)) = &raw {
                bound_backward(device, *bound, [raw.storage(), dz.storage()], raw.len())?;
                linear.clear_ignored(dz.storage(), 0, rows)?;
            }
            parts.write_bias(linear, &dz)?;
            Some(dz)
        } else {
            None
        };
        let parameters = self.parameters(linear, comparison, parts, [Some(&z), Some(&y)])?;
        Ok(Head { loss, y: Some(y), dz, parameters })
    }
}
