// Shared by the optimizer kernels.

// factor * value. A factor of 0 gives 0, even for an infinite value.
fn part(factor: f32, value: f32) -> f32 {
    return select(factor * value, 0.0, factor == 0.0);
}

fn parts(factor: f32, values: vec4<f32>) -> vec4<f32> {
    return select(factor * values, vec4<f32>(), factor == 0.0);
}
