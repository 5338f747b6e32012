//! Whether invocations of a workgroup can exchange values through subgroups.

use super::context::Context;
use super::probe;
use crate::error::Result;

/// The kernel that finds out.
pub(super) const SOURCE: &str = include_str!("../../shaders/kernels/subgroups.wgsl");

/// Its number of workgroups: enough for every part of a device.
const GROUPS: u32 = 1024;

/// The number of invocations that are side by side in a subgroup: a power of two from 2 to 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subgroups {
    size: u32,
}

impl Subgroups {
    /// Tries subgroups, and waits for the result; `None` if the device has none of a fixed order.
    pub(super) fn of(context: &Context) -> Result<Option<Self>> {
        if !context.device.features().contains(wgpu::Features::SUBGROUP) {
            return Ok(None);
        }
        let smallest = context.device.adapter_info().subgroup_min_size;
        let subgroups = Self { size: smallest.min(32) };
        if subgroups.size < 2 || !subgroups.size.is_power_of_two() {
            return Ok(None);
        }
        let wrong = probe::wrong(context, "subgroups", SOURCE, &[subgroups.constant()], GROUPS)?;
        Ok((wrong == 0).then_some(subgroups))
    }

    /// The constant of the kernels that rely on them.
    pub(super) const fn constant(self) -> (&'static str, f64) {
        ("SUBGROUP", self.size as f64)
    }

    /// The subgroups of most GPUs.
    pub(super) const fn usual() -> Self {
        Self { size: 32 }
    }
}
