//! Runs kernels that find out how a device behaves.

use super::context::Context;
use super::faults::guarded;
use crate::error::{Error, Result};

/// Runs a kernel that sets bits of its only binding, waits for them, and returns them. In a browser, which cannot
/// wait, returns all of them.
pub(super) fn wrong(
    context: &Context,
    label: &str,
    source: &str,
    constants: &[(&str, f64)],
    groups: u32,
) -> Result<u32> {
    if cfg!(target_arch = "wasm32") {
        return Ok(u32::MAX);
    }
    let size = size_of::<u32>() as u64;
    let create = |usages| context.create_buffer(label, size, usages);
    let wrong = create(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC)?;
    let staging = create(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
    let submission = guarded(&context.device, size, || {
        let pipeline = pipeline(context, label, source, constants);
        let submission = submit(context, &pipeline, groups, &wrong, &staging);
        // Whether the buffer is mapped shows below.
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        submission
    })?;
    context.wait(Some(submission))?;
    let range = staging.get_mapped_range(..);
    let bytes = range.map_err(|error| Error::Gpu { description: error.to_string() })?;
    Ok(bytemuck::pod_read_unaligned(&bytes))
}

fn pipeline(
    context: &Context,
    label: &str,
    source: &str,
    constants: &[(&str, f64)],
) -> wgpu::ComputePipeline {
    let (device, label) = (&context.device, Some(label));
    let source = wgpu::ShaderSource::Wgsl(source.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
        cache: None,
    })
}

/// Submits the kernel and a copy of its result.
fn submit(
    context: &Context,
    pipeline: &wgpu::ComputePipeline,
    groups: u32,
    wrong: &wgpu::Buffer,
    staging: &wgpu::Buffer,
) -> wgpu::SubmissionIndex {
    let (device, label) = (&context.device, Some("wgrad probe"));
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: wrong.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
    {
        let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(groups, 1, 1);
    }
    encoder.copy_buffer_to_buffer(wrong, 0, staging, 0, wrong.size());
    context.queue.submit([encoder.finish()])
}
