// selu: g(z) = scale·z for z > 0, scale·alpha·(e^z - 1) for z <= 0

const SCALE: f32 = 1.0507009873554805;
const SCALE_ALPHA: f32 = 1.7580993408473766;
// scale·alpha minus the f32 nearest to it.
const SCALE_ALPHA_REST: f32 = 2.3296717444054593e-08;

fn forward(z: f32) -> f32 {
    let y = math_expm1(min(z, 0.0));
    // The product with scale·alpha in two parts: the head's product is exact. Small numbers cannot be split.
    let y_head = head(y);
    let y_rest = y - y_head;
    let exact = 1.7578125 * y_head + (SCALE_ALPHA * y_rest + 0.00028684084 * y_head);
    let negative = select(exact, SCALE_ALPHA * y, abs(y) < 1e-20);
    return select(negative, SCALE * z, is_positive(z));
}

fn derivative(z: f32) -> f32 {
    return select(math_exp_times(SCALE_ALPHA, min(z, 0.0)), SCALE, is_positive(z));
}

fn second_derivative(z: f32) -> f32 {
    // 0 at the kink and above, as in PyTorch.
    return select(math_exp_times(SCALE_ALPHA, min(z, 0.0)), 0.0, order(z) >= 0);
}

fn derivative_from_output(y: f32) -> f32 {
    // In two parts: near y = -scale·alpha the sum cancels.
    return select(opaque(y + SCALE_ALPHA) + SCALE_ALPHA_REST, SCALE, is_positive(y));
}

fn forward_ranged(y: f32, z: f32) -> Ranged {
    if (is_finite(y)) {
        return ranged(y);
    }
    return ranged_product(ranged(SCALE), ranged(z));
}

fn derivative_ranged(slope: f32, z: f32) -> Ranged {
    return ranged(slope);
}

fn derivative_from_output_ranged(slope: f32, y: f32) -> Ranged {
    return ranged(slope);
}
