// For kernels/loss_terms.wgsl: a loss that is a function of z itself.

fn term(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    return loss(z, t, extra);
}

fn term_slope(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    return gradient(z, t, extra);
}
