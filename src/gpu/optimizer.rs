//! Optimizer steps, as dispatches of kernels.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, pieces, vector_input, vector_output, vector_window, window};
use super::operations::{WORKGROUP, ZERO, run};
use super::parameters::{Parameters, parameters};
use crate::backend::{AdamStep, Advance, AdvanceOf, SgdStep, Update};
use crate::error::Result;

/// Makes sure that there is memory for the copies that these updates work on, one update after the other.
pub(super) fn reserve(context: &Arc<Context>, updates: &[Update<'_>]) -> Result<()> {
    let mut lengths = Vec::new();
    for update in updates {
        let (weights, gradient) = (update.weights.gpu()?, update.gradient.gpu()?);
        if !weights.is_padded() || !gradient.is_padded() || weights.is(gradient) {
            lengths.push(update.elements);
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    // One copy of the weights and one of the gradient. Afterwards the pool holds both.
    let copies = lengths.iter().flat_map(|&length| [length, length]);
    copies.map(|length| context.workspace(length)).collect::<Result<Vec<_>>>().map(drop)
}

parameters! {
    struct SgdParameters {
        vectors: u32,
        zero: u32,
        learning_rate: f32,
        momentum: f32,
        weight_decay: f32,
    }
}

parameters! {
    struct AdamParameters {
        vectors: u32,
        zero: u32,
        weight_decay: f32,
        decoupled_decay: f32,
        kept: f32,
        beta1: f32,
        one_minus_beta1: f32,
        beta2: f32,
        one_minus_beta2: f32,
        step_size: f32,
        root_scale: f32,
        epsilon: f32,
    }
}

parameters! {
    /// Those of kernels whose factors the device keeps.
    struct KeptParameters { vectors: u32, zero: u32, }
}

parameters! {
    struct AdvanceParameters { entries: u32, zero: u32, }
}

/// Counts a step of Adam.
pub(super) fn advance(context: &Arc<Context>, advance: &Advance<'_>) -> Result<()> {
    let AdvanceOf { settings, corrections, entries, progress } = advance;
    let buffers = [
        (settings, AdamStep::SETTINGS),
        (corrections, 2 * entries),
        (progress, AdamStep::PROGRESS),
    ];
    let bindings = buffers.map(|(storage, words)| Ok(window(storage.gpu()?, 0, words).binding));
    let bindings = bindings.into_iter().collect::<Result<Vec<_>>>()?;
    let parameters = AdvanceParameters { entries: *entries as u32, zero: ZERO };
    run(context, &Kernel::new(Template::Advance), &bindings, &parameters, [1, 1, 1])
}

/// Runs a kernel on the gradient, the weights, the state that goes with them and whole buffers of settings.
/// `parameters` returns the parameters for a number of vec4s.
fn step<const N: usize, P: Parameters>(
    context: &Arc<Context>,
    kernel: &Kernel,
    update: Update<'_>,
    state: [&Arc<Buffer>; N],
    settings: &[(&Arc<Buffer>, usize)],
    parameters: impl Fn(u32) -> P,
) -> Result<()> {
    let elements = update.elements;
    let weights = vector_output(context, update.weights.gpu()?, elements, true)?;
    let gradient = vector_input(context, update.gradient.gpu()?, &[&weights], elements)?;
    for (start, length) in pieces(elements, context.window_elements()) {
        let buffers = [&gradient, &weights].into_iter().chain(state);
        let whole = settings.iter().map(|&(buffer, words)| window(buffer, 0, words).binding);
        let bindings: Vec<_> =
            buffers.map(|buffer| vector_window(buffer, start, length)).chain(whole).collect();
        let vectors = length.div_ceil(4);
        let parameters = parameters(vectors as u32);
        run(context, kernel, &bindings, &parameters, groups(vectors.div_ceil(WORKGROUP)))?;
    }
    weights.finish(context)
}

pub(super) fn sgd(
    context: &Arc<Context>,
    parameters: SgdStep,
    settings: Option<&Arc<Buffer>>,
    update: Update<'_>,
    velocity: Option<&Arc<Buffer>>,
) -> Result<()> {
    let SgdStep { learning_rate, momentum, weight_decay } = parameters;
    let on_device = settings.is_some();
    let kernel = Kernel::new(Template::Sgd { momentum: velocity.is_some(), on_device });
    if let Some(settings) = settings {
        let settings = [(settings, SgdStep::SETTINGS)];
        let parameters = |vectors| KeptParameters { vectors, zero: ZERO };
        return match velocity {
            Some(velocity) => step(context, &kernel, update, [velocity], &settings, parameters),
            None => step(context, &kernel, update, [], &settings, parameters),
        };
    }
    let parameters =
        |vectors| SgdParameters { vectors, zero: ZERO, learning_rate, momentum, weight_decay };
    match velocity {
        Some(velocity) => step(context, &kernel, update, [velocity], &[], parameters),
        None => step(context, &kernel, update, [], &[], parameters),
    }
}

pub(super) fn adam(
    context: &Arc<Context>,
    parameters: AdamStep,
    settings: Option<[&Arc<Buffer>; 2]>,
    update: Update<'_>,
    moments: [&Arc<Buffer>; 2],
) -> Result<()> {
    let kernel = Kernel::new(Template::Adam { on_device: settings.is_some() });
    if let Some([settings, progress]) = settings {
        let settings = [(settings, AdamStep::SETTINGS), (progress, AdamStep::PROGRESS)];
        let parameters = |vectors| KeptParameters { vectors, zero: ZERO };
        return step(context, &kernel, update, moments, &settings, parameters);
    }
    let AdamStep { weight_decay, decoupled_decay, kept, betas, one_minus_betas, .. } = parameters;
    let AdamStep { step_size, root_scale, epsilon, .. } = parameters;
    let parameters = |vectors| AdamParameters {
        vectors,
        zero: ZERO,
        weight_decay,
        decoupled_decay,
        kept,
        beta1: betas[0],
        one_minus_beta1: one_minus_betas[0],
        beta2: betas[1],
        one_minus_beta2: one_minus_betas[1],
        step_size,
        root_scale,
        epsilon,
    };
    step(context, &kernel, update, moments, &[], parameters)
}
