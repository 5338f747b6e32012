// half_squared_error: 1/2 (y - t)^2 per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let error = y - t;
    return 0.5 * error * error;
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return y - t;
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    let error = ranged_difference(y, t);
    return ranged_power(ranged_product(error, error), -1);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged_difference(y, t);
}
