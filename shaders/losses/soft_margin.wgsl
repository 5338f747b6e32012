// soft_margin: ln(1 + e^(-t y)) per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    return softplus_of(negative(math_product(t, y)));
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return times_sigmoid(-t, negative(math_product(t, y)));
}
