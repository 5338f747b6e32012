// exponential: y is close to 1 around z = 0. The forms are computed from z.

fn apart(z: f32, y: f32, slope: f32) -> Parts {
    return near_limit(abs(z) < 0.5, 1.0, math_expm1(clamp(z, -0.5, 0.5)), y);
}

fn forms(z: f32) -> Forms {
    return forms_of_power(Parts(z, 0.0), 1.0);
}
