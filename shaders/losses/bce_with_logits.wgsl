// bce_with_logits: (1 - t) ln(1 + e^z) + w t ln(1 + e^-z) per element, with the weight w of positive
// targets

fn loss(z: f32, t: f32, weight: f32) -> f32 {
    let logs = negative_logs(z);
    return times(weight * t, logs.positive) + times(1.0 - t, logs.negative);
}

fn gradient(z: f32, t: f32, weight: f32) -> f32 {
    return (1.0 - t) * math_sigmoid(z) - weight * t * math_sigmoid(-z);
}
