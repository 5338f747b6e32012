// hard_swish: g(z) = z·min(max(z/6 + 1/2, 0), 1)

fn forward(z: f32) -> f32 {
    let middle = z * opaque(opaque(z + 3.0) * 0.16666667);
    let upper = select(z, middle, z < 3.0);
    return select(0.0, upper, z > -3.0);
}

fn derivative(z: f32) -> f32 {
    // A driver may distribute the factor over the sum; the products then cancel and leave their rounding errors.
    let middle = opaque(z + z + 3.0) * 0.16666667;
    let upper = select(1.0, middle, z < 3.0);
    return select(0.0, upper, z > -3.0);
}

fn second_derivative(z: f32) -> f32 {
    return select(0.0, 0.33333334, z > -3.0 && z < 3.0);
}
