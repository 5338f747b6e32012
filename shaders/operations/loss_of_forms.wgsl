// For kernels/loss_terms.wgsl: a loss of logarithms of y = g(z), and its derivative with respect to z.

fn term(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    return loss_of_forms(forms(z), t);
}

// The derivative with respect to z, as two factors.
fn slope_factors(z: f32, y: f32, t: f32, extra: f32) -> vec2<f32> {
    return vec2<f32>(slope_of_forms(forms(z), t), 1.0);
}

fn term_ranged(term: f32, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(term);
}

fn slope_ranged(factors: vec2<f32>, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(factors.x);
}
