// tanh: close to 1 and -1, 1 - |y| = g' / (1 + |y|).

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    let one = with_sign_of(1.0, y);
    return near_limit(abs(y) > 0.5, one, -(slope / (one + y)), y);
}

fn forms(z: f32) -> Forms {
    return forms_of_tanh(Parts(z, 0.0), 1.0);
}
