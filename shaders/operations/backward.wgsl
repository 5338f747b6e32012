// For kernels/pointwise_binary.wgsl: dE/dz from z and dE/dy.

fn apply(z: f32, dy: f32) -> f32 {
    return times_derivative(dy, derivative(z), z);
}
