// logit: g(z) = ln(z / (1 - z))

fn is_inside(z: f32) -> bool {
    return !is_less(z, 0.0) && !is_less(1.0, z);
}

fn forward(z: f32) -> f32 {
    // Around 1/2, an odd function of t = 2z - 1, which is exact.
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
    // The odds of a subnormal z are z.
    let subnormal = (bitcast<u32>(z) & 0x7fffffffu) < 0x00800000u;
    let safe = select(odds.high, 1.0, subnormal);
    let far = select(log_corrected(safe, odds.low / safe), math_log(z), subnormal);
    var result = select(far, near, abs(t) < 0.4);
    result = select(result, infinity(), z == 1.0);
    return nan_where(!is_inside(z), result);
}

// 1 / z(1 - z) for 0 <= z <= 1.
fn inverse(z: f32) -> f32 {
    // A subnormal z is taken as its integer value, z * 2^149: some have a finite inverse.
    let bits = bitcast<u32>(z);
    let subnormal = bits < 0x00800000u;
    let value = select(z * (1.0 - z), f32(bits & 0x007fffffu), subnormal);
    let d = math_divide(select(1.0, 8.507059173023462e+37, subnormal), value) * select(1.0, 8388608.0, subnormal);
    return select(d, infinity(), value == 0.0);
}

fn derivative(z: f32) -> f32 {
    return nan_where(!is_inside(z), inverse(z));
}

fn second_derivative(z: f32) -> f32 {
    let t = 2.0 * (z - 0.5);
    let d = inverse(z);
    let end = select(t * d * d, with_sign_of(infinity(), t), is_infinite(d));
    return nan_where(!is_inside(z), end);
}

fn derivative_from_output(y: f32) -> f32 {
    let a = abs(y);
    return math_exp(a) + (2.0 + math_exp(-a));
}

fn forward_ranged(y: f32, z: f32) -> Ranged {
    return ranged(y);
}

fn derivative_ranged(slope: f32, z: f32) -> Ranged {
    let magnitude = bitcast<u32>(z) & 0x7fffffffu;
    // 1/z for subnormal numbers.
    if (magnitude == 0u || magnitude >= 0x00800000u) {
        return ranged(slope);
    }
    return ranged_quotient(ranged(1.0), ranged(z));
}

fn derivative_from_output_ranged(slope: f32, y: f32) -> Ranged {
    if (is_finite(slope)) {
        return ranged(slope);
    }
    return ranged_exp(abs(y));
}
