//! Whether a device converts halves as IEEE 754 has it.

use super::context::Context;
use super::faults::guarded;
use crate::error::{Error, Result};

/// The kernel that finds out.
pub(super) const SOURCE: &str = concat!(
    include_str!("../../shaders/halves.wgsl"),
    include_str!("../../shaders/kernels/conversions.wgsl")
);

/// Its workgroups of 256 invocations: one for each half.
const GROUPS: u32 = 256;

/// Its bits.
const WIDENING: u32 = 1;
const NARROWING: u32 = 2;

/// Which conversions kernels may leave to the device.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conversions {
    pub(super) widens: bool,
    pub(super) narrows: bool,
}

impl Conversions {
    /// Runs every half through them, and waits for the result.
    pub(super) fn of(context: &Context) -> Result<Self> {
        Self::of_kernel(context, SOURCE)
    }

    fn of_kernel(context: &Context, source: &'static str) -> Result<Self> {
        if cfg!(target_arch = "wasm32") {
            // A browser cannot wait.
            return Ok(Self::default());
        }
        let size = size_of::<u32>() as u64;
        let create = |usages| context.create_buffer("wgrad conversions", size, usages);
        let wrong = create(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC)?;
        let staging = create(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
        let submission = guarded(&context.device, size, || {
            let submission = submit(context, source, &wrong, &staging);
            // Whether it is mapped shows below.
            staging.map_async(wgpu::MapMode::Read, .., |_| {});
            submission
        })?;
        context.wait(Some(submission))?;
        let range = staging.get_mapped_range(..);
        let bytes = range.map_err(|error| Error::Gpu { description: error.to_string() })?;
        let wrong: u32 = bytemuck::pod_read_unaligned(&bytes);
        Ok(Self { widens: wrong & WIDENING == 0, narrows: wrong & NARROWING == 0 })
    }
}

/// Submits the kernel and a copy of what it finds.
fn submit(
    context: &Context,
    source: &'static str,
    wrong: &wgpu::Buffer,
    staging: &wgpu::Buffer,
) -> wgpu::SubmissionIndex {
    let (device, label) = (&context.device, Some("wgrad conversions"));
    let source = wgpu::ShaderSource::Wgsl(source.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: wrong.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
    {
        let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(GROUPS, 1, 1);
    }
    encoder.copy_buffer_to_buffer(wrong, 0, staging, 0, wrong.size());
    context.queue.submit([encoder.finish()])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::common::adapters;
    use crate::gpu::faults::Faults;

    /// What a device would be found to do whose functions of these names are those of this WGSL.
    fn found(replaced: &str, replacement: &'static str) -> Vec<Conversions> {
        let source = SOURCE.replace(&format!(" {replaced}("), " replaced(");
        let source: &'static str = Box::leak(format!("{source}\n{replacement}").into_boxed_str());
        let of = |device: &crate::Device| {
            let (raw, queue) = device.wgpu().unwrap();
            let (info, faults) = (device.info().clone(), Arc::new(Faults::default()));
            let context = Context::new(raw.clone(), queue.clone(), info, faults, None);
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
        // To the nearest, but at ties away from zero: not even a millionth of all numbers.
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
