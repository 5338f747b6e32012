// hard_sigmoid: g(z) = min(max(slope·z + offset, 0), 1)

override g_slope: f32 = 0.16666667;
override g_offset: f32 = 0.5;

// Whether this is relu6(z + 3)/6. Its slope, 1/6, is not a float: the default is the nearest one.
fn is_default() -> bool {
    return g_slope == 0.16666667 && g_offset == 0.5;
}

// (z + 3)/6, accurate to the last digit between the bounds.
fn default_line(z: f32) -> f32 {
    let near = clamp(z, -4.0, 4.0);
    let sum = opaque(near + 3.0);
    let lost = near - opaque(sum - 3.0);
    // 1/6 = 0.16666667 - 4.967054e-9
    return math_multiply_add(sum, 0.16666667, sum * -4.967053e-9 + lost * 0.16666667);
}

fn line(z: f32) -> f32 {
    if (is_default()) {
        return default_line(z);
    }
    // With a slope of 0, the limit of slope·z at infinity is 0, but the product is NaN.
    return select(math_multiply_add(g_slope, z, g_offset), g_offset, g_slope == 0.0);
}

// Whether the line is below 1 before rounding, which takes the last numbers before the kink to 1.
fn is_below_one(z: f32) -> bool {
    if (is_default()) {
        return z < 3.0;
    }
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
