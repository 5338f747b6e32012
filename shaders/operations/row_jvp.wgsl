// For kernels/row_product.wgsl: the change of y along dz, the product with the Jacobian.

// y does not change if a constant is added to all of z.
const SHIFTS: bool = true;

// The outputs here are not logarithms.
fn has_more_weight(y: f32) -> bool {
    return !PROJECTS && y > 0.5;
}

fn term(y: f32, dz: f32) -> f32 {
    return jvp_term(y, dz);
}

fn totals_of(total: f32, y: f32, dz: f32) -> RowTotals {
    return RowTotals(total, total, 1.0);
}

fn product_element(y: f32, dz: f32, row: RowTotals) -> f32 {
    return jvp(y, dz, row.total);
}
