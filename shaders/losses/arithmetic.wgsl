// Shared by the losses, and by the kernels that work on tiles of logits.

// coefficient * value; 0 if the coefficient is 0, even if the value is infinite.
fn times(coefficient: f32, value: f32) -> f32 {
    return select(coefficient * value, 0.0, coefficient == 0.0);
}

// ln(1 - y) for y in [0, 1].
fn log_1m(y: f32) -> f32 {
    let rest = opaque(1.0 - y);
    let small = y < 0.5;
    // For small y, 1 - y loses digits of y: ln(1 - y) = -ln(1 + y / (1 - y)).
    let near = -math_log1p(select(0.0, math_divide(y, rest), small));
    return select(math_log(rest), near, small);
}

// Whether y is not a probability.
fn is_outside(y: f32) -> bool {
    return is_less(y, 0.0) || y > 1.0;
}

// -ln p and -ln(1 - p) for p = sigmoid(z).
struct Logs {
    positive: f32,
    negative: f32,
}

fn negative_logs(z: f32) -> Logs {
    let magnitude = abs(z);
    let rest = softplus_above(Parts(magnitude, 0.0));
    let sum = magnitude + rest;
    if (z > 0.0) {
        return Logs(rest, sum);
    }
    return Logs(sum, rest);
}

// base^exponent for a base from 0 to 1: by multiplication if the exponent is 0, 1, 2 or 3.
fn probability_power(base: f32, exponent: f32) -> f32 {
    if (exponent == 0.0) {
        return 1.0;
    }
    if (exponent == 1.0) {
        return base;
    }
    if (exponent == 2.0) {
        return base * base;
    }
    if (exponent == 3.0) {
        return base * base * base;
    }
    return exp_of(math_product(exponent, math_log(base)));
}

// The factor alpha_t of focal, beside (1 - p_t)^gamma; 1 for a negative alpha.
fn focal_balance(alpha: f32, t: f32) -> f32 {
    return select(alpha * t + (1.0 - alpha) * (1.0 - t), 1.0, alpha < 0.0);
}
