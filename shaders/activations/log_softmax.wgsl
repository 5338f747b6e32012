// log_softmax: y_i = (z_i - max) - ln sum_j e^(z_j - max)

// Not a projection onto the simplex: see kernels/row_statistics.wgsl.
const PROJECTS: bool = false;

fn argument(z: f32) -> f32 {
    return z;
}

fn forward(d: Parts, row: RowStatistics) -> f32 {
    return opaque(d.high - math_log1p(row.rest)) + d.low;
}

// The same, given 2^32·e^d.
fn forward_held(d: Parts, raised: f32, row: RowStatistics) -> f32 {
    return forward(d, row);
}

// The product of the transposed Jacobian with dy changes if a constant is added to all of dy.
const SHIFTS_BACKWARD: bool = false;

// Whether the probability is more than 1/2.
fn outweighs(y: f32) -> bool {
    return y > -0.6931472;
}

// The backward pass sums this along the row: dy, except at the output that outweighs all others, whose dy the
// product would subtract from itself.
fn backward_term(y: f32, dy: f32) -> f32 {
    return select(dy, 0.0, outweighs(y));
}

// y is the output that outweighs all others, and dy its gradient; both are 0 if there is none.
fn backward_totals(total: f32, y: f32, dy: f32) -> RowTotals {
    return RowTotals(total, total + dy, -math_expm1(y));
}

fn backward(y: f32, dy: f32, row: RowTotals) -> f32 {
    let apart = outweighs(y);
    let own = select(dy, dy * row.others, apart);
    return own - math_exp(y) * select(row.whole, row.total, apart);
}

// The Jacobian is not symmetric. p is the exponential of the output.
fn jvp_term(p: f32, dz: f32) -> f32 {
    return p * dz;
}

fn jvp(p: f32, dz: f32, total: f32) -> f32 {
    return dz - total;
}

// The Jacobian needs no sum along the row.
fn jacobian_term(y: f32) -> f32 {
    return 0.0;
}

fn jacobian(y_i: f32, y_j: f32, diagonal: bool, total: f32) -> f32 {
    return select(-math_exp(y_j), -math_expm1(y_j), diagonal);
}
