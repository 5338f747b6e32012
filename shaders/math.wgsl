// Elementary functions that are accurate on any driver.
//
// WGSL's own exp may be off by 3 + 2|x| units in the last place, its tanh overflows on some drivers
// and has a relative error of 1e-3 near 0. The functions here use + - * / and bit operations alone.
// They hold whether or not the driver fuses a multiply-add, with division that is off by 2.5 units,
// and where subnormal numbers are flushed to zero.
//
// Two habits make that so:
//  * A driver may reassociate: (p + q) - p can become q. opaque(x) hides a value from the optimiser.
//  * A product is exact where both factors have 12 significant bits: head(x) keeps the upper 12.
//
// None of the functions treats a NaN: the kernels do, by its bits (x != x is never true on Vulkan,
// and max, min, clamp and select lose it).

// Zero, in a way that the compiler cannot know: each entry point sets it from its parameters.
var<private> opaque_zero: u32;

// x, through an operation that the optimiser cannot see through.
fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ opaque_zero);
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_infinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

// Also for subnormal x: some drivers take them for zero in comparisons of numbers.
fn is_positive(x: f32) -> bool {
    return bitcast<i32>(x) > 0;
}

// Whether a < b, also for subnormal numbers; -0 and 0 are one.
fn is_less(a: f32, b: f32) -> bool {
    return order(a) < order(b);
}

// A number that grows with x.
fn order(x: f32) -> i32 {
    let magnitude = bitcast<i32>(x) & 0x7fffffff;
    return select(magnitude, -magnitude, bitcast<i32>(x) < 0);
}

// y, or NaN where the condition holds: by bits, as the optimiser may assume that no number is NaN.
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

// a * b + c without the rounding error of the product (Dekker's product, Knuth's sum).
fn math_multiply_add(a: f32, b: f32, c: f32) -> f32 {
    let product = opaque(a * b);
    let a_head = head(a);
    let b_head = head(b);
    let a_rest = a - a_head;
    let b_rest = b - b_head;
    let upper = opaque(opaque(a_head * b_head) - product);
    let lost = (upper + opaque(a_head * b_rest) + opaque(a_rest * b_head)) + a_rest * b_rest;
    let sum = opaque(product + c);
    let back = opaque(sum - product);
    let lost_too = (product - opaque(sum - back)) + (c - back);
    let corrected = sum + (lost + lost_too);
    // Where something overflowed, what was lost is no number.
    return select(corrected, sum, is_nan(corrected));
}

// m * 2^n for m in [0.5, 4), rounded once, subnormal results included; no overflow.
fn scale(m: f32, n: i32) -> f32 {
    let exponent = i32(bitcast<u32>(m) >> 23u) + n;
    let normal = bitcast<f32>(bitcast<u32>(m) + (bitcast<u32>(n) << 23u));
    // Below the normal range: stay normal by 2^64, then multiply by 2^-64.
    let raised = bitcast<f32>(bitcast<u32>(m) + (bitcast<u32>(n + 64) << 23u));
    return select(raised * 5.421010862427522e-20, normal, exponent >= 1);
}

// 2^n for -126 <= n <= 127.
fn power_of_two(n: i32) -> f32 {
    return bitcast<f32>(bitcast<u32>(n + 127) << 23u);
}

// e^(high + low) = 2^exponent * (1 + fraction)
struct Exponential {
    exponent: i32,
    fraction: f32,
}

// For high in [-106, 88.73] and a low part of at most a few units in high's last place.
fn exponential(high: f32, low: f32) -> Exponential {
    let n = floor(high * 1.4426950408889634 + 0.5);
    let exponent = i32(n);
    // ln 2 = 355/512 - 2.1219444e-4; n * 355 / 512 is exact, so the first difference is too.
    let r = opaque(high - f32(exponent * 355) * 0.001953125) - (n * -2.12194440054690583e-4 - low);
    var p = 0.00019958446500822902;
    p = p * r + 0.001393371494486928;
    p = p * r + 0.008333192206919193;
    p = p * r + 0.04166647791862488;
    p = p * r + 0.1666666716337204;
    p = p * r + 0.5;
    return Exponential(exponent, (r * r) * p + r);
}

// e^x: infinite past 88.72283, zero below -104.
fn math_exp(x: f32) -> f32 {
    let e = exponential(clamp(x, -104.0, 88.72283172607422), 0.0);
    return select(scale(1.0 + e.fraction, e.exponent), infinity(), x > 88.72283172607422);
}

// factor * e^x for x <= 0, rounded once where it is subnormal though e^x alone is flushed.
fn math_exp_times(factor: f32, x: f32) -> f32 {
    let e = exponential(clamp(x, -104.0, 0.0), 0.0);
    let half = e.exponent / 2;
    let upper = opaque(factor * (1.0 + e.fraction) * power_of_two(half));
    return select(upper * power_of_two(e.exponent - half), 0.0, x < -104.0);
}

// e^x - 1: infinite past 88.72283.
fn math_expm1(x: f32) -> f32 {
    let e = exponential(clamp(x, -104.0, 88.72283172607422), 0.0);
    let n = e.exponent;
    // 2^n * (1 + fraction) - 1, with the difference of the two powers exact.
    let power = power_of_two(clamp(n, -30, 30));
    let middle = power * e.fraction + (power - 1.0);
    var result = select(middle, scale(1.0 + e.fraction, n), n > 30);
    result = select(result, -1.0, n < -30);
    result = select(result, e.fraction, n == 0);
    result = select(result, infinity(), x > 88.72283172607422);
    return select(result, x, abs(x) < 1e-8);
}

// e^(z - m) for z <= m, without the rounding error of the difference.
fn math_exp_difference(z: f32, m: f32) -> f32 {
    let high = opaque(z - m);
    // Knuth's two-sum: what the difference lost.
    let back = opaque(high - z);
    let low = (z - opaque(high - back)) + (-m - back);
    let near = high > -104.0;
    let e = exponential(select(-104.0, high, near), select(0.0, low, near));
    return select(0.0, scale(1.0 + e.fraction, e.exponent), near);
}

// A number as a head of 12 bits and the rest.
struct Pair {
    head: f32,
    rest: f32,
}

// e^x for x in [-60, 0], with 12 bits more than f32.
fn exp_pair(x: f32) -> Pair {
    let e = exponential(x, 0.0);
    let upper = head(1.0 + e.fraction);
    let lower = e.fraction - opaque(upper - 1.0);
    let power = power_of_two(e.exponent);
    return Pair(upper * power, lower * power);
}

// 1 / (1 + e) for e in [0, 2^30]: an exact residual takes the division's error away.
fn reciprocal_1p(e: Pair) -> Pair {
    let d = head(1.0 + e.head);
    let d_rest = (e.head - opaque(d - 1.0)) + e.rest;
    let q = 1.0 / (d + d_rest);
    let q_head = head(q);
    let q_rest = q - q_head;
    let residual = (opaque(1.0 - q_head * d) - q_rest * d) - q * d_rest;
    return Pair(q_head, q_rest + q * residual);
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

// 1 / (1 + e^-x)
fn math_sigmoid(x: f32) -> f32 {
    let h = -min(abs(x), 104.0);
    let e = exp_pair(max(h, -60.0));
    let q = reciprocal_1p(e);
    let far = exponential(h, 0.0);
    let negative = select(product(e, q), scale(1.0 + far.fraction, far.exponent), h < -40.0);
    return select(q.head + q.rest, negative, x < 0.0);
}

// factor * sigmoid(h) * sigmoid(-h) for h in [-106, 0]; factor = 2^power.
fn sigmoid_slope(h: f32, factor: f32, power: i32) -> f32 {
    let e = exp_pair(max(h, -60.0));
    let q = reciprocal_1p(e);
    let far = exponential(h, 0.0);
    let tail = scale(1.0 + far.fraction, far.exponent + power);
    return select(product(product_pair(e, q), q) * factor, tail, h < -40.0);
}

// sigmoid(x) * sigmoid(-x)
fn math_sigmoid_derivative(x: f32) -> f32 {
    return sigmoid_slope(-min(abs(x), 105.0), 1.0, 0);
}

// 1 - tanh^2 x = 4 sigmoid'(2x)
fn math_tanh_derivative(x: f32) -> f32 {
    return sigmoid_slope(-2.0 * min(abs(x), 53.0), 4.0, 2);
}

// Twice that, also where once would be subnormal.
fn math_tanh_derivative_twice(x: f32) -> f32 {
    return sigmoid_slope(-2.0 * min(abs(x), 53.0), 8.0, 3);
}

fn math_tanh(x: f32) -> f32 {
    let a = abs(x);
    // Near zero an odd polynomial.
    let y = a * a;
    var p = -8.736511517781764e-05;
    p = p * y + 0.000480485032312572;
    p = p * y + -0.0014605055330321193;
    p = p * y + 0.0036585668567568064;
    p = p * y + -0.008913147263228893;
    p = p * y + 0.021887347102165222;
    p = p * y + -0.053971607238054276;
    p = p * y + 0.13333363831043243;
    p = p * y + -0.3333333432674408;
    let near = (a * y) * p + a;
    // Elsewhere 1 - 2e / (1 + e) with e = e^-2a.
    let reduced = exponential(-2.0 * min(a, 45.0), 0.0);
    let e = scale(1.0 + reduced.fraction, reduced.exponent);
    let far = 1.0 - 2.0 * e / (1.0 + e);
    return with_sign_of(select(far, near, a < 0.9), x);
}

// ln(1 + f) - f for f in [-0.2935, 0.4145]
fn log1p_tail(f: f32) -> f32 {
    var p = 0.06691393256187439;
    p = p * f + -0.11662676185369492;
    p = p * f + 0.11906576156616211;
    p = p * f + -0.12408868223428726;
    p = p * f + 0.14217334985733032;
    p = p * f + -0.16667750477790833;
    p = p * f + 0.20002233982086182;
    p = p * f + -0.25000014901161194;
    p = p * f + 0.3333331048488617;
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
    // Above sqrt(2) - 1 from ln 2 and f = (e - 1) / 2, which is exact.
    let large = value > 0.4142;
    let f = select(value, 0.5 * (value - 1.0), large);
    let tail = log1p_tail(f) + correction / (1.0 + value);
    let near = f + tail;
    return select(near, 0.693145751953125 + opaque(f + (tail + 1.4286068203094172e-06)), large);
}

// ln(1 + e^x)
fn math_softplus(x: f32) -> f32 {
    let h = -min(abs(x), 104.0);
    let e = exp_pair(max(h, -60.0));
    let value = opaque(e.head + e.rest);
    let correction = e.rest - opaque(value - e.head);
    let far = exponential(h, 0.0);
    let tail = scale(1.0 + far.fraction, far.exponent);
    let log_part = select(log1p_of_pair(value, correction), tail, h < -40.0);
    return select(0.0, x, is_positive(x)) + log_part;
}

// ln x: NaN for x < 0, minus infinity at 0.
fn math_log(x: f32) -> f32 {
    // Subnormal numbers go through their integer value, x * 2^149, for drivers that flush them.
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
    // What the sum 1 + x lost, whichever of the two is larger.
    let lost = select(1.0 - opaque(u - x), x - opaque(u - 1.0), x < 1.0);
    let large = log_corrected(select(u, 2.0, small), select(lost / u, 0.0, small));
    let near = select(1.0, x, small);
    let result = select(large, near + log1p_tail(select(0.0, near, small)), small);
    return select(result, x, is_infinite(x));
}
