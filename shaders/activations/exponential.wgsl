// exponential: g(z) = e^z

fn forward(z: f32) -> f32 {
    return math_exp(z);
}

fn derivative(z: f32) -> f32 {
    return math_exp(z);
}

fn second_derivative(z: f32) -> f32 {
    return math_exp(z);
}

fn derivative_from_output(y: f32) -> f32 {
    return y;
}
