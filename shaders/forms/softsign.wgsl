// softsign: close to 1 and -1, 1 - |y| = 1 / (1 + |z|).

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    let one = with_sign_of(1.0, y);
    return near_limit(abs(y) > 0.5, one, -math_divide(one, 1.0 + abs(z)), y);
}

fn forms(z: f32) -> Forms {
    var found = forms_of(forward(z), derivative(z));
    let large = z > 1.0;
    found.log = select(found.log, -math_log1p(math_divide(1.0, max(z, 1.0))), large);
    if (order(z) >= 0) {
        let rest = math_divide(1.0, 1.0 + z);
        found.rest = rest;
        found.log_rest = -math_log1p(z);
        found.rest_slope = rest;
    }
    return found;
}
