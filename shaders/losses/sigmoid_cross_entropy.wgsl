// cross_entropy of sigmoid(z), from z: t ln(1 + e^-z)

fn loss(z: f32, t: f32, extra: f32) -> f32 {
    return select(t * math_softplus(-z), 0.0, t == 0.0);
}

fn gradient(z: f32, t: f32, extra: f32) -> f32 {
    return -(t * math_sigmoid(-z));
}
