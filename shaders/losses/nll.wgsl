// nll: -t y per class for a log-probability y; 0 if t is 0, even at y = -inf

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    return -times(t, y);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return -t;
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    if (is_finite(loss)) {
        return ranged(loss);
    }
    return ranged_product(ranged(-t), ranged(y));
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    return ranged(gradient);
}
