// For kernels/row_terms.wgsl: a loss of an output of softmax, unshifted, and dE/dy.

const TAKES_LOGARITHMS: bool = false;

fn row_term(y: Forms, is_top: bool, t: f32, extra: f32) -> f32 {
    return loss(y.y, t, extra);
}

fn row_slope(y: Forms, is_top: bool, t: f32, extra: f32) -> f32 {
    return gradient(y.y, t, extra);
}
