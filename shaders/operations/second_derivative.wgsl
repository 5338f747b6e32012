// For kernels/pointwise_unary.wgsl: the second derivative of the activation.

fn apply(z: f32) -> f32 {
    return second_derivative(z);
}
