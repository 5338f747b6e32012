// An output y = g(z) in all forms that the logarithms need: they keep their digits when y is rounded to 0 or 1.
struct Forms {
    y: f32,
    // 1 - y
    rest: f32,
    // ln y
    log: f32,
    // ln(1 - y)
    log_rest: f32,
    // g'
    slope: f32,
    // g' / y
    log_slope: f32,
    // g' / (1 - y)
    rest_slope: f32,
}

// The forms as far as y alone determines them.
fn forms_of(y: f32, slope: f32) -> Forms {
    let rest = 1.0 - y;
    let by_y = math_divide(slope, y);
    let by_rest = math_divide(slope, rest);
    return Forms(y, rest, math_log(y), log_1m(y), slope, by_y, by_rest);
}

// y = limit + offset as high + low: these two parts if the condition holds, else 0 and y.
fn near_limit(condition: bool, limit: f32, offset: f32, y: f32) -> Parts {
    return Parts(select(0.0, limit, condition), select(y, offset, condition));
}

// The forms of y = e^x, where dx/dz is `factor`.
fn forms_of_power(x: Parts, factor: f32) -> Forms {
    let y = exp_of(x);
    let rest = -expm1_of(x);
    // y / (1 - y)
    let quotient = math_divide(1.0, expm1_of(negative(x)));
    let odds = select(quotient, y, x.high < -40.0);
    let near = math_log(select(0.0, rest, is_positive(rest)));
    let far = -math_log1p(select(1.0, odds, odds > 0.0));
    var log_rest = select(near, far, x.high <= -0.693);
    // The same on drivers that flush subnormal numbers.
    log_rest = select(log_rest, 0.0, x.high < -104.0);
    return Forms(y, rest, x.high, log_rest, exp_times(factor, x), factor, factor * odds);
}

// The forms of y = tanh x, where dx/dz is `factor`.
fn forms_of_tanh(x: Parts, factor: f32) -> Forms {
    let y = tanh_of(x);
    let slope = tanh_slope(factor, x);
    let double = twice(x);
    let is_far = double.high > 40.0;
    let is_small = y < 0.5;
    let power = expm1_of(Parts(min(double.high, 80.0), select(double.low, 0.0, is_far)));
    // 1 / y - 1
    let near = math_divide(2.0, select(power, 1.0, is_small));
    let excess = select(near, 2.0 * exp_of(negative(double)), is_far);
    // ln 2 in two parts.
    let line = -(opaque(double.high - 0.6931472) + 1.9046542e-9);
    let far = select(-math_log1p(select(0.5 * power, 1.0, is_small)), line, is_far);
    return Forms(
        y,
        2.0 * sigmoid_of(negative(double)),
        select(-math_log1p(excess), math_log(y), is_small),
        select(far, log_1m(y), is_small),
        slope,
        math_divide(slope, y),
        factor * (1.0 + y),
    );
}
