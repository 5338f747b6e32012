// silu: g(z) = z / (1 + e^-z)

fn forward(z: f32) -> f32 {
    let q = logistic(bounded(Parts(-z, 0.0), -60.0, 130.0));
    return select(product_with(max(z, -130.0), q), z, z > 60.0);
}

fn derivative(z: f32) -> f32 {
    return silu_derivative(Parts(z, 0.0));
}

fn second_derivative(z: f32) -> f32 {
    return silu_second(1.0, Parts(z, 0.0));
}
