// celu: g(z) = z for z > 0, alpha·(e^(z / alpha) - 1) for z <= 0

override g_alpha: f32 = 1.0;

fn forward(z: f32) -> f32 {
    let scaled = math_quotient(z, g_alpha);
    // A quotient too small to have all its digits is not used.
    let linear = is_positive(z) || abs(scaled.high) < 1e-9;
    return select(g_alpha * expm1_of(scaled), z, linear);
}

fn derivative(z: f32) -> f32 {
    return select(exp_of(math_quotient(z, g_alpha)), 1.0, is_positive(z));
}

fn second_derivative(z: f32) -> f32 {
    // 0 at the kink and above, as in PyTorch.
    return select(exp_times(math_divide(1.0, g_alpha), math_quotient(z, g_alpha)), 0.0, order(z) >= 0);
}

fn derivative_from_output(y: f32) -> f32 {
    return select(math_divide(y + g_alpha, g_alpha), 1.0, is_positive(y));
}
