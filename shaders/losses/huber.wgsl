// huber: 1/2 e^2 if |e| < delta, else delta (|e| - delta / 2), for e = y - t

override l_delta: f32 = 1.0;

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let error = abs(y - t);
    return select(l_delta * (error - 0.5 * l_delta), 0.5 * error * error, error < l_delta);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    let error = y - t;
    return select(l_delta * math_sign(error), error, abs(error) < l_delta);
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    let half = abs(0.5 * y - 0.5 * t);
    if (half < 0.5 * l_delta) {
        return ranged_power(ranged_product(ranged(half), ranged(half)), 1);
    }
    return ranged_power(ranged_product(ranged(l_delta), ranged(half - 0.25 * l_delta)), 1);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(gradient);
}
