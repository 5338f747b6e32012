// logit: g(z) = ln(z / (1 - z))

fn is_inside(z: f32) -> bool {
    return z >= 0.0 && z <= 1.0;
}

fn forward(z: f32) -> f32 {
    // Around 1/2 an odd function of t = 2z - 1, which is exact.
    let t = 2.0 * (z - 0.5);
    let y = t * t;
    // fit: logit_near
    var p = 0.262408;
    p = p * y + 0.15470007;
    p = p * y + 0.22537461;
    p = p * y + 0.28553355;
    p = p * y + 0.40000468;
    p = p * y + 0.6666666;
    let near = (t * y) * p + (t + t);
    let odds = math_quotient(z, 1.0 - z);
    // Subnormal odds are z.
    let subnormal = (bitcast<u32>(z) & 0x7fffffffu) < 0x00800000u;
    let safe = select(odds.high, 1.0, subnormal);
    let far = select(log_corrected(safe, odds.low / safe), math_log(z), subnormal);
    var result = select(far, near, abs(t) < 0.4);
    result = select(result, infinity(), z == 1.0);
    return nan_where(!is_inside(z), result);
}

fn derivative(z: f32) -> f32 {
    let d = math_divide(1.0, z * (1.0 - z));
    let end = select(d, infinity(), z == 0.0 || z == 1.0);
    return nan_where(!is_inside(z), end);
}

fn second_derivative(z: f32) -> f32 {
    let t = 2.0 * (z - 0.5);
    let d = math_divide(1.0, z * (1.0 - z));
    let end = select(t * d * d, with_sign_of(infinity(), t), z == 0.0 || z == 1.0);
    return nan_where(!is_inside(z), end);
}

fn derivative_from_output(y: f32) -> f32 {
    let a = abs(y);
    return math_exp(a) + (2.0 + math_exp(-a));
}
