// For kernels/row_terms.wgsl: a loss of an output of softmax, and dE/dy. An output of more than 1/2 is taken
// relative to its limit 1.

const TAKES_LOGARITHMS: bool = false;

fn row_term(y: Forms, is_top: bool, t: f32, extra: f32) -> f32 {
    return loss(offset_of(y, is_top), t - limit_of(is_top), extra);
}

fn row_slope(y: Forms, is_top: bool, t: f32, extra: f32) -> f32 {
    return gradient(offset_of(y, is_top), t - limit_of(is_top), extra);
}
