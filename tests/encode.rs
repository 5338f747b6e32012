//! wgrad's work in the command encoders of a host application.

mod common;

use common::{narrow_wgpu, normal};
use wgrad::{
    Activation, AdamW, Device, Error, Labels, Loss, OutputGradients, OutputLayer, Tensor,
    clip_gradient_norm, wgpu,
};

/// A host application: its own device, a kernel that adds 1 to each number of a buffer, and a way to read one.
struct Host {
    device: wgpu::Device,
    queue: wgpu::Queue,
    add: wgpu::ComputePipeline,
}

impl Host {
    fn new() -> (Self, Device) {
        let (adapter, device, queue) = narrow_wgpu();
        let source = "
            @group(0) @binding(0) var<storage, read_write> numbers: array<f32>;

            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                if (id.x < arrayLength(&numbers)) {
                    numbers[id.x] += 1.0;
                }
            }";
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let add = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let wgrad = Device::from_wgpu(&adapter, device.clone(), queue.clone()).unwrap();
        (Self { device, queue, add }, wgrad)
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&Default::default())
    }

    /// Adds 1 to each number of a tensor's buffer.
    fn add_one(&self, encoder: &mut wgpu::CommandEncoder, tensor: &Tensor) {
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.add.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: tensor.buffer().unwrap().as_entire_binding(),
            }],
        });
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.add);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(tensor.len().div_ceil(64) as u32, 1, 1);
    }

    fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.queue.submit([encoder.finish()]);
    }
}

#[test]
fn a_plan_sees_what_comes_before_it_and_is_seen_by_what_comes_after() {
    let (host, device) = Host::new();
    let z = device.tensor(&[1.0, -3.0, 2.0], [3]).unwrap();
    let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
    let y = plan.outputs();
    device.flush().unwrap();
    let submissions = device.counters().submissions;
    let mut encoder = host.encoder();
    host.add_one(&mut encoder, &z);
    plan.encode(&mut encoder).unwrap();
    host.add_one(&mut encoder, y);
    assert_eq!(device.counters().submissions, submissions);
    host.submit(encoder);
    assert_eq!(device.counters().submissions, submissions);
    assert_eq!(y.to_vec().unwrap(), [3.0, 1.0, 4.0]);
    assert_eq!(z.to_vec().unwrap(), [2.0, -2.0, 3.0]);
}

#[test]
fn writes_and_recorded_work_go_into_the_encoder() {
    let (host, device) = Host::new();
    // More than travels with a batch.
    for count in [3, 100_000] {
        let z = device.zeros([count]).unwrap();
        let plan = device.record(|| Activation::SquaredRelu.forward(&z)).unwrap();
        device.synchronize().unwrap();
        let submissions = device.counters().submissions;
        let values = normal(count, 1.0, 3);
        z.write(&values).unwrap();
        let doubled = Activation::Identity.forward(&z).unwrap();
        let mut encoder = host.encoder();
        plan.encode(&mut encoder).unwrap();
        // Two encoders at a time, submitted in their order.
        z.write(&vec![2.0; count]).unwrap();
        let mut second = host.encoder();
        plan.encode(&mut second).unwrap();
        host.add_one(&mut second, plan.outputs());
        host.submit(encoder);
        host.submit(second);
        assert_eq!(device.counters().submissions, submissions);
        assert_eq!(plan.outputs().to_vec().unwrap(), vec![5.0; count]);
        assert_eq!(doubled.to_vec().unwrap(), values);
    }
}

/// A training step as a plan.
struct Training {
    x: Tensor,
    labels: Labels,
    weights: [Tensor; 2],
    optimizer: AdamW,
}

impl Training {
    fn new(device: &Device) -> Self {
        let tensor = |shape: &[usize], seed| {
            device.tensor(&normal(shape.iter().product(), 0.5, seed), shape).unwrap()
        };
        Self {
            x: tensor(&[16, 9], 1),
            labels: device.labels(&[0; 16]).unwrap(),
            weights: [tensor(&[9, 4], 2), tensor(&[4], 3)],
            optimizer: AdamW::new(0.05),
        }
    }

    fn step(&mut self) -> wgrad::Result<OutputGradients> {
        let [w, b] = &self.weights;
        let loss = Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(3) };
        let layer = OutputLayer::new(Activation::Softmax, loss);
        let gradients = layer.gradients(&self.x, w, Some(b), &self.labels)?;
        clip_gradient_norm(&[&gradients.dw, &gradients.db], 0.5)?;
        self.optimizer.step(&[(w, &gradients.dw), (b, &gradients.db)])?;
        Ok(gradients)
    }
}

fn write(x: &Tensor, labels: &Labels, number: u64) {
    x.write(&normal(16 * 9, 1.0, 10 + number)).unwrap();
    let values: Vec<i32> = (0..16).map(|row| (row * (number as i32 + 1)) % 4).collect();
    labels.write(&values).unwrap();
}

fn rate(number: u64) -> f32 {
    0.05 / (1.0 + 0.1 * number as f32)
}

#[test]
fn training_in_frames_has_the_bits_of_training_without() {
    let (host, device) = Host::new();
    let (mut called, mut framed) = (Training::new(&device), Training::new(&device));
    let (x, labels) = (framed.x.clone(), framed.labels.clone());
    called.step().unwrap();
    let plan = device.record(|| framed.step()).unwrap();
    device.synchronize().unwrap();
    let before = (device.counters(), device.memory().tensors.current_bytes);
    for number in 0..200 {
        framed.optimizer.set_learning_rate(rate(number));
        write(&x, &labels, number);
        let mut encoder = host.encoder();
        plan.encode(&mut encoder).unwrap();
        host.submit(encoder);
    }
    let after = device.counters();
    assert_eq!(after.submissions, before.0.submissions);
    assert_eq!((after.waits, after.pipelines), (before.0.waits, before.0.pipelines));
    assert_eq!(device.memory().tensors.current_bytes, before.1);
    for number in 0..200 {
        called.optimizer.set_learning_rate(rate(number));
        write(&called.x, &called.labels, number);
        called.step().unwrap();
    }
    for (found, expected) in framed.weights.iter().zip(&called.weights) {
        assert_eq!(found.to_vec().unwrap(), expected.to_vec().unwrap());
    }
}

#[test]
fn work_that_is_no_plan_is_encoded() {
    let (host, device) = Host::new();
    let z = device.tensor(&[1.0, -3.0], [2]).unwrap();
    device.synchronize().unwrap();
    let submissions = device.counters().submissions;
    let mut encoder = host.encoder();
    host.add_one(&mut encoder, &z);
    let y = device.encode(&mut encoder, || {
        let mut y = Activation::Relu.forward(&z)?;
        // More than a batch of wgrad's holds.
        for _ in 0..600 {
            y = Activation::Identity.forward(&y)?;
        }
        Ok(y)
    });
    let y = y.unwrap();
    host.add_one(&mut encoder, &y);
    assert_eq!(device.counters().submissions, submissions);
    host.submit(encoder);
    assert_eq!(y.to_vec().unwrap(), [3.0, 1.0]);

    // What fails leaves the encoder and the device as they were.
    let mut encoder = host.encoder();
    let error =
        device.encode(&mut encoder, || Activation::Relu.forward_into(&z, &device.zeros([3])?));
    assert!(matches!(error, Err(Error::ShapeMismatch { .. })));
    let error = device.encode(&mut encoder, || {
        (0..10_000).try_for_each(|_| Activation::Relu.forward_into(&z, &y))
    });
    assert!(error.unwrap_err().to_string().contains("record a plan"));
    host.submit(encoder);
    Activation::Relu.forward_into(&z, &y).unwrap();
    assert_eq!(y.to_vec().unwrap(), [2.0, 0.0]);
}

#[test]
fn what_cannot_be_encoded_is_an_error() {
    let (host, device) = Host::new();
    let mut encoder = host.encoder();
    let cpu = Device::cpu();
    let plan = cpu.record(|| cpu.zeros([2])).unwrap();
    for error in
        [plan.encode(&mut encoder).unwrap_err(), cpu.encode(&mut encoder, || Ok(())).unwrap_err()]
    {
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
    let z = device.tensor(&[1.0], [1]).unwrap();
    let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
    let nested = device.record(|| plan.encode(&mut encoder));
    assert!(matches!(nested, Err(Error::Unsupported { .. })));
    // Labels that the loss does not have: nothing is encoded.
    let labels = device.labels(&[0]).unwrap();
    let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
    let (x, w) = (device.zeros([1, 2]).unwrap(), device.zeros([2, 3]).unwrap());
    let plan = device.record(|| layer.gradients(&x, &w, None, &labels)).unwrap();
    labels.write(&[7]).unwrap();
    assert!(matches!(plan.encode(&mut encoder), Err(Error::InvalidLabel { .. })));
    labels.write(&[2]).unwrap();
    plan.encode(&mut encoder).unwrap();
    // A buffer that the host has destroyed.
    let buffer = host.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let shared = device.tensor_from_buffer(buffer.clone(), [4]).unwrap();
    let gone = device.record(|| Activation::Tanh.forward(&shared)).unwrap();
    buffer.destroy();
    assert!(matches!(gone.encode(&mut encoder), Err(Error::Gpu { .. })));
    host.submit(encoder);
    assert!((plan.outputs().loss.item().unwrap() - 3.0_f32.ln()).abs() < 1e-6);
}
