// softsign: g(z) = z / (1 + |z|)

// 2^-40
const POWER: f32 = 9.094947017729282e-13;

// 1 / (1 + |z|) in two parts, for |z| <= 1e9.
fn near_reciprocal(z: f32) -> Pair {
    return reciprocal_1p(split(min(abs(z), 1e9)));
}

// 2^40 / |z|, for |z| so large that the 1 beside it makes no difference.
fn far_inverse(z: f32) -> f32 {
    let inverse = reciprocal(split(clamp(abs(z), 1.0, 1e30) * POWER));
    return inverse.head + inverse.rest;
}

fn forward(z: f32) -> f32 {
    let bounded_z = clamp(z, -1e9, 1e9);
    let y = product(split(bounded_z), near_reciprocal(z));
    return select(y, z, abs(z) < 1e-15);
}

fn derivative(z: f32) -> f32 {
    let q = near_reciprocal(z);
    let inverse = far_inverse(z);
    let far = inverse * inverse * POWER * POWER;
    return select(product(q, q), far, abs(z) > 1e8);
}

fn second_derivative(z: f32) -> f32 {
    let q = near_reciprocal(z);
    let inverse = far_inverse(z);
    // Doubled first, because half of a small normal number may be flushed.
    let far = 2.0 * inverse * inverse * POWER * (inverse * POWER) * POWER;
    let magnitude = select(2.0 * product(product_pair(q, q), q), far, abs(z) > 1e8);
    return select(-with_sign_of(magnitude, z), 0.0, order(z) == 0);
}

fn derivative_from_output(y: f32) -> f32 {
    let rest = 1.0 - abs(y);
    return rest * rest;
}
