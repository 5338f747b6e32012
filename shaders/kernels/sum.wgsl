// Sums of 256 * ROUNDS elements each, in a fixed tree. The kernel is run again on its own output until one
// number is left.

// The number of elements that an invocation adds up.
override ROUNDS: u32 = 16u;

struct Parameters {
    elements: u32,
    zero: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

var<workgroup> exchange: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let chunk = group.y * groups.x + group.x;
    var sum = 0.0;
    for (var i = 0u; i < ROUNDS; i = i + 1u) {
        let index = chunk * 256u * ROUNDS + i * 256u + local;
        if (index < parameters.elements) {
            sum = sum + input[index];
        }
    }
    exchange[local] = sum;
    workgroupBarrier();
    for (var stride = 128u; stride > 0u; stride = stride / 2u) {
        if (local < stride) {
            exchange[local] = exchange[local] + exchange[local + stride];
        }
        workgroupBarrier();
    }
    if (local == 0u && chunk * 256u * ROUNDS < parameters.elements) {
        output[parameters.output_base + chunk] = exchange[0];
    }
}
