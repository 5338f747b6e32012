// mae: |y - t| per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    return abs(y - t);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return math_sign(y - t);
}
