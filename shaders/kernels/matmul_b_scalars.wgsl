// The second factor of a matrix product, read number by number, wherever it lies.

@group(0) @binding(2) var<storage, read> b: array<StoredB>;

fn b_number(index: u32) -> f32 {
    return number_of_b(b[place_of_b(index)], index);
}

// Zero beyond the inner dimension. Columns beyond the edge are the last column.
fn b_at(inner: u32, column: u32) -> f32 {
    let c = min(column, parameters.columns - 1u);
    let i = min(inner, parameters.inner - 1u);
    let at = select(i * parameters.b_stride + c, c * parameters.b_stride + i, B_TRANSPOSED);
    let number = b_number(parameters.b_base + at);
    return select(0.0, number, inner < parameters.inner);
}

fn b_row(inner: u32, column: u32) -> vec4<f32> {
    return vec4<f32>(
        b_at(inner, column),
        b_at(inner, column + 1u),
        b_at(inner, column + 2u),
        b_at(inner, column + 3u),
    );
}

// Column i has the elements of the inner place inner + i at four columns.
fn b_block(inner: u32, column: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        b_row(inner, column),
        b_row(inner + 1u, column),
        b_row(inner + 2u, column),
        b_row(inner + 3u, column),
    );
}
