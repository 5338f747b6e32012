// mish: g(z) = z·tanh(ln(1 + e^z)) = z·n / (n + 2) with n = e^z·(e^z + 2)

fn forward_near(z: f32) -> f32 {
    // fit: mish_near
    var p = 4.1224455e-05;
    p = p * z + -0.00026664647;
    p = p * z + -0.0012132137;
    p = p * z + 0.00085383013;
    p = p * z + 0.0078109577;
    p = p * z + -0.00037309522;
    p = p * z + -0.045866247;
    p = p * z + -0.016000004;
    p = p * z + 0.32;
    return (z * z) * p + 0.6 * z;
}

fn forward(z: f32) -> f32 {
    let a = min(abs(z), 120.0);
    let far = exponential(Parts(-a, 0.0));
    let e_pair = exponential_pair(Exponential(max(far.exponent, -100), far.fraction)).value;
    let e = e_pair.head + e_pair.rest;
    // For negative z: z·e·(1 - k).
    let k = math_divide(e * (1.0 + e), 2.0 + e * (2.0 + e));
    let upper = head(1.0 - k);
    let near = product(
        product_pair(split(-a), e_pair),
        Pair(upper, opaque(1.0 - upper) - k),
    );
    let below = select(near, exponential_times(Parts(-a, 0.0), far), a > 40.0);
    // For positive z: z·(1 - 2e^2 / (1 + 2e + 2e^2)).
    let square = 2.0 * e * e;
    let above = select(z - z * (square / ((1.0 + 2.0 * e) + square)), z, z > 40.0);
    return select(select(above, below, z < 0.0), forward_near(z), a <= 0.4);
}

fn derivative_near(z: f32) -> f32 {
    // fit: mish_derivative_near
    var p = 0.0014610408;
    p = p * z + -0.0023548624;
    p = p * z + -0.010020647;
    p = p * z + 0.005964258;
    p = p * z + 0.04689474;
    p = p * z + -0.0018644339;
    p = p * z + -0.18346578;
    p = p * z + -0.048000038;
    p = p * z + 0.64;
    return z * p + 0.6;
}

// Around the root.
fn derivative_root(z: f32) -> f32 {
    let v = opaque(1.1924312 + z) + 3.0439375e-09;
    // fit: mish_derivative_root
    var p = 7.6272794e-05;
    p = p * v + 5.573798e-05;
    p = p * v + -0.00017267578;
    p = p * v + -0.00016723046;
    p = p * v + 8.506663e-05;
    p = p * v + 0.00034244003;
    p = p * v + 0.00093966187;
    p = p * v + 0.0010587495;
    p = p * v + -0.0033509498;
    p = p * v + -0.0158149;
    p = p * v + -0.020272652;
    p = p * v + 0.04190733;
    p = p * v + 0.20473129;
    p = p * v + 0.26694793;
    return v * p;
}

// From -4 to -2.
fn derivative_middle(z: f32) -> f32 {
    let v = 3.0 + z;
    // fit: mish_derivative_middle
    var p = -1.1664641e-06;
    p = p * v + -7.0333044e-06;
    p = p * v + -2.0659736e-05;
    p = p * v + -2.5867164e-05;
    p = p * v + 0.00013534327;
    p = p * v + 0.0011822958;
    p = p * v + 0.0048787775;
    p = p * v + 0.011488379;
    p = p * v + 0.0073366715;
    p = p * v + -0.039928716;
    p = p * v + -0.09339312;
    return p;
}

fn derivative(z: f32) -> f32 {
    let a = min(abs(z), 120.0);
    let far = exponential(Parts(-a, 0.0));
    let e = exponential_value(Exponential(max(far.exponent, -100), far.fraction));
    // For negative z, a series in e.
    let inner = (0.25 - a) + e * (1.25 * a - 0.25);
    let series = e * ((1.0 - a) + e * ((a - 0.5) + e * e * inner));
    var below = select(series, exponential_times(Parts(1.0 - a, 0.0), far), a > 60.0);
    below = select(below, derivative_middle(z), a <= 4.0);
    below = select(below, derivative_root(z), a < 2.0);
    // For positive z: 1 - k / d + 4a·e^2·(1 + e) / d^2.
    let k = 2.0 * e * e;
    let d = (1.0 + 2.0 * e) + k;
    let above = 1.0 + (2.0 * a * k * (1.0 + e) / d - k) / d;
    return select(select(above, below, z < 0.0), derivative_near(z), a <= 0.4);
}

// Around the negative root.
fn second_derivative_left(z: f32) -> f32 {
    let v = opaque(2.2563765 + z) - 1.0853728e-07;
    // fit: mish_second_left
    var p = 1.839459e-07;
    p = p * v + 2.1152953e-06;
    p = p * v + 1.0919381e-05;
    p = p * v + 3.1654534e-05;
    p = p * v + 4.0014536e-05;
    p = p * v + -0.000104903505;
    p = p * v + -0.00079270825;
    p = p * v + -0.0024801772;
    p = p * v + -0.0038605265;
    p = p * v + 0.0033540528;
    p = p * v + 0.037361894;
    p = p * v + 0.09898194;
    p = p * v + 0.10875441;
    return v * p;
}

// Around the positive root.
fn second_derivative_right(z: f32) -> f32 {
    let v = opaque(1.4905711 - z) + 3.8242447e-08;
    // fit: mish_second_right
    var p = 6.0844227e-06;
    p = p * v + -5.3987325e-05;
    p = p * v + -0.00053482724;
    p = p * v + -0.0012725056;
    p = p * v + 0.00027803995;
    p = p * v + 0.006949976;
    p = p * v + 0.011521021;
    p = p * v + -0.008922659;
    p = p * v + -0.059985586;
    p = p * v + -0.06665251;
    p = p * v + 0.079707086;
    p = p * v + 0.2812728;
    p = p * v + 0.23069452;
    return v * p;
}

// Without e^-2z, from 2.4 to 5.
fn second_derivative_far(z: f32) -> f32 {
    let v = z - 3.5;
    // fit: mish_second_far
    var p = 1.7942302e-05;
    p = p * v + -0.00014655906;
    p = p * v + 0.0004771151;
    p = p * v + -0.0004994828;
    p = p * v + -0.003311211;
    p = p * v + 0.024531523;
    p = p * v + -0.08731404;
    p = p * v + 0.14173056;
    p = p * v + 0.22396575;
    p = p * v + -9.703735;
    p = p * v + -17.09425;
    return p;
}

fn second_derivative(z: f32) -> f32 {
    let a = min(abs(z), 130.0);
    let power = exponential(Parts(-a, 0.0));
    let t = exponential_value(power);
    // 4t / d^3 · (2(1 + t)d - a(2 + 2t - 3t^2 - 2t^3)) with d = 2 + 2t + t^2
    var d = 2.0 + t * (2.0 + t);
    var bracket = 2.0 * (1.0 + t) * d - a * (2.0 + t * (2.0 - t * (3.0 + 2.0 * t)));
    let left = math_divide(4.0 * bracket, d * d * d);
    // Far to the left, the series in t, whose first term is exact.
    let inner = (2.0 - 4.0 * a) + t * (6.25 * a - 2.5);
    let series = (2.0 - a) + t * ((2.0 * a - 2.0) + (t * t) * inner);
    let below = exponential_times(Parts(select(left, series, a > 4.0), 0.0), power);
    // 4t^2 / d^3 · (2(1 + t)d - a(2 + 3t - 2t^2 - 2t^3)) with d = 1 + 2t + 2t^2
    d = 1.0 + t * (2.0 + 2.0 * t);
    bracket = 2.0 * (1.0 + t) * d - a * (2.0 + t * (3.0 - t * (2.0 + 2.0 * t)));
    let square = exponential(Parts(-2.0 * min(a, 80.0), 0.0));
    // Farther to the right, a polynomial, then the series in t.
    let tail = t * (12.0 * (3.0 * a - 2.0) + t * (32.0 - 64.0 * a - t * t * (96.0 - 288.0 * a)));
    var factor = select(8.0 - 8.0 * a + tail, second_derivative_far(a), a < 5.0);
    factor = select(factor, math_divide(4.0 * bracket, d * d * d), a < 1.0);
    let above = exponential_times(Parts(factor, 0.0), square);
    let roots = select(second_derivative_left(z), second_derivative_right(z), z > 0.0);
    let around = (z > 0.9 && z < 2.4) || (z < -1.4 && z >= -4.0);
    return select(select(above, below, z < 0.0), roots, around);
}
