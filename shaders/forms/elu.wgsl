// elu: close to -alpha, y + alpha = g'.

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    return near_limit(g_alpha > 0.0 && y < -0.5 * g_alpha, -g_alpha, slope, y);
}
