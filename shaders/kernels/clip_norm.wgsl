// values = factor * values, in place, with four elements for each invocation. The factor, first * 2^second,
// is at most 1; if it is 1, the values stay as they are.

struct Parameters {
    elements: u32,
    zero: u32,
    base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> factors: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let first = factors[0];
    // Scaled in three steps, so that no power of two leaves the range.
    let exponent = i32(factors[1]);
    let high = max(exponent, -126);
    let middle = max(exponent - high, -126);
    let low = exponent - high - middle;
    if (first == 1.0) {
        return;
    }
    let start = (group.y * groups.x + group.x) * 1024u;
    let end = min(start + 1024u, parameters.elements);
    for (var i = start + local; i < end; i = i + 256u) {
        let value = values[parameters.base + i];
        // If any element is infinite, the factor is 0.
        let undefined = is_nan(first) || !is_finite(value);
        let scaled = opaque(opaque(first * value) * power_of_two(high));
        let product = opaque(scaled * power_of_two(middle)) * power_of_two(low);
        values[parameters.base + i] = nan_where(undefined, product);
    }
}
