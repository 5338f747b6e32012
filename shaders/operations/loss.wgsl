// For kernels/pointwise_binary.wgsl: the unreduced loss of an output y and a target t.

fn apply(y: f32, t: f32) -> f32 {
    return loss(y, t);
}
