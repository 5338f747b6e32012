//! Gradient clipping.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::backend::{OpOf, Storage};
use crate::device::Device;
use crate::device::tensor::{Tensor, check_devices};
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Scales gradients, in place, so that the norm of all of them together is at most `max_norm`
/// (Pascanu, Mikolov & Bengio,
/// [On the difficulty of training recurrent neural networks](https://arxiv.org/abs/1211.5063), 2013), as
/// PyTorch's `clip_grad_norm_` does. Returns the norm before clipping, a scalar. It takes one submission and
/// reads nothing back.
///
/// `norm = √Σ g²` over all elements of all tensors; `g = g · min(1, max_norm / (norm + 10⁻⁶))`
///
/// Each element counts once and is scaled once: tensors that share their memory count as one, such as a tensor
/// that is listed twice, a tensor and its reshape, or tensors of the same wgpu buffer. If tensors of one buffer
/// differ in length, the longest counts, which contains the others.
///
/// The norm is correct whenever it fits f32, even if the squares do not. For an empty list it is 0, on the CPU.
/// A `max_norm` of infinity leaves the gradients unchanged.
///
/// If an element is NaN, the norm and all gradients become NaN. If an element is infinite, or the norm
/// overflows f32, the norm is infinite and the factor is 0: infinite elements become NaN, the others 0. With a
/// `max_norm` of infinity they all become NaN then.
///
/// ```
/// use wgrad::{Device, clip_gradient_norm};
///
/// let device = Device::cpu();
/// let dw = device.tensor(&[3.0, 0.0], [2])?;
/// let db = device.tensor(&[-4.0], [1])?;
/// let norm = clip_gradient_norm(&[&dw, &db], 1.0)?;
/// assert_eq!(norm.item()?, 5.0);
/// assert!((dw.to_vec()?[0] - 0.6).abs() < 1e-6 && (db.item()? + 0.8).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidParameter`] if `max_norm` is negative or NaN; [`Error::DeviceMismatch`];
/// [`Error::OutOfMemory`]. No gradient is changed then.
pub fn clip_gradient_norm(gradients: &[&Tensor], max_norm: f32) -> Result<Tensor> {
    check_limit("max_norm", max_norm)?;
    check_devices("clip_gradient_norm", gradients.iter().map(|gradient| gradient.device()))?;
    let Some(first) = gradients.first() else { return Device::cpu().zeros([]) };
    // The absolute value turns -0 into 0.
    let norm = first.device().allocate(Shape::from([]))?;
    change_all(gradients, |gradients| {
        let (max_norm, norm) = (max_norm.abs(), norm.storage());
        first.device().run(OpOf::ClipNorm { gradients, max_norm, norm })
    })?;
    Ok(norm)
}

/// Clamps each element of the gradients, in place, to ±`limit`, as PyTorch's `clip_grad_value_` does.
/// NaN stays NaN. A tensor may be listed more than once.
///
/// `g = min(max(g, −limit), limit)`
///
/// ```
/// use wgrad::{Device, clip_gradient_value};
///
/// let device = Device::cpu();
/// let dw = device.tensor(&[0.5, 3.0, -4.0], [3])?;
/// clip_gradient_value(&[&dw], 1.0)?;
/// assert_eq!(dw.to_vec()?, [0.5, 1.0, -1.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidParameter`] if `limit` is negative or NaN; [`Error::DeviceMismatch`];
/// [`Error::OutOfMemory`]. No gradient is changed then.
pub fn clip_gradient_value(gradients: &[&Tensor], limit: f32) -> Result<()> {
    check_limit("limit", limit)?;
    check_devices("clip_gradient_value", gradients.iter().map(|gradient| gradient.device()))?;
    let Some(first) = gradients.first() else { return Ok(()) };
    change_all(gradients, |gradients| {
        first.device().run(OpOf::ClipValue { gradients, limit: limit.abs() })
    })
}

/// The gradients without those that another contains: of those at the same place in memory, the longest.
#[expect(clippy::mutable_key_type, reason = "buffers are told apart by their addresses")]
fn distinct<'a>(gradients: &[&'a Tensor]) -> Vec<&'a Tensor> {
    let mut known = HashMap::with_capacity(gradients.len());
    let mut distinct: Vec<&Tensor> = Vec::with_capacity(gradients.len());
    for &gradient in gradients {
        match known.entry((gradient.storage().place(), gradient.dtype())) {
            Entry::Vacant(entry) => {
                entry.insert(distinct.len());
                distinct.push(gradient);
            }
            Entry::Occupied(entry) => {
                let longest = &mut distinct[*entry.get()];
                if gradient.len() > longest.len() {
                    *longest = gradient;
                }
            }
        }
    }
    distinct
}

/// Checks that no gradient is a view of a part of another: its elements would be changed twice.
fn check_apart(gradients: &[&Tensor]) -> Result<()> {
    if gradients.iter().all(|gradient| gradient.storage().is_whole()) {
        return Ok(());
    }
    for (place, one) in gradients.iter().enumerate() {
        let overlaps = |other: &&Tensor| one.storage().is(other.storage());
        if let Some(other) = gradients[place + 1..].iter().copied().find(overlaps) {
            return Err(Error::Unsupported {
                what: format!(
                    "gradients {} and {} that share elements",
                    one.dimensions(),
                    other.dimensions()
                ),
                reason: "a view would be clipped twice; list the whole tensor alone".to_owned(),
            });
        }
    }
    Ok(())
}

/// Changes gradients of any type in f32.
fn change_all(
    gradients: &[&Tensor],
    change: impl FnOnce(Vec<(&Storage, usize)>) -> Result<()>,
) -> Result<()> {
    let gradients = distinct(gradients);
    check_apart(&gradients)?;
    let wide = gradients.iter().map(|gradient| gradient.wide()).collect::<Result<Vec<_>>>()?;
    let all: Vec<_> = wide.iter().map(|wide| (wide.storage(), wide.len())).collect();
    change(all)?;
    wide.iter().zip(&gradients).try_for_each(|(wide, gradient)| wide.store_in(gradient))
}

fn check_limit(name: &str, limit: f32) -> Result<()> {
    if limit >= 0.0 {
        return Ok(());
    }
    Err(Error::parameter(name, limit, "must not be negative or NaN"))
}
