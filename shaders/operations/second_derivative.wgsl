// For kernels/pointwise_unary.wgsl: its second derivative.

fn apply(z: f32) -> f32 {
    return second_derivative(z);
}
