//! The state of optimizers as named tensors, to store it in files.

use std::collections::BTreeMap;

use super::States;
use crate::device::tensor::{Tensor, check_shape};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// The state of a weight tensor under the names that PyTorch has for it: `w.exp_avg` for a weight `w`.
pub(super) type Named = BTreeMap<String, Tensor>;

impl<S> States<S> {
    /// The state of the weights; `None` if they have not been stepped.
    pub(super) fn of(&self, weights: &Tensor) -> Option<&S> {
        self.known.iter().find(|known| known.is(weights)).map(|known| &known.state)
    }

    /// Sets the state of each weight: `read` makes it, all before the first one is set, and `set` changes the state of
    /// weights that have one, in place, as plans use it. Without a new state they begin anew.
    pub(super) fn restore<N>(
        &mut self,
        op: &'static str,
        weights: &[(&str, &Tensor)],
        state: &Named,
        read: impl Fn(&str, &Tensor) -> Result<Option<N>>,
        create: impl Fn(&Tensor) -> Result<S>,
        set: impl Fn(&mut S, Option<N>) -> Result<()>,
    ) -> Result<()> {
        self.known.retain(|known| known.weights.is_alive());
        let mut masters = Vec::new();
        for &(name, weights) in weights.iter().filter(|(_, it)| it.dtype() != DType::F32) {
            if let Some([values]) = parts(op, state, name, [(MASTER, weights.shape())])? {
                masters.push((weights, values));
            }
        }
        let found = weights.iter().map(|&(name, weights)| Ok((weights, read(name, weights)?)));
        for (weights, new) in found.collect::<Result<Vec<_>>>()? {
            if new.is_some() || self.of(weights).is_some() {
                let place = self.place(weights, &create)?;
                set(&mut self.known[place].state, new)?;
            }
        }
        for (weights, values) in masters {
            weights.keep_exact()?;
            weights.kept_exact().map_or(Ok(()), |exact| exact.write(&values))?;
        }
        Ok(())
    }

    /// The f32 numbers of weights of halves, as far as they are kept.
    pub(super) fn masters_of(
        &self,
        weights: &[(&str, &Tensor)],
    ) -> impl Iterator<Item = (String, Tensor)> {
        let master = |&(name, weights): &(&str, &Tensor)| {
            Some((format!("{name}.{MASTER}"), weights.kept_exact()?))
        };
        weights.iter().filter(|_| self.masters).filter_map(master)
    }
}

/// What the f32 numbers of weights of halves are called.
const MASTER: &str = "master";

/// The values of these parts of a weight's state, each of the weight's shape or, if it is the number of steps, a scalar;
/// `None` if there is none of them.
pub(super) fn parts<const N: usize>(
    op: &'static str,
    state: &Named,
    name: &str,
    parts: [(&str, &[usize]); N],
) -> Result<Option<[Vec<f32>; N]>> {
    let found = parts.map(|(part, shape)| (state.get(&format!("{name}.{part}")), part, shape));
    if found.iter().all(|(tensor, ..)| tensor.is_none()) {
        return Ok(None);
    }
    let mut values = [const { Vec::new() }; N];
    for (values, (tensor, part, shape)) in values.iter_mut().zip(found) {
        let Some(tensor) = tensor else {
            return Err(Error::Unsupported {
                what: format!("{op} of {name:?} in part"),
                reason: format!("there is no {:?} beside the rest", format!("{name}.{part}")),
            });
        };
        check_shape(op, &format!("{name}.{part}"), tensor, shape)?;
        *values = tensor.to_vec()?;
    }
    Ok(Some(values))
}
