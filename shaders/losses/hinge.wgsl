// hinge: max(0, 1 - t y) per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let shortfall = math_multiply_add(-t, y, 1.0);
    return select(shortfall, 0.0, shortfall < 0.0);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return select(0.0, -t, math_multiply_add(-t, y, 1.0) > 0.0);
}
