// squareplus: g(z) = (z + sqrt(z^2 + b)) / 2

override g_b: f32 = 4.0;

// z^2 + b, times the square of the scale.
fn square_sum(z: f32, by: f32) -> Parts {
    let square = math_product(z * by, z * by);
    let b = g_b * by * by;
    // The rounding error of the sum, whichever term is larger.
    let sum = opaque(square.high + b);
    let lost = opaque(max(square.high, b) - sum) + min(square.high, b);
    return Parts(sum, square.low + lost);
}

// Whether the squares would overflow or underflow.
fn is_extreme(z: f32) -> bool {
    return abs(z) > 1e15 || g_b > 1e30 || (abs(z) < 1e-15 && g_b < 1e-30);
}

// sqrt(z^2 + b), with z and sqrt(b) scaled by 2^-70 or 2^70 if the squares would overflow or underflow.
fn hypotenuse(z: f32) -> f32 {
    let big = abs(z) > 1.0 || g_b > 1.0;
    let extreme = is_extreme(z);
    let by = select(1.0, select(1.1805916e+21, 8.4703295e-22, big), extreme);
    let back = select(1.0, select(8.4703295e-22, 1.1805916e+21, big), extreme);
    return max(sqrt_of(square_sum(z, by)) * back, abs(z));
}

fn forward(z: f32) -> f32 {
    let root = hypotenuse(z);
    // Halved before the sum, which may overflow; after it if small, because halves may be subnormal.
    let early = opaque(0.5 * root) + 0.5 * abs(z);
    let half = select(early, 0.5 * opaque(root + abs(z)), root < 1.0);
    // Without the cancellation for negative z.
    let below = select(math_divide(0.25 * g_b, half), 0.0, half == 0.0 || is_infinite(half));
    return select(below, half, is_positive(z));
}

fn derivative(z: f32) -> f32 {
    let root = hypotenuse(z);
    // b / 2(z^2 + b + |z|·root); far out, one division at a time.
    let sum = square_sum(z, 1.0);
    let near = math_divide(0.5 * g_b, sum.high + (abs(z) * root + sum.low));
    let far = math_divide(math_divide(0.5 * g_b, root), root + abs(z));
    let below = select(near, far, is_extreme(z));
    let ratio = select(math_divide(z, root), 1.0, is_infinite(root));
    let y = select(select(below, 0.0, is_infinite(root)), 0.5 + 0.5 * ratio, is_positive(z));
    // For b = 0 z is tested by its bits, because a driver may take small numbers for 0.
    let step = select(select(0.0, 1.0, is_positive(z)), 0.5, order(z) == 0);
    return select(y, step, g_b == 0.0);
}

fn second_derivative(z: f32) -> f32 {
    let root = hypotenuse(z);
    let near = math_divide(math_divide(0.5 * g_b, square_sum(z, 1.0).high), root);
    let far = math_divide(math_divide(math_divide(0.5 * g_b, root), root), root);
    let y = select(near, far, is_extreme(z));
    return select(y, 0.0, g_b == 0.0 || is_infinite(root));
}

fn derivative_from_output(y: f32) -> f32 {
    // y^2 / (y^2 + b / 4) as 1 / (1 + r^2) with r = sqrt(b) / 2y.
    let root = math_sqrt(g_b);
    let square_of_root = math_product(root, root);
    let root_rest = select(
        0.5 * (opaque(g_b - square_of_root.high) - square_of_root.low) / root,
        0.0,
        root == 0.0,
    );
    let r = math_quotient(0.5 * root, y);
    let r_rest = r.low + 0.5 * root_rest / y;
    let square = math_product(r.high, r.high);
    let q = reciprocal_1p(split_parts(Parts(square.high, square.low + 2.0 * r.high * r_rest)));
    let inverse = math_divide(y, 0.5 * root);
    let value = select(q.head + q.rest, inverse * inverse, r.high > 1e9);
    return select(0.0, select(value, 1.0, root == 0.0), is_positive(y));
}
