// bce of an output's forms, and its derivative with respect to z.

fn loss_of_forms(y: Forms, t: f32) -> f32 {
    let value = -(t * clamped(y.log) + (1.0 - t) * clamped(y.log_rest));
    return nan_where(is_outside(y.y), value);
}

fn slope_of_forms(y: Forms, t: f32) -> f32 {
    let value = times(1.0 - t, y.rest_slope) - times(t, y.log_slope);
    // From y alone if y is exactly 0 or 1, or outside [0, 1].
    let bounded = gradient(y.y, t, 1.0) * opaque(y.slope);
    return select(bounded, value, is_finite(value) && !is_outside(y.y));
}
