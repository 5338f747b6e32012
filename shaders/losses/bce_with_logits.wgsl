// bce_with_logits: (1 - t) ln(1 + e^z) + w t ln(1 + e^-z) per element, with the weight w of positive
// targets

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

fn loss(z: f32, t: f32, weight: f32) -> f32 {
    let logs = negative_logs(z);
    return times(weight * t, logs.positive) + times(1.0 - t, logs.negative);
}

fn gradient(z: f32, t: f32, weight: f32) -> f32 {
    return (1.0 - t) * math_sigmoid(z) - weight * t * math_sigmoid(-z);
}
