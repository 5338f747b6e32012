// focal_with_logits: the focal loss of p = sigmoid(z), from z, per element

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

// coefficient * value, and 0 where the coefficient is 0.
fn times(coefficient: f32, value: f32) -> f32 {
    return select(coefficient * value, 0.0, coefficient == 0.0);
}

struct FocalParts {
    // sigmoid(z) and sigmoid(-z)
    p: f32,
    q: f32,
    // 1 - p_t
    missing: f32,
    // (1 - p_t)^gamma
    factor: f32,
    entropy: f32,
}

fn focal_parts(z: f32, t: f32) -> FocalParts {
    let p = math_sigmoid(z);
    let q = math_sigmoid(-z);
    let logs = negative_logs(z);
    let missing = p * (1.0 - t) + q * t;
    let entropy = times(t, logs.positive) + times(1.0 - t, logs.negative);
    return FocalParts(p, q, missing, power(missing), entropy);
}

fn loss(z: f32, t: f32, extra: f32) -> f32 {
    let parts = focal_parts(z, t);
    return balance(t) * times(parts.factor, parts.entropy);
}

fn gradient(z: f32, t: f32, extra: f32) -> f32 {
    let parts = focal_parts(z, t);
    let other = 1.0 - t;
    // p q / (1 - p_t): without the quotient of two numbers that vanish together.
    var ratio = parts.p * parts.q / parts.missing;
    ratio = select(ratio, parts.p, t == 1.0);
    ratio = select(ratio, parts.q, t == 0.0);
    let steep = l_gamma * (other - t) * times(ratio, parts.entropy);
    return balance(t) * (parts.factor * (steep + (other * parts.p - t * parts.q)));
}
