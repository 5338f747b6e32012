// Shared by the kernels of matrix products, output = a · b + bias.
//
// All of them work on blocks of 4 x 4, which the files matmul_a_*.wgsl and matmul_b_*.wgsl read, wherever the
// elements lie: transposed operands are read in place. An invocation adds up one slice of the inner dimension.
// If there are several slices, each has its own sums, and matmul_slices.wgsl adds these up.

struct Parameters {
    rows: u32,
    columns: u32,
    inner: u32,
    zero: u32,
    // The distance from one stored row to the next.
    a_stride: u32,
    b_stride: u32,
    output_stride: u32,
    a_base: u32,
    b_base: u32,
    bias_base: u32,
    output_base: u32,
    // Whether to add the bias, and whether to add to what the output holds.
    biased: u32,
    accumulates: u32,
    // The number of terms of a slice, a multiple of 16, and the distance from its sums to those of the next.
    slice: u32,
    slice_stride: u32,
    // The same as the overrides below, for kernels that do not use them.
    a_transposed: u32,
    b_transposed: u32,
}

// Whether an operand is stored as its transpose.
override A_TRANSPOSED: bool = false;
override B_TRANSPOSED: bool = false;

@group(0) @binding(0) var<uniform> parameters: Parameters;
// Bindings 1 and 2 are the factors.
@group(0) @binding(3) var<storage, read> bias: array<f32>;
// Binding 4 is the output, which the files matmul_output_*.wgsl read and write.

// Adds the product of two blocks. a[r] has the four inner elements of row r, and b[i] the four columns at
// the inner place i.
fn add_product(sums: mat4x4<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        sums[0] + a[0].x * b[0] + a[0].y * b[1] + a[0].z * b[2] + a[0].w * b[3],
        sums[1] + a[1].x * b[0] + a[1].y * b[1] + a[1].z * b[2] + a[1].w * b[3],
        sums[2] + a[2].x * b[0] + a[2].y * b[1] + a[2].z * b[2] + a[2].w * b[3],
        sums[3] + a[3].x * b[0] + a[3].y * b[1] + a[3].z * b[2] + a[3].w * b[3],
    );
}

fn output_index(row: u32, column: u32, slice: u32) -> u32 {
    return parameters.output_base + slice * parameters.slice_stride
        + row * parameters.output_stride + column;
}

// Stores four sums, with the bias and what the output held added to them.
fn store_row(sums: vec4<f32>, row: u32, column: u32, slice: u32) {
    if (row < parameters.rows && column < parameters.columns) {
        let index = output_index(row, column, slice);
        var z = sums;
        if (parameters.accumulates == 1u) {
            z = z + load_output(index, column);
        }
        if (parameters.biased == 1u) {
            let first = parameters.bias_base + column;
            z = z + vec4<f32>(bias[first], bias[first + 1u], bias[first + 2u], bias[first + 3u]);
        }
        store_output(index, column, z);
    }
}

fn store_block(sums: mat4x4<f32>, row: u32, column: u32, slice: u32) {
    store_row(sums[0], row, column, slice);
    store_row(sums[1], row + 1u, column, slice);
    store_row(sums[2], row + 2u, column, slice);
    store_row(sums[3], row + 3u, column, slice);
}
