// sigmoid: close to 1, 1 - y = g' / y. The forms are computed from z.

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    return near_limit(y > 0.5, 1.0, -(slope / y), y);
}

fn forms(z: f32) -> Forms {
    let y = math_sigmoid(z);
    let rest = math_sigmoid(-z);
    let slope = math_sigmoid_derivative(z);
    return Forms(y, rest, -math_softplus(-z), -math_softplus(z), slope, rest, y);
}
