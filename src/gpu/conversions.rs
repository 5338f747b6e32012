//! Whether a device converts halves as IEEE 754 defines it.

use super::context::Context;
use super::probe;
use crate::error::Result;

/// The kernel that finds out.
pub(super) const SOURCE: &str = concat!(
    include_str!("../../shaders/halves.wgsl"),
    include_str!("../../shaders/kernels/conversions.wgsl")
);

/// Its number of workgroups, each of 256 invocations: there is one invocation for each half.
const GROUPS: u32 = 256;

/// The bits that it sets.
const WIDENING: u32 = 1;
const NARROWING: u32 = 2;

/// The conversions that kernels may leave to the device.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conversions {
    pub(super) widens: bool,
    pub(super) narrows: bool,
}

impl Conversions {
    /// Runs every half through the conversions, and waits for the result.
    pub(super) fn of(context: &Context) -> Result<Self> {
        Self::of_kernel(context, SOURCE)
    }

    fn of_kernel(context: &Context, source: &'static str) -> Result<Self> {
        let wrong = probe::wrong(context, "conversions", source, &[], GROUPS)?;
        Ok(Self { widens: wrong & WIDENING == 0, narrows: wrong & NARROWING == 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::common::adapters;
    use crate::gpu::faults::Faults;

    /// What each adapter is found to do right if this WGSL replaces the function of this name.
    fn found(replaced: &str, replacement: &'static str) -> Vec<Conversions> {
        let source = SOURCE.replace(&format!(" {replaced}("), " replaced(");
        let source: &'static str = Box::leak(format!("{source}\n{replacement}").into_boxed_str());
        let of = |device: &crate::Device| {
            let (raw, queue) = device.wgpu().unwrap();
            let (info, faults) = (device.info().clone(), Arc::new(Faults::default()));
            let context = Context::new(raw.clone(), queue.clone(), info, faults, None, false);
            Conversions::of_kernel(&context, source).unwrap()
        };
        adapters().iter().map(of).collect()
    }

    #[test]
    fn subnormal_halves_that_are_flushed_are_noticed() {
        let flushing = "fn replaced(word: u32) -> vec2<f32> {
            let x = unpack2x16float(word);
            return select(x, vec2<f32>(), abs(x) < vec2<f32>(6.1035156e-05));
        }";
        assert!(found("unpack2x16float", flushing).iter().all(|found| !found.widens));
    }

    #[test]
    fn rounding_that_is_not_to_the_nearest_is_noticed() {
        // Rounds to the nearest, but at ties away from zero: not even a millionth of all numbers differ.
        let away = "fn replaced(x: vec2<f32>) -> u32 {
            let raised = bitcast<vec2<f32>>(bitcast<vec2<u32>>(x) + vec2<u32>(1u));
            let halves = narrow(vec4<f32>(select(x, raised, abs(x) < vec2<f32>(65504.0)), 0.0, 0.0));
            return halves.x | (halves.y << 16u);
        }";
        assert!(found("pack2x16float", away).iter().all(|found| !found.narrows));
        let by_integers = "fn replaced(x: vec2<f32>) -> u32 {
            let halves = narrow(vec4<f32>(x, 0.0, 0.0));
            return halves.x | (halves.y << 16u);
        }";
        assert!(found("pack2x16float", by_integers).iter().all(|found| found.narrows));
    }
}
