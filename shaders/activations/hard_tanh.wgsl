// hard_tanh: g(z) = min(max(z, min), max)

override g_min: f32 = -1.0;
override g_max: f32 = 1.0;

fn forward(z: f32) -> f32 {
    let bounded = select(g_min, z, is_less(g_min, z));
    return select(g_max, bounded, is_less(z, g_max));
}

fn derivative(z: f32) -> f32 {
    return select(0.0, 1.0, is_less(g_min, z) && is_less(z, g_max));
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return derivative(y);
}
