// bce_with_logits: (1 - t) ln(1 + e^z) + w t ln(1 + e^-z) per element, where w is the weight of positive
// targets

fn loss(z: f32, t: f32, weight: f32) -> f32 {
    let logs = negative_logs(z);
    return times(weight * t, logs.positive) + times(1.0 - t, logs.negative);
}

fn gradient(z: f32, t: f32, weight: f32) -> f32 {
    return (1.0 - t) * math_sigmoid(z) - weight * t * math_sigmoid(-z);
}

fn loss_ranged(loss: f32, z: f32, t: f32, weight: f32) -> Ranged {
    if (is_finite(loss)) {
        return ranged(loss);
    }
    let logs = negative_logs(z);
    // Scaled by 2^-64 against overflow; the logarithms are at most about |z|.
    let positive = times(opaque(5.421010862427522e-20 * t) * weight, logs.positive);
    return ranged_power(ranged(positive + times(5.421010862427522e-20 * (1.0 - t), logs.negative)), 64);
}

fn gradient_ranged(gradient: f32, z: f32, t: f32, weight: f32) -> Ranged {
    return ranged(gradient);
}
