// hard_sigmoid: g(z) = min(max(slope·z + offset, 0), 1)

override g_slope: f32 = 0.16666667;
override g_offset: f32 = 0.5;

fn line(z: f32) -> f32 {
    // A slope of 0 has the limit 0 at infinity, where the product has none.
    return select(math_multiply_add(g_slope, z, g_offset), g_offset, g_slope == 0.0);
}

// Whether the line is, before it is rounded: to 1, for the last numbers before the kink.
fn is_below_one(z: f32) -> bool {
    let shifted = opaque(g_offset - 1.0);
    let lost = g_offset - opaque(shifted + 1.0);
    let below = math_multiply_add(g_slope, z, shifted) + lost < 0.0;
    return select(below, g_offset < 1.0, g_slope == 0.0);
}

fn forward(z: f32) -> f32 {
    let l = line(z);
    let positive = select(0.0, l, is_positive(l));
    return select(1.0, positive, l < 1.0);
}

fn derivative(z: f32) -> f32 {
    return select(0.0, g_slope, is_positive(line(z)) && is_below_one(z));
}

fn second_derivative(z: f32) -> f32 {
    return 0.0;
}

fn derivative_from_output(y: f32) -> f32 {
    return select(0.0, g_slope, is_positive(y) && y < 1.0);
}
