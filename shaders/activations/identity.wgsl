// identity: g(z) = z

fn forward(z: f32) -> f32 {
    return z;
}

fn derivative(z: f32) -> f32 {
    return 1.0;
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return 1.0;
}
