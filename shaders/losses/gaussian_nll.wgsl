// gaussian_nll: 1/2 (ln v + (y - t)^2 / v) per element for the variance v; in full with 1/2 ln(2 pi)

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
