// gaussian_nll: 1/2 (ln v + (y - t)^2 / v) per element for the variance v; plus 1/2 ln(2 pi) if full

override l_full: bool = false;
override l_eps: f32 = 1e-6;

fn at_least_eps(variance: f32) -> f32 {
    return select(variance, l_eps, variance < l_eps);
}

fn loss(y: f32, t: f32, variance: f32) -> f32 {
    let v = at_least_eps(variance);
    let error = y - t;
    let value = 0.5 * (math_log(v) + error * math_divide(error, v));
    return select(value, value + 0.9189385, l_full);
}

fn gradient(y: f32, t: f32, variance: f32) -> f32 {
    return math_divide(y - t, at_least_eps(variance));
}

// The logarithm is negligible beside a number that overflows f32.
fn loss_ranged(loss: f32, y: f32, t: f32, variance: f32) -> Ranged {
    if (is_finite(loss)) {
        return ranged(loss);
    }
    let error = ranged_difference(y, t);
    return ranged_power(ranged_product(error, gradient_ranged(loss, y, t, variance)), -1);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, variance: f32) -> Ranged {
    return ranged_quotient(ranged_difference(y, t), ranged(at_least_eps(variance)));
}
