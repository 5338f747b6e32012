// log_sigmoid: g(z) = -ln(1 + e^-z)

fn forward(z: f32) -> f32 {
    return -math_softplus(-z);
}

fn derivative(z: f32) -> f32 {
    return math_sigmoid(-z);
}

fn second_derivative(z: f32) -> f32 {
    return -math_sigmoid_derivative(z);
}

fn derivative_from_output(y: f32) -> f32 {
    return -math_expm1(y);
}
