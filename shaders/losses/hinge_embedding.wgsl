// hinge_embedding: y for the target 1, max(0, margin - y) for -1, the sum of both for any other target

override l_margin: f32 = 1.0;

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let rest = l_margin - y;
    let apart = select(select(rest, 0.0, rest < 0.0), 0.0, t == 1.0);
    return apart + select(y, 0.0, t == -1.0);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    // At the kink, the slope of the side within the margin, as in PyTorch.
    let apart = select(select(-1.0, 0.0, l_margin - y < 0.0), 0.0, t == 1.0);
    return apart + select(1.0, 0.0, t == -1.0);
}
