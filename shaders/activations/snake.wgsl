// snake: g(z) = z + sin^2(a·z) / a; z for a = 0

override g_a: f32 = 1.0;

fn forward(z: f32) -> f32 {
    let angle = math_scaled(g_a, z);
    let s = angle_sin(reduce(angle, false), 0u);
    let square = math_product(s.high, s.high);
    let ratio = math_quotient(square.high, g_a);
    let low = ratio.low + (square.low + 2.0 * s.high * s.low) / g_a;
    let y = opaque(z + ratio.high);
    // The rounding error of the sum, whichever term is larger.
    let larger = max(abs(z), abs(ratio.high)) == abs(z);
    let lost = select(opaque(ratio.high - y) + z, opaque(z - y) + ratio.high, larger);
    // If the angle overflows, the wave is negligible beside z.
    return select(y + (lost + low), z, g_a == 0.0 || is_infinite(angle.high));
}

fn derivative(z: f32) -> f32 {
    // 1 + sin 2az = 2 sin^2(az + pi/4), without the cancellation.
    let angle = math_scaled(g_a, z);
    let s = angle_sin(reduce(angle, true), 0u).high;
    let y = select(2.0 * s * s, 1.0, angle.high == 0.0);
    return nan_where(is_infinite(angle.high), y);
}

fn second_derivative(z: f32) -> f32 {
    // cos 2az = 2 sin(az + pi/4)·cos(az + pi/4): 2az may overflow.
    let angle = math_scaled(g_a, z);
    let shifted = reduce(angle, true);
    let cosine = 2.0 * (angle_sin(shifted, 0u).high * angle_sin(shifted, 1u).high);
    let y = 2.0 * g_a * select(cosine, 1.0, angle.high == 0.0);
    return nan_where(is_infinite(angle.high), y);
}
