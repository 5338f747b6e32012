// kl_div: t (ln t - y) per element for a log-probability y, or e^t (t - y)

override l_log_target: bool = false;

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    if (l_log_target) {
        let target_probability = math_exp(t);
        return select(target_probability * (t - y), 0.0, target_probability == 0.0);
    }
    return select(t * (math_log(t) - y), 0.0, t == 0.0);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    if (l_log_target) {
        return -math_exp(t);
    }
    return -t;
}
