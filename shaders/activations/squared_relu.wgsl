// squared_relu: g(z) = z^2 for z > 0, else 0

fn forward(z: f32) -> f32 {
    return select(0.0, z * z, is_positive(z));
}

fn derivative(z: f32) -> f32 {
    return select(0.0, z + z, is_positive(z));
}

fn second_derivative(z: f32) -> f32 {
    return select(0.0, 2.0, is_positive(z));
}

fn derivative_from_output(y: f32) -> f32 {
    return select(0.0, 2.0 * math_sqrt(y), is_positive(y));
}

fn forward_ranged(y: f32, z: f32) -> Ranged {
    return ranged_product(ranged(z), ranged(select(0.0, z, is_positive(z))));
}

fn derivative_ranged(slope: f32, z: f32) -> Ranged {
    return ranged_power(ranged(select(0.0, z, is_positive(z))), 1);
}

fn derivative_from_output_ranged(slope: f32, y: f32) -> Ranged {
    return ranged(slope);
}
