// tanhshrink: g(z) = z - tanh z

fn forward(z: f32) -> f32 {
    let a = abs(z);
    // Near zero an odd polynomial.
    let y = a * a;
    // fit: tanhshrink_near
    var p = -0.00093810604;
    p = p * y + 0.0037423368;
    p = p * y + -0.0064578685;
    p = p * y + 0.0067811357;
    p = p * y + -0.006451518;
    p = p * y + 0.009787418;
    p = p * y + -0.02204397;
    p = p * y + 0.053985924;
    p = p * y + -0.13333413;
    p = p * y + 0.33333334;
    // Elsewhere a - 1 + 2 / (1 + e^2a).
    let q = logistic_near(bounded(Parts(a + a, 0.0), 0.0, 40.0));
    let far = opaque(a - 1.0) + 2.0 * (q.head + q.rest);
    return with_sign_of(select(far, (a * y) * p, a < 0.9), z);
}

fn derivative(z: f32) -> f32 {
    let y = math_tanh(z);
    return y * y;
}

fn second_derivative(z: f32) -> f32 {
    return slope_above(8.0 * math_tanh(z), Parts(2.0 * abs(z), 0.0));
}
