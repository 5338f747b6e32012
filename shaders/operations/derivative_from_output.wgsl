// For kernels/pointwise_unary.wgsl: its derivative, from the output.

fn apply(y: f32) -> f32 {
    return derivative_from_output(y);
}
