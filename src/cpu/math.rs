//! Elementary functions in f32: the twins of shaders/math.wgsl.
//!
//! Each is free of branches and calls, so that loops over it vectorise. The constants are those of
//! the shader; what it needs for the sake of drivers (hiding values from the optimiser) is not
//! needed here, as Rust's arithmetic is IEEE's.

use crate::reference::Real;

/// The upper 12 significant bits of x.
#[inline(always)]
fn head(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0xffff_f000)
}

#[inline(always)]
fn select(condition: bool, yes: f32, no: f32) -> f32 {
    if condition { yes } else { no }
}

/// The smaller one; y where x is NaN, and vectorised as one instruction.
#[inline(always)]
fn least(x: f32, y: f32) -> f32 {
    select(x < y, x, y)
}

#[inline(always)]
fn greatest(x: f32, y: f32) -> f32 {
    select(x > y, x, y)
}

/// The polynomial with these coefficients, the constant last.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = coefficients[0];
    for coefficient in &coefficients[1..] {
        value = value * x + coefficient;
    }
    value
}

/// a·b + c, without the rounding error of the product (Dekker's product, Knuth's sum).
#[inline(always)]
pub(crate) fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    let product = a * b;
    let (a_head, b_head) = (head(a), head(b));
    let (a_rest, b_rest) = (a - a_head, b - b_head);
    let lost = ((a_head * b_head - product) + a_head * b_rest + a_rest * b_head) + a_rest * b_rest;
    let sum = product + c;
    let back = sum - product;
    let lost_too = (product - (sum - back)) + (c - back);
    let corrected = sum + (lost + lost_too);
    // Where something overflowed, what was lost is no number.
    select(corrected.is_nan(), sum, corrected)
}

/// m · 2^n for m in [0.5, 4), rounded once, subnormal results included; no overflow.
#[inline(always)]
fn scale(m: f32, n: i32) -> f32 {
    let shifted = |n: i32| f32::from_bits(m.to_bits().wrapping_add((n as u32) << 23));
    let exponent = (m.to_bits() >> 23) as i32 + n;
    // Below the normal range: stay normal by 2^64, then multiply by 2^−64.
    let subnormal = shifted(n + 64) * 5.421_011e-20;
    select(exponent >= 1, shifted(n), subnormal)
}

/// 2^n for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// e^(high + low) = 2^exponent · (1 + fraction)
struct Exponential {
    exponent: i32,
    fraction: f32,
}

/// For high in [−106, 88.73] and a low part of at most a few units in high's last place.
#[inline(always)]
fn exponential(high: f32, low: f32) -> Exponential {
    // 1.5 · 2^23: the sum's last bits are the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let rounded = high * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    // ln 2 = 355/512 − 2.1219444e-4; n · 355/512 is exact, so the first difference is too.
    let r = (high - n * (355.0 / 512.0)) - (n * -2.121_944_4e-4 - low);
    let p = polynomial(
        r,
        [1.995_844_6e-4, 1.393_371_5e-3, 8.333_192e-3, 4.166_647_8e-2, 1.666_666_7e-1, 0.5],
    );
    Exponential { exponent, fraction: r * r * p + r }
}

/// e^x: infinite past 88.72283, zero below −104.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LARGEST: f32 = 88.722_83;
    let e = exponential(least(greatest(x, -104.0), LARGEST), 0.0);
    select(x > LARGEST, f32::INFINITY, scale(1.0 + e.fraction, e.exponent))
}

/// e^x − 1: infinite past 88.72283.
#[inline(always)]
pub(crate) fn exp_m1(x: f32) -> f32 {
    const LARGEST: f32 = 88.722_83;
    let e = exponential(least(greatest(x, -104.0), LARGEST), 0.0);
    let n = e.exponent;
    // 2^n · (1 + fraction) − 1, with the difference of the two powers exact.
    let power = power_of_two(n.clamp(-30, 30));
    let middle = power * e.fraction + (power - 1.0);
    let result = select(n > 30, scale(1.0 + e.fraction, n), middle);
    let result = select(n < -30, -1.0, result);
    let result = select(n == 0, e.fraction, result);
    let result = select(x > LARGEST, f32::INFINITY, result);
    select(x.abs() < 1e-8, x, result)
}

/// e^(z − m) for z ≤ m, without the rounding error of the difference.
#[inline(always)]
pub(crate) fn exp_difference(z: f32, m: f32) -> f32 {
    let high = z - m;
    // Knuth's two-sum: what the difference lost.
    let back = high - z;
    let low = (z - (high - back)) + (-m - back);
    let near = high > -104.0;
    let e = exponential(select(near, high, -104.0), select(near, low, 0.0));
    select(near, scale(1.0 + e.fraction, e.exponent), 0.0)
}

/// A number as a head of 12 bits and the rest.
#[derive(Clone, Copy)]
struct Pair {
    head: f32,
    rest: f32,
}

/// e^x for x in [−60, 0], with 12 bits more than f32.
#[inline(always)]
fn exp_pair(x: f32) -> Pair {
    let e = exponential(x, 0.0);
    let upper = head(1.0 + e.fraction);
    let lower = e.fraction - (upper - 1.0);
    let power = power_of_two(e.exponent);
    Pair { head: upper * power, rest: lower * power }
}

/// 1 / (1 + e) for e in [0, 1]: an exact residual takes the division's error away.
#[inline(always)]
fn reciprocal_1p(e: Pair) -> Pair {
    let d = head(1.0 + e.head);
    let d_rest = (e.head - (d - 1.0)) + e.rest;
    let q = 1.0 / (d + d_rest);
    let q_head = head(q);
    let q_rest = q - q_head;
    let residual = ((1.0 - q_head * d) - q_rest * d) - q * d_rest;
    Pair { head: q_head, rest: q_rest + q * residual }
}

#[inline(always)]
fn product(a: Pair, b: Pair) -> f32 {
    a.head * b.head + (a.head * b.rest + a.rest * (b.head + b.rest))
}

#[inline(always)]
fn product_pair(a: Pair, b: Pair) -> Pair {
    let upper = a.head * b.head;
    let lower = a.head * b.rest + a.rest * (b.head + b.rest);
    let sum = head(upper + lower);
    Pair { head: sum, rest: (upper - sum) + lower }
}

/// 1 / (1 + e^−x)
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let h = -least(x.abs(), 104.0);
    let e = exp_pair(greatest(h, -60.0));
    let q = reciprocal_1p(e);
    let far = exponential(h, 0.0);
    let tail = scale(1.0 + far.fraction, far.exponent);
    let negative = select(h < -40.0, tail, product(e, q));
    select(x < 0.0, negative, q.head + q.rest)
}

/// factor · sigmoid(h) · sigmoid(−h) for h in [−106, 0]; factor = 2^power.
#[inline(always)]
fn sigmoid_slope(h: f32, factor: f32, power: i32) -> f32 {
    let e = exp_pair(greatest(h, -60.0));
    let q = reciprocal_1p(e);
    let far = exponential(h, 0.0);
    let tail = scale(1.0 + far.fraction, far.exponent + power);
    select(h < -40.0, tail, product(product_pair(e, q), q) * factor)
}

/// sigmoid(x) · sigmoid(−x)
#[inline(always)]
pub(crate) fn sigmoid_derivative(x: f32) -> f32 {
    sigmoid_slope(-least(x.abs(), 105.0), 1.0, 0)
}

/// 1 − tanh² x = 4 sigmoid'(2x)
#[inline(always)]
pub(crate) fn tanh_derivative(x: f32) -> f32 {
    sigmoid_slope(-2.0 * least(x.abs(), 53.0), 4.0, 2)
}

#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    // Near zero an odd polynomial.
    let y = a * a;
    let p = polynomial(
        y,
        [
            -8.736_511_5e-5,
            4.804_850_3e-4,
            -1.460_505_5e-3,
            3.658_566_9e-3,
            -8.913_147e-3,
            2.188_734_7e-2,
            -5.397_160_7e-2,
            1.333_336_4e-1,
            -3.333_333_4e-1,
        ],
    );
    let near = a * y * p + a;
    // Elsewhere 1 − 2e / (1 + e) with e = e^−2a.
    let reduced = exponential(-2.0 * least(a, 45.0), 0.0);
    let e = scale(1.0 + reduced.fraction, reduced.exponent);
    let far = 1.0 - 2.0 * e / (1.0 + e);
    select(a < 0.9, near, far).copysign(x)
}

/// ln(1 + f) − f for f in [−0.2935, 0.4145]
#[inline(always)]
fn log1p_tail(f: f32) -> f32 {
    let p = polynomial(
        f,
        [
            6.691_393e-2,
            -1.166_267_6e-1,
            1.190_657_6e-1,
            -1.240_886_8e-1,
            1.421_733_5e-1,
            -1.666_775e-1,
            2.000_223_4e-1,
            -2.500_001_5e-1,
            3.333_331e-1,
        ],
    );
    let square = f * f;
    square * f * p - 0.5 * square
}

/// ln of u · (1 + correction) for a normal u > 0 and a correction of a few units in the last place.
#[inline(always)]
fn log_corrected(u: f32, correction: f32) -> f32 {
    // u = 2^n · (1 + f) with 1 + f in [√½, √2).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let offset = u.to_bits().wrapping_sub(SQRT_HALF);
    let n = (offset as i32) >> 23;
    let f = f32::from_bits((offset & 0x007f_ffff) + SQRT_HALF) - 1.0;
    let k = n as f32;
    // ln 2 in two parts: k times the first is exact.
    let low = k * 1.428_606_8e-6 + (correction + log1p_tail(f));
    k * 0.693_145_75 + (f + low)
}

/// ln(1 + e) for e = value + correction in [0, 1].
#[inline(always)]
fn log1p_of_pair(value: f32, correction: f32) -> f32 {
    // Above √2 − 1 from ln 2 and f = (e − 1) / 2, which is exact.
    let large = value > 0.4142;
    let f = select(large, 0.5 * (value - 1.0), value);
    let tail = log1p_tail(f) + correction / (1.0 + value);
    select(large, 0.693_145_75 + (f + (tail + 1.428_606_8e-6)), f + tail)
}

/// ln(1 + e^x)
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let h = -least(x.abs(), 104.0);
    let e = exp_pair(greatest(h, -60.0));
    let value = e.head + e.rest;
    let correction = e.rest - (value - e.head);
    let far = exponential(h, 0.0);
    let tail = scale(1.0 + far.fraction, far.exponent);
    let log_part = select(h < -40.0, tail, log1p_of_pair(value, correction));
    select(x > 0.0, x, 0.0) + log_part
}

/// ln x: NaN for x < 0, −∞ at 0.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // Subnormal numbers go through x · 2^32, less 32 ln 2.
    let subnormal = x < f32::MIN_POSITIVE;
    let raised = select(subnormal, x * 4_294_967_296.0, x);
    let value = log_corrected(raised, 0.0) - select(subnormal, 22.180_71, 0.0);
    let value = select(x == 0.0, f32::NEG_INFINITY, value);
    let value = select(x == f32::INFINITY, x, value);
    select(x < 0.0, f32::NAN, value)
}

/// ln(1 + x) for x ≥ 0.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let small = x <= 0.4142;
    let u = 1.0 + x;
    // What the sum 1 + x lost, whichever of the two is larger.
    let lost = select(x < 1.0, x - (u - 1.0), 1.0 - (u - x));
    let large = log_corrected(u, lost / u);
    let near = select(small, x, 0.0);
    let value = select(small, near + log1p_tail(near), large);
    select(x == f32::INFINITY, x, value)
}

/// The CPU backend's precision.
impl Real for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        multiply_add(self, factor, term)
    }

    #[inline(always)]
    fn exp(self) -> Self {
        exp(self)
    }

    #[inline(always)]
    fn exp_m1(self) -> Self {
        exp_m1(self)
    }

    #[inline(always)]
    fn softplus(self) -> Self {
        softplus(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        ln(self)
    }

    #[inline(always)]
    fn ln_1p(self) -> Self {
        ln_1p(self)
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        tanh(self)
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        sigmoid(self)
    }

    #[inline(always)]
    fn sigmoid_derivative(self) -> Self {
        sigmoid_derivative(self)
    }

    #[inline(always)]
    fn tanh_derivative(self) -> Self {
        tanh_derivative(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error in units in the last place of the correctly rounded result.
    fn ulp(found: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        if found == rounded || (found.is_nan() && rounded.is_nan()) {
            return 0.0;
        }
        let unit = f64::from(rounded.abs().next_up()) - f64::from(rounded.abs());
        (f64::from(found) - exact).abs() / unit
    }

    /// The worst error over a stride through all normal arguments with normal results.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, arguments: fn(f32) -> bool) -> (f64, f32) {
        (0..=u32::MAX / 1009)
            .map(|i| f32::from_bits(i * 1009))
            .filter(|&x| x.is_normal() && arguments(x))
            .filter(|&x| (exact(x.into()) as f32).is_normal())
            .map(|x| (ulp(f(x), exact(x.into())), x))
            .fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
    }

    #[test]
    fn functions_keep_their_bounds() {
        let everywhere = |_: f32| true;
        let positive = |x: f32| x > 0.0;
        type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, fn(f32) -> bool, f64);
        let cases: [Case; 9] = [
            ("exp", exp, f64::exp, everywhere, 1.0),
            ("exp_m1", exp_m1, f64::exp_m1, everywhere, 2.0),
            ("softplus", softplus, Real::softplus, everywhere, 2.0),
            ("ln", ln, f64::ln, positive, 1.0),
            ("ln_1p", ln_1p, f64::ln_1p, positive, 1.0),
            ("tanh", tanh, f64::tanh, everywhere, 2.0),
            ("tanh'", tanh_derivative, Real::tanh_derivative, everywhere, 1.0),
            ("sigmoid", sigmoid, Real::sigmoid, everywhere, 1.0),
            ("sigmoid'", sigmoid_derivative, Real::sigmoid_derivative, everywhere, 1.0),
        ];
        for (name, f, exact, arguments, bound) in cases {
            let (error, at) = worst(f, exact, arguments);
            assert!(error <= bound, "{name}: {error:.3} ULP at {at:e}, bound {bound}");
        }
    }

    #[test]
    fn subnormal_results_and_arguments_are_right() {
        for x in [-88.0, -95.5, -100.25, -103.0, -103.9, -150.0, -f32::MAX] {
            assert!((exp(x) - f64::from(x).exp() as f32).abs() <= f32::from_bits(1), "exp({x})");
            let slope = Real::sigmoid_derivative(f64::from(x)) as f32;
            assert!((sigmoid_derivative(x) - slope).abs() <= f32::from_bits(1), "sigmoid'({x})");
        }
        for bits in [1, 2, 12_345, 0x007f_ffff] {
            let x = f32::from_bits(bits);
            assert!(ulp(ln(x), f64::from(x).ln()) <= 1.0, "ln of {x:e}");
            assert_eq!((tanh(x), ln_1p(x)), (x, x));
        }
    }

    #[test]
    fn a_difference_loses_nothing_before_its_exponential() {
        for (z, m) in [(-79.123_45, 1.000_000_1), (0.1, 50.3), (-1e-8, 20.0), (-3e38, 3e38)] {
            let exact = (f64::from(z) - f64::from(m)).exp();
            assert!(ulp(exp_difference(z, m), exact) <= 1.0, "e^({z} - {m})");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(
            [exp(f32::NEG_INFINITY), exp(f32::INFINITY), exp(89.0)],
            [0.0, f32::INFINITY, f32::INFINITY]
        );
        assert_eq!([sigmoid(f32::NEG_INFINITY), sigmoid(f32::INFINITY)], [0.0, 1.0]);
        assert_eq!([tanh(f32::NEG_INFINITY), tanh(f32::INFINITY)], [-1.0, 1.0]);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(
            [ln(0.0), ln(-0.0), ln(f32::INFINITY)],
            [f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY]
        );
        assert!(ln(-1.0).is_nan() && ln(-f32::from_bits(1)).is_nan());
        assert_eq!(ln_1p(f32::INFINITY), f32::INFINITY);
    }
}
