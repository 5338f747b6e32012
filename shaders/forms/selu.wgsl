// selu: close to -scale·alpha, y + scale·alpha = g'.

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    // Corrected for the rounding of the limit.
    return near_limit(y < -0.5 * SCALE_ALPHA, -SCALE_ALPHA, slope - SCALE_ALPHA_REST, y);
}
