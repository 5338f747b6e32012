// log_softmax: y_i = (z_i - max) - ln sum_j e^(z_j - max)

fn forward(z: f32, row: RowStatistics) -> f32 {
    return (z - row.maximum) - math_log1p(row.rest);
}

// What the backward pass adds up along the row.
fn backward_term(y: f32, dy: f32) -> f32 {
    return dy;
}

fn backward(y: f32, dy: f32, total: f32) -> f32 {
    return dy - math_exp(y) * total;
}

fn jacobian(y_i: f32, y_j: f32, diagonal: bool) -> f32 {
    let softmax = math_exp(y_j);
    return select(-softmax, 1.0 - softmax, diagonal);
}
