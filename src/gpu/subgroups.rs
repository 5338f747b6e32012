//! Whether invocations of a workgroup can reach each other through subgroups.

use super::context::Context;
use super::probe;
use crate::error::Result;

/// The kernel that finds out.
pub(super) const SOURCE: &str = include_str!("../../shaders/kernels/subgroups.wgsl");

/// Its workgroups: enough for every part of a device.
const GROUPS: u32 = 1024;

/// Invocations that are side by side in a subgroup: at least 2, at most 32, a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subgroups {
    size: u32,
}

impl Subgroups {
    /// Tries them, and waits for the result; none where the device has none of a fixed order.
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

    /// For the kernels that rely on them.
    pub(super) const fn constant(self) -> (&'static str, f64) {
        ("SUBGROUP", self.size as f64)
    }

    /// Those of most GPUs.
    pub(super) const fn usual() -> Self {
        Self { size: 32 }
    }
}
