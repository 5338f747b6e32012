// For kernels/pointwise_binary.wgsl: dE/dz from z and dE/dy.

fn apply(z: f32, dy: f32) -> f32 {
    // Hidden, so that a product with 0 or 1 is not turned into a selection that loses 0 * infinity.
    return dy * opaque(derivative(z));
}
