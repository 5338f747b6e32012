// Elementary functions that are accurate on any driver.
//
// WGSL's own exp may be off by 3 + 2|x| units in the last place, its tanh overflows on some drivers
// and has a relative error of 1e-3 near 0. The functions here use + - * / and bit operations alone.
// They are accurate whether or not the driver fuses multiply-adds or flushes subnormal numbers to zero,
// and with division that is off by 2.5 units.
//
// Two techniques ensure this:
//  * A driver may reassociate: (p + q) - p can become q. opaque(x) hides a value from the optimiser.
//  * A product is exact if both factors have 12 significant bits: head(x) keeps the upper 12.
//
// The functions do not handle NaN. The kernels do, by its bits (x != x is never true on Vulkan, and
// max, min, clamp and select lose it).

// Always 0, but unknown to the compiler: each entry point sets it from its parameters.
var<private> opaque_zero: u32;

// Whether the numbers of activations and losses are constants of the kernel, so that a test of one costs
// nothing. Otherwise they come with each dispatch, and some drivers then execute both branches.
const NUMBERS_ARE_CONSTANTS: bool = true;

// x, as the result of an operation that the optimiser cannot see through.
fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ opaque_zero);
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_infinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Correct for subnormal x too, which some drivers take for zero when comparing floats.
fn is_positive(x: f32) -> bool {
    return bitcast<i32>(x) > 0;
}

// Whether a < b, correct for subnormal numbers too; -0 and 0 are equal.
fn is_less(a: f32, b: f32) -> bool {
    return order(a) < order(b);
}

// -x, correct for subnormal x too.
fn opposite(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u);
}

// An integer that increases with x.
fn order(x: f32) -> i32 {
    let magnitude = bitcast<i32>(x) & 0x7fffffff;
    return select(magnitude, -magnitude, bitcast<i32>(x) < 0);
}

// y, or NaN if the condition holds: selected as bits, because the optimiser may assume that no number is NaN.
fn nan_where(condition: bool, y: f32) -> f32 {
    return bitcast<f32>(select(bitcast<u32>(y), 0x7fc00000u, condition));
}

// WGSL cannot write these two as constants.
fn nan() -> f32 {
    return bitcast<f32>(0x7fc00000u ^ opaque_zero);
}

fn infinity() -> f32 {
    return bitcast<f32>(0x7f800000u ^ opaque_zero);
}

// The upper 12 significant bits of x.
fn head(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// magnitude with the sign of x; magnitude >= 0.
fn with_sign_of(magnitude: f32, x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(magnitude) | (bitcast<u32>(x) & 0x80000000u));
}

// -1, 0 or 1; NaN for NaN.
fn math_sign(x: f32) -> f32 {
    let magnitude = bitcast<u32>(x) & 0x7fffffffu;
    let one = with_sign_of(1.0, x);
    return select(select(one, x, magnitude > 0x7f800000u), 0.0, magnitude == 0u);
}

// high + low, where low is the rounding error of high, a product or a quotient.
struct Parts {
    high: f32,
    low: f32,
}

// 0 - low rather than -low: a low part that the compiler knows to be 0 stays 0 and does not become -0.
fn negative(x: Parts) -> Parts {
    return Parts(-x.high, 0.0 - x.low);
}

fn twice(x: Parts) -> Parts {
    return Parts(x.high + x.high, x.low + x.low);
}

// |x|
fn magnitude(x: Parts) -> Parts {
    let sign = bitcast<u32>(x.high) & 0x80000000u;
    return Parts(abs(x.high), bitcast<f32>(bitcast<u32>(x.low) ^ sign));
}

// x clamped to the bounds; the low part is dropped if x.high is outside.
fn bounded(x: Parts, least: f32, most: f32) -> Parts {
    let within = x.high >= least && x.high <= most;
    return Parts(clamp(x.high, least, most), select(0.0, x.low, within));
}

// Below this, the rounding error of a product or quotient may be flushed to zero.
const TINY: f32 = 1e-30;

// a * b, exact except near zero (Dekker); zero times infinity is zero.
fn math_product(a: f32, b: f32) -> Parts {
    let high = opaque(a * b);
    let a_head = head(a);
    let b_head = head(b);
    let a_rest = a - a_head;
    let b_rest = b - b_head;
    let upper = opaque(opaque(a_head * b_head) - high);
    let low = (upper + opaque(a_head * b_rest) + opaque(a_rest * b_head)) + a_rest * b_rest;
    // The low part of a product that overflows is infinite or NaN.
    let exact = is_finite(low) && min(min(abs(a), abs(b)), abs(high)) > TINY;
    return Parts(select(high, 0.0, is_nan(high)), select(0.0, low, exact));
}

// a / b, with the error of its rounding and of the driver's division as the low part.
fn math_quotient(dividend: f32, divisor: f32) -> Parts {
    // Drivers compute a * (1 / b), and 1 / b is flushed to zero if b is more than 2^126.
    let by = select(1.0, 0.25, abs(divisor) > 4.2e37);
    let a = dividend * by;
    let b = divisor * by;
    let high = opaque(a / b);
    let back = math_product(high, b);
    let low = (opaque(a - back.high) - back.low) / b;
    return Parts(high, select(0.0, low, is_finite(low) && min(abs(a), abs(b)) > TINY));
}

// a / b, accurately rounded however the driver divides.
fn math_divide(a: f32, b: f32) -> f32 {
    let q = math_quotient(a, b);
    return q.high + q.low;
}

// factor * x for a parameter, which is often 1.
fn math_scaled(factor: f32, x: f32) -> Parts {
    if (factor == 1.0) {
        return Parts(x, 0.0);
    }
    return math_product(factor, x);
}

// The square root of x, accurately rounded whatever the driver's sqrt does.
fn sqrt_of(x: Parts) -> f32 {
    let root = sqrt(x.high);
    let square = math_product(root, root);
    let residual = (opaque(x.high - square.high) - square.low) + x.low;
    let corrected = root + residual * (0.5 / root);
    return select(root, corrected, is_finite(corrected));
}

fn math_sqrt(x: f32) -> f32 {
    // Subnormal numbers are taken as their integer value, x * 2^149.
    let bits = bitcast<u32>(x);
    let subnormal = bits < 0x00800000u;
    let root = sqrt_of(Parts(select(x, 2.0 * f32(bits & 0x007fffffu), subnormal), 0.0));
    return root * select(1.0, 2.6469779601696886e-23, subnormal);
}

// a * b + c without the rounding error of the product (Knuth's sum).
fn math_multiply_add(a: f32, b: f32, c: f32) -> f32 {
    let product = math_product(a, b);
    let sum = opaque(product.high + c);
    let back = opaque(sum - product.high);
    let lost = (product.high - opaque(sum - back)) + (c - back);
    let corrected = sum + (product.low + lost);
    // If something overflowed, the rounding errors are infinite or NaN.
    return select(corrected, sum, is_nan(corrected));
}

// A number as a head of 12 bits and the rest.
struct Pair {
    head: f32,
    rest: f32,
}

fn split(x: f32) -> Pair {
    let upper = head(x);
    return Pair(upper, x - upper);
}

fn split_parts(x: Parts) -> Pair {
    let upper = head(x.high);
    return Pair(upper, opaque(x.high - upper) + x.low);
}

fn product(a: Pair, b: Pair) -> f32 {
    return a.head * b.head + (a.head * b.rest + a.rest * (b.head + b.rest));
}

fn product_pair(a: Pair, b: Pair) -> Pair {
    let upper = a.head * b.head;
    let lower = a.head * b.rest + a.rest * (b.head + b.rest);
    let sum = head(upper + lower);
    return Pair(sum, opaque(upper - sum) + lower);
}

// a * b, with its rounding error as the low part.
fn product_parts(a: Pair, b: Pair) -> Parts {
    let upper = a.head * b.head;
    let lower = a.head * b.rest + a.rest * (b.head + b.rest);
    let high = opaque(upper + lower);
    return Parts(high, opaque(upper - high) + lower);
}

// 1 + a * b
fn product_plus_one(a: Pair, b: Pair) -> f32 {
    return opaque(1.0 + a.head * b.head) + (a.head * b.rest + a.rest * (b.head + b.rest));
}

// large + small + rest, for a head `small` that is no greater than `large`.
fn sum_pair(large: f32, small: f32, rest: f32) -> Pair {
    let upper = head(large + small);
    return Pair(upper, opaque(opaque(large - upper) + small) + rest);
}

// 1 / x: an exact residual removes the error of the division.
fn reciprocal(x: Pair) -> Pair {
    let q = 1.0 / (x.head + x.rest);
    let q_head = head(q);
    let q_rest = q - q_head;
    let residual = (opaque(1.0 - q_head * x.head) - q_rest * x.head) - q * x.rest;
    return Pair(q_head, q_rest + q * residual);
}

// 1 / (1 + x) for x >= 0.
fn reciprocal_1p(x: Pair) -> Pair {
    return reciprocal(sum_pair(max(x.head, 1.0), min(x.head, 1.0), x.rest));
}

// 2^-64
const SMALL: f32 = 5.421010862427522e-20;

// m * 2^n for m in [0.5, 4), rounded once, subnormal results included; no overflow.
fn scale(m: f32, n: i32) -> f32 {
    let exponent = i32(bitcast<u32>(m) >> 23u) + n;
    let normal = bitcast<f32>(bitcast<u32>(m) + (bitcast<u32>(n) << 23u));
    // Below the normal range: raised by 2^64 to stay normal, then multiplied by 2^-64.
    let raised = bitcast<f32>(bitcast<u32>(m) + (bitcast<u32>(n + 64) << 23u));
    return select(raised * SMALL, normal, exponent >= 1);
}

// 2^n for -126 <= n <= 127.
fn power_of_two(n: i32) -> f32 {
    return bitcast<f32>(bitcast<u32>(n + 127) << 23u);
}

// e^x = 2^exponent * (1 + fraction)
struct Exponential {
    exponent: i32,
    fraction: f32,
}

// For a high part in [-256, 256] and a low part of at most a few units in its last place.
fn exponential(x: Parts) -> Exponential {
    let n = floor(x.high * 1.442695 + 0.5);
    // ln 2 = 355/512 - 2.1219444e-4; n * 355/512 is exact, so the first difference is too.
    let r = opaque(x.high - n * 0.693359375) - (n * -2.12194440054690583e-4 - x.low);
    // fit: exp
    var p = 0.00019958447;
    p = p * r + 0.0013933715;
    p = p * r + 0.008333192;
    p = p * r + 0.041666478;
    p = p * r + 0.16666667;
    p = p * r + 0.5;
    return Exponential(i32(n), (r * r) * p + r);
}

// 2^exponent * (1 + fraction), rounded once.
fn exponential_value(e: Exponential) -> f32 {
    return scale(1.0 + e.fraction, e.exponent);
}

// factor * e, rounded once if the result is subnormal: scaled in two steps, so that no power of two overflows or
// underflows.
fn exponential_times(factor: Parts, e: Exponential) -> f32 {
    let half = e.exponent >> 1u;
    let mantissa = factor.high + opaque(factor.high * e.fraction + factor.low);
    return opaque(mantissa * power_of_two(half)) * power_of_two(e.exponent - half);
}

// A number in two parts, divided by a scale that keeps them in range: 1 or 2^-64.
struct Scaled {
    value: Pair,
    scale: f32,
}

// The exponential with 12 bits more than f32.
fn exponential_pair(e: Exponential) -> Scaled {
    let far = e.exponent > 60;
    let upper = head(1.0 + e.fraction);
    let lower = e.fraction - opaque(upper - 1.0);
    let power = power_of_two(e.exponent - select(0, 64, far));
    return Scaled(Pair(upper * power, lower * power), select(1.0, SMALL, far));
}

// e^x: infinite past 88.72283, zero below -104.
fn exp_of(x: Parts) -> f32 {
    let y = exponential_value(exponential(bounded(x, -104.0, 88.72283)));
    return select(y, infinity(), x.high > 88.72283);
}

fn math_exp(x: f32) -> f32 {
    return exp_of(Parts(x, 0.0));
}

// factor * e^x, rounded once if the result is subnormal, even if e^x by itself would be flushed.
fn exp_times(factor: f32, x: Parts) -> f32 {
    let y = exponential_times(Parts(factor, 0.0), exponential(bounded(x, -174.0, 174.0)));
    return select(y, 0.0, x.high < -174.0);
}

fn math_exp_times(factor: f32, x: f32) -> f32 {
    return exp_times(factor, Parts(x, 0.0));
}

// e^x - 1: infinite past 88.72283.
fn expm1_of(x: Parts) -> f32 {
    let e = exponential(bounded(x, -104.0, 88.72283));
    let n = e.exponent;
    // 2^n * (1 + fraction) - 1, with the difference of the two powers exact.
    let power = power_of_two(clamp(n, -30, 30));
    let middle = power * e.fraction + (power - 1.0);
    var result = select(middle, exponential_value(e), n > 30);
    result = select(result, -1.0, n < -30);
    result = select(result, e.fraction, n == 0);
    result = select(result, infinity(), x.high > 88.72283);
    return select(result, x.high, abs(x.high) < 1e-8);
}

fn math_expm1(x: f32) -> f32 {
    return expm1_of(Parts(x, 0.0));
}

// z - m, with its rounding error as the low part.
fn math_difference(z: f32, m: f32) -> Parts {
    let d = finite_difference(z, m);
    return Parts(d.high, select(d.low, 0.0, is_infinite(d.high)));
}

// The same if the difference is finite; otherwise the low part is undefined.
fn finite_difference(z: f32, m: f32) -> Parts {
    let high = opaque(z - m);
    // Knuth's two-sum.
    let back = opaque(high - z);
    return Parts(high, (z - opaque(high - back)) + (-m - back));
}

// Below this difference, its exponential is zero.
const LEAST_DIFFERENCE: f32 = -104.0;

// e^d for d <= 0; e^-104 if d is less than -104.
fn near_exponential(d: Parts) -> Exponential {
    let near = d.high > LEAST_DIFFERENCE;
    return exponential(Parts(select(LEAST_DIFFERENCE, d.high, near), select(0.0, d.low, near)));
}

fn math_exp_difference(d: Parts) -> f32 {
    return select(0.0, exponential_value(near_exponential(d)), d.high > LEAST_DIFFERENCE);
}

// 2^32 * e^d for d <= 0. It is never subnormal, since some drivers flush such numbers. The low part may be
// anything if d is not finite.
fn raised_exp_difference(d: Parts) -> f32 {
    let e = near_exponential(d);
    let raised = bitcast<u32>(1.0 + e.fraction) + (bitcast<u32>(e.exponent + 32) << 23u);
    return select(0.0, bitcast<f32>(raised), d.high > LEAST_DIFFERENCE);
}

// x / 2^32
fn lowered(x: f32) -> f32 {
    return x * 2.3283064365386963e-10;
}

// factor * e^d for d <= 0 and a factor up to 1, rounded once; zero below -104.
fn exp_difference_times(factor: Parts, d: Parts) -> f32 {
    return select(0.0, exponential_times(factor, near_exponential(d)), d.high > LEAST_DIFFERENCE);
}

// factor * e^(-weight * a^2) for a weight of 1/2 or 1 and a in [0, 18]; the square is in two parts.
fn gaussian_times(factor: Parts, a: f32, weight: f32) -> f32 {
    let a_head = head(a);
    let low = (a - a_head) * (a + a_head);
    return exponential_times(factor, exponential(Parts(-weight * a_head * a_head, -weight * low)));
}

// 1 / (1 + e^t) in parts, for t in [-60, 130].
fn logistic(t: Parts) -> Scaled {
    let e = exponential_pair(exponential(t));
    let large = max(e.value.head, e.scale);
    let small = min(e.value.head, e.scale);
    return Scaled(reciprocal(sum_pair(large, small, e.value.rest)), e.scale);
}

// The same for t in [0, 130], where e^t is no less than 1.
fn logistic_above(t: Parts) -> Scaled {
    let e = exponential_pair(exponential(t));
    return Scaled(reciprocal(sum_pair(e.value.head, e.scale, e.value.rest)), e.scale);
}

// The same for t in [0, 60], where no scale is needed.
fn logistic_near(t: Parts) -> Pair {
    let e = exponential(t);
    let upper = head(1.0 + e.fraction);
    let lower = e.fraction - opaque(upper - 1.0);
    let power = power_of_two(e.exponent);
    return reciprocal(sum_pair(upper * power, 1.0, lower * power));
}

fn scaled_value(x: Scaled) -> f32 {
    return (x.value.head + x.value.rest) * x.scale;
}

// 1 - q
fn complement(q: Scaled) -> Pair {
    let value = q.value.head * q.scale;
    let upper = head(1.0 - value);
    return Pair(upper, opaque(opaque(1.0 - upper) - value) - q.value.rest * q.scale);
}

// factor * q * (1 - q)
fn logistic_slope(factor: f32, q: Scaled) -> f32 {
    return opaque(product(q.value, complement(q)) * factor) * q.scale;
}

// 1 / (1 + e^-x)
fn sigmoid_of(x: Parts) -> f32 {
    return scaled_value(logistic(bounded(negative(x), -60.0, 130.0)));
}

fn math_sigmoid(x: f32) -> f32 {
    return sigmoid_of(Parts(x, 0.0));
}

// factor * sigmoid(a) * sigmoid(-a) for a >= 0
fn slope_above(factor: f32, a: Parts) -> f32 {
    return logistic_slope(factor, logistic_above(bounded(a, 0.0, 130.0)));
}

// factor * sigmoid(x) * sigmoid(-x)
fn sigmoid_slope(factor: f32, x: Parts) -> f32 {
    return slope_above(factor, magnitude(x));
}

fn math_sigmoid_derivative(x: f32) -> f32 {
    return slope_above(1.0, Parts(abs(x), 0.0));
}

// factor * (1 - tanh^2 x) = 4 * factor * sigmoid'(2x)
fn tanh_slope(factor: f32, x: Parts) -> f32 {
    return sigmoid_slope(4.0 * factor, twice(x));
}

fn math_tanh_derivative(x: f32) -> f32 {
    return slope_above(4.0, Parts(2.0 * abs(x), 0.0));
}

// tanh a for a >= 0
fn tanh_above(a: Parts) -> f32 {
    // Near zero, an odd polynomial.
    let y = a.high * a.high;
    // fit: tanh_near
    var p = 0.0022634582;
    p = p * y + -0.008289779;
    p = p * y + 0.021738866;
    p = p * y + -0.053952433;
    p = p * y + 0.1333324;
    p = p * y + -0.3333333;
    let near = ((a.high * y) * p + a.low * (1.0 - y)) + a.high;
    // Elsewhere, 1 - 2 / (1 + e^2a).
    let q = logistic_near(bounded(twice(a), 0.0, 40.0));
    let far = opaque(1.0 - 2.0 * q.head) - 2.0 * q.rest;
    return select(far, near, a.high < 0.55);
}

fn tanh_of(x: Parts) -> f32 {
    return with_sign_of(tanh_above(magnitude(x)), x.high);
}

fn math_tanh(x: f32) -> f32 {
    return with_sign_of(tanh_above(Parts(abs(x), 0.0)), x);
}

// ln(1 + f) - f for f in [-0.2935, 0.4145]
fn log1p_tail(f: f32) -> f32 {
    // fit: log1p
    var p = 0.06691393;
    p = p * f + -0.11662676;
    p = p * f + 0.11906576;
    p = p * f + -0.12408868;
    p = p * f + 0.14217335;
    p = p * f + -0.1666775;
    p = p * f + 0.20002234;
    p = p * f + -0.25000015;
    p = p * f + 0.3333331;
    let square = f * f;
    return (square * f) * p - 0.5 * square;
}

// ln of u * (1 + correction) for a normal u > 0 and a correction of a few units in the last place.
fn log_corrected(u: f32, correction: f32) -> f32 {
    // u = 2^n * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
    let offset = bitcast<u32>(u) - 0x3f3504f3u;
    let n = bitcast<i32>(offset) >> 23u;
    let f = bitcast<f32>((offset & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    let k = f32(n);
    // ln 2 in two parts: k times the first is exact.
    let low = k * 1.4286068203094172e-06 + (correction + log1p_tail(f));
    return k * 0.693145751953125 + opaque(f + low);
}

// ln(1 + e) for e = value + correction in [0, 1].
fn log1p_of_pair(value: f32, correction: f32) -> f32 {
    // Above sqrt(2) - 1, ln 2 + ln(1 + f) with f = (e - 1) / 2, which is exact.
    let large = value > 0.4142;
    let f = select(value, 0.5 * (value - 1.0), large);
    // The correction's own factor 1 / (1 + e) need not be exact.
    let tail = log1p_tail(f) + correction * (1.0 - 0.5 * value);
    let near = f + tail;
    return select(near, 0.693145751953125 + opaque(f + (tail + 1.4286068203094172e-06)), large);
}

// ln(1 + e^-a) for a >= 0
fn softplus_above(a: Parts) -> f32 {
    let e = exponential(bounded(negative(a), -104.0, 0.0));
    // Far out, the exponential itself, raised by 2^64 to stay normal.
    let far = e.exponent < -60;
    let upper = head(1.0 + e.fraction);
    let lower = e.fraction - opaque(upper - 1.0);
    let power = power_of_two(e.exponent + select(0, 64, far));
    let value = opaque(upper * power + lower * power);
    let correction = lower * power - opaque(value - upper * power);
    return select(log1p_of_pair(value, correction), value * SMALL, far);
}

// ln(1 + e^x)
fn softplus_of(x: Parts) -> f32 {
    let positive = is_positive(x.high);
    let rest = softplus_above(magnitude(x)) + select(0.0, x.low, positive);
    return select(0.0, x.high, positive) + rest;
}

fn math_softplus(x: f32) -> f32 {
    return max(x, 0.0) + softplus_above(Parts(abs(x), 0.0));
}

// ln x: NaN for x < 0, minus infinity at 0.
fn math_log(x: f32) -> f32 {
    // Subnormal numbers are taken as their integer value, x * 2^149, for drivers that flush them.
    let bits = bitcast<u32>(x);
    let subnormal = bits < 0x00800000u;
    let safe = select(x, f32(max(bits, 1u)), subnormal);
    let value = log_corrected(safe, 0.0);
    var result = select(value, value - 103.27892990343185, subnormal);
    result = select(result, -infinity(), (bits & 0x7fffffffu) == 0u);
    result = select(result, x, is_infinite(x));
    return select(result, nan(), bits > 0x80000000u);
}

// ln(1 + x) for x >= 0.
fn math_log1p(x: f32) -> f32 {
    let small = x <= 0.4142;
    let u = opaque(1.0 + x);
    // The rounding error of the sum 1 + x, whichever term is larger.
    let lost = select(1.0 - opaque(u - x), x - opaque(u - 1.0), x < 1.0);
    let large = log_corrected(select(u, 2.0, small), select(lost / u, 0.0, small));
    let near = select(1.0, x, small);
    let result = select(large, near + log1p_tail(select(0.0, near, small)), small);
    return select(result, x, is_infinite(x));
}

// factor * q
fn product_with(factor: f32, q: Scaled) -> f32 {
    // A tiny factor cannot be split.
    let simple = factor * (q.value.head + q.value.rest);
    return select(product(split(factor), q.value), simple, abs(factor) < TINY) * q.scale;
}

// factor * sigmoid(x)
fn times_sigmoid(factor: f32, x: Parts) -> f32 {
    let q = logistic(bounded(negative(x), -60.0, 130.0));
    let near = product_with(factor, q);
    let y = select(near, exp_times(factor, x), x.high < -105.0);
    // An infinite factor cannot be split.
    return select(y, factor, x.high > 60.0 || (is_infinite(factor) && x.high > -105.0));
}

// sigmoid(x) * (1 + x * sigmoid(-x))
fn silu_derivative(x: Parts) -> f32 {
    // Around its root.
    let v = opaque(1.2784646 + x.high) + (x.low - 1.29792825e-08);
    // fit: silu_derivative_root
    var p = 3.6922647e-06;
    p = p * v + 9.681956e-07;
    p = p * v + -3.24276e-05;
    p = p * v + -4.5913544e-05;
    p = p * v + 0.00018758625;
    p = p * v + 0.0008012325;
    p = p * v + 0.00012606072;
    p = p * v + -0.006607261;
    p = p * v + -0.015222585;
    p = p * v + 0.018874884;
    p = p * v + 0.1466488;
    p = p * v + 0.2178117;
    let near = bounded(x, -112.0, 112.0);
    let q = logistic(bounded(negative(near), -60.0, 130.0));
    let t = product_plus_one(split_parts(near), complement(q));
    let elsewhere = product(split(t), q.value) * q.scale;
    return select(elsewhere, v * p, x.high < -0.5 && x.high > -2.0);
}

// 1 - w * tanh(w) for w >= 0 and q = 1 / (1 + e^2w).
fn bump(w: Parts, q: Scaled) -> f32 {
    // Around its root.
    let v = opaque(1.1996787 - w.high) - (w.low + 1.9181353e-08);
    // fit: bump_root
    var p = -0.0003517475;
    p = p * v + -0.0009734998;
    p = p * v + -0.00095918303;
    p = p * v + 0.0009752855;
    p = p * v + 0.0061975745;
    p = p * v + 0.011703012;
    p = p * v + 0.0039246;
    p = p * v + -0.035966925;
    p = p * v + -0.10172809;
    p = p * v + -0.12204163;
    p = p * v + 1.2515046e-09;
    p = p * v + 1.1996787;
    let elsewhere = 1.0 - w.high * (1.0 - 2.0 * scaled_value(q));
    return select(elsewhere, v * p, w.high > 0.6 && w.high < 2.0);
}

// factor * sigmoid'(x) * (2 - x * tanh(x / 2))
fn silu_second(factor: f32, x: Parts) -> f32 {
    let a = bounded(magnitude(x), 0.0, 112.0);
    let q = logistic_above(a);
    return logistic_slope(2.0 * factor * bump(Parts(0.5 * a.high, 0.5 * a.low), q), q);
}

// mantissa * 2^exponent: intermediate products of such numbers neither overflow nor underflow.
struct Ranged {
    // Between 1 and 2 in magnitude, or a product of such numbers; or 0, infinite or NaN.
    mantissa: f32,
    exponent: i32,
}

fn ranged(x: f32) -> Ranged {
    let bits = bitcast<u32>(x) & 0x7fffffffu;
    // Subnormal numbers are taken as their integer value, x * 2^149, for drivers that flush them.
    let subnormal = bits < 0x00800000u;
    let magnitude = select(bits, bitcast<u32>(f32(bits)), subnormal);
    if (bits == 0u || bits >= 0x7f800000u) {
        return Ranged(x, 0);
    }
    let mantissa = bitcast<f32>((magnitude & 0x007fffffu) | 0x3f800000u);
    let exponent = i32(magnitude >> 23u) - 127 - select(0, 149, subnormal);
    return Ranged(with_sign_of(mantissa, x), exponent);
}

fn ranged_product(a: Ranged, b: Ranged) -> Ranged {
    return Ranged(a.mantissa * opaque(b.mantissa), a.exponent + b.exponent);
}

fn ranged_quotient(a: Ranged, b: Ranged) -> Ranged {
    return Ranged(math_divide(a.mantissa, b.mantissa), a.exponent - b.exponent);
}

// a - b, even if it overflows f32.
fn ranged_difference(a: f32, b: f32) -> Ranged {
    return ranged_power(ranged(0.5 * a - 0.5 * b), 1);
}

// x * 2^power
fn ranged_power(x: Ranged, power: i32) -> Ranged {
    return Ranged(x.mantissa, x.exponent + power);
}

// e^x for x >= 0.
fn ranged_exp(x: f32) -> Ranged {
    // From 256 on, no product with a float is in range. Infinite if it is in f64, as on the CPU.
    let e = exponential(Parts(min(x, 256.0), 0.0));
    return Ranged(select(1.0 + e.fraction, infinity(), x > 709.78), e.exponent);
}

// The number as f32, scaled in three steps, so that no power of two overflows or underflows.
fn unranged(x: Ranged) -> f32 {
    let first = clamp(x.exponent, -126, 127);
    let second = clamp(x.exponent - first, -126, 127);
    let third = clamp(x.exponent - first - second, -126, 127);
    let scaled = opaque(opaque(x.mantissa * power_of_two(first)) * power_of_two(second));
    return scaled * power_of_two(third);
}
