// gelu_tanh: g(z) = z / (1 + e^-u), u = 2·sqrt(2 / pi)·(z + 0.044715·z^3)

// Beyond this, the exponential is zero.
const FARTHEST: f32 = 12.0;

// u = z·(LINEAR + CUBIC·z^2), with both coefficients in two parts.
const LINEAR: f32 = 1.5957031;
const LINEAR_REST: f32 = 6.59966e-05;
const CUBIC: f32 = 0.0713501;
const CUBIC_REST: f32 = 4.7186163e-06;
// 3·CUBIC
const CUBIC_THRICE: f32 = 0.2140503;
const CUBIC_THRICE_REST: f32 = 1.4155846e-05;

// LINEAR + c·z^2
fn quadratic(c: Pair, z: f32) -> Pair {
    let z_head = head(z);
    let square = split_parts(Parts(z_head * z_head, (z - z_head) * (z + z_head)));
    let upper = c.head * square.head;
    let lower = c.rest * square.head + (c.head + c.rest) * square.rest;
    let top = head((LINEAR + LINEAR_REST) + upper + lower);
    return Pair(top, opaque(opaque(LINEAR - top) + upper) + (lower + LINEAR_REST));
}

fn argument(z: f32) -> Parts {
    return product_parts(split(z), quadratic(Pair(CUBIC, CUBIC_REST), z));
}

// du/dz
fn slope(z: f32) -> Pair {
    return quadratic(Pair(CUBIC_THRICE, CUBIC_THRICE_REST), z);
}

fn forward(z: f32) -> f32 {
    return times_sigmoid(max(z, -FARTHEST), argument(clamp(z, -FARTHEST, FARTHEST)));
}

fn derivative_near(z: f32) -> f32 {
    let y = z * z;
    // fit: gelu_tanh_derivative_near
    var p = -0.0006485364;
    p = p * y + 0.0016267829;
    p = p * y + -0.010078377;
    p = p * y + 0.06122775;
    p = p * y + -0.26727903;
    p = p * y + 0.7978846;
    return z * p + 0.5;
}

// g'(z) around its root.
fn derivative_root(z: f32) -> f32 {
    let v = opaque(0.75246143 + z) - 1.1339628e-08;
    // fit: gelu_tanh_derivative_root
    var p = 0.03144188;
    p = p * v + 0.057756063;
    p = p * v + 0.03274503;
    p = p * v + -0.000670062;
    p = p * v + -0.0077450336;
    p = p * v + 0.004178274;
    p = p * v + 0.019946199;
    p = p * v + -0.016539041;
    p = p * v + -0.113949;
    p = p * v + -0.015784785;
    p = p * v + 0.38751847;
    p = p * v + 0.4304001;
    return v * p;
}

fn derivative(z: f32) -> f32 {
    let near = clamp(z, -FARTHEST, FARTHEST);
    let q = logistic(bounded(negative(argument(near)), -60.0, 130.0));
    let weight = product_pair(split(near), slope(near));
    let t = product_plus_one(weight, complement(q));
    let elsewhere = product(split(t), q.value) * q.scale;
    let y = select(elsewhere, derivative_root(z), z < -0.5 && z > -1.3);
    return select(y, derivative_near(z), abs(z) < 0.5);
}

// The second derivative without sigmoid'(u), around its root.
fn second_derivative_root(a: f32) -> f32 {
    let v = opaque(1.418504 - a) + 9.080745e-09;
    // fit: gelu_tanh_second_root
    var p = 0.0005100553;
    p = p * v + 0.0023195164;
    p = p * v + 0.00335371;
    p = p * v + 0.0003558251;
    p = p * v + -0.0031831865;
    p = p * v + -0.0016225314;
    p = p * v + 0.0013931297;
    p = p * v + -0.0029962522;
    p = p * v + -0.0074731424;
    p = p * v + 0.06260046;
    p = p * v + -0.34163916;
    p = p * v + 1.3059226;
    p = p * v + -3.7197597;
    p = p * v + 5.682499;
    return v * p;
}

fn second_derivative(z: f32) -> f32 {
    let a = min(abs(z), FARTHEST);
    let q = logistic_above(bounded(argument(a), 0.0, 130.0));
    // 2u' + a·(u'' - u'^2·tanh(u / 2))
    let d_pair = slope(a);
    let d = d_pair.head + d_pair.rest;
    let bend = 2.0 * (CUBIC_THRICE + CUBIC_THRICE_REST) * a;
    let elsewhere = 2.0 * d + a * (bend - d * d * (1.0 - 2.0 * scaled_value(q)));
    let factor = select(elsewhere, second_derivative_root(a), a > 0.95 && a < 2.7);
    return logistic_slope(factor, q);
}
