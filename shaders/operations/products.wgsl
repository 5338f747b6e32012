// Products with an activation's value or derivative, which is hidden from the compiler: a product with 0 or 1
// would be turned into a selection, for which 0 * infinity is not NaN.

// factor * y for y = forward(z)
fn times_value(factor: f32, y: f32, z: f32) -> f32 {
    return factor * opaque(y);
}

// factor * slope for slope = derivative(z)
fn times_derivative(factor: f32, slope: f32, z: f32) -> f32 {
    return factor * opaque(slope);
}

// factor * slope for slope = derivative_from_output(y)
fn times_derivative_from_output(factor: f32, slope: f32, y: f32) -> f32 {
    return factor * opaque(slope);
}
