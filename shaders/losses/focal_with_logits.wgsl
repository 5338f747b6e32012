// focal_with_logits: the focal loss of p = sigmoid(z) per element, computed from z

override l_alpha: f32 = 0.25;
override l_gamma: f32 = 2.0;

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
    return FocalParts(p, q, missing, probability_power(missing, l_gamma), entropy);
}

fn loss(z: f32, t: f32, extra: f32) -> f32 {
    let parts = focal_parts(z, t);
    return times(focal_balance(l_alpha, t), times(parts.factor, parts.entropy));
}

fn gradient(z: f32, t: f32, extra: f32) -> f32 {
    let parts = focal_parts(z, t);
    let other = 1.0 - t;
    // p q / (1 - p_t), without a quotient of two numbers that vanish together.
    var ratio = parts.p * parts.q / parts.missing;
    ratio = select(ratio, parts.p, t == 1.0);
    ratio = select(ratio, parts.q, t == 0.0);
    let steep = l_gamma * (other - t) * times(ratio, parts.entropy);
    let value = times(parts.factor, steep + (other * parts.p - t * parts.q));
    return times(focal_balance(l_alpha, t), value);
}
