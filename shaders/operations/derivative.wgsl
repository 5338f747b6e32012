// For kernels/pointwise_unary.wgsl: the derivative of the activation.

fn apply(z: f32) -> f32 {
    return derivative(z);
}
