// softmax: y_i = e^(z_i - max) / sum_j e^(z_j - max)

// Not a projection onto the simplex: see kernels/row_statistics.wgsl.
const PROJECTS: bool = false;

fn argument(z: f32) -> f32 {
    return z;
}

fn forward(d: Parts, row: RowStatistics) -> f32 {
    return softmax_of(d, row);
}

// The same, given 2^32·e^d.
fn forward_held(d: Parts, raised: f32, row: RowStatistics) -> f32 {
    return raised_softmax_of(raised, row);
}

// The product of the transposed Jacobian with dy does not change if a constant is added to all of dy.
const SHIFTS_BACKWARD: bool = true;

// Whether an output weighs more in the sums than all others together.
fn outweighs(y: f32) -> bool {
    return y > 0.5;
}

// The backward pass sums this along the row.
fn backward_term(y: f32, dy: f32) -> f32 {
    return y * dy;
}

fn backward_totals(total: f32, y: f32, dy: f32) -> RowTotals {
    return RowTotals(total, total, 1.0);
}

fn backward(y: f32, dy: f32, row: RowTotals) -> f32 {
    return y * (dy - row.total);
}

// The Jacobian is symmetric.
fn jvp_term(y: f32, dz: f32) -> f32 {
    return backward_term(y, dz);
}

fn jvp(y: f32, dz: f32, total: f32) -> f32 {
    return backward(y, dz, RowTotals(total, total, 1.0));
}

// The Jacobian sums this along the row: the outputs, except for one that outweighs all others.
fn jacobian_term(y: f32) -> f32 {
    return select(y, 0.0, y > 0.5);
}

fn jacobian(y_i: f32, y_j: f32, diagonal: bool, others: f32) -> f32 {
    return select(-(y_i * y_j), y_i * select(1.0 - y_i, others, y_i > 0.5), diagonal);
}
