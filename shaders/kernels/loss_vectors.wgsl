// How the loss kernels read and write rows of a multiple of four elements: in whole vec4s.

alias Numbers = vec4<f32>;

const TOGETHER: u32 = 4u;

fn part(x: Numbers, k: u32) -> f32 {
    return x[k];
}

fn with_part(x: Numbers, k: u32, value: f32) -> Numbers {
    var changed = x;
    changed[k] = value;
    return changed;
}

@group(0) @binding(1) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> dz: array<vec4<f32>>;
