// Fills the lines in which a mask keeps nothing.

struct Parameters {
    // The number of lines, their length, and the distance between the elements of one.
    lines: u32,
    zero: u32,
    width: u32,
    inner: u32,
    // The number of the first line in the whole tensor.
    first: u32,
    // The number of elements after which the mask is repeated.
    mask_elements: u32,
    mask_base: u32,
    output_base: u32,
    fill: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let line = (group.y * groups.x + group.x) * 256u + local;
    if (line >= parameters.lines) {
        return;
    }
    let start = line / parameters.inner * parameters.width * parameters.inner + line % parameters.inner;
    let in_mask = parameters.first + start;
    // In two loops: some drivers end long ones.
    for (var block = 0u; block < parameters.width; block = block + 4096u) {
        for (var i = block; i < min(block + 4096u, parameters.width); i = i + 1u) {
            let place = (in_mask + i * parameters.inner) % parameters.mask_elements;
            if (mask[parameters.mask_base + place] != 0.0) {
                return;
            }
        }
    }
    for (var block = 0u; block < parameters.width; block = block + 4096u) {
        for (var i = block; i < min(block + 4096u, parameters.width); i = i + 1u) {
            output[parameters.output_base + start + i * parameters.inner] = parameters.fill;
        }
    }
}
