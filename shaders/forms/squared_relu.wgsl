// squared_relu: the forms are computed from z, because its square may underflow or overflow.

fn forms(z: f32) -> Forms {
    var found = forms_of(forward(z), derivative(z));
    if (is_positive(z)) {
        found.log = 2.0 * math_log(z);
        found.log_slope = math_divide(2.0, z);
    }
    // 1 - z^2 is computed from z, because the square may be close to 1.
    if (z > 0.7) {
        found.rest = (1.0 - z) * (1.0 + z);
        found.log_rest = math_log(found.rest);
        found.rest_slope = math_divide(found.slope, found.rest);
    }
    return found;
}
