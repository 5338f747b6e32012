//! Tensors of f16 in operations that compute in f32.
//!
//! Kernels that read and write halves take their storage as it is. All other operations go through
//! [`in_f32`]: a storage of halves does not give its words to a kernel that does not ask for halves.

use std::borrow::Cow;

use wgrad_formula::formulas::PointwiseFunction;

use super::tensor::Tensor;
use crate::backend::{OpOf, Unary};
use crate::dtype::DType;
use crate::error::Result;

impl Tensor {
    /// The tensor as f32: itself, or a copy in the workspace.
    pub(crate) fn wide(&self) -> Result<Cow<'_, Self>> {
        if self.dtype() == DType::F32 {
            return Ok(Cow::Borrowed(self));
        }
        let wide = self.device().workspace(self.dimensions().clone())?;
        self.convert_into(&wide)?;
        Ok(Cow::Owned(wide))
    }

    /// Rounds what an operation made of the [`wide`](Self::wide) copy of a tensor to that tensor, if it has
    /// one.
    pub(crate) fn store_in(&self, tensor: &Self) -> Result<()> {
        if tensor.dtype() == DType::F32 { Ok(()) } else { self.convert_into(tensor) }
    }

    /// Stores the elements in a tensor of the same shape, rounded where it is one of f16.
    pub(crate) fn convert_into(&self, output: &Self) -> Result<()> {
        let (input, storage) = (self.storage(), output.storage());
        self.device().run(OpOf::Unary {
            map: Unary::Forward,
            function: PointwiseFunction::Identity,
            input,
            output: storage,
            elements: self.len(),
        })
    }
}

/// Runs an operation that changes a tensor in f32. What rounding loses is not lost for the next operation that changes
/// it: see [`Tensor::exact`].
pub(crate) fn change_in_f32<T>(
    tensor: &Tensor,
    run: impl FnOnce(&Tensor) -> Result<T>,
) -> Result<T> {
    change(tensor, &tensor.exact()?, run)
}

/// Runs an operation that changes a tensor in f32, beginning with the rounded numbers.
pub(crate) fn change_rounded<T>(
    tensor: &Tensor,
    run: impl FnOnce(&Tensor) -> Result<T>,
) -> Result<T> {
    change(tensor, &*tensor.wide()?, run)
}

fn change<T>(tensor: &Tensor, wide: &Tensor, run: impl FnOnce(&Tensor) -> Result<T>) -> Result<T> {
    let result = run(wide)?;
    wide.store_in(tensor)?;
    Ok(result)
}

/// Runs an operation that computes in f32 on tensors of any type: the inputs are widened before, and what
/// it writes is rounded to the outputs after it. An output may be one of the inputs.
pub(crate) fn in_f32<const N: usize, const M: usize>(
    inputs: [&Tensor; N],
    outputs: [&Tensor; M],
    run: impl FnOnce([&Tensor; N], [&Tensor; M]) -> Result<()>,
) -> Result<()> {
    let is_f32 = |tensor: &&Tensor| tensor.dtype() == DType::F32;
    if inputs.iter().all(is_f32) && outputs.iter().all(is_f32) {
        return run(inputs, outputs);
    }
    let wide_inputs = inputs.map(Tensor::wide).into_iter().collect::<Result<Vec<_>>>()?;
    let wide_output = |output: &&Tensor| -> Result<Tensor> {
        if is_f32(output) {
            return Ok((*output).clone());
        }
        output.device().workspace(output.dimensions().clone())
    };
    let wide_outputs = outputs.iter().map(wide_output).collect::<Result<Vec<_>>>()?;
    run(
        std::array::from_fn(|index| &*wide_inputs[index]),
        std::array::from_fn(|index| &wide_outputs[index]),
    )?;
    wide_outputs.iter().zip(outputs).try_for_each(|(wide, output)| wide.store_in(output))
}
