// lisht: g(z) = z·tanh z

fn forward(z: f32) -> f32 {
    return z * math_tanh(z);
}

fn derivative(z: f32) -> f32 {
    let a = min(abs(z), 50.0);
    return with_sign_of(tanh_above(Parts(a, 0.0)) + slope_above(4.0 * a, Parts(2.0 * a, 0.0)), z);
}

fn second_derivative(z: f32) -> f32 {
    let w = min(abs(z), 56.0);
    let q = logistic_above(Parts(w + w, 0.0));
    return logistic_slope(8.0 * bump(Parts(w, 0.0), q), q);
}
