//! Operations on a GPU: which dispatches compute each of them.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::{
    clip, column_sum, gated, ignored, labels, loss, masks, matrix, operations, optimizer,
    predictions, prelu, rowwise,
};
use crate::backend::{Bounds, Op, OpOf, Storage};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Whether the backend computes the operation directly.
pub(super) fn supports(op: &Op<'_>) -> bool {
    match op {
        OpOf::RowForward { call, y, .. } | OpOf::RowProduct { call, y, .. } => {
            y.dtype() == DType::F32 || rowwise::in_vectors(call.lines)
        }
        OpOf::Layer(_) => false,
        _ => true,
    }
}

pub(super) fn run(context: &Arc<Context>, op: &Op<'_>) -> Result<()> {
    match *op {
        OpOf::Unary { map, function, input, output, elements } => {
            let kernel = Kernel::new(Template::Unary(map)).activation(function);
            operations::pointwise(context, kernel, [input], output, elements)
        }
        OpOf::Binary { map, function, inputs, output, elements } => {
            let kernel = Kernel::new(Template::Binary(map)).activation(function);
            operations::pointwise(context, kernel, inputs, output, elements)
        }
        OpOf::RowForward { call, z, y } => {
            let dtype = Storage::common_type([z, y])?;
            rowwise::forward(context, call, dtype, z.gpu_words()?, y.gpu_words()?)
        }
        OpOf::RowProduct { product, call, y, vector, output } => {
            let dtype = Storage::common_type([y, vector, output])?;
            let inputs = [y.gpu_words()?, vector.gpu_words()?];
            rowwise::product(context, product, call, dtype, inputs, output.gpu_words()?)
        }
        OpOf::RowJacobian { call, y, output } => {
            rowwise::jacobian(context, call, y.gpu()?, output.gpu()?)
        }
        OpOf::ExpandMask { lengths, kept, added, causal, output } => {
            masks::expand(context, lengths, [kept, added], causal, output)
        }
        OpOf::AddRepeated { lengths, input, scale, ref added, output } => {
            masks::add(context, lengths, input, scale, added, output)
        }
        OpOf::FillEmptyRows(ref rows) => masks::fill_empty(context, rows),
        OpOf::GatedForward { call, x, y } => gated::forward(context, call, x.gpu()?, y.gpu()?),
        OpOf::GatedBackward { call, x, dy, dx } => {
            gated::backward(context, call, [x.gpu()?, dy.gpu()?], dx.gpu()?)
        }
        OpOf::PreluForward { channels, z, weight, y } => {
            prelu::forward(context, channels, [z.gpu()?, weight.gpu()?], y.gpu()?)
        }
        OpOf::PreluBackward { channels, dweight, .. } if channels.elements == 0 => {
            zero(context, dweight.gpu()?, channels.channels)
        }
        OpOf::PreluBackward { channels, inputs: [z, weight, dy], dz, dweight } => {
            let inputs = [z.gpu()?, weight.gpu()?, dy.gpu()?];
            prelu::backward(context, channels, inputs, [dz.gpu()?, dweight.gpu()?])
        }
        OpOf::Loss(pass) => loss::run(context, pass),
        OpOf::Layer(_) => Err(Error::Unsupported {
            what: "an output layer in one pass".to_owned(),
            reason: "a GPU computes it by the operations that it is made of".to_owned(),
        }),
        OpOf::Tile(step, pass) => loss::tile(context, step, pass),
        OpOf::RowWeights { call, rows, output } => loss::row_weights(context, call, rows, output),
        OpOf::KeepRows { ignored, input, first_row, rows, output } => {
            ignored::keep(context, ignored, input, first_row, rows, output)
        }
        OpOf::ClearRows { ignored, output, first_row, rows } => {
            ignored::clear(context, ignored, output, first_row, rows)
        }
        OpOf::CheckLabels(ref check) => labels::check(context, check),
        OpOf::Predict { input, rows, labels, output } => {
            predictions::predict(context, input, rows, labels, output)
        }
        OpOf::CountPredictions(ref count) => predictions::count(context, count),
        OpOf::Sum { output, elements: 0, .. } => zero(context, output.gpu()?, 1),
        OpOf::Sum { input, output, elements } => {
            operations::sum(context, input.gpu()?, output.gpu()?, elements)
        }
        OpOf::ColumnSum { input, rows, output, offset, accumulate } => {
            let (input, output) = (input.gpu()?, output.gpu()?);
            column_sum::column_sum(context, input, rows, output, offset, accumulate)
        }
        OpOf::Product(product) => matrix::matmul(context, product),
        OpOf::Copy { input, output } => operations::copy(context, input, output),
        OpOf::Refresh { rounded, exact, elements } => {
            operations::refresh(context, rounded, exact, elements)
        }
        OpOf::Zero { output, words } => zero(context, output.gpu_words()?, words),
        OpOf::Advance(ref advance) => optimizer::advance(context, advance),
        OpOf::Sgd { factors, update, velocity } => {
            let velocity = velocity.map(OnGpu::gpu).transpose()?;
            optimizer::sgd(context, factors, update, velocity)
        }
        OpOf::Adam { factors, update, moments: [first, second] } => {
            optimizer::adam(context, factors, update, [first.gpu()?, second.gpu()?])
        }
        OpOf::ClipNorm { ref gradients, max_norm, norm } => {
            clip::norm(context, gradients, max_norm, norm.gpu()?)
        }
        OpOf::ClipValue { ref gradients, limit } => clip::value(context, gradients, limit),
    }
}

fn zero(context: &Context, buffer: &Arc<Buffer>, words: usize) -> Result<()> {
    if words == 0 {
        return Ok(());
    }
    context.check_shared(buffer)?;
    let bytes = (words * size_of::<f32>()) as u64;
    let bounds = Bounds::of_zeros(words);
    context.record(|recorder| recorder.clear(buffer, bytes, bounds))
}
