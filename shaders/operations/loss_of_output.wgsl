// For kernels/loss_terms.wgsl: a loss of y = g(z), and its derivative with respect to z.

fn term(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    return loss(y, t, extra);
}

// The derivative with respect to z, as two factors.
fn slope_factors(z: f32, y: f32, t: f32, extra: f32) -> vec2<f32> {
    return vec2<f32>(nan_where(is_nan(y), gradient(y, t, extra)), derivative(z));
}

fn term_ranged(term: f32, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return loss_ranged(term, y, t, extra);
}

fn slope_ranged(factors: vec2<f32>, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged_product(gradient_ranged(factors.x, y, t, extra), derivative_ranged(factors.y, z));
}
