// output = forward(a · b + bias): a matrix product with the bias and a pointwise activation on top.
//
// The strides say where an operand's element lies, so transposed operands are read in place. Each
// invocation computes a tile of 4 x 4 from registers.

struct Parameters {
    rows: u32,
    columns: u32,
    inner: u32,
    zero: u32,
    // a[row, inner] lies at a_base + row * a_row + inner * a_inner; likewise b and output.
    a_row: u32,
    a_inner: u32,
    b_inner: u32,
    b_column: u32,
    output_row: u32,
    a_base: u32,
    b_base: u32,
    bias_base: u32,
    output_base: u32,
    // Add the bias; add to what the output holds.
    biased: u32,
    accumulates: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

fn finish(sum: vec4<f32>, row: u32, column: u32) {
    if (row >= parameters.rows) {
        return;
    }
    let start = parameters.output_base + row * parameters.output_row;
    for (var i = 0u; i < 4u && column + i < parameters.columns; i = i + 1u) {
        var z = sum[i];
        if (parameters.accumulates == 1u) {
            z = z + output[start + column + i];
        }
        if (parameters.biased == 1u) {
            z = z + bias[parameters.bias_base + column + i];
        }
        output[start + column + i] = nan_where(is_nan(z), forward(z));
    }
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    opaque_zero = parameters.zero;
    let row = id.y * 4u;
    let column = id.x * 4u;
    if (row >= parameters.rows || column >= parameters.columns) {
        return;
    }
    // Rows and columns beyond the edge read the last one; their results are not stored.
    let last_row = parameters.rows - 1u;
    let last_column = parameters.columns - 1u;
    let a0 = parameters.a_base + row * parameters.a_row;
    let a1 = parameters.a_base + min(row + 1u, last_row) * parameters.a_row;
    let a2 = parameters.a_base + min(row + 2u, last_row) * parameters.a_row;
    let a3 = parameters.a_base + min(row + 3u, last_row) * parameters.a_row;
    let b0 = parameters.b_base + column * parameters.b_column;
    let b1 = parameters.b_base + min(column + 1u, last_column) * parameters.b_column;
    let b2 = parameters.b_base + min(column + 2u, last_column) * parameters.b_column;
    let b3 = parameters.b_base + min(column + 3u, last_column) * parameters.b_column;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var k = 0u; k < parameters.inner; k = k + 1u) {
        let a_k = k * parameters.a_inner;
        let b_k = k * parameters.b_inner;
        let right = vec4<f32>(b[b0 + b_k], b[b1 + b_k], b[b2 + b_k], b[b3 + b_k]);
        sum0 = sum0 + a[a0 + a_k] * right;
        sum1 = sum1 + a[a1 + a_k] * right;
        sum2 = sum2 + a[a2 + a_k] * right;
        sum3 = sum3 + a[a3 + a_k] * right;
    }
    finish(sum0, row, column);
    finish(sum1, row + 1u, column);
    finish(sum2, row + 2u, column);
    finish(sum3, row + 3u, column);
}
