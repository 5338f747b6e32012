// tanh: g(z) = (e^z - e^-z) / (e^z + e^-z)

fn forward(z: f32) -> f32 {
    return math_tanh(z);
}

fn derivative(z: f32) -> f32 {
    return math_tanh_derivative(z);
}

fn second_derivative(z: f32) -> f32 {
    return slope_above(-8.0 * math_tanh(z), Parts(2.0 * abs(z), 0.0));
}

fn derivative_from_output(y: f32) -> f32 {
    return (1.0 - y) * (1.0 + y);
}
