// The sums of rows, in segments: segment i of a row is the sum of its elements from i * segment on. The kernel
// is run again on its own output until a row has one segment.

struct Parameters {
    // The number of segments in all, and in a row.
    count: u32,
    segments: u32,
    segment: u32,
    width: u32,
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
    let at = place(group, groups, local);
    let inside = at.row < parameters.count;
    let row = at.row / parameters.segments;
    let start = at.row % parameters.segments * parameters.segment;
    let end = select(0u, min(start + parameters.segment, parameters.width), inside);
    var sum = Sum(0.0, 0.0);
    for (var i = start + at.lane; i < end; i = i + LANES) {
        sum = add(sum, input[parameters.input_base + row * parameters.width + i]);
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    if (inside && at.lane == 0u) {
        output[parameters.output_base + at.row] = total;
    }
}
