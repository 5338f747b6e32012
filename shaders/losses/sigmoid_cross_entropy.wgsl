// cross_entropy of sigmoid(z), from z: t ln(1 + e^-z)

fn loss(z: f32, t: f32, extra: f32) -> f32 {
    return times(t, math_softplus(-z));
}

fn gradient(z: f32, t: f32, extra: f32) -> f32 {
    return -(t * math_sigmoid(-z));
}
