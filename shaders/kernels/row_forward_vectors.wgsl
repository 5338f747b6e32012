// How row_forward.wgsl reads and writes contiguous rows of a multiple of four elements: in whole vec4s.

@group(0) @binding(2) var<storage, read> z: array<Input>;
@group(0) @binding(3) var<storage, read_write> y: array<Output>;

fn load_z(row: u32, i: u32, width: u32) -> vec4<f32> {
    return from_input(z[(parameters.input_base + row + i) / 4u]);
}

fn store_y(row: u32, i: u32, width: u32, value: vec4<f32>) {
    y[(parameters.output_base + row + i) / 4u] = to_output(value);
}
