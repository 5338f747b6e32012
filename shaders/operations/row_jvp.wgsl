// For kernels/row_product.wgsl: the change of y along dz, the product with the Jacobian.

fn term(y: f32, dz: f32) -> f32 {
    return jvp_term(y, dz);
}

fn product_element(y: f32, dz: f32, total: f32) -> f32 {
    return jvp(y, dz, total);
}
