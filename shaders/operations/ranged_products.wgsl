// Products with an activation's value or derivative, which may be beyond f32 where the product is not. It is
// hidden, so that a product with 0 or 1 is not turned into a selection that loses 0 * infinity.

// factor * y for y = forward(z)
fn times_value(factor: f32, y: f32, z: f32) -> f32 {
    if (is_infinite(y) && is_finite(z)) {
        return unranged(ranged_product(ranged(factor), forward_ranged(y, z)));
    }
    return factor * opaque(y);
}

// factor * slope for slope = derivative(z)
fn times_derivative(factor: f32, slope: f32, z: f32) -> f32 {
    if (is_infinite(slope) && is_finite(z)) {
        return unranged(ranged_product(ranged(factor), derivative_ranged(slope, z)));
    }
    return factor * opaque(slope);
}

// factor * slope for slope = derivative_from_output(y)
fn times_derivative_from_output(factor: f32, slope: f32, y: f32) -> f32 {
    if (is_infinite(slope) && is_finite(y)) {
        return unranged(ranged_product(ranged(factor), derivative_from_output_ranged(slope, y)));
    }
    return factor * opaque(slope);
}
