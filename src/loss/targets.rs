//! What a loss compares with.

use crate::backend::TargetStorage;
use crate::device::Device;
use crate::labels::Labels;
use crate::tensor::Tensor;

/// What a loss compares its outputs with. References to a [`Tensor`] and to [`Labels`] convert.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Targets {
    /// A number for each output, of the output's shape.
    Dense(Tensor),
    /// The index of a class for each row.
    Labels(Labels),
}

impl Targets {
    /// The device that the targets live on.
    pub fn device(&self) -> &Device {
        match self {
            Self::Dense(tensor) => tensor.device(),
            Self::Labels(labels) => labels.device(),
        }
    }

    pub(crate) fn storage(&self) -> TargetStorage<'_> {
        match self {
            Self::Dense(tensor) => TargetStorage::Dense(tensor.storage()),
            Self::Labels(labels) => TargetStorage::Labels(labels.storage()),
        }
    }
}

impl From<&Tensor> for Targets {
    fn from(tensor: &Tensor) -> Self {
        Self::Dense(tensor.clone())
    }
}

impl From<&Labels> for Targets {
    fn from(labels: &Labels) -> Self {
        Self::Labels(labels.clone())
    }
}

impl From<&Targets> for Targets {
    fn from(targets: &Targets) -> Self {
        targets.clone()
    }
}
