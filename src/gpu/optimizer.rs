//! Optimizer steps, as dispatches of kernels.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, pieces, vector_input, vector_output, vector_window, window};
use super::operations::{WORKGROUP, ZERO, run};
use super::parameters::{Parameters, parameters};
use crate::backend::{AdamStep, Advance, AdvanceOf, FactorsOf, SgdStep, Storage, Update};
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
    struct AdvanceParameters { entries: u32, zero: u32, weights: u32, slot: u32, }
}

/// Counts a step of Adam for each of some weights.
pub(super) fn advance(context: &Arc<Context>, advance: &Advance<'_>) -> Result<()> {
    let AdvanceOf { settings, corrections, entries, progress, weights } = advance;
    let buffers = [
        (settings, AdamStep::SETTINGS),
        (corrections, 2 * entries),
        (progress, AdamStep::SLOT * weights),
    ];
    let bindings = buffers.map(|(storage, words)| Ok(window(storage.gpu()?, 0, words).binding));
    let bindings = bindings.into_iter().collect::<Result<Vec<_>>>()?;
    let parameters = AdvanceParameters {
        entries: *entries as u32,
        zero: ZERO,
        weights: *weights as u32,
        slot: AdamStep::SLOT as u32,
    };
    let dispatched = groups(weights.div_ceil(WORKGROUP));
    run(context, &Kernel::new(Template::Advance), &bindings, &parameters, dispatched)
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
    factors: FactorsOf<SgdStep, &Storage>,
    update: Update<'_>,
    velocity: Option<&Arc<Buffer>>,
) -> Result<()> {
    let on_device = matches!(factors, FactorsOf::Kept(_));
    let kernel = Kernel::new(Template::Sgd { momentum: velocity.is_some(), on_device });
    match factors {
        FactorsOf::Given(SgdStep { learning_rate, momentum, weight_decay }) => {
            let parameters = |vectors| SgdParameters {
                vectors,
                zero: ZERO,
                learning_rate,
                momentum,
                weight_decay,
            };
            match velocity {
                Some(velocity) => step(context, &kernel, update, [velocity], &[], parameters),
                None => step(context, &kernel, update, [], &[], parameters),
            }
        }
        FactorsOf::Kept(settings) => {
            let settings = [(settings.gpu()?, SgdStep::SETTINGS)];
            let parameters = |vectors| KeptParameters { vectors, zero: ZERO };
            match velocity {
                Some(velocity) => step(context, &kernel, update, [velocity], &settings, parameters),
                None => step(context, &kernel, update, [], &settings, parameters),
            }
        }
    }
}

pub(super) fn adam(
    context: &Arc<Context>,
    factors: FactorsOf<AdamStep, [&Storage; 2]>,
    update: Update<'_>,
    moments: [&Arc<Buffer>; 2],
) -> Result<()> {
    let on_device = matches!(factors, FactorsOf::Kept(_));
    let kernel = Kernel::new(Template::Adam { on_device });
    let given = match factors {
        FactorsOf::Given(given) => given,
        FactorsOf::Kept([settings, progress]) => {
            let settings =
                [(settings.gpu()?, AdamStep::SETTINGS), (progress.gpu()?, AdamStep::PROGRESS)];
            let parameters = |vectors| KeptParameters { vectors, zero: ZERO };
            return step(context, &kernel, update, moments, &settings, parameters);
        }
    };
    let AdamStep { weight_decay, decoupled_decay, kept, betas, one_minus_betas, .. } = given;
    let AdamStep { step_size, root_scale, epsilon, .. } = given;
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
