// focal: alpha_t (1 - p_t)^gamma bce(y, t) per element, with p_t = t y + (1 - t)(1 - y) and
// alpha_t = alpha t + (1 - alpha)(1 - t), or 1 for a negative alpha

override l_alpha: f32 = 0.25;
override l_gamma: f32 = 2.0;

// base^gamma for a base from 0 to 1: by multiplications where gamma is 1, 2 or 3.
fn power(base: f32) -> f32 {
    if (l_gamma == 1.0) {
        return base;
    }
    if (l_gamma == 2.0) {
        return base * base;
    }
    if (l_gamma == 3.0) {
        return base * base * base;
    }
    if (l_gamma == 0.0) {
        return 1.0;
    }
    return exp_of(math_product(l_gamma, math_log(base)));
}

// What the cross-entropy is weighed with, apart from (1 - p_t)^gamma; 1 for a negative alpha.
fn balance(t: f32) -> f32 {
    return select(l_alpha * t + (1.0 - l_alpha) * (1.0 - t), 1.0, l_alpha < 0.0);
}

// ln(1 - y) for y in [0, 1].
fn log_1m(y: f32) -> f32 {
    let rest = opaque(1.0 - y);
    let small = y < 0.5;
    // For small y the sum 1 - y would lose it: ln(1 - y) = -ln(1 + y / (1 - y)).
    let near = -math_log1p(select(0.0, math_divide(y, rest), small));
    return select(math_log(rest), near, small);
}

fn is_outside(y: f32) -> bool {
    return is_less(y, 0.0) || y > 1.0;
}

// coefficient * value, and 0 where the coefficient is 0.
fn times(coefficient: f32, value: f32) -> f32 {
    return select(coefficient * value, 0.0, coefficient == 0.0);
}

// 1 - p_t
fn missing(y: f32, t: f32) -> f32 {
    return y * (1.0 - t) + (1.0 - y) * t;
}

fn entropy(y: f32, t: f32) -> f32 {
    let value = -(times(t, math_log(y)) + times(1.0 - t, log_1m(y)));
    return nan_where(is_outside(y), value);
}

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    return balance(t) * power(missing(y, t)) * entropy(y, t);
}

fn quotient(a: f32, b: f32) -> f32 {
    return select(a / b, 0.0, a == 0.0);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    let absent = missing(y, t);
    let factor = power(absent);
    let slope = quotient(1.0 - t, 1.0 - y) - quotient(t, y);
    // gamma (1 - p_t)^(gamma - 1) bce, where the first may be infinite and the last 0.
    let steep = times(l_gamma, factor / absent) * (1.0 - t - t);
    let bce = entropy(y, t);
    let drag = select(times(steep, bce), 0.0, bce == 0.0);
    return nan_where(is_outside(y), balance(t) * (drag + times(factor, slope)));
}
