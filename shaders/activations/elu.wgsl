// elu: g(z) = z for z > 0, alpha·(e^z - 1) for z <= 0

override g_alpha: f32 = 1.0;

fn forward(z: f32) -> f32 {
    return select(g_alpha * math_expm1(min(z, 0.0)), z, is_positive(z));
}

fn derivative(z: f32) -> f32 {
    return select(math_exp_times(g_alpha, min(z, 0.0)), 1.0, is_positive(z));
}

fn second_derivative(z: f32) -> f32 {
    // 0 at the kink and above, as in PyTorch.
    return select(math_exp_times(g_alpha, min(z, 0.0)), 0.0, order(z) >= 0);
}

fn derivative_from_output(y: f32) -> f32 {
    return select(y + g_alpha, 1.0, is_positive(y));
}
