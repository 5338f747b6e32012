// How row_product.wgsl reads and writes rows along any axis: number by number.

@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> vector: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

fn load_y(row: u32, i: u32, width: u32) -> vec4<f32> {
    let at = parameters.input_base + indices(row, i, width);
    return vec4<f32>(y[at.x], y[at.y], y[at.z], y[at.w]);
}

fn load_vector(row: u32, i: u32, width: u32) -> vec4<f32> {
    let at = parameters.vector_base + indices(row, i, width);
    return vec4<f32>(vector[at.x], vector[at.y], vector[at.z], vector[at.w]);
}

fn store_output(row: u32, i: u32, width: u32, value: vec4<f32>) {
    let at = parameters.output_base + indices(row, i, width);
    output[at.x] = value.x;
    if (i + 1u < width) {
        output[at.y] = value.y;
    }
    if (i + 2u < width) {
        output[at.z] = value.z;
    }
    if (i + 3u < width) {
        output[at.w] = value.w;
    }
}
