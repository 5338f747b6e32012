// silu: g(z) = z / (1 + e^-z)

fn forward(z: f32) -> f32 {
    let q = logistic(bounded(Parts(-z, 0.0), -60.0, 112.0));
    let y = product(split(Parts(max(z, -112.0), 0.0)), q.value) * q.scale;
    return select(y, z, z > 60.0);
}

fn derivative(z: f32) -> f32 {
    return silu_derivative(Parts(z, 0.0));
}

fn second_derivative(z: f32) -> f32 {
    return silu_second(1.0, Parts(z, 0.0));
}
