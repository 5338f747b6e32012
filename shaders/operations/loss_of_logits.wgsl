// For kernels/loss_terms.wgsl: a loss that is a function of z itself.

fn term(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    return loss(z, t, extra);
}

// The derivative with respect to z, as two factors.
fn slope_factors(z: f32, y: f32, t: f32, extra: f32) -> vec2<f32> {
    return vec2<f32>(gradient(z, t, extra), 1.0);
}

fn term_ranged(term: f32, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return loss_ranged(term, z, t, extra);
}

fn slope_ranged(factors: vec2<f32>, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return gradient_ranged(factors.x, z, t, extra);
}
