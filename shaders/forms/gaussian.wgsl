// gaussian: y is close to 1 around z = 0. The forms are computed from z^2.

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    let near = abs(z) < 0.8;
    let square = math_product(select(0.8, z, near), select(0.8, z, near));
    return near_limit(near, 1.0, expm1_of(negative(square)), y);
}

fn forms(z: f32) -> Forms {
    let square = math_product(z, z);
    var found = forms_of_power(negative(square), -2.0 * z);
    // The derivative keeps to the range in which the exponential is not zero.
    found.slope = derivative(z);
    // Here the square would be too small to have all its digits.
    if (abs(z) < 1e-10) {
        found.log_rest = 2.0 * math_log(abs(z));
        found.rest_slope = -math_divide(2.0, z);
    }
    return found;
}
