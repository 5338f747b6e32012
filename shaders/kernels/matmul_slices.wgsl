// The end of a matrix product, forward(a · b + bias), whose inner dimension was cut into slices: adds up the
// sums of the slices in order, then adds the bias and applies the activation.

struct Parameters {
    rows: u32,
    columns: u32,
    slices: u32,
    zero: u32,
    sums_base: u32,
    bias_base: u32,
    output_base: u32,
    output_stride: u32,
    biased: u32,
    accumulates: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + local;
    let elements = parameters.rows * parameters.columns;
    if (index >= elements) {
        return;
    }
    var z = 0.0;
    for (var slice = 0u; slice < parameters.slices; slice = slice + 1u) {
        z = z + sums[parameters.sums_base + slice * elements + index];
    }
    let column = index % parameters.columns;
    let at = parameters.output_base + index / parameters.columns * parameters.output_stride + column;
    if (parameters.accumulates == 1u) {
        z = z + output[at];
    }
    if (parameters.biased == 1u) {
        z = z + bias[parameters.bias_base + column];
    }
    output[at] = nan_where(is_nan(z), forward(z));
}
