// mae: |y - t| per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    return abs(y - t);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return math_sign(y - t);
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged_power(ranged(abs(0.5 * y - 0.5 * t)), 1);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(gradient);
}
