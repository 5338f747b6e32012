// arctan: g(z) = arctan z

fn forward(z: f32) -> f32 {
    let a = abs(z);
    // Above 1, arctan a = pi/2 - arctan(1 / a).
    let large = a > 1.0;
    let inverse = math_quotient(1.0, max(a, 1.0));
    let t = select(a, inverse.high, large);
    let low = select(0.0, inverse.low, large);
    let y = t * t;
    // fit: arctan
    var p = 0.0011298939;
    p = p * y + -0.007404107;
    p = p * y + 0.022737006;
    p = p * y + -0.044941608;
    p = p * y + 0.06761187;
    p = p * y + -0.0882063;
    p = p * y + 0.11061086;
    p = p * y + -0.14280333;
    p = p * y + 0.19999716;
    p = p * y + -0.33333328;
    let tail = (t * y) * p + low * (1.0 - 0.5 * y);
    let far = opaque(1.5707964 - t) - (tail + 4.371139e-08);
    return with_sign_of(select(t + tail, far, large), z);
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
