// scaled_tanh: close to a and -a, a (1 - |tanh|) = g' / (b (1 + |tanh|)).

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    let ratio = math_divide(y, g_a);
    let one = with_sign_of(1.0, ratio);
    let offset = -math_divide(slope, g_b * (one + ratio));
    return near_limit(abs(ratio) > 0.5, g_a * one, offset, y);
}

fn forms(z: f32) -> Forms {
    if (g_a == 1.0) {
        return forms_of_tanh(math_scaled(g_b, z), g_b);
    }
    // For other a, the limits of y are not singularities of the logarithms.
    return forms_of(forward(z), derivative(z));
}
