// The Jacobian of each row, from y = g(z): output[row, i, j] = dy_i / dz_j.

struct Parameters {
    elements: u32,
    width: u32,
    zero: u32,
    y_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + local;
    if (index >= parameters.elements) {
        return;
    }
    let width = parameters.width;
    let j = index % width;
    let i = (index / width) % width;
    let row = parameters.y_base + (index / (width * width)) * width;
    let y_i = y[row + i];
    let y_j = y[row + j];
    let value = jacobian(y_i, y_j, i == j);
    output[parameters.output_base + index] = nan_where(is_nan(y_i) || is_nan(y_j), value);
}
