// focal of an output's forms, and its derivative with respect to z.

fn entropy_of_forms(y: Forms, t: f32) -> f32 {
    let value = -(times(t, y.log) + times(1.0 - t, y.log_rest));
    return nan_where(is_outside(y.y), value);
}

// 1 - p_t
fn missing_of_forms(y: Forms, t: f32) -> f32 {
    return y.y * (1.0 - t) + y.rest * t;
}

fn loss_of_forms(y: Forms, t: f32) -> f32 {
    let entropy = entropy_of_forms(y, t);
    let factor = probability_power(missing_of_forms(y, t), l_gamma);
    let value = times(focal_balance(l_alpha, t), times(factor, entropy));
    return nan_where(is_nan(entropy), value);
}

fn slope_of_forms(y: Forms, t: f32) -> f32 {
    let entropy = entropy_of_forms(y, t);
    let absent = missing_of_forms(y, t);
    let other = 1.0 - t;
    // g' / (1 - p_t), times the cross-entropy, without a quotient of two numbers that vanish together.
    var ratio = math_divide(y.slope, absent);
    ratio = select(ratio, y.rest_slope, t == 1.0);
    ratio = select(ratio, y.log_slope, t == 0.0);
    let drag = select(times(ratio, entropy), 0.0, entropy == 0.0);
    let steep = times(l_gamma, drag) * (other - t);
    let slope = times(other, y.rest_slope) - times(t, y.log_slope);
    let value = times(probability_power(absent, l_gamma), steep + slope);
    return nan_where(is_nan(entropy), times(focal_balance(l_alpha, t), value));
}
