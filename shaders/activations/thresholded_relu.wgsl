// thresholded_relu: g(z) = z for z > alpha, else 0

override g_alpha: f32 = 1.0;

fn forward(z: f32) -> f32 {
    return select(0.0, z, is_less(g_alpha, z));
}

fn derivative(z: f32) -> f32 {
    return select(0.0, 1.0, is_less(g_alpha, z));
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return derivative(y);
}
