// softplus: if y is as small as e^(beta·z), which may underflow, the forms are computed from z.

fn forms(z: f32) -> Forms {
    var found = forms_of(forward(z), derivative(z));
    let scaled = math_scaled(g_beta, z);
    if (scaled.high < -16.0 && !is_over(scaled)) {
        // ln(1 + e) = e·curve
        let e = exp_of(scaled);
        let curve = 1.0 - e * (0.5 - e * 0.33333334);
        // Its logarithm; the next term is e^3 / 8.
        let log_curve = -(e * (0.5 - e * 0.20833333));
        found.log = (scaled.high + (scaled.low + log_curve)) - math_log(g_beta);
        found.log_slope = math_divide(g_beta, (1.0 + e) * curve);
    }
    return found;
}
