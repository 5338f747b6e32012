// softmax: y_i = e^(z_i - max) / sum_j e^(z_j - max)

// Not a projection onto the simplex: see kernels/row_statistics.wgsl.
const PROJECTS: bool = false;

fn argument(z: f32) -> f32 {
    return z;
}

fn forward(d: Parts, row: RowStatistics) -> f32 {
    return softmax_of(d, row);
}

// The same with e^d raised by 2^32 at hand.
fn forward_held(d: Parts, raised: f32, row: RowStatistics) -> f32 {
    return raised_softmax_of(raised, row);
}

// What the backward pass adds up along the row.
fn backward_term(y: f32, dy: f32) -> f32 {
    return y * dy;
}

fn backward(y: f32, dy: f32, total: f32) -> f32 {
    return y * (dy - total);
}

// The Jacobian is symmetric.
fn jvp_term(y: f32, dz: f32) -> f32 {
    return backward_term(y, dz);
}

fn jvp(y: f32, dz: f32, total: f32) -> f32 {
    return backward(y, dz, total);
}

fn jacobian(y_i: f32, y_j: f32, diagonal: bool, support: f32) -> f32 {
    return select(-(y_i * y_j), y_i * (1.0 - y_j), diagonal);
}
