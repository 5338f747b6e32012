// The first factor of a matrix product, read number by number, wherever it lies.

@group(0) @binding(1) var<storage, read> a: array<StoredA>;

fn a_number(index: u32) -> f32 {
    return number_of_a(a[place_of_a(index)], index);
}

// Zero beyond the inner dimension. Rows beyond the edge are the last row.
fn a_at(row: u32, inner: u32) -> f32 {
    let r = min(row, parameters.rows - 1u);
    let i = min(inner, parameters.inner - 1u);
    let at = select(r * parameters.a_stride + i, i * parameters.a_stride + r, A_TRANSPOSED);
    let number = a_number(parameters.a_base + at);
    return select(0.0, number, inner < parameters.inner);
}

fn a_row(row: u32, inner: u32) -> vec4<f32> {
    return vec4<f32>(
        a_at(row, inner),
        a_at(row, inner + 1u),
        a_at(row, inner + 2u),
        a_at(row, inner + 3u),
    );
}

// Column r has the elements of row + r at four inner places.
fn a_block(row: u32, inner: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        a_row(row, inner),
        a_row(row + 1u, inner),
        a_row(row + 2u, inner),
        a_row(row + 3u, inner),
    );
}
