// The same in whole fours: rows of a multiple of four elements.

alias Numbers = vec4<f32>;

const TOGETHER: u32 = 4u;

@group(0) @binding(1) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> dz: array<vec4<f32>>;
