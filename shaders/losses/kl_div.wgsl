// kl_div: t (ln t - y) per element for a log-probability y, or e^t (t - y)

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
