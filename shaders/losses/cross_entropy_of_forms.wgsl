// cross_entropy of an output's forms, and its derivative with respect to z.

fn loss_of_forms(y: Forms, t: f32) -> f32 {
    return -times(t, y.log);
}

fn slope_of_forms(y: Forms, t: f32) -> f32 {
    return -times(t, y.log_slope);
}
