// The second factor of a matrix product, read as whole vec4s. Its base, its stride and the inner dimension
// have to be multiples of four.

@group(0) @binding(2) var<storage, read> b: array<FourB>;

// Column i has the elements of the inner place inner + i at four columns. Columns beyond the edge are any
// other columns.
fn b_block(inner: u32, column: u32) -> mat4x4<f32> {
    let last = parameters.columns - 1u;
    let stride = parameters.b_stride / 4u;
    if (B_TRANSPOSED) {
        let at = (parameters.b_base + inner) / 4u;
        return transpose(mat4x4<f32>(
            four_of_b(b[at + min(column, last) * stride]),
            four_of_b(b[at + min(column + 1u, last) * stride]),
            four_of_b(b[at + min(column + 2u, last) * stride]),
            four_of_b(b[at + min(column + 3u, last) * stride]),
        ));
    }
    let at = parameters.b_base / 4u + inner * stride + min(column, last) / 4u;
    return mat4x4<f32>(
        four_of_b(b[at]),
        four_of_b(b[at + stride]),
        four_of_b(b[at + 2u * stride]),
        four_of_b(b[at + 3u * stride]),
    );
}
