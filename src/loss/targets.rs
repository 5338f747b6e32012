//! What a loss compares with.

use crate::backend::TargetStorage;
use crate::device::Device;
use crate::labels::Labels;
use crate::tensor::Tensor;

/// What a loss compares its outputs with: numbers of the output's shape, or a class index for each row.
/// References to a [`Tensor`] and to [`Labels`] convert.
#[derive(Clone, Debug)]
pub struct Targets {
    pub(crate) values: TargetValues,
}

#[derive(Clone, Debug)]
pub(crate) enum TargetValues {
    /// A number for each output, of the output's shape.
    Dense(Tensor),
    /// The index of a class for each row.
    Labels(Labels),
}

impl Targets {
    /// The device that the targets live on.
    pub fn device(&self) -> &Device {
        match &self.values {
            TargetValues::Dense(tensor) => tensor.device(),
            TargetValues::Labels(labels) => labels.device(),
        }
    }

    pub(crate) fn storage(&self) -> TargetStorage<'_> {
        match &self.values {
            TargetValues::Dense(tensor) => TargetStorage::Dense(tensor.storage()),
            TargetValues::Labels(labels) => TargetStorage::Labels(labels.storage()),
        }
    }
}

impl From<&Tensor> for Targets {
    fn from(tensor: &Tensor) -> Self {
        Self { values: TargetValues::Dense(tensor.clone()) }
    }
}

impl From<&Labels> for Targets {
    fn from(labels: &Labels) -> Self {
        Self { values: TargetValues::Labels(labels.clone()) }
    }
}

impl From<&Targets> for Targets {
    fn from(targets: &Targets) -> Self {
        targets.clone()
    }
}
