// poisson_nll: e^y - t y per element, or y - t ln(y + eps); in full with Stirling's formula for ln t!

override l_log_input: bool = true;
override l_full: bool = false;
override l_eps: f32 = 1e-8;

fn stirling(t: f32) -> f32 {
    let log_t = math_log(t);
    // ln(2 pi)
    return (t * log_t - t) + 0.5 * (1.837877 + log_t);
}

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let factor = select(math_log(y + l_eps), y, l_log_input);
    let rate = select(y, math_exp(y), l_log_input);
    // An infinite rate outgrows every other part.
    let value = select(rate - times(t, factor), rate, is_infinite(rate) && l_log_input);
    if (!l_full) {
        return value;
    }
    return select(value, value + stirling(t), t > 1.0);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return select(1.0 - math_divide(t, y + l_eps), math_exp(y) - t, l_log_input);
}
