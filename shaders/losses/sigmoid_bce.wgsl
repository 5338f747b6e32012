// bce of sigmoid(z), from z: the logarithms, at least -100, never see a y that is rounded to 0 or 1

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

fn loss(z: f32, t: f32, extra: f32) -> f32 {
    let logs = negative_logs(z);
    return t * min(logs.positive, 100.0) + (1.0 - t) * min(logs.negative, 100.0);
}

fn gradient(z: f32, t: f32, extra: f32) -> f32 {
    return (1.0 - t) * math_sigmoid(z) - t * math_sigmoid(-z);
}
