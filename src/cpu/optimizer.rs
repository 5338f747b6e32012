//! Steps of the optimizers.

use std::sync::Arc;

use pulp::NullaryFnOnce;

use super::cell::Block;
use super::parallel::{SERIAL, on_all_threads, stream_piece, vectorised};
use super::region::Region;
use crate::backend::{AdamStep, SgdStep};
use crate::backend::{Pool, Purpose};
use crate::error::Result;

/// Makes sure that tensors of these lengths can be overwritten one after the other: each takes a
/// block from the pool and gives its old one back.
pub(super) fn reserve(
    pool: &Arc<Pool<Region>>,
    lengths: impl Iterator<Item = usize>,
) -> Result<()> {
    let mut lengths: Vec<usize> = lengths.collect();
    lengths.sort_unstable();
    lengths.dedup();
    let blocks = lengths.into_iter().map(|length| Block::new(pool, Purpose::Workspace, length));
    blocks.collect::<Result<Vec<_>>>().map(drop)
}

/// One step of gradient descent without momentum.
pub(super) fn descent(step: SgdStep, gradient: &[f32], old: &[f32], new: &mut [f32]) {
    over_pieces(new, [], |start, weights, []| {
        let range = start..start + weights.len();
        let (gradient, old) = (&gradient[range.clone()], &old[range]);
        vectorised(DescentPiece { step, gradient, old, weights });
    });
}

/// One step of gradient descent with momentum.
pub(super) fn sgd(
    step: SgdStep,
    gradient: &[f32],
    (old, new): (&[f32], &mut [f32]),
    velocity: &mut [f32],
) {
    over_pieces(new, [velocity], |start, weights, [velocity]| {
        let range = start..start + weights.len();
        let (gradient, old) = (&gradient[range.clone()], &old[range]);
        vectorised(SgdPiece { step, gradient, old, weights, velocity });
    });
}

/// One step of Adam.
pub(super) fn adam(
    step: AdamStep,
    gradient: &[f32],
    (old, new): (&[f32], &mut [f32]),
    moments: [&mut [f32]; 2],
) {
    over_pieces(new, moments, |start, weights, moments| {
        let range = start..start + weights.len();
        let (gradient, old) = (&gradient[range.clone()], &old[range]);
        vectorised(AdamPiece { step, gradient, old, weights, moments });
    });
}

/// Runs the function over pieces of the weights and of their optimizer state, each with
/// the index of its first element.
fn over_pieces<const N: usize>(
    weights: &mut [f32],
    state: [&mut [f32]; N],
    run: impl Fn(usize, &mut [f32], [&mut [f32]; N]) + Send + Sync,
) {
    if weights.len() < SERIAL {
        return run(0, weights, state);
    }
    let piece = stream_piece(weights.len());
    let mut state = state.map(|state| state.chunks_mut(piece));
    let mut next = move || state.each_mut().map(|pieces| pieces.next().unwrap_or_default());
    let pieces = weights.chunks_mut(piece).map(|weights| (weights, next())).enumerate();
    on_all_threads(pieces, |(i, (weights, state))| run(i * piece, weights, state));
}

/// factor · value, or 0 if the factor is 0, even if the value is infinite.
#[inline(always)]
fn part(factor: f32, value: f32) -> f32 {
    if factor == 0.0 { 0.0 } else { factor * value }
}

struct DescentPiece<'a> {
    step: SgdStep,
    gradient: &'a [f32],
    old: &'a [f32],
    weights: &'a mut [f32],
}

impl NullaryFnOnce for DescentPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let SgdStep { learning_rate, weight_decay, .. } = self.step;
        let inputs = self.gradient.iter().zip(self.old);
        for ((&gradient, &weight), new_weight) in inputs.zip(self.weights) {
            let slope = gradient + part(weight_decay, weight);
            *new_weight = weight - part(learning_rate, slope);
        }
    }
}

struct SgdPiece<'a> {
    step: SgdStep,
    gradient: &'a [f32],
    old: &'a [f32],
    weights: &'a mut [f32],
    velocity: &'a mut [f32],
}

impl NullaryFnOnce for SgdPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let SgdStep { learning_rate, momentum, weight_decay } = self.step;
        let inputs = self.gradient.iter().zip(self.old);
        let outputs = self.weights.iter_mut().zip(self.velocity);
        for ((&gradient, &weight), (new_weight, velocity)) in inputs.zip(outputs) {
            *velocity = momentum * *velocity + (gradient + part(weight_decay, weight));
            *new_weight = weight - part(learning_rate, *velocity);
        }
    }
}

struct AdamPiece<'a> {
    step: AdamStep,
    gradient: &'a [f32],
    old: &'a [f32],
    weights: &'a mut [f32],
    moments: [&'a mut [f32]; 2],
}

impl NullaryFnOnce for AdamPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let AdamStep { betas, one_minus_betas, step_size, root_scale, epsilon, .. } = self.step;
        let inputs = self.gradient.iter().zip(self.old);
        let [first, second] = self.moments;
        let outputs = self.weights.iter_mut().zip(first.iter_mut().zip(second));
        for ((&gradient, &weight), (new_weight, (first, second))) in inputs.zip(outputs) {
            let slope = gradient + part(self.step.weight_decay, weight);
            *first = part(betas[0], *first) + one_minus_betas[0] * slope;
            *second = part(betas[1], *second) + one_minus_betas[1] * slope * slope;
            // A weight does not move if its gradient has always been 0, even with an epsilon of 0.
            let ratio = *first / (second.sqrt() * root_scale + epsilon);
            let ratio = if *first == 0.0 { 0.0 } else { ratio };
            let step = part(step_size, ratio);
            let moved = weight - (part(self.step.decoupled_decay, weight) + step);
            // The step is rounded once, unless most of the weight decays, or one
            // weight's decay is out of range.
            let kept = self.step.kept;
            *new_weight =
                if kept >= 0.5 && moved.is_finite() { moved } else { kept * weight - step };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::class_of;

    #[test]
    fn what_is_reserved_is_in_the_pool() {
        let pool = Arc::new(Pool::new());
        reserve(&pool, [10, 5000, 10].into_iter()).unwrap();
        let memory = pool.memory();
        assert_eq!(memory.in_use_bytes, 0);
        assert_eq!(memory.pooled_bytes, class_of(40) + class_of(20_000));
        // The memory is enough for each update in turn.
        for length in [5000, 10, 10] {
            drop(Block::new(&pool, Purpose::Workspace, length).unwrap());
        }
        assert_eq!(pool.memory(), memory);
    }
}
