// leaky_relu: g(z) = z for z > 0, slope·z for z <= 0

override g_slope: f32 = 0.01;

fn forward(z: f32) -> f32 {
    // With a slope of 0, the limit of slope·z at minus infinity is 0, but the product is NaN.
    let scaled = select(g_slope * z, 0.0, g_slope == 0.0);
    return select(scaled, z, is_positive(z));
}

fn derivative(z: f32) -> f32 {
    return select(g_slope, 1.0, is_positive(z));
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
    return ranged_product(ranged(g_slope), ranged(z));
}

fn derivative_ranged(slope: f32, z: f32) -> Ranged {
    return ranged(slope);
}

fn derivative_from_output_ranged(slope: f32, y: f32) -> Ranged {
    return ranged(slope);
}
