// Gradient descent without momentum: v = g, and v is not kept.

fn velocity_of(index: u32, slope: vec4<f32>, momentum: f32) -> vec4<f32> {
    return slope;
}
