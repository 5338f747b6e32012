// Sine and cosine, for every finite argument.

// A 64-bit integer modulo 2^64.
struct Wide {
    high: u32,
    low: u32,
}

fn wide_sum(a: Wide, b: Wide) -> Wide {
    let low = a.low + b.low;
    return Wide(a.high + b.high + u32(low < a.low), low);
}

fn wide_negative(a: Wide) -> Wide {
    let low = ~a.low + 1u;
    return Wide(~a.high + u32(low == 0u), low);
}

fn wide_product(a: u32, b: u32) -> Wide {
    let a_high = a >> 16u;
    let a_low = a & 0xffffu;
    let b_high = b >> 16u;
    let b_low = b & 0xffffu;
    let lowest = a_low * b_low;
    let middle = a_high * b_low + (lowest >> 16u);
    let other = a_low * b_high + (middle & 0xffffu);
    return Wide(a_high * b_high + (middle >> 16u) + (other >> 16u), a * b);
}

// 32 bits of 2/pi from the given word on, as a binary fraction with 58 zeros in front.
fn two_over_pi(word: u32) -> u32 {
    var words = array<u32, 9>(
        0x00000000u,
        0x00000028u,
        0xbe60db93u,
        0x91054a7fu,
        0x09d5f47du,
        0x4d377036u,
        0xd8a5664fu,
        0x10e4107fu,
        0x9458eaf7u,
    );
    return words[word];
}

// The angle in quarter turns, modulo 4, with 62 bits after the point: the product with 2/pi, using as many
// bits as are needed (Payne and Hanek 1983). 0 if |x| is below 2^least.
fn quarter_turns(x: f32, least: i32) -> Wide {
    let bits = bitcast<u32>(x);
    let exponent = i32((bits >> 23u) & 0xffu) - 127;
    // x = m * 2^(exponent - 23): the product's bits of interest begin here.
    let m = (bits & 0x007fffffu) | 0x00800000u;
    let start = u32(clamp(exponent + 33, 0, 160));
    let word = start / 32u;
    let shift = start % 32u;
    let w0 = two_over_pi(word);
    let w1 = two_over_pi(word + 1u);
    let w2 = two_over_pi(word + 2u);
    let w3 = two_over_pi(word + 3u);
    // A shift by 32 - shift, in two steps because it may be 32.
    let rest = 31u - shift;
    let upper = m * ((w0 << shift) | ((w1 >> 1u) >> rest));
    let middle = wide_product(m, (w1 << shift) | ((w2 >> 1u) >> rest));
    let lower = wide_product(m, (w2 << shift) | ((w3 >> 1u) >> rest));
    let turns = wide_sum(Wide(upper, 0u), wide_sum(middle, Wide(0u, lower.high)));
    if (exponent < least) {
        return Wide(0u, 0u);
    }
    if ((bits & 0x80000000u) != 0u) {
        return wide_negative(turns);
    }
    return turns;
}

// An angle as a number of quarter turns, modulo 4, and a rest in [-pi/4, pi/4].
struct Angle {
    quarter: u32,
    rest: Parts,
}

// The angle x, plus an eighth of a turn if `more` is set.
fn reduce(x: Parts, more: bool) -> Angle {
    // A small angle is its own rest, with all its digits; next to an eighth of a turn they make no difference.
    let least = select(-1, -33, more);
    let least_number = power_of_two(least);
    var turns = wide_sum(quarter_turns(x.high, least), quarter_turns(x.low, -12));
    turns.high = turns.high + select(0u, 0x20000000u, more);
    let quarter = (turns.high + 0x20000000u) >> 30u;
    turns.high = turns.high - (quarter << 30u);
    let is_below = (turns.high & 0x80000000u) != 0u;
    if (is_below) {
        turns = wide_negative(turns);
    }
    // Three pieces that f32 holds exactly.
    let upper = f32(turns.high >> 8u) * 2.3841858e-07;
    let middle = f32(((turns.high & 0xffu) << 12u) | (turns.low >> 20u)) * 2.2737368e-13;
    let lower = f32(turns.low & 0xfffffu) * 2.1684043e-19;
    let sum = opaque(upper + (middle + lower));
    let fraction = split_parts(Parts(sum, opaque(upper - sum) + (middle + lower)));
    // pi/2 in two parts.
    let angle = product_pair(fraction, Pair(1.5703125, 0.00048382679));
    let sign = select(1.0, -1.0, is_below);
    let high = opaque(sign * angle.head + select(0.0, x.high, abs(x.high) < least_number));
    let low = sign * angle.rest + select(0.0, x.low, abs(x.low) < 0.00024414062);
    let whole = opaque(high + low);
    return Angle(quarter, Parts(whole, opaque(high - whole) + low));
}

// The sine of the angle plus `more` quarter turns, in two parts.
fn angle_sin(angle: Angle, more: u32) -> Parts {
    let quarter = angle.quarter + more;
    let odd = (quarter & 1u) == 1u;
    let first = select(angle.rest.high, 1.0, odd);
    let second = select(sin_tail(angle.rest), cos_tail(angle.rest), odd);
    let high = opaque(first + second);
    let sine = Parts(high, opaque(first - high) + second);
    if ((quarter & 2u) == 2u) {
        return negative(sine);
    }
    return sine;
}

// sin r - r
fn sin_tail(r: Parts) -> f32 {
    let y = r.high * r.high;
    // fit: sin
    var p = 2.8034437e-06;
    p = p * y + -0.00019850249;
    p = p * y + 0.008333373;
    p = p * y + -0.16666667;
    return (r.high * y) * p + r.low;
}

// cos r - 1
fn cos_tail(r: Parts) -> f32 {
    let y = r.high * r.high;
    // fit: cos
    var p = -2.860548e-07;
    p = p * y + 2.4819214e-05;
    p = p * y + -0.0013888973;
    p = p * y + 0.041666668;
    return ((y * y) * p - r.high * r.low) - 0.5 * y;
}

// sin x: NaN at plus and minus infinity, where it has no limit; the sign of zero is kept.
fn sin_of(x: Parts) -> f32 {
    let y = angle_sin(reduce(x, false), 0u).high;
    return nan_where(is_infinite(x.high), select(y, x.high, x.high == 0.0));
}

fn cos_of(x: Parts) -> f32 {
    return nan_where(is_infinite(x.high), angle_sin(reduce(x, false), 1u).high);
}

// arctan x
fn math_atan(x: f32) -> f32 {
    let a = abs(x);
    // Above 1, arctan a = pi/2 - arctan(1 / a).
    let large = a > 1.0;
    let inverse = math_quotient(1.0, max(a, 1.0));
    let t = select(a, inverse.high, large);
    let low = select(0.0, inverse.low, large);
    let y = t * t;
    // fit: arctan
    var p = 0.0011298939;
    p = p * y + -0.007404107;
    p = p * y + 0.022737006;
    p = p * y + -0.044941608;
    p = p * y + 0.06761187;
    p = p * y + -0.0882063;
    p = p * y + 0.11061086;
    p = p * y + -0.14280333;
    p = p * y + 0.19999716;
    p = p * y + -0.33333328;
    let tail = (t * y) * p + low * (1.0 - 0.5 * y);
    let far = opaque(1.5707964 - t) - (tail + 4.371139e-08);
    return with_sign_of(select(t + tail, far, large), x);
}
