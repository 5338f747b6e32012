//! The settings of optimizers as data. Their moments and numbers of steps are not part of it: see [`Adam::state`].

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::{Adam, AdamW, Sgd};
use crate::error::Result;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Sgd", deny_unknown_fields)]
struct SgdRecord {
    learning_rate: f32,
    #[serde(default)]
    momentum: f32,
    #[serde(default)]
    weight_decay: f32,
}

/// What an Adam has that leaves everything out that may be left out.
const USUAL: Adam = Adam::new(0.0);

/// Both kinds of Adam; only their usual weight decay differs.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Adam", deny_unknown_fields)]
struct AdamRecord {
    learning_rate: f32,
    #[serde(default = "usual_betas")]
    betas: [f32; 2],
    #[serde(default = "usual_eps")]
    eps: f32,
    weight_decay: Option<f32>,
}

fn usual_betas() -> [f32; 2] {
    USUAL.betas
}

fn usual_eps() -> f32 {
    USUAL.epsilon
}

impl AdamRecord {
    fn of(adam: &Adam) -> Self {
        let &Adam { learning_rate, betas, epsilon, weight_decay, .. } = adam;
        Self { learning_rate, betas, eps: epsilon, weight_decay: Some(weight_decay) }
    }

    /// The settings in place of those of an optimizer.
    fn set(self, of: Adam) -> Result<Adam> {
        let weight_decay = self.weight_decay.unwrap_or(of.weight_decay);
        let [beta1, beta2] = self.betas;
        let adam = of.betas(beta1, beta2).eps(self.eps).weight_decay(weight_decay);
        adam.check()?;
        Ok(adam)
    }
}

impl Serialize for Sgd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (learning_rate, momentum, weight_decay) =
            (self.step.learning_rate, self.step.momentum, self.step.weight_decay);
        SgdRecord { learning_rate, momentum, weight_decay }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sgd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = SgdRecord::deserialize(deserializer)?;
        let SgdRecord { learning_rate, momentum, weight_decay } = record;
        let sgd = Self::new(learning_rate).momentum(momentum).weight_decay(weight_decay);
        sgd.settings().map_err(D::Error::custom)?;
        Ok(sgd)
    }
}

impl Serialize for Adam {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AdamRecord::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Adam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = AdamRecord::deserialize(deserializer)?;
        let adam = Self::new(record.learning_rate);
        record.set(adam).map_err(D::Error::custom)
    }
}

impl Serialize for AdamW {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AdamRecord::of(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AdamW {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = AdamRecord::deserialize(deserializer)?;
        let Self(adam) = Self::new(record.learning_rate);
        record.set(adam).map(Self).map_err(D::Error::custom)
    }
}
