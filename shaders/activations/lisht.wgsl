// lisht: g(z) = z·tanh z

fn forward(z: f32) -> f32 {
    return z * math_tanh(z);
}

fn derivative(z: f32) -> f32 {
    let a = min(abs(z), 50.0);
    return with_sign_of(math_tanh(a) + tanh_slope(a, Parts(a, 0.0)), z);
}

fn second_derivative(z: f32) -> f32 {
    let w = min(abs(z), 56.0);
    let q = logistic(Parts(w + w, 0.0));
    return logistic_slope(8.0 * bump(Parts(w, 0.0), q), q);
}
