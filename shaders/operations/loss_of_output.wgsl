// For kernels/loss_terms.wgsl: a loss of y = g(z), and its derivative with respect to z.

fn term(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    return loss(y, t, extra);
}

fn term_slope(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    let dy = nan_where(is_nan(y), gradient(y, t, extra));
    // Hidden, so that a product with 0 or 1 is not turned into a selection that loses 0 * infinity.
    return dy * opaque(derivative(z));
}
