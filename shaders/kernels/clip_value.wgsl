// Clamps values to [-limit, limit], in place, with four elements for each invocation. NaN stays NaN.

struct Parameters {
    elements: u32,
    zero: u32,
    base: u32,
    limit: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let limit = bitcast<u32>(parameters.limit);
    let start = (group.y * groups.x + group.x) * 1024u;
    let end = min(start + 1024u, parameters.elements);
    for (var i = start + local; i < end; i = i + 256u) {
        let value = values[parameters.base + i];
        // Compares bits: as integers, the magnitudes of numbers have the same order.
        let beyond = (bitcast<u32>(value) & 0x7fffffffu) > limit;
        if (beyond && !is_nan(value)) {
            values[parameters.base + i] = with_sign_of(parameters.limit, value);
        }
    }
}
