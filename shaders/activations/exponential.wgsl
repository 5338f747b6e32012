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

fn forward_ranged(y: f32, z: f32) -> Ranged {
    if (is_finite(y)) {
        return ranged(y);
    }
    return ranged_exp(z);
}

fn derivative_ranged(slope: f32, z: f32) -> Ranged {
    return forward_ranged(slope, z);
}

fn derivative_from_output_ranged(slope: f32, y: f32) -> Ranged {
    return ranged(slope);
}
