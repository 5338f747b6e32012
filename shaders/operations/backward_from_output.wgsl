// For kernels/pointwise_binary.wgsl: dE/dz from y and dE/dy.

fn apply(y: f32, dy: f32) -> f32 {
    return times_derivative_from_output(dy, derivative_from_output(y), y);
}
