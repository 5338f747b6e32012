// poisson_nll: e^y - t y per element, or y - t ln(y + eps); plus Stirling's formula for ln t! if full

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
    // An infinite rate dominates the other term.
    let value = select(rate - times(t, factor), rate, is_infinite(rate) && l_log_input);
    if (!l_full) {
        return value;
    }
    return select(value, value + stirling(t), t > 1.0);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    let quotient = select(math_divide(t, y + l_eps), 0.0, t == 0.0);
    return select(1.0 - quotient, math_exp(y) - t, l_log_input);
}

// e^y - t * factor, even if e^y overflows f32.
fn rate_less(y: f32, t: f32, factor: f32) -> Ranged {
    // Once e^y is more than about 2^189, the other term is negligible.
    if (y > 131.0) {
        return ranged_exp(y);
    }
    let rate = unranged(ranged_power(ranged_exp(y), -64));
    return ranged_power(ranged(rate - times(5.421010862427522e-20 * t, factor)), 64);
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    if (l_log_input && y > 88.0) {
        return rate_less(y, t, y);
    }
    return ranged(loss);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    if (l_log_input && y > 88.0) {
        return rate_less(y, t, 1.0);
    }
    if (!l_log_input && is_infinite(gradient)) {
        return ranged_quotient(ranged(-t), ranged(y + l_eps));
    }
    return ranged(gradient);
}
