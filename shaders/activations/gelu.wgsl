// gelu: g(z) = z·Phi(z), where Phi is the normal distribution function

// Beyond this, the density is zero.
const FARTHEST: f32 = 15.0;

// a·Phi(-a) for a >= 0.7: the density's exponential times Mills' ratio.
fn tail(a: f32) -> f32 {
    // u = 1 / (a + 2) in two parts, so that a·u = 1 - 2u loses no digits.
    let d = opaque(a + 2.0);
    let d_head = head(d);
    let q = reciprocal(Pair(d_head, (d - d_head) + (a - opaque(d - 2.0))));
    let rest = opaque(1.0 - 2.0 * q.head);
    let au = opaque(rest - 2.0 * q.rest);
    let au_low = opaque(rest - au) - 2.0 * q.rest;
    let u = q.head + q.rest;
    // fit: mills
    var p = -324.1491;
    p = p * u + 758.52856;
    p = p * u + -734.27527;
    p = p * u + 357.1089;
    p = p * u + -77.6924;
    p = p * u + 3.6377673;
    p = p * u + -3.061563;
    p = p * u + 0.86745965;
    p = p * u + 1.1939609;
    p = p * u + 0.79795164;
    let limit = 0.3989416;
    // The last addition, with its rounding error.
    let rest_of_p = opaque(p * u);
    let ratio = opaque(limit + rest_of_p);
    let ratio_low = opaque(limit - ratio) + rest_of_p;
    let parts = product_parts(split_parts(Parts(au, au_low)), split_parts(Parts(ratio, ratio_low)));
    return gaussian_times(parts, a, 0.5);
}

fn forward(z: f32) -> f32 {
    let y = z * z;
    // fit: gelu_near
    var p = -2.0314159e-05;
    p = p * y + 0.00013283003;
    p = p * y + -0.001197351;
    p = p * y + 0.009976173;
    p = p * y + -0.06649068;
    p = p * y + 0.3989423;
    let g = tail(min(abs(z), FARTHEST));
    let far = select(z - g, -g, z < 0.0);
    return select(far, y * p + 0.5 * z, abs(z) < 0.7);
}

fn derivative_near(z: f32) -> f32 {
    let y = z * z;
    // fit: gelu_derivative_near
    var p = -0.0006574463;
    p = p * y + 0.0015923928;
    p = p * y + -0.009630231;
    p = p * y + 0.059859484;
    p = p * y + -0.26596263;
    p = p * y + 0.7978846;
    return z * p + 0.5;
}

// g'(-a) around its root.
fn derivative_root(a: f32) -> f32 {
    let v = opaque(0.75179154 - a) - 1.211445e-08;
    // fit: gelu_derivative_root
    var p = 0.01581732;
    p = p * v + 0.028367253;
    p = p * v + 0.01588845;
    p = p * v + -0.000488975;
    p = p * v + -0.0046817847;
    p = p * v + 0.0040162555;
    p = p * v + 0.019530723;
    p = p * v + -0.014734511;
    p = p * v + -0.1140096;
    p = p * v + -0.01820053;
    p = p * v + 0.38828498;
    p = p * v + 0.431494;
    return v * p;
}

// a / sqrt(2 pi) - e^(a^2 / 2)·Phi(-a), piecewise.

fn density_part_0(a: f32) -> f32 {
    let v = a - 1.5;
    // fit: gelu_derivative_tail_0
    var p = -1.4650375e-05;
    p = p * v + 7.969615e-05;
    p = p * v + -0.00035557162;
    p = p * v + 0.0012668956;
    p = p * v + -0.004112206;
    p = p * v + 0.01249712;
    p = p * v + -0.035186794;
    p = p * v + 0.48921356;
    p = p * v + 0.39263275;
    return p;
}

fn density_part_1(a: f32) -> f32 {
    let v = a - 3.0;
    // fit: gelu_derivative_tail_1
    var p = 3.3707681e-06;
    p = p * v + 3.9983047e-07;
    p = p * v + -1.0778091e-05;
    p = p * v + 5.8011115e-06;
    p = p * v + -1.8892857e-05;
    p = p * v + 0.00012863119;
    p = p * v + -0.00056048715;
    p = p * v + 0.0023104034;
    p = p * v + -0.009155543;
    p = p * v + 0.43334273;
    p = p * v + 1.0753129;
    return p;
}

fn density_part_2(a: f32) -> f32 {
    let v = a - 6.0;
    // fit: gelu_derivative_tail_2
    var p = 2.630895e-09;
    p = p * v + -1.9585695e-08;
    p = p * v + 1.00900785e-07;
    p = p * v + -7.1908596e-07;
    p = p * v + 5.239641e-06;
    p = p * v + -3.5912726e-05;
    p = p * v + 0.00024116335;
    p = p * v + -0.0015904058;
    p = p * v + 0.4092087;
    p = p * v + 2.3288743;
    return p;
}

fn density_part_3(a: f32) -> f32 {
    let v = a - 11.0;
    // fit: gelu_derivative_tail_3
    var p = 6.118366e-11;
    p = p * v + 1.4053292e-09;
    p = p * v + -2.1022212e-08;
    p = p * v + 1.9342419e-07;
    p = p * v + -2.1646692e-06;
    p = p * v + 2.5160327e-05;
    p = p * v + -0.00028583774;
    p = p * v + 0.4021608;
    p = p * v + 4.3523903;
    return p;
}

fn density_part(a: f32) -> f32 {
    let lower = select(density_part_1(a), density_part_0(a), a < 2.0);
    let upper = select(density_part_3(a), density_part_2(a), a < 8.0);
    return select(upper, lower, a < 4.0);
}

fn derivative(z: f32) -> f32 {
    let a = min(abs(z), FARTHEST);
    let g = select(gaussian_times(Parts(-density_part(a), 0.0), a, 0.5), derivative_root(a), a < 1.25);
    return select(select(1.0 - g, g, z < 0.0), derivative_near(z), a < 0.5);
}

fn second_derivative(z: f32) -> f32 {
    let a = min(abs(z), FARTHEST);
    // (2 - a^2) / sqrt(2 pi), accurate around its root too.
    let difference = opaque(1.4142135 - a) + 2.4203235e-08;
    let factor = 0.3989423 * select(difference * (1.4142135 + a), 2.0 - a * a, a < 0.5);
    return gaussian_times(Parts(factor, 0.0), a, 0.5);
}
