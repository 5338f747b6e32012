// Gradient descent with momentum: v = momentum * v + g.

@group(0) @binding(3) var<storage, read_write> velocities: array<vec4<f32>>;

fn velocity_of(index: u32, slope: vec4<f32>, momentum: f32) -> vec4<f32> {
    let velocity = momentum * velocities[index] + slope;
    velocities[index] = velocity;
    return velocity;
}
