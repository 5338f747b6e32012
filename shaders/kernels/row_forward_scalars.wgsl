// What row_forward.wgsl reads and writes, number by number: rows along any axis.

@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Element i of the row and the three after it; those beyond its end are others.
fn load_z(row: u32, i: u32, width: u32) -> vec4<f32> {
    let start = parameters.input_base + row;
    let last = width - 1u;
    return vec4<f32>(
        z[start + i * parameters.inner],
        z[start + min(i + 1u, last) * parameters.inner],
        z[start + min(i + 2u, last) * parameters.inner],
        z[start + min(i + 3u, last) * parameters.inner],
    );
}

fn store_y(row: u32, i: u32, width: u32, value: vec4<f32>) {
    let start = parameters.output_base + row;
    y[start + i * parameters.inner] = value.x;
    if (i + 1u < width) {
        y[start + (i + 1u) * parameters.inner] = value.y;
    }
    if (i + 2u < width) {
        y[start + (i + 2u) * parameters.inner] = value.z;
    }
    if (i + 3u < width) {
        y[start + (i + 3u) * parameters.inner] = value.w;
    }
}
