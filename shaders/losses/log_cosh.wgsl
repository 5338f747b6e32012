// log_cosh: ln cosh(y - t) per element

fn loss(y: f32, t: f32, extra: f32) -> f32 {
    let error = abs(y - t);
    // Near 0, 1/2 ln(1 + sinh^2) keeps the digits; the argument is bounded so that it does not overflow.
    let near = error < 1.0;
    let m = math_expm1(select(1.0, error, near));
    let sinh = 0.5 * (m + math_divide(m, 1.0 + m));
    let small = 0.5 * math_log1p(sinh * sinh);
    // ln 2 in two parts.
    let line = opaque(opaque(error - 0.6931472) + 1.9046542e-9);
    let large = line + math_log1p(math_exp(-2.0 * error));
    return select(large, small, near);
}

fn gradient(y: f32, t: f32, extra: f32) -> f32 {
    let error = y - t;
    // The difference of two infinities is NaN.
    return nan_where(is_nan(error), math_tanh(error));
}
