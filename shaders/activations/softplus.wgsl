// softplus: g(z) = ln(1 + e^(beta·z)) / beta; z if beta·z > threshold

override g_beta: f32 = 1.0;
override g_threshold: f32 = 20.0;

fn is_over(scaled: Parts) -> bool {
    if (g_beta == 1.0) {
        return scaled.high > g_threshold;
    }
    return is_positive(opaque(scaled.high - g_threshold) + scaled.low);
}

fn forward(z: f32) -> f32 {
    if (NUMBERS_ARE_CONSTANTS && g_beta == 1.0 && g_threshold > 17.0) {
        // From 17 on, the curve equals the line to the last bit.
        return math_softplus(z);
    }
    let scaled = math_scaled(g_beta, z);
    return select(math_divide(softplus_of(scaled), g_beta), z, is_over(scaled));
}

fn derivative(z: f32) -> f32 {
    let scaled = math_scaled(g_beta, z);
    return select(sigmoid_of(scaled), 1.0, is_over(scaled));
}

fn second_derivative(z: f32) -> f32 {
    let scaled = math_scaled(g_beta, z);
    return select(sigmoid_slope(g_beta, scaled), 0.0, is_over(scaled));
}

fn derivative_from_output(y: f32) -> f32 {
    let scaled = math_product(g_beta, y);
    return select(-expm1_of(negative(scaled)), 1.0, scaled.high > g_threshold);
}
