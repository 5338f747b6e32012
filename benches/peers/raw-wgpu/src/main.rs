//! wgpu without a library: handwritten kernels of a few lines, or wgrad's own kernels.

use common::{ARGUMENTS, Case, Checksum, Clock, Work, numbers};
use wgrad::wgpu::util::DeviceExt;
use wgrad::{Activation, Device, wgpu};

/// The adapter that wgrad picks, too.
struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// A kernel, the buffers that it reads, and the buffer that it writes.
struct Kernel {
    pipeline: wgpu::ComputePipeline,
    buffers: Vec<wgpu::Buffer>,
    groups: [u32; 2],
}

impl Gpu {
    fn buffer(&self, contents: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let usage = usage | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::util::BufferInitDescriptor { label: None, contents, usage };
        self.device.create_buffer_init(&descriptor)
    }

    fn storage(&self, values: &[f32]) -> wgpu::Buffer {
        self.buffer(bytemuck::cast_slice(values), wgpu::BufferUsages::STORAGE)
    }

    fn kernel(
        &self,
        source: &str,
        constants: &[(&str, f64)],
        buffers: Vec<wgpu::Buffer>,
        groups: [u32; 2],
    ) -> Kernel {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..Default::default()
            },
            cache: None,
        });
        Kernel { pipeline, buffers, groups }
    }

    fn bind(&self, kernel: &Kernel) -> wgpu::BindGroup {
        let entries: Vec<_> = (0..)
            .zip(&kernel.buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &kernel.pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    fn wait(&self, commands: wgpu::CommandEncoder) {
        self.queue.submit([commands.finish()]);
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("the GPU works");
    }

    fn read(&self, buffer: &wgpu::Buffer) -> Vec<f32> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut commands = self.device.create_command_encoder(&Default::default());
        commands.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        commands.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., |result| {
            result.expect("the GPU works");
        });
        self.wait(commands);
        let bytes = staging.get_mapped_range(..).expect("it is mapped");
        bytemuck::cast_slice(&bytes).to_vec()
    }
}

/// Runs a kernel with a bind group that is created once.
fn work(gpu: Gpu, kernel: Kernel) -> Work {
    let group = gpu.bind(&kernel);
    Work::new(move |checksum| {
        let mut commands = gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = commands.begin_compute_pass(&Default::default());
            pass.set_pipeline(&kernel.pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(kernel.groups[0], kernel.groups[1], 1);
        }
        gpu.wait(commands);
        sum(&gpu, &kernel, checksum);
    })
}

fn sum(gpu: &Gpu, kernel: &Kernel, checksum: Option<&mut Checksum>) {
    if let (Some(checksum), Some(output)) = (checksum, kernel.buffers.last()) {
        checksum.add(&gpu.read(output));
    }
}

/// Runs a kernel many times, with a new bind group each time.
fn overhead(gpu: Gpu, kernel: Kernel) -> Work {
    const OPERATIONS: usize = 200;
    let work = Work::new(move |checksum| {
        let mut commands = gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = commands.begin_compute_pass(&Default::default());
            for _ in 0..OPERATIONS {
                let group = gpu.bind(&kernel);
                pass.set_pipeline(&kernel.pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(kernel.groups[0], kernel.groups[1], 1);
            }
        }
        gpu.wait(commands);
        sum(&gpu, &kernel, checksum);
    });
    Work { clock: Clock::Thread, operations: OPERATIONS as f64, ..work }
}

/// A formula, on four elements for each invocation.
fn pointwise(formula: &str) -> String {
    format!(
        "\
@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    if (id.x >= arrayLength(&z)) {{
        return;
    }}
    let x = z[id.x];
    y[id.x] = {formula};
}}"
    )
}

fn formula(name: &str) -> Option<&'static str> {
    Some(match name {
        "sigmoid" => "1.0 / (1.0 + exp(-x))",
        "tanh" => "tanh(x)",
        "relu" => "max(x, vec4<f32>())",
        "gelu_tanh" => "0.5 * x * (1.0 + tanh(0.7978846 * (x + 0.044715 * x * x * x)))",
        "copy" => "x",
        _ => return None,
    })
}

const ROWS: usize = 8;
const VECTORS: usize = 4;

/// The product of square matrices. Each invocation computes a tile of 8 × 16 in registers, directly from
/// storage. `n` has to be a multiple of 128.
fn product(n: usize) -> String {
    let each =
        |count: usize, line: &dyn Fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let cell = |row: usize, vector: usize| format!("s{row}_{vector}");
    let sums = each(ROWS, &|row| {
        each(VECTORS, &|vector| format!("    var {} = vec4<f32>();\n", cell(row, vector)))
    });
    let a =
        each(ROWS, &|row| format!("        let a{row} = a[(row + {row}u) * {}u + k];\n", n / 4));
    let steps = each(4, &|step| {
        let b = each(VECTORS, &|vector| {
            let row = format!("(4u * k + {step}u) * {}u", n / 4);
            format!("        let b{step}_{vector} = b[{row} + column + {vector}u];\n")
        });
        let sums = each(ROWS, &|row| {
            each(VECTORS, &|vector| {
                let sum = cell(row, vector);
                format!(
                    "        {sum} = fma(vec4<f32>(a{row}[{step}]), b{step}_{vector}, {sum});\n"
                )
            })
        });
        b + &sums
    });
    let store = each(ROWS, &|row| {
        each(VECTORS, &|vector| {
            let at = format!("(row + {row}u) * {}u + column + {vector}u", n / 4);
            format!("    product[{at}] = {};\n", cell(row, vector))
        })
    });
    format!(
        "\
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> product: array<vec4<f32>>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let row = id.y * {ROWS}u;
    let column = id.x * {VECTORS}u;
{sums}
    for (var k = 0u; k < {}u; k++) {{
{a}{steps}    }}
{store}}}",
        n / 4
    )
}

fn prepare(kernels: &str, case: &Case) -> Option<Work> {
    let device = Device::gpu().expect("a GPU adapter");
    let (raw, queue) = device.wgpu().expect("a GPU has wgpu");
    let gpu = Gpu { device: raw.clone(), queue: queue.clone() };
    let groups = |n: usize| [n.div_ceil(1024) as u32, 1];
    let naive = |gpu: &Gpu, name: &str, n: usize| {
        let values = numbers(0, n, if name == "copy" { 1.0 } else { ARGUMENTS });
        let buffers = vec![gpu.storage(&values), gpu.storage(&vec![0.0; n])];
        formula(name).map(|formula| gpu.kernel(&pointwise(formula), &[], buffers, groups(n)))
    };
    // As Activation::kernel_source describes it.
    let same = |gpu: &Gpu, name: &str, n: usize| {
        let activation: Activation = name.parse().expect("an activation");
        let parameters = [n as u32 / 4, 0];
        let parameters = bytemuck::cast_slice(&parameters);
        let buffers = vec![
            gpu.buffer(parameters, wgpu::BufferUsages::UNIFORM),
            gpu.storage(&numbers(0, n, ARGUMENTS)),
            gpu.storage(&vec![0.0; n]),
        ];
        let source = activation.kernel_source(0).expect("a pointwise activation");
        let constants: Vec<(String, f64)> = activation
            .parameters()
            .into_iter()
            .map(|(name, value)| (format!("g_{name}"), value.parse().expect("a number")))
            .collect();
        let constants: Vec<(&str, f64)> =
            constants.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        gpu.kernel(&source, &constants, buffers, groups(n))
    };
    match (kernels, case) {
        ("naive", &Case::Copy(n)) => naive(&gpu, "copy", n).map(|kernel| work(gpu, kernel)),
        ("naive", Case::Forward(name, n)) => naive(&gpu, name, *n).map(|kernel| work(gpu, kernel)),
        ("naive", &Case::Product(n)) if n % 128 == 0 => {
            let operand = |seed| gpu.storage(&numbers(seed, n * n, 1.0));
            let buffers = vec![operand(1), operand(2), gpu.storage(&vec![0.0; n * n])];
            let groups = [(n / 128) as u32, (n / 64) as u32];
            let kernel = gpu.kernel(&product(n), &[], buffers, groups);
            Some(work(gpu, kernel))
        }
        ("same", Case::Forward(name, n)) => {
            let kernel = same(&gpu, name, *n);
            Some(work(gpu, kernel))
        }
        ("same", Case::Overhead) => {
            let kernel = same(&gpu, "sigmoid", 1024);
            Some(overhead(gpu, kernel))
        }
        _ => None,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kernels, arguments) = arguments.split_first().expect("naive or same");
    common::main(arguments, |case| prepare(kernels, case));
}
