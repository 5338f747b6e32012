// cross_entropy: -t ln y per class; 0 if t is 0, even at y = 0

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    return -times(t, math_log(y));
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    return select(-(t / y), 0.0, t == 0.0);
}

fn loss_ranged(loss: f32, y: f32, t: f32, extra: f32) -> Ranged {
    if (is_finite(loss)) {
        return ranged(loss);
    }
    return ranged_product(ranged(-t), ranged(math_log(y)));
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, extra: f32) -> Ranged {
    if (is_infinite(gradient)) {
        return ranged_quotient(ranged(-t), ranged(y));
    }
    return ranged(gradient);
}
