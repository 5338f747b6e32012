// Computes the norm from the maxima and square sums of all chunks, and the factor that keeps it within its
// limit. Runs as one workgroup.

struct Parameters {
    chunks: u32,
    zero: u32,
    max_norm: f32,
    // max_norm as mantissa * 2^exponent, if it is finite. The mantissa is 0 or from 1 to 2.
    mantissa: f32,
    exponent: i32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> chunks: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;

// min(1, max_norm / (norm + 1e-6)) as first * 2^second, as the factor may be out of the range of f32. If it
// is less than 1, first is from a half to 1, so that no product with it overflows.
fn factors_of(norm: f32) -> vec2<f32> {
    let limit = parameters.max_norm;
    let total = norm + 1e-6;
    let power = exponent_of(total);
    // The divisor is scaled to twice its mantissa, so the quotient is from a quarter to 1.
    let quotient = math_divide(parameters.mantissa, scaled_to(power, total));
    let small = quotient < 0.5;
    let ratio = select(quotient, 2.0 * quotient, small);
    let exponent = parameters.exponent - (power - 127) + select(1, 0, small);
    let undefined = is_nan(norm) || (is_infinite(limit) && is_infinite(total));
    if (undefined || limit >= total) {
        return vec2<f32>(nan_where(undefined, 1.0), 0.0);
    }
    return select(vec2<f32>(ratio, f32(exponent)), vec2<f32>(), is_infinite(total));
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
        // Squares have twice the exponent. Nothing is left of numbers far below the maximum.
        let distance = min(exponent - exponent_of(chunks[2u * i]), 60);
        sum = add(sum, chunks[2u * i + 1u] * power_of_two(-2 * distance));
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    if (at.lane == 0u) {
        // Scaled in two steps, so that no power of two leaves the range.
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
