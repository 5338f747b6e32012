// hinge: max(0, margin - t y) per element, with the margin 1

fn loss(y: f32, t: f32, margin: f32) -> f32 {
    let shortfall = math_multiply_add(-t, y, margin);
    return select(shortfall, 0.0, shortfall < 0.0);
}

fn gradient(y: f32, t: f32, margin: f32) -> f32 {
    return select(0.0, -t, math_multiply_add(-t, y, margin) > 0.0);
}
