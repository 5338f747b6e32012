//! x·tanh(ln(1 + e^x)) = x·n / (n + 2) with n = e^x·(e^x + 2).

use super::bits::{least, least_magnitude, polynomial, select};
use super::exponential::exponential;
use crate::numbers::Sum;

#[inline(always)]
pub(super) fn mish(x: f32) -> f32 {
    // fit: mish_near
    let p = polynomial(
        x,
        [
            4.1224455e-05,
            -0.00026664647,
            -0.0012132137,
            0.00085383013,
            0.0078109577,
            -0.00037309522,
            -0.045866247,
            -0.016000004,
            0.32,
        ],
    );
    let near = x * x * p + 0.6 * x;
    let a = least_magnitude(x, 120.0);
    let power = exponential((-a).into());
    let e_sum = power.sum();
    let e = e_sum.high;
    // For negative x: x·e·(1 − k).
    let k = e * (1.0 + e) / (2.0 + e * (2.0 + e));
    let rest = Sum::of_sum(1.0, -k);
    let negative = e_sum.times_sum((-a).into()).times(rest);
    let far = power.times((-a).into());
    let negative = select(a > 40.0, far, negative);
    // For positive x: x·(1 − 2e² / (1 + 2e + 2e²)).
    let square = 2.0 * e * e;
    let positive = x - x * (square / ((1.0 + 2.0 * e) + square));
    let y = select(x < 0.0, negative, select(x > 40.0, x, positive));
    select(a <= 0.4, near, y)
}

#[inline(always)]
pub(super) fn mish_derivative(x: f32) -> f32 {
    // fit: mish_derivative_near
    let p = polynomial(
        x,
        [
            0.0014610408,
            -0.0023548624,
            -0.010020647,
            0.005964258,
            0.04689474,
            -0.0018644339,
            -0.18346578,
            -0.048000038,
            0.64,
        ],
    );
    let near = x * p + 0.6;
    // Compute around the root, which is −a.
    const ROOT: f32 = 1.192_431_2;
    const ROOT_REST: f32 = 3.043_937_5e-9;
    let v = (ROOT + x) + ROOT_REST;
    // fit: mish_derivative_root
    let p = polynomial(
        v,
        [
            7.6272794e-05,
            5.573798e-05,
            -0.00017267578,
            -0.00016723046,
            8.506663e-05,
            0.00034244003,
            0.00093966187,
            0.0010587495,
            -0.0033509498,
            -0.0158149,
            -0.020272652,
            0.04190733,
            0.20473129,
            0.26694793,
        ],
    );
    let root = v * p;
    let v = 3.0 + x;
    // fit: mish_derivative_middle
    let middle = polynomial(
        v,
        [
            -1.1664641e-06,
            -7.0333044e-06,
            -2.0659736e-05,
            -2.5867164e-05,
            0.00013534327,
            0.0011822958,
            0.0048787775,
            0.011488379,
            0.0073366715,
            -0.039928716,
            -0.09339312,
        ],
    );
    let a = least_magnitude(x, 120.0);
    let power = exponential((-a).into());
    let far = power.times((1.0 - a).into());
    let e = power.sum().high;
    // Use the series in e for negative x, and the quotient for positive x.
    let inner = (0.25 - a) + e * (1.25 * a - 0.25);
    let series = e * ((1.0 - a) + e * ((a - 0.5) + e * e * inner));
    let k = 2.0 * e * e;
    let d = (1.0 + 2.0 * e) + k;
    let positive = 1.0 + (2.0 * a * k * (1.0 + e) / d - k) / d;
    let negative = select(a > 60.0, far, series);
    let negative = select(a <= 4.0, middle, negative);
    let negative = select(a < 2.0, root, negative);
    let y = select(x < 0.0, negative, positive);
    select(a <= 0.4, near, y)
}

#[inline(always)]
pub(super) fn mish_second(x: f32) -> f32 {
    let left = around_left_root(x);
    let right = around_right_root(x);
    let a = least_magnitude(x, 130.0);
    let power = exponential((-a).into());
    let t = power.value();
    // 4t / d³ · (2(1 + t)d − a(2 + 2t − 3t² − 2t³)), d = 2 + 2t + t²
    let d = 2.0 + t * (2.0 + t);
    let bracket = 2.0 * (1.0 + t) * d - a * (2.0 + t * (2.0 - t * (3.0 + 2.0 * t)));
    let negative = power.times((4.0 * bracket / (d * d * d)).into());
    // 4t² / d³ · (2(1 + t)d − a(2 + 3t − 2t² − 2t³)), d = 1 + 2t + 2t²
    let d = 1.0 + t * (2.0 + 2.0 * t);
    let bracket = 2.0 * (1.0 + t) * d - a * (2.0 + t * (3.0 - t * (2.0 + 2.0 * t)));
    // Farther out use a polynomial, then the series in t.
    let tail = t * (12.0 * (3.0 * a - 2.0) + t * (32.0 - 64.0 * a - t * t * (96.0 - 288.0 * a)));
    let factor = select(a < 5.0, far_factor(a), 8.0 - 8.0 * a + tail);
    let factor = select(a < 1.0, 4.0 * bracket / (d * d * d), factor);
    let positive = exponential((-2.0 * least(a, 80.0)).into()).times(factor.into());
    // Far to the left use the series in t, whose first term is exact.
    let inner = (2.0 - 4.0 * a) + t * (6.25 * a - 2.5);
    let series = (2.0 - a) + t * ((2.0 * a - 2.0) + t * t * inner);
    let negative = select(a > 4.0, power.times(series.into()), negative);
    let elsewhere = select(x < 0.0, negative, positive);
    let elsewhere = select(x > 0.9 && x < 2.4, right, elsewhere);
    select((-4.0..-1.4).contains(&x), left, elsewhere)
}

/// mish'' without e^(−2a), from 2.4 to 5.
#[inline(always)]
fn far_factor(a: f32) -> f32 {
    let v = a - 3.5;
    // fit: mish_second_far
    polynomial(
        v,
        [
            1.7942302e-05,
            -0.00014655906,
            0.0004771151,
            -0.0004994828,
            -0.003311211,
            0.024531523,
            -0.08731404,
            0.14173056,
            0.22396575,
            -9.703735,
            -17.09425,
        ],
    )
}

#[inline(always)]
fn around_left_root(x: f32) -> f32 {
    const ROOT: f32 = 2.256_376_5;
    const ROOT_REST: f32 = -1.085_372_8e-7;
    let v = (ROOT + x) + ROOT_REST;
    // fit: mish_second_left
    let p = polynomial(
        v,
        [
            1.839459e-07,
            2.1152953e-06,
            1.0919381e-05,
            3.1654534e-05,
            4.0014536e-05,
            -0.000104903505,
            -0.00079270825,
            -0.0024801772,
            -0.0038605265,
            0.0033540528,
            0.037361894,
            0.09898194,
            0.10875441,
        ],
    );
    v * p
}

#[inline(always)]
fn around_right_root(x: f32) -> f32 {
    const ROOT: f32 = 1.490_571_1;
    const ROOT_REST: f32 = 3.824_244_7e-8;
    let v = (ROOT - x) + ROOT_REST;
    // fit: mish_second_right
    let p = polynomial(
        v,
        [
            6.0844227e-06,
            -5.3987325e-05,
            -0.00053482724,
            -0.0012725056,
            0.00027803995,
            0.006949976,
            0.011521021,
            -0.008922659,
            -0.059985586,
            -0.06665251,
            0.079707086,
            0.2812728,
            0.23069452,
        ],
    );
    v * p
}
