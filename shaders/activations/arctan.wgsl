// arctan: g(z) = arctan z

fn forward(z: f32) -> f32 {
    return math_atan(z);
}

// Beyond this, the 1 in 1 + z^2 makes no difference.
const FAR: f32 = 1e5;

// 1 / (1 + z^2) for |z| <= FAR
fn near_derivative(z: f32) -> Pair {
    let bounded_z = min(abs(z), FAR);
    return reciprocal_1p(split_parts(math_product(bounded_z, bounded_z)));
}

fn derivative(z: f32) -> f32 {
    let q = near_derivative(z);
    let inverse = math_divide(1.0, max(abs(z), 1.0));
    return select(q.head + q.rest, inverse * inverse, abs(z) > FAR);
}

fn second_derivative(z: f32) -> f32 {
    let q = near_derivative(z);
    let inverse = math_divide(1.0, max(abs(z), 1.0));
    let near = product(q, q) * (2.0 * min(abs(z), FAR));
    return with_sign_of(select(near, 2.0 * inverse * inverse * inverse, abs(z) > FAR), -z);
}

fn derivative_from_output(y: f32) -> f32 {
    let c = angle_sin(reduce(Parts(y, 0.0), false), 1u);
    return nan_where(is_infinite(y), c.high * c.high + 2.0 * c.high * c.low);
}
