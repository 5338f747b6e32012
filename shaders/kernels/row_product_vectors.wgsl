// How row_product.wgsl reads and writes contiguous rows of a multiple of four elements: in whole vec4s.

@group(0) @binding(2) var<storage, read> y: array<Input>;
@group(0) @binding(3) var<storage, read> vector: array<Input>;
@group(0) @binding(4) var<storage, read_write> output: array<Output>;

fn load_y(row: u32, i: u32, width: u32) -> vec4<f32> {
    return from_input(y[(parameters.input_base + row + i) / 4u]);
}

fn load_vector(row: u32, i: u32, width: u32) -> vec4<f32> {
    return from_input(vector[(parameters.vector_base + row + i) / 4u]);
}

fn store_output(row: u32, i: u32, width: u32, value: vec4<f32>) {
    output[(parameters.output_base + row + i) / 4u] = to_output(value);
}
