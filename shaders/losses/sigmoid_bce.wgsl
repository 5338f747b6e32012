// bce of sigmoid(z), from z: the logarithms, clamped to at least -100, do not depend on a y rounded to 0 or 1

fn loss(z: f32, t: f32, extra: f32) -> f32 {
    let logs = negative_logs(z);
    return t * min(logs.positive, 100.0) + (1.0 - t) * min(logs.negative, 100.0);
}

fn gradient(z: f32, t: f32, extra: f32) -> f32 {
    return (1.0 - t) * math_sigmoid(z) - t * math_sigmoid(-z);
}
