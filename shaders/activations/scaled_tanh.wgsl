// scaled_tanh: g(z) = a·tanh(b·z)

override g_a: f32 = 1.7159;
override g_b: f32 = 0.6666667;

// Hidden from the compiler, because a constant must not overflow f32.
fn slope_at_zero() -> f32 {
    return opaque(g_a) * g_b;
}

// Whether the slope leads to 0 * infinity at some z.
fn has_no_line(slope: f32) -> bool {
    return g_b == 0.0 || is_infinite(slope);
}

fn forward(z: f32) -> f32 {
    let scaled = math_scaled(g_b, z);
    let slope = slope_at_zero();
    let line = select(slope * z, g_a * scaled.high, has_no_line(slope));
    // A product too small to have all its digits is not used.
    return select(g_a * tanh_of(scaled), line, abs(scaled.high) < TINY);
}

fn derivative(z: f32) -> f32 {
    return tanh_slope(slope_at_zero(), math_scaled(g_b, z));
}

fn second_derivative(z: f32) -> f32 {
    let scaled = math_scaled(g_b, z);
    let factor = -2.0 * slope_at_zero() * g_b;
    let curved = tanh_slope(factor * tanh_of(scaled), scaled);
    let slope = factor * g_b;
    let steep = -2.0 * (g_a * (g_b * (g_b * scaled.high)));
    let line = select(slope * z, steep, has_no_line(slope));
    return select(curved, line, abs(scaled.high) < TINY);
}

fn derivative_from_output(y: f32) -> f32 {
    // b·(a^2 - y^2) / a, with the squares in two parts.
    let a_square = math_product(g_a, g_a);
    let y_square = math_product(y, y);
    let difference = opaque(a_square.high - y_square.high) + (a_square.low - y_square.low);
    return math_divide(g_b * difference, g_a);
}

fn forward_ranged(y: f32, z: f32) -> Ranged {
    return ranged(y);
}

// For a * b that overflows f32.
fn derivative_ranged(slope: f32, z: f32) -> Ranged {
    let unit = ranged(tanh_slope(1.0, math_scaled(g_b, z)));
    return ranged_product(unit, ranged_product(ranged(g_a), ranged(g_b)));
}

fn derivative_from_output_ranged(slope: f32, y: f32) -> Ranged {
    return ranged(slope);
}
