// bce: -(t ln y + (1 - t) ln(1 - y)) per element, with logarithms of at least -100

// ln(1 - y) for y in [0, 1].
fn log_1m(y: f32) -> f32 {
    let rest = opaque(1.0 - y);
    let small = y < 0.5;
    // For small y the sum 1 - y would lose it: ln(1 - y) = -ln(1 + y / (1 - y)).
    let near = -math_log1p(select(0.0, math_divide(y, rest), small));
    return select(math_log(rest), near, small);
}

fn is_outside(y: f32) -> bool {
    return is_less(y, 0.0) || y > 1.0;
}

fn clamped(log: f32) -> f32 {
    return select(log, -100.0, log < -100.0);
}

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let value = -(t * clamped(math_log(y)) + (1.0 - t) * clamped(log_1m(y)));
    return nan_where(is_outside(y), value);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return math_divide(y - t, max(y * (1.0 - y), 1e-12));
}
