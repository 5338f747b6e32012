// log_softmax: y_i = (z_i - max) - ln sum_j e^(z_j - max)

// Not a projection onto the simplex: see kernels/row_statistics.wgsl.
const PROJECTS: bool = false;

fn argument(z: f32) -> f32 {
    return z;
}

fn forward(d: Parts, row: RowStatistics) -> f32 {
    return opaque(d.high - math_log1p(row.rest)) + d.low;
}

// The same with e^d raised by 2^32 at hand.
fn forward_held(d: Parts, raised: f32, row: RowStatistics) -> f32 {
    return forward(d, row);
}

// What the backward pass adds up along the row.
fn backward_term(y: f32, dy: f32) -> f32 {
    return dy;
}

fn backward(y: f32, dy: f32, total: f32) -> f32 {
    return dy - math_exp(y) * total;
}

// The Jacobian is not symmetric.
fn jvp_term(y: f32, dz: f32) -> f32 {
    return math_exp(y) * dz;
}

fn jvp(y: f32, dz: f32, total: f32) -> f32 {
    return dz - total;
}

fn jacobian(y_i: f32, y_j: f32, diagonal: bool, support: f32) -> f32 {
    let softmax = math_exp(y_j);
    return select(-softmax, 1.0 - softmax, diagonal);
}
