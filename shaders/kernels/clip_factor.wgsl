// From the maxima and square sums of all chunks the norm, and the factor that keeps it to its limit. One
// workgroup.

struct Parameters {
    chunks: u32,
    zero: u32,
    max_norm: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> chunks: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;

// min(1, max_norm / (norm + 1e-6)) as the product of two: one factor alone may be subnormal, and flushed.
fn factors_of(norm: f32) -> vec2<f32> {
    let limit = parameters.max_norm;
    let total = norm + 1e-6;
    // By 2^60 and back.
    let tiny = limit < total * SMALL;
    let raised = limit * select(1.0, 1.152921504606847e18, tiny);
    // The reciprocal of a great divisor may be flushed, too: 2^-30 keeps it in range.
    let shrink = select(1.0, 9.313225746154785e-10, total > 1e30);
    let ratio = select(math_divide(raised * shrink, total * shrink), 0.0, is_infinite(total));
    let undefined = is_nan(norm) || (is_infinite(limit) && is_infinite(total));
    let first = nan_where(undefined, select(ratio, 1.0, limit >= total));
    return vec2<f32>(first, select(1.0, 8.673617379884035e-19, tiny));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    var greatest = 0.0;
    for (var i = at.lane; i < parameters.chunks; i = i + LANES) {
        greatest = greater(greatest, chunks[2u * i]);
    }
    let maximum = reduce_maximum(greatest, at);
    let exponent = exponent_of(maximum);
    var sum = Sum(0.0, 0.0);
    for (var i = at.lane; i < parameters.chunks; i = i + LANES) {
        // Squares have twice the exponent. Nothing is left of what lies far below.
        let distance = min(exponent - exponent_of(chunks[2u * i]), 60);
        sum = add(sum, chunks[2u * i + 1u] * power_of_two(-2 * distance));
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    if (at.lane == 0u) {
        // In two steps, so that no power leaves the range.
        let half = (exponent - 128) >> 1u;
        let scaled = opaque(math_sqrt(total) * power_of_two(half));
        var value = scaled * power_of_two(exponent - 128 - half);
        value = select(value, infinity(), is_infinite(maximum));
        value = nan_where(is_nan(maximum), value);
        norm[0] = value;
        let found = factors_of(value);
        factors[0] = found.x;
        factors[1] = found.y;
    }
}
