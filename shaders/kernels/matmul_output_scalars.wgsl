// The output of a matrix product, read and written number by number, wherever it lies.

@group(0) @binding(4) var<storage, read_write> output: array<f32>;

// Four neighbours from this column on, which is within the edge. Those beyond the edge are the last.
fn load_output(index: u32, column: u32) -> vec4<f32> {
    let last = parameters.columns - 1u - column;
    return vec4<f32>(
        output[index],
        output[index + min(1u, last)],
        output[index + min(2u, last)],
        output[index + min(3u, last)],
    );
}

// Stores all values but those beyond the edge.
fn store_output(index: u32, column: u32, values: vec4<f32>) {
    output[index] = values.x;
    if (column + 1u < parameters.columns) {
        output[index + 1u] = values.y;
    }
    if (column + 2u < parameters.columns) {
        output[index + 2u] = values.z;
    }
    if (column + 3u < parameters.columns) {
        output[index + 3u] = values.w;
    }
}
