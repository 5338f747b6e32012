// quick_gelu: g(z) = z / (1 + e^(-1.702·z))

const FACTOR: f32 = 1.702;
// 1.702 minus the f32 nearest to it.
const FACTOR_REST: f32 = -2.1934509e-08;

fn scaled(z: f32) -> Parts {
    let product = math_product(FACTOR, z);
    return Parts(product.high, product.low + FACTOR_REST * z);
}

fn forward(z: f32) -> f32 {
    return times_sigmoid(z, scaled(z));
}

fn derivative(z: f32) -> f32 {
    return silu_derivative(scaled(z));
}

fn second_derivative(z: f32) -> f32 {
    return silu_second(FACTOR, scaled(z));
}
