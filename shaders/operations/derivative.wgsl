// For kernels/pointwise_unary.wgsl: its derivative.

fn apply(z: f32) -> f32 {
    return derivative(z);
}
