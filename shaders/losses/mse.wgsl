// mse: (y - t)^2 per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let error = y - t;
    return error * error;
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return 2.0 * (y - t);
}
