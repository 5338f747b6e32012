// What the loss kernels read and write, number by number.

alias Numbers = f32;

const TOGETHER: u32 = 1u;

@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> dz: array<f32>;
