// focal: alpha_t (1 - p_t)^gamma bce(y, t) per element, with p_t = t y + (1 - t)(1 - y) and
// alpha_t = alpha t + (1 - alpha)(1 - t), or 1 for a negative alpha

override l_alpha: f32 = 0.25;
override l_gamma: f32 = 2.0;

// 1 - p_t
fn missing(y: f32, t: f32) -> f32 {
    return y * (1.0 - t) + (1.0 - y) * t;
}

fn entropy(y: f32, t: f32) -> f32 {
    let value = -(times(t, math_log(y)) + times(1.0 - t, log_1m(y)));
    return nan_where(is_outside(y), value);
}

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let bce = entropy(y, t);
    let value = times(probability_power(missing(y, t), l_gamma), bce);
    return nan_where(is_nan(bce), times(focal_balance(l_alpha, t), value));
}

fn quotient(a: f32, b: f32) -> f32 {
    return select(a / b, 0.0, a == 0.0);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    let absent = missing(y, t);
    let factor = probability_power(absent, l_gamma);
    let slope = quotient(1.0 - t, 1.0 - y) - quotient(t, y);
    // gamma (1 - p_t)^(gamma - 1) bce, in which the power may be infinite while bce is 0.
    let steep = times(l_gamma, factor / absent) * (1.0 - t - t);
    let bce = entropy(y, t);
    let drag = select(times(steep, bce), 0.0, bce == 0.0);
    let value = drag + times(factor, slope);
    return nan_where(is_outside(y), times(focal_balance(l_alpha, t), value));
}
