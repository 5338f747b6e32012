// Counts a step of Adam, and computes its factors that depend on the number of steps t:
//   step_size = learning_rate / (1 - beta1^t);  root_scale = 1 / sqrt(1 - beta2^t)
// from a table of 1 / (1 - beta1^t), then of root_scale, up to the t from which both are 1.

struct Parameters {
    entries: u32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> settings: array<f32>;
@group(0) @binding(2) var<storage, read> corrections: array<f32>;
// The number of steps, step_size and root_scale.
@group(0) @binding(3) var<storage, read_write> progress: array<u32>;

@compute @workgroup_size(1)
fn main() {
    opaque_zero = parameters.zero;
    let steps = progress[0] + 1u;
    let entry = min(steps, parameters.entries) - 1u;
    progress[0] = steps;
    progress[1] = bitcast<u32>(settings[0] * corrections[entry]);
    progress[2] = bitcast<u32>(corrections[parameters.entries + entry]);
}
