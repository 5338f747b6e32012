// smooth_l1: 1/2 e^2 / beta if |e| < beta, else |e| - beta / 2, for e = y - t

override l_beta: f32 = 1.0;

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let error = abs(y - t);
    let parabola = 0.5 * error * math_divide(error, l_beta);
    return select(error - 0.5 * l_beta, parabola, error < l_beta);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    let error = y - t;
    return select(math_sign(error), math_divide(error, l_beta), abs(error) < l_beta);
}
