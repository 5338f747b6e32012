// poisson_nll of a rate's forms (y is not a logarithm), and its derivative with respect to z.

// Below this, a rate or its derivative may be subnormal.
const LEAST_RATE: f32 = 1e-30;

fn loss_of_forms(y: Forms, t: f32) -> f32 {
    if (l_eps > 0.0 || y.y > LEAST_RATE) {
        return loss(y.y, t, 1.0);
    }
    // Without an epsilon, the logarithm is ln y.
    let value = y.y - times(t, y.log);
    return select(value, value + stirling(t), l_full && t > 1.0);
}

fn slope_of_forms(y: Forms, t: f32) -> f32 {
    if (y.y > LEAST_RATE || is_less(y.y, 0.0)) {
        return gradient(y.y, t, 1.0) * opaque(y.slope);
    }
    // g' / (y + epsilon) for a small y.
    let ratio = select(0.0, math_exp_times(l_eps, -y.log), l_eps > 0.0);
    let share = math_divide(y.log_slope, 1.0 + ratio);
    return y.slope - times(t, share);
}
