//! Optimizers, and the clipping of gradients.

mod adam;
mod clip;
mod kept;
#[cfg(feature = "serde")]
mod records;
mod sgd;
mod state;

pub use adam::{Adam, AdamW};
pub use clip::{clip_gradient_norm, clip_gradient_value};
pub use sgd::Sgd;

use std::collections::HashSet;

use crate::backend::{Identity, Update};
use crate::device::Device;
use crate::device::halves::{change_in_f32, change_rounded};
use crate::device::plan::unrecorded;
use crate::device::tensor::{Tensor, check_devices, check_shape};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// The state that an optimizer keeps for each weight tensor that it has stepped, for the tensor's lifetime.
#[derive(Debug)]
struct States<S> {
    known: Vec<Known<S>>,
    /// Whether weights of halves are stepped in f32.
    masters: bool,
}

#[derive(Debug)]
struct Known<S> {
    weights: Identity,
    /// Tensors of one buffer of the caller may differ in length.
    elements: usize,
    state: S,
}

impl<S> Known<S> {
    fn is(&self, weights: &Tensor) -> bool {
        self.elements == weights.len() && self.weights.is(weights.storage())
    }
}

/// What comes before the steps of weights of a device, which all differ.
type Begin<'a, S> = dyn Fn(&Device, &mut [&mut S]) -> Result<()> + 'a;

impl<S> States<S> {
    const fn new() -> Self {
        Self { known: Vec::new(), masters: true }
    }

    /// Steps each pair of weights and gradient, with the state of the weights. `begin` comes before the steps of weights
    /// that all differ: weights that are listed twice take two steps, one after the other.
    ///
    /// Everything that can fail, because memory is short or a pair does not match, comes before the first
    /// weight changes.
    fn step(
        &mut self,
        op: &'static str,
        pairs: &[(&Tensor, &Tensor)],
        create: impl Fn(&Tensor) -> Result<S>,
        begin: Option<&Begin<'_, S>>,
        run: impl Fn(&Device, Update<'_>, &mut S) -> Result<()>,
    ) -> Result<()> {
        check_pairs(op, pairs)?;
        let places = self.places(pairs, create)?;
        let masters = self.masters;
        reserve(pairs, masters)?;
        let mut rest = (pairs, &places[..]);
        while !rest.0.is_empty() {
            let end = first_again(rest.1);
            let ((pairs, later_pairs), (places, later_places)) =
                (rest.0.split_at(end), rest.1.split_at(end));
            rest = (later_pairs, later_places);
            if let Some(begin) = begin {
                self.begin(pairs, places, begin)?;
            }
            for (&pair, &place) in pairs.iter().zip(places) {
                let state = &mut self.known[place].state;
                change(pair, masters, |device, update| run(device, update, state))?;
            }
        }
        Ok(())
    }

    /// Calls the function for each device with the states of its weights, which all differ.
    fn begin(
        &mut self,
        pairs: &[(&Tensor, &Tensor)],
        places: &[usize],
        begin: &Begin<'_, S>,
    ) -> Result<()> {
        for device in devices(pairs) {
            let of_device = pairs.iter().zip(places).filter(|((it, _), _)| it.device() == device);
            let mut places: Vec<usize> = of_device.map(|(_, &place)| place).collect();
            places.sort_unstable();
            let mut places = places.into_iter().peekable();
            let known = self.known.iter_mut().enumerate();
            let known = known.filter(|(place, _)| places.next_if_eq(place).is_some());
            let mut states: Vec<&mut S> = known.map(|(_, known)| &mut known.state).collect();
            begin(device, &mut states)?;
        }
        Ok(())
    }

    /// The same without a state; an earlier state of the weights is dropped.
    fn step_without(
        &mut self,
        op: &'static str,
        pairs: &[(&Tensor, &Tensor)],
        run: impl Fn(&Device, Update<'_>) -> Result<()>,
    ) -> Result<()> {
        check_pairs(op, pairs)?;
        reserve(pairs, self.masters)?;
        let stepped = |known: &Known<S>| pairs.iter().any(|(weights, _)| known.is(weights));
        self.known.retain(|known| known.weights.is_alive() && !stepped(known));
        pairs.iter().try_for_each(|&pair| change(pair, self.masters, &run))
    }

    /// The indices of the states of each pair's weights.
    fn places(
        &mut self,
        pairs: &[(&Tensor, &Tensor)],
        create: impl Fn(&Tensor) -> Result<S>,
    ) -> Result<Vec<usize>> {
        self.known.retain(|known| known.weights.is_alive());
        let mut places = Vec::with_capacity(pairs.len());
        for (weights, _) in pairs {
            places.push(self.place(weights, &create)?);
        }
        Ok(places)
    }

    /// The index of the state of weights, which is created if there is none. A plan does not start it anew at each run.
    fn place(&mut self, weights: &Tensor, create: impl Fn(&Tensor) -> Result<S>) -> Result<usize> {
        if let Some(place) = self.known.iter().position(|known| known.is(weights)) {
            return Ok(place);
        }
        let state = unrecorded(|| create(weights))?;
        let (identity, elements) = (Identity::of(weights.storage()), weights.len());
        self.known.push(Known { weights: identity, elements, state });
        Ok(self.known.len() - 1)
    }
}

/// The index of the first place that is among those before it, or their number.
fn first_again(places: &[usize]) -> usize {
    // Weights are mostly listed in the order in which they first were.
    if places.is_sorted_by(|one, next| one < next) {
        return places.len();
    }
    let mut seen = HashSet::new();
    places.iter().take_while(|&&place| seen.insert(place)).count()
}

/// Checks that each pair of weights and gradient matches.
fn check_pairs(op: &'static str, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
    for (weights, gradient) in pairs {
        check_devices(op, [weights.device(), gradient.device()])?;
        check_shape(op, "a gradient", gradient, weights.shape())?;
    }
    Ok(())
}

/// The devices of the weights, each once.
fn devices<'a>(pairs: &[(&'a Tensor, &Tensor)]) -> Vec<&'a Device> {
    let mut devices: Vec<&Device> = Vec::new();
    for (weights, _) in pairs {
        if !devices.contains(&weights.device()) {
            devices.push(weights.device());
        }
    }
    devices
}

/// Makes sure that there is enough memory for the steps of all pairs, one after the other.
fn reserve(pairs: &[(&Tensor, &Tensor)], masters: bool) -> Result<()> {
    if masters {
        pairs.iter().try_for_each(|(weights, _)| weights.keep_exact())?;
    }
    for pairs in pairs.chunk_by(|(one, _), (next, _)| one.device() == next.device()) {
        let updates: Vec<Update<'_>> =
            pairs.iter().filter(|pair| is_wide(pair)).map(|&(w, dw)| update(w, dw)).collect();
        pairs[0].0.device().backend.reserve(&updates)?;
    }
    for (weights, gradient) in pairs.iter().filter(|pair| !is_wide(pair) || !is_whole(pair)) {
        // The copies to compute in, which the pool keeps afterwards.
        let copy = |tensor: &Tensor| tensor.device().workspace(tensor.dimensions().clone());
        [weights, gradient].map(|tensor| copy(tensor)).into_iter().collect::<Result<Vec<_>>>()?;
    }
    Ok(())
}

/// Changes the weights of a pair in f32.
fn change(
    (weights, gradient): (&Tensor, &Tensor),
    masters: bool,
    run: impl FnOnce(&Device, Update<'_>) -> Result<()>,
) -> Result<()> {
    let gradient = gradient.wide()?;
    let run = |weights: &Tensor| run(weights.device(), update(weights, &gradient));
    if masters { change_in_f32(weights, run) } else { change_rounded(weights, run) }
}

fn is_wide((weights, gradient): &(&Tensor, &Tensor)) -> bool {
    [weights, gradient].iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// Whether neither is a view, in whose place a copy may be used.
fn is_whole((weights, gradient): &(&Tensor, &Tensor)) -> bool {
    [weights, gradient].iter().all(|tensor| tensor.storage().is_whole())
}

fn update<'a>(weights: &'a Tensor, gradient: &'a Tensor) -> Update<'a> {
    let elements = weights.len();
    Update { weights: weights.storage(), gradient: gradient.storage(), elements }
}

/// Checks that a parameter is finite and not negative.
fn check_not_negative(name: &str, value: f32) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::parameter(name, value, "must be finite and not negative"))
}
