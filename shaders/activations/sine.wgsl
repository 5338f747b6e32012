// sine: g(z) = sin(omega·z)

override g_omega: f32 = 1.0;

fn forward(z: f32) -> f32 {
    return sin_of(math_scaled(g_omega, z));
}

fn derivative(z: f32) -> f32 {
    return g_omega * cos_of(math_scaled(g_omega, z));
}

fn second_derivative(z: f32) -> f32 {
    return -(g_omega * g_omega) * sin_of(math_scaled(g_omega, z));
}
