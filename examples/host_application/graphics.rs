//! The application's own use of wgpu, which knows nothing of networks.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use wgrad::{Device, Tensor, wgpu};

/// The width of the grid on which the picture is computed, and the size of a half of the picture in pixels.
pub const GRID: u32 = 96;
const SIZE: u32 = 384;

const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

pub struct Graphics {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    samples: wgpu::ComputePipeline,
    picture: wgpu::RenderPipeline,
    texture: wgpu::Texture,
}

impl Graphics {
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        descriptor.flags = descriptor.flags.with_env();
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = pollster::block_on(instance.request_adapter(&options))?;
        // Default limits and no feature.
        let requested = adapter.request_device(&wgpu::DeviceDescriptor::default());
        let (device, queue) = pollster::block_on(requested)?;
        let module = |source: &str| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            })
        };
        let samples = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("samples"),
            layout: None,
            module: &module(include_str!("samples.wgsl")),
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let drawing = module(include_str!("picture.wgsl"));
        let picture = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("picture"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &drawing,
                entry_point: None,
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &drawing,
                entry_point: None,
                compilation_options: Default::default(),
                targets: &[Some(FORMAT.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d { width: 2 * SIZE, height: SIZE, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        Ok(Self { adapter, device, queue, samples, picture, texture })
    }

    /// wgrad on the application's device.
    pub fn wgrad(&self) -> wgrad::Result<Device> {
        Device::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone())
    }

    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    pub fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.queue.submit([encoder.finish()]);
    }

    /// The numbers as a uniform buffer.
    fn uniforms(&self, numbers: [u32; 4]) -> wgpu::Buffer {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytemuck::bytes_of(&numbers));
        buffer
    }

    fn group(
        &self,
        layout: &wgpu::BindGroupLayout,
        uniforms: &wgpu::Buffer,
        tensors: [&Tensor; 2],
    ) -> wgpu::BindGroup {
        let buffers = tensors.into_iter().filter_map(Tensor::buffer);
        let resources =
            std::iter::once(uniforms).chain(buffers).map(wgpu::Buffer::as_entire_binding);
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
        self.device.create_bind_group(&descriptor)
    }

    /// Fills tensors with features and colours: of random places, or of a grid of this width.
    pub fn make_samples(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        [features, colours]: &[Tensor; 2],
        frame: u32,
        grid: u32,
    ) {
        let count = features.shape()[0] as u32;
        let uniforms = self.uniforms([frame, count, grid, 0]);
        let layout = self.samples.get_bind_group_layout(0);
        let group = self.group(&layout, &uniforms, [features, colours]);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.samples);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(count.div_ceil(64), 1, 1);
    }

    /// Draws two tensors of colours side by side.
    pub fn draw(&self, encoder: &mut wgpu::CommandEncoder, wanted: &Tensor, learned: &Tensor) {
        let uniforms = self.uniforms([GRID, SIZE, 0, 0]);
        let group =
            self.group(&self.picture.get_bind_group_layout(0), &uniforms, [wanted, learned]);
        let view = self.texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations::default(),
            })],
            ..Default::default()
        });
        pass.set_pipeline(&self.picture);
        pass.set_bind_group(0, &group, &[]);
        pass.draw(0..3, 0..1);
    }

    /// Writes the texture, once the GPU has drawn it.
    pub fn write_png(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let (width, height) = (self.texture.width(), self.texture.height());
        // A multiple of the 256 bytes that rows in buffers have to be apart.
        let row = 4 * width;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(row * height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_texture_to_buffer(
            self.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(row),
                    rows_per_image: None,
                },
            },
            self.texture.size(),
        );
        self.submit(encoder);
        buffer.map_async(wgpu::MapMode::Read, .., |_| ());
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let pixels = buffer.get_mapped_range(..)?.to_vec();
        let mut png = png::Encoder::new(File::create(path)?, width, height);
        png.set_color(png::ColorType::Rgba);
        png.set_depth(png::BitDepth::Eight);
        png.write_header()?.write_image_data(&pixels)?;
        Ok(())
    }
}
