// Counts a step of Adam for each weight, and computes its factors that depend on the number of steps t:
//   step_size = learning_rate / (1 - beta1^t);  root_scale = 1 / sqrt(1 - beta2^t)
// from a table of 1 / (1 - beta1^t), then of root_scale, up to the t from which both are 1.

struct Parameters {
    entries: u32,
    zero: u32,
    weights: u32,
    // The number of words from one weight to the next.
    slot: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> settings: array<f32>;
@group(0) @binding(2) var<storage, read> corrections: array<f32>;
// For each weight the number of steps, step_size and root_scale.
@group(0) @binding(3) var<storage, read_write> progress: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let weight = (group.y * groups.x + group.x) * 256u + local;
    if (weight >= parameters.weights) {
        return;
    }
    let first = weight * parameters.slot;
    let steps = progress[first] + 1u;
    let entry = min(steps, parameters.entries) - 1u;
    progress[first] = steps;
    progress[first + 1u] = bitcast<u32>(settings[0] * corrections[entry]);
    progress[first + 2u] = bitcast<u32>(corrections[parameters.entries + entry]);
}
