// The output of a matrix product, read and written in whole vec4s. Its base, its stride and the number of
// columns have to be multiples of four.

@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;

fn load_output(index: u32, column: u32) -> vec4<f32> {
    return output[index / 4u];
}

fn store_output(index: u32, column: u32, values: vec4<f32>) {
    output[index / 4u] = values;
}
