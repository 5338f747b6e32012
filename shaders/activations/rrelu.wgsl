// rrelu: g(z) = z for z > 0, the mean slope times z for z <= 0

override g_lower: f32 = 0.125;
override g_upper: f32 = 0.33333334;

fn slope() -> f32 {
    // Half of each, because the sum of the bounds may overflow; hidden, so that a driver does not halve that sum.
    return opaque(0.5 * g_lower) + 0.5 * g_upper;
}

fn forward(z: f32) -> f32 {
    // With a slope of 0, the limit of slope·z at minus infinity is 0, but the product is NaN.
    let scaled = select(slope() * z, 0.0, slope() == 0.0);
    return select(scaled, z, is_positive(z));
}

fn derivative(z: f32) -> f32 {
    return select(slope(), 1.0, is_positive(z));
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return derivative(y);
}

fn forward_ranged(y: f32, z: f32) -> Ranged {
    if (is_finite(y)) {
        return ranged(y);
    }
    return ranged_product(ranged(slope()), ranged(z));
}

fn derivative_ranged(slope: f32, z: f32) -> Ranged {
    return ranged(slope);
}

fn derivative_from_output_ranged(slope: f32, y: f32) -> Ranged {
    return ranged(slope);
}
