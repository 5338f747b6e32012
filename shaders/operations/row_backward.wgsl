// For kernels/row_product.wgsl: dE/dz from y and dE/dy, the product with the transposed Jacobian.

fn term(y: f32, dy: f32) -> f32 {
    return backward_term(y, dy);
}

fn product_element(y: f32, dy: f32, total: f32) -> f32 {
    return backward(y, dy, total);
}
