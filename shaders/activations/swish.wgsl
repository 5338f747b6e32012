// swish: g(z) = z / (1 + e^(-beta·z))

override g_beta: f32 = 1.0;

fn forward(z: f32) -> f32 {
    return times_sigmoid(z, math_scaled(g_beta, z));
}

fn derivative(z: f32) -> f32 {
    return silu_derivative(math_scaled(g_beta, z));
}

fn second_derivative(z: f32) -> f32 {
    return silu_second(g_beta, math_scaled(g_beta, z));
}
