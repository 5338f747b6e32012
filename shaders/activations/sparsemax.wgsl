// sparsemax: y_i = max(z_i - t, 0), with the threshold t for which the row sums to 1

// A projection onto the simplex: see kernels/row_statistics.wgsl.
const PROJECTS: bool = true;

fn argument(z: f32) -> f32 {
    return z;
}

fn forward(d: Parts, row: RowStatistics) -> f32 {
    let y = (d.high - row.threshold) + (d.low - row.threshold_lost);
    return select(0.0, y, is_positive(y));
}

// The same, given 2^32·e^d.
fn forward_held(d: Parts, raised: f32, row: RowStatistics) -> f32 {
    return forward(d, row);
}

// The product of the transposed Jacobian with dy does not change if a constant is added to all of dy.
const SHIFTS_BACKWARD: bool = true;

// Whether an output weighs more in the mean than all others together. None does: they weigh the same.
fn outweighs(y: f32) -> bool {
    return false;
}

// The backward pass takes the mean of this over the support.
fn backward_term(y: f32, dy: f32) -> f32 {
    return select(0.0, dy, is_positive(y));
}

fn backward_totals(mean: f32, y: f32, dy: f32) -> RowTotals {
    return RowTotals(mean, mean, 1.0);
}

fn backward(y: f32, dy: f32, row: RowTotals) -> f32 {
    return select(0.0, dy - row.total, is_positive(y));
}

// The Jacobian is symmetric.
fn jvp_term(y: f32, dz: f32) -> f32 {
    return backward_term(y, dz);
}

fn jvp(y: f32, dz: f32, mean: f32) -> f32 {
    return backward(y, dz, RowTotals(mean, mean, 1.0));
}

// The Jacobian sums this along the row, which gives the size of the support.
fn jacobian_term(y: f32) -> f32 {
    return select(0.0, 1.0, is_positive(y));
}

fn jacobian(y_i: f32, y_j: f32, diagonal: bool, support: f32) -> f32 {
    let share = 1.0 / support;
    let inside = select(-share, 1.0 - share, diagonal);
    return select(0.0, inside, is_positive(y_i) && is_positive(y_j));
}
