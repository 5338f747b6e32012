// bce: -(t ln y + (1 - t) ln(1 - y)) per element, with the logarithms clamped to at least -100

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
