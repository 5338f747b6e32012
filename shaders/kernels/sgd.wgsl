// A step of stochastic gradient descent, in place, with four elements for each invocation:
//   g = gradient + weight_decay * p;  p = p - learning_rate * v
// where sgd_momentum.wgsl or sgd_plain.wgsl defines v, and sgd_host.wgsl or sgd_device.wgsl has the factors.

struct Factors {
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
}

@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + lane;
    if (index >= parameters.vectors) {
        return;
    }
    let weight = weights[index];
    let by = factors();
    let slope = gradients[index] + parts(by.weight_decay, weight);
    weights[index] = weight - parts(by.learning_rate, velocity_of(index, slope, by.momentum));
}
