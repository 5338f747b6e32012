// The greatest magnitude of each chunk of elements, and the sum of their squares, scaled by that magnitude and
// added up in a fixed tree: two numbers for each chunk.

// The number of elements that a workgroup adds up.
override CHUNK: u32 = 4096u;

struct Parameters {
    elements: u32,
    zero: u32,
    input_base: u32,
    output_base: u32,
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
    // Here a chunk is a row of the workgroup.
    let at = place(group, groups, local);
    let start = at.row * CHUNK;
    let end = min(start + CHUNK, parameters.elements);
    var greatest = 0.0;
    for (var i = start + at.lane; i < end; i = i + LANES) {
        greatest = greater(greatest, magnitude_of(input[parameters.input_base + i]));
    }
    let maximum = reduce_maximum(greatest, at);
    let exponent = exponent_of(maximum);
    var sum = Sum(0.0, 0.0);
    for (var i = start + at.lane; i < end; i = i + LANES) {
        let x = scaled_to(exponent, magnitude_of(input[parameters.input_base + i]));
        sum = add(sum, x * x);
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    if (at.lane == 0u && start < parameters.elements) {
        output[parameters.output_base + 2u * at.row] = maximum;
        output[parameters.output_base + 2u * at.row + 1u] = total;
    }
}
