// sigmoid: g(z) = 1 / (1 + e^-z)

fn forward(z: f32) -> f32 {
    return math_sigmoid(z);
}

fn derivative(z: f32) -> f32 {
    return math_sigmoid_derivative(z);
}

fn second_derivative(z: f32) -> f32 {
    // 1 - 2p = -tanh(z/2), without the cancellation near z = 0.
    return slope_above(-math_tanh(0.5 * z), Parts(abs(z), 0.0));
}

fn derivative_from_output(y: f32) -> f32 {
    return y * (1.0 - y);
}
