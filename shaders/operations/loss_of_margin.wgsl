// For kernels/loss_terms.wgsl: a loss of 1 - t y for y = g(z), and its derivative with respect to z. With
// y = limit + offset, the margin is 1 - t·limit, and the loss is a function of the offset.

fn margin(parts: Parts, t: f32) -> f32 {
    return math_multiply_add(-t, parts.high, 1.0);
}

fn term(z: f32, y: f32, t: f32, extra: f32) -> f32 {
    let parts = apart(z, y, derivative(z));
    return loss(parts.low, t, margin(parts, t));
}

// The derivative with respect to z, as two factors.
fn slope_factors(z: f32, y: f32, t: f32, extra: f32) -> vec2<f32> {
    let slope = derivative(z);
    let parts = apart(z, y, slope);
    return vec2<f32>(nan_where(is_nan(y), gradient(parts.low, t, margin(parts, t))), slope);
}

fn term_ranged(term: f32, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    let parts = apart(z, y, derivative(z));
    return loss_ranged(term, parts.low, t, margin(parts, t));
}

fn slope_ranged(factors: vec2<f32>, z: f32, y: f32, t: f32, extra: f32) -> Ranged {
    let parts = apart(z, y, factors.y);
    let dy = gradient_ranged(factors.x, parts.low, t, margin(parts, t));
    return ranged_product(dy, derivative_ranged(factors.y, z));
}
