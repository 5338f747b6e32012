// kl_div: t (ln t - y) per element for a log-probability y; e^t (t - y) if the target is a logarithm too

override l_log_target: bool = false;

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    if (l_log_target) {
        return times(math_exp(t), t - y);
    }
    return times(t, math_log(t) - y);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    if (l_log_target) {
        return -math_exp(t);
    }
    return -t;
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    if (l_log_target && t > 88.0) {
        return ranged_product(ranged_exp(t), ranged_difference(t, y));
    }
    return ranged(loss);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    if (l_log_target && t > 88.0) {
        let slope = ranged_exp(t);
        return Ranged(-slope.mantissa, slope.exponent);
    }
    return ranged(gradient);
}
