// Gradient descent without momentum: v = g, and nothing is kept of it.

fn velocity_of(index: u32, slope: vec4<f32>) -> vec4<f32> {
    return slope;
}
