// For kernels/row_product.wgsl: dE/dz from y and dE/dy, the product with the transposed Jacobian.

const SHIFTS: bool = SHIFTS_BACKWARD;

fn has_more_weight(y: f32) -> bool {
    return outweighs(y);
}

fn term(y: f32, dy: f32) -> f32 {
    return backward_term(y, dy);
}

fn totals_of(total: f32, y: f32, dy: f32) -> RowTotals {
    return backward_totals(total, y, dy);
}

fn product_element(y: f32, dy: f32, row: RowTotals) -> f32 {
    return backward(y, dy, row);
}
