// softmax: y_i = e^(z_i - max) / sum_j e^(z_j - max)

fn forward(z: f32, row: RowStatistics) -> f32 {
    return math_exp_difference(z, row.maximum) / (1.0 + row.rest);
}

// What the backward pass adds up along the row.
fn backward_term(y: f32, dy: f32) -> f32 {
    return y * dy;
}

fn backward(y: f32, dy: f32, total: f32) -> f32 {
    return y * (dy - total);
}

fn jacobian(y_i: f32, y_j: f32, diagonal: bool) -> f32 {
    return select(-(y_i * y_j), y_i * (1.0 - y_j), diagonal);
}
