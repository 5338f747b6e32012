// For kernels/loss_terms.wgsl: a loss of y - t for y = g(z), and its derivative with respect to z. The limit
// that y is close to is subtracted from both y and t.

fn term(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    let parts = apart(z, y, derivative(z));
    return loss(parts.low, t - parts.high, extra);
}

// The derivative with respect to z, as two factors.
fn slope_factors(z: f32, y: f32, t: f32, extra: f32) -> vec2<f32> {
    let slope = derivative(z);
    let parts = apart(z, y, slope);
    return vec2<f32>(nan_where(is_nan(y), gradient(parts.low, t - parts.high, extra)), slope);
}

fn term_ranged(term: f32, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    let parts = apart(z, y, derivative(z));
    return loss_ranged(term, parts.low, t - parts.high, extra);
}

fn slope_ranged(factors: vec2<f32>, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    let parts = apart(z, y, factors.y);
    let dy = gradient_ranged(factors.x, parts.low, t - parts.high, extra);
    return ranged_product(dy, derivative_ranged(factors.y, z));
}
