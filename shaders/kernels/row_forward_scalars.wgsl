// How row_forward.wgsl reads and writes rows along any axis: number by number.

@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn load_z(row: u32, i: u32, width: u32) -> vec4<f32> {
    let at = parameters.input_base + indices(row, i, width);
    return vec4<f32>(z[at.x], z[at.y], z[at.z], z[at.w]);
}

fn store_y(row: u32, i: u32, width: u32, value: vec4<f32>) {
    let at = parameters.output_base + indices(row, i, width);
    y[at.x] = value.x;
    if (i + 1u < width) {
        y[at.y] = value.y;
    }
    if (i + 2u < width) {
        y[at.z] = value.z;
    }
    if (i + 3u < width) {
        y[at.w] = value.w;
    }
}
