// relu6: g(z) = min(max(z, 0), 6)

fn forward(z: f32) -> f32 {
    let positive = select(0.0, z, is_positive(z));
    return select(6.0, positive, z < 6.0);
}

fn derivative(z: f32) -> f32 {
    return select(0.0, 1.0, is_positive(z) && z < 6.0);
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return derivative(y);
}
