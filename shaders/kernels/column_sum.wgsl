// Sums over CHUNK rows at a time, column by column, in a fixed order. The kernel is run again on its own
// output until one row is left.

override CHUNK: u32 = 64u;

struct Parameters {
    rows: u32,
    width: u32,
    zero: u32,
    input_base: u32,
    output_base: u32,
    // Whether the sums are added to what the output holds.
    accumulates: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + local;
    let chunks = max((parameters.rows + CHUNK - 1u) / CHUNK, 1u);
    if (index >= chunks * parameters.width) {
        return;
    }
    let column = index % parameters.width;
    let first = (index / parameters.width) * CHUNK;
    let last = min(first + CHUNK, parameters.rows);
    var sum = 0.0;
    for (var row = first; row < last; row = row + 1u) {
        sum = sum + input[parameters.input_base + row * parameters.width + column];
    }
    if (parameters.accumulates == 1u) {
        sum = sum + output[parameters.output_base + index];
    }
    output[parameters.output_base + index] = sum;
}
