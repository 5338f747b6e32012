// For kernels/pointwise_unary.wgsl: the activation.

fn apply(z: f32) -> f32 {
    return forward(z);
}
