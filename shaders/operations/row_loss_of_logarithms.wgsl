// For kernels/row_terms.wgsl: a loss of logarithms of an output of softmax, and dE/du, where u is the logit of
// that output.

const TAKES_LOGARITHMS: bool = true;

fn row_term(y: Forms, is_top: bool, t: f32, extra: f32) -> f32 {
    return loss_of_forms(y, t);
}

fn row_slope(y: Forms, is_top: bool, t: f32, extra: f32) -> f32 {
    return slope_of_forms(y, t);
}
