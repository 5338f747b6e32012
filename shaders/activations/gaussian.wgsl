// gaussian: g(z) = e^(-z^2)

// Beyond this, the exponential is zero.
const FARTHEST: f32 = 11.0;

fn forward(z: f32) -> f32 {
    return gaussian_times(Parts(1.0, 0.0), min(abs(z), FARTHEST), 1.0);
}

fn derivative(z: f32) -> f32 {
    let a = min(abs(z), FARTHEST);
    return with_sign_of(gaussian_times(Parts(2.0 * a, 0.0), a, 1.0), -z);
}

fn second_derivative(z: f32) -> f32 {
    let a = min(abs(z), FARTHEST);
    // 4a^2 - 2, accurate around its root too.
    let difference = opaque(a - 0.70710677) - 1.21016175e-08;
    let factor = select(4.0 * difference * (a + 0.70710677), 4.0 * a * a - 2.0, a < 0.25);
    return gaussian_times(Parts(factor, 0.0), a, 1.0);
}
