//! Which kernels a device runs if several compute the same result.

use super::variant::Variant;
use crate::backend::DeviceKind;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Use the kernels for processors, on which an invocation is a loop: each does much work, and alone.
    pub(crate) for_processors: bool,
    /// Use the kernels in which invocations exchange values through subgroups, if those of the device work as they
    /// should.
    pub(crate) subgroups: bool,
    /// Use this kernel for every product that it can compute.
    pub(crate) product: Option<Variant>,
}

impl Policy {
    const PROCESSORS: Self = Self { for_processors: true, subgroups: false, product: None };
    pub(crate) const GPUS: Self = Self { for_processors: false, subgroups: true, product: None };

    /// The policy for adapters of this kind.
    pub(crate) const fn of(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::Software => Self::PROCESSORS,
            _ => Self::GPUS,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{DeviceOptions, Preference};
    use crate::common::adapters;
    use crate::device::Device;
    use crate::gpu::{GpuBackend, open};

    impl Policy {
        /// Every adapter, opened anew with a policy for its kind.
        pub(crate) fn devices(policy: impl Fn(DeviceKind) -> Self) -> Vec<Device> {
            let open = |device: &Device| {
                let options = DeviceOptions::from(device.info());
                let cooperates = options.resolved_cooperative_matrices().unwrap();
                let backend = open(&options, Preference::Gpu, cooperates);
                policy(device.info().kind).on(pollster::block_on(backend).unwrap())
            };
            adapters().iter().map(open).collect()
        }

        /// A device with this policy, from a backend that nothing else uses yet.
        pub(crate) fn on(self, mut backend: GpuBackend) -> Device {
            Arc::get_mut(&mut backend.context).unwrap().policy = self;
            let mut device = Device::cpu();
            device.backend = Arc::new(backend);
            device
        }
    }
}
