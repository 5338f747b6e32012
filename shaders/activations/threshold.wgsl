// threshold: g(z) = z for z > threshold, else value

override g_threshold: f32 = 0.0;
override g_value: f32 = 0.0;

fn forward(z: f32) -> f32 {
    return select(g_value, z, is_less(g_threshold, z));
}

fn derivative(z: f32) -> f32 {
    return select(0.0, 1.0, is_less(g_threshold, z));
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return derivative(y);
}
