// Functions that formulas of a user call, besides those of math.wgsl and trigonometry.wgsl.

// (high + low)·x for a constant in two parts.
fn formula_scaled(high: f32, low: f32, x: f32) -> Parts {
    let product = math_product(high, x);
    return Parts(product.high, product.low + select(0.0, low * x, is_finite(product.high)));
}

fn formula_tanh_slope_of(x: Parts) -> f32 {
    return tanh_slope(1.0, x);
}

// tanh_slope takes four times the factor, which must not overflow.
fn formula_times_tanh_slope(factor: f32, x: Parts) -> f32 {
    return 4.0 * tanh_slope(0.25 * factor, x);
}

fn formula_sigmoid_slope_of(x: Parts) -> f32 {
    return sigmoid_slope(1.0, x);
}

// ln(1 + x) for any x.
fn formula_log1p(x: f32) -> f32 {
    let u = opaque(1.0 + x);
    let log = math_log(u);
    // The quotient restores what the sum has lost.
    let corrected = log * math_divide(x, opaque(u - 1.0));
    let value = select(corrected, log, x > 1e30 || u == 0.0);
    return select(value, x, u == 1.0);
}

// The normal distribution function at high + low.
fn formula_normal_cdf_of(x: Parts) -> f32 {
    let a = min(abs(x.high), 15.0);
    // fit: mills_numerator
    var n = -0.999874;
    n = n * a + -8.153037;
    n = n * a + -28.974915;
    n = n * a + -47.235207;
    // fit: mills_denominator
    var d = 1.0;
    d = d * a + 9.400609;
    d = d * a + 40.867664;
    d = d * a + 94.73179;
    d = d * a + 103.71588;
    let rest = 1.2533141 * d + n;
    let ratio = math_divide(0.5 * d, a * rest + d);
    // e^(-(a + l)^2 / 2) = e^(-a^2 / 2)·(1 - a·l)
    let low = select(x.low, -x.low, x.high < 0.0);
    let tail = gaussian_times(Parts(ratio, -ratio * (a * low)), a, 0.5);
    return select(1.0 - tail, tail, x.high < 0.0);
}

fn formula_normal_cdf(x: f32) -> f32 {
    return formula_normal_cdf_of(Parts(x, 0.0));
}

fn formula_erfc(x: f32) -> f32 {
    let high = math_product(-1.4142135, min(max(x, -20.0), 20.0));
    return 2.0 * formula_normal_cdf_of(Parts(high.high, high.low - 2.4203235e-08 * x));
}

fn formula_erf(x: f32) -> f32 {
    let y = x * x;
    // 2 / sqrt(pi)·sum (-y)^n / (n!·(2n + 1))
    var p = -1.4925647e-05;
    p = p * y + 0.00012055333;
    p = p * y + -0.00085483274;
    p = p * y + 0.0052239776;
    p = p * y + -0.02686617;
    p = p * y + 0.11283792;
    p = p * y + -0.3761264;
    p = p * y + 1.1283792;
    let far = 1.0 - 2.0 * formula_normal_cdf(-1.4142135 * abs(x));
    return select(with_sign_of(far, x), x * p, abs(x) < 0.6);
}

fn formula_sin(x: f32) -> f32 {
    return sin_of(Parts(x, 0.0));
}

fn formula_cos(x: f32) -> f32 {
    return cos_of(Parts(x, 0.0));
}

fn formula_relu(x: f32) -> f32 {
    return select(select(0.0, x, is_positive(x)), x, is_nan(x));
}

fn formula_step(x: f32) -> f32 {
    return select(select(0.0, 1.0, is_positive(x)), x, is_nan(x));
}

// Comparisons, correct for subnormal numbers too; false if a number is NaN.
fn formula_less(a: f32, b: f32) -> bool {
    return is_less(a, b) && !is_nan(a) && !is_nan(b);
}

fn formula_equal(a: f32, b: f32) -> bool {
    return order(a) == order(b) && !is_nan(a) && !is_nan(b);
}

fn formula_less_or_equal(a: f32, b: f32) -> bool {
    return formula_less(a, b) || formula_equal(a, b);
}

// The smaller number; NaN if one is NaN.
fn formula_min(a: f32, b: f32) -> f32 {
    let least = select(b, a, is_less(a, b));
    return select(select(least, a, is_nan(a)), b, is_nan(b));
}

fn formula_max(a: f32, b: f32) -> f32 {
    let greatest = select(b, a, is_less(b, a));
    return select(select(greatest, a, is_nan(a)), b, is_nan(b));
}

// a^b for any numbers.
fn formula_power(a: f32, b: f32) -> f32 {
    let whole = round(b) == b;
    let is_odd = whole && abs(b) < 16777216.0 && (i32(b) & 1) != 0;
    let log = math_log(abs(a));
    let size = select(exp_of(math_product(b, log)), 0.0, a == 0.0 && b > 0.0);
    let unsigned = select(size, infinity(), a == 0.0 && b < 0.0);
    let signed = select(unsigned, -unsigned, a < 0.0 && is_odd);
    let value = select(signed, nan(), a < 0.0 && !whole && !is_infinite(a));
    return select(value, 1.0, b == 0.0);
}
