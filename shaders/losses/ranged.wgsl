// For losses with terms and slopes that are beyond f32 only where their arguments are infinite.

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(loss);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(gradient);
}
