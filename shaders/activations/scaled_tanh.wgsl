// scaled_tanh: g(z) = a·tanh(b·z)

override g_a: f32 = 1.7159;
override g_b: f32 = 0.6666667;

fn forward(z: f32) -> f32 {
    return g_a * tanh_of(math_product(g_b, z));
}

fn derivative(z: f32) -> f32 {
    return tanh_slope(g_a * g_b, math_product(g_b, z));
}

fn second_derivative(z: f32) -> f32 {
    let scaled = math_product(g_b, z);
    return tanh_slope(-2.0 * (g_a * g_b) * g_b * tanh_of(scaled), scaled);
}

fn derivative_from_output(y: f32) -> f32 {
    // b·(a^2 - y^2) / a, with squares in parts.
    let a_square = math_product(g_a, g_a);
    let y_square = math_product(y, y);
    let difference = opaque(a_square.high - y_square.high) + (a_square.low - y_square.low);
    return math_divide(g_b * difference, g_a);
}
