// The first factor of a matrix product, read as whole vec4s. Its base, its stride and the inner dimension
// have to be multiples of four.

@group(0) @binding(1) var<storage, read> a: array<FourA>;

// Column r has the elements of row + r at four inner places. Rows beyond the edge are any other rows.
fn a_block(row: u32, inner: u32) -> mat4x4<f32> {
    let last = parameters.rows - 1u;
    let stride = parameters.a_stride / 4u;
    if (A_TRANSPOSED) {
        let at = parameters.a_base / 4u + inner * stride + min(row, last) / 4u;
        return transpose(mat4x4<f32>(
            four_of_a(a[at]),
            four_of_a(a[at + stride]),
            four_of_a(a[at + 2u * stride]),
            four_of_a(a[at + 3u * stride]),
        ));
    }
    let at = (parameters.a_base + inner) / 4u;
    return mat4x4<f32>(
        four_of_a(a[at + min(row, last) * stride]),
        four_of_a(a[at + min(row + 1u, last) * stride]),
        four_of_a(a[at + min(row + 2u, last) * stride]),
        four_of_a(a[at + min(row + 3u, last) * stride]),
    );
}
