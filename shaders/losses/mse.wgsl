// mse: (y - t)^2 per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let error = y - t;
    return error * error;
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return 2.0 * (y - t);
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    let error = ranged_difference(y, t);
    return ranged_product(error, error);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged_power(ranged_difference(y, t), 1);
}
