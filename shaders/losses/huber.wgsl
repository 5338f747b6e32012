// huber: 1/2 e^2 where |e| < delta, else delta (|e| - delta / 2), for e = y - t

override l_delta: f32 = 1.0;

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let error = abs(y - t);
    return select(l_delta * (error - 0.5 * l_delta), 0.5 * error * error, error < l_delta);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    let error = y - t;
    return select(l_delta * math_sign(error), error, abs(error) < l_delta);
}
