// For kernels/pointwise_unary.wgsl: the derivative of the activation, from the output.

fn apply(y: f32) -> f32 {
    return derivative_from_output(y);
}
