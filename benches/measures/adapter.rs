//! The limits of a GPU adapter: the rate of a copy, and of multiply-adds in registers.

use std::time::Instant;

use wgrad::wgpu::util::DeviceExt;
use wgrad::{Device, wgpu};

/// Copies each element. If one dimension cannot hold all workgroups, there are more in y.
const COPY: &str = "\
@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 256u + id.x;
    if (index < arrayLength(&output)) {
        output[index] = input[index];
    }
}";

/// Computes eight independent sums of four lanes. The result is stored, so that the compiler cannot drop them.
const MULTIPLY_ADDS: &str = "\
@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let factor = input[0];
    let term = input[1];
    var a = vec4<f32>(f32(id.x));
    var b = a + 1.0;
    var c = a + 2.0;
    var d = a + 3.0;
    var e = a + 4.0;
    var f = a + 5.0;
    var g = a + 6.0;
    var h = a + 7.0;
    for (var round = 0u; round < 1024u; round++) {
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        e = fma(e, factor, term);
        f = fma(f, factor, term);
        g = fma(g, factor, term);
        h = fma(h, factor, term);
    }
    output[id.x] = a + b + c + d + e + f + g + h;
}";

/// The number of operations of an invocation of the second kernel. A multiply-add counts as two.
const OPERATIONS: f64 = 2.0 * 8.0 * 4.0 * 1024.0;

pub struct Adapter {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Adapter {
    /// The adapter of a device; `None` on the CPU.
    pub fn of(device: &Device) -> Option<Self> {
        device.wgpu().map(|(device, queue)| Self { device: device.clone(), queue: queue.clone() })
    }

    fn buffer(&self, elements: usize) -> wgpu::Buffer {
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: &vec![0; elements * size_of::<f32>()],
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
        })
    }

    /// The seconds of the fastest of several submissions.
    fn best(&self, record: impl Fn(&mut wgpu::CommandEncoder)) -> f64 {
        let once = |_| {
            let mut commands = self.device.create_command_encoder(&Default::default());
            record(&mut commands);
            let start = Instant::now();
            self.queue.submit([commands.finish()]);
            let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
            waited.map_or(f64::NAN, |_| start.elapsed().as_secs_f64())
        };
        (0..8).map(once).fold(f64::INFINITY, f64::min)
    }

    /// Measures a kernel that reads the first buffer and writes the second.
    fn kernel(&self, source: &str, buffers: [&wgpu::Buffer; 2], groups: [u32; 2]) -> f64 {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let [from, to] = buffers.map(wgpu::Buffer::as_entire_binding);
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: from },
                wgpu::BindGroupEntry { binding: 1, resource: to },
            ],
        });
        self.best(|commands| {
            let mut pass = commands.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(groups[0], groups[1], 1);
        })
    }

    /// The seconds that a copy of `elements` elements takes, by a kernel or by a buffer copy, whichever is faster.
    pub fn copy(&self, elements: usize) -> f64 {
        let elements = elements.next_multiple_of(4);
        let [from, to] = [(); 2].map(|()| self.buffer(elements));
        let groups = elements.div_ceil(1024);
        let rows = groups.div_ceil(65_535);
        let groups = [groups.div_ceil(rows) as u32, rows as u32];
        let kernel = self.kernel(COPY, [&from, &to], groups);
        let buffers = self.best(|commands| {
            commands.copy_buffer_to_buffer(&from, 0, &to, 0, from.size());
        });
        kernel.min(buffers)
    }

    /// The rate of multiply-adds, in operations per second.
    pub fn multiply_adds(&self, groups: u32) -> f64 {
        let invocations = 256 * groups as usize;
        let [from, to] = [8, 4 * invocations].map(|elements| self.buffer(elements));
        let seconds = self.kernel(MULTIPLY_ADDS, [&from, &to], [groups, 1]);
        invocations as f64 * OPERATIONS / seconds
    }
}
