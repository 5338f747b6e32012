// hardshrink: g(z) = z for |z| > lambda, else 0

override g_lambda: f32 = 0.5;

fn forward(z: f32) -> f32 {
    return select(0.0, z, is_less(g_lambda, z) || is_less(z, opposite(g_lambda)));
}

fn derivative(z: f32) -> f32 {
    return select(0.0, 1.0, is_less(g_lambda, z) || is_less(z, opposite(g_lambda)));
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return select(0.0, 1.0, order(y) != 0);
}
