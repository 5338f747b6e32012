// For losses whose terms and slopes overflow f32 only for infinite arguments.

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(loss);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(gradient);
}
