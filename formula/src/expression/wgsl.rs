//! Programs as WGSL functions.

use std::fmt::Write as _;

use super::graph::{Binary, Comparison, Unary};
use super::program::{Operand, Operation, Program, Sign};

impl Program {
    /// A function of f32 that computes the program. Its text has the names that are given here, and numbers; nothing
    /// else comes from outside.
    ///
    /// The function calls those of shaders/math.wgsl, trigonometry.wgsl and formulas.wgsl.
    pub fn wgsl(
        &self,
        name: &str,
        prefix: &str,
        variables: &[&str],
        parameters: &[&str],
    ) -> String {
        let of = |operand: Operand| match operand {
            Operand::Slot(slot) => format!("v{slot}"),
            Operand::Variable(place) => variables[usize::from(place)].to_owned(),
            Operand::Parameter(place) => parameters[usize::from(place)].to_owned(),
            Operand::Number(value) => literal(value),
        };
        let arguments: Vec<String> = variables.iter().map(|it| format!("{it}: f32")).collect();
        let mut text = format!("fn {name}({}) -> f32 {{\n", arguments.join(", "));
        for slot in 0..self.slots {
            let _ = writeln!(text, "    var v{slot}: f32;");
        }
        for step in &self.steps {
            let value = match step.operation {
                Operation::Unary(function, x) => unary(function, &of(x)),
                Operation::Binary(function, [a, b]) => binary(function, &of(a), &of(b)),
                Operation::Power(x, n) => format!("{prefix}power_{n}({})", of(x)),
                Operation::OfProduct(function, [a, b], sign) => {
                    let product = product(a, &of(a), &of(b), sign);
                    match parts_name(function) {
                        Some(name) => format!("{name}({product})"),
                        None => unary(function, &format!("{product}.high")),
                    }
                }
                Operation::Times(factor, function, [a, b], sign) => {
                    let product = product(a, &of(a), &of(b), sign);
                    match times_name(function) {
                        Some(name) => format!("{name}({}, {product})", of(factor)),
                        None => {
                            let value = unary(function, &format!("{product}.high"));
                            format!("{} * {value}", of(factor))
                        }
                    }
                }
                Operation::Select(comparison, [a, b, c, d]) => {
                    let name = match comparison {
                        Comparison::Less => "formula_less",
                        Comparison::LessOrEqual => "formula_less_or_equal",
                        Comparison::Equal => "formula_equal",
                    };
                    format!("select({}, {}, {name}({}, {}))", of(d), of(c), of(a), of(b))
                }
            };
            let _ = writeln!(text, "    v{} = {value};", step.slot);
        }
        let _ = writeln!(text, "    return {};\n}}", of(self.output));
        text
    }

    /// The integers whose powers the program computes.
    pub fn powers(&self) -> impl Iterator<Item = u32> {
        self.steps.iter().filter_map(|step| match step.operation {
            Operation::Power(_, n) => Some(n),
            _ => None,
        })
    }
}

/// The function `power_n`, with a prefix.
pub fn power(prefix: &str, n: u32) -> String {
    let mut text = format!("fn {prefix}power_{n}(x: f32) -> f32 {{\n    var square = x;\n");
    let (mut rest, mut is_started) = (n, false);
    while rest > 0 {
        if rest & 1 == 1 {
            text.push_str(if is_started {
                "    result = result * square;\n"
            } else {
                "    var result = square;\n"
            });
            is_started = true;
        }
        rest >>= 1;
        if rest > 0 {
            text.push_str("    square = square * square;\n");
        }
    }
    text + "    return result;\n}\n"
}

/// A number as an f32 literal, which is finite.
fn literal(value: f64) -> String {
    let single = value as f32;
    if single == 0.0 { "0.0".to_owned() } else { format!("{single:?}f") }.replace(".0f", ".0")
}

/// The function of an argument in two parts; `None` if there is no such function.
pub(super) const fn parts_name(function: Unary) -> Option<&'static str> {
    Some(match function {
        Unary::Exp => "exp_of",
        Unary::Expm1 => "expm1_of",
        Unary::Tanh => "tanh_of",
        Unary::TanhSlope => "formula_tanh_slope_of",
        Unary::Sigmoid => "sigmoid_of",
        Unary::SigmoidSlope => "formula_sigmoid_slope_of",
        Unary::SiluSlope => "silu_derivative",
        Unary::Softplus => "softplus_of",
        Unary::NormalCdf => "formula_normal_cdf_of",
        Unary::Sin => "sin_of",
        Unary::Cos => "cos_of",
        _ => return None,
    })
}

/// A factor times the function, rounded once, for an argument in two parts; `None` if there is no such function.
pub(super) const fn times_name(function: Unary) -> Option<&'static str> {
    Some(match function {
        Unary::Exp => "exp_times",
        Unary::TanhSlope => "formula_times_tanh_slope",
        Unary::Sigmoid => "times_sigmoid",
        Unary::SigmoidSlope => "sigmoid_slope",
        _ => return None,
    })
}

/// A product in two parts; a constant as the first factor keeps all its digits.
fn product(first: Operand, a: &str, b: &str, sign: Sign) -> String {
    let product = match first {
        Operand::Number(1.0) => format!("Parts({b}, 0.0)"),
        Operand::Number(value) => {
            let high = value as f32;
            let low = (value - f64::from(high)) as f32;
            format!("formula_scaled({}, {}, {b})", literal(high.into()), literal(low.into()))
        }
        _ => format!("math_product({a}, {b})"),
    };
    match sign {
        Sign::Plus => product,
        Sign::Minus => format!("negative({product})"),
    }
}

fn unary(function: Unary, x: &str) -> String {
    let name = match function {
        Unary::Negate => return format!("-({x})"),
        Unary::SiluSlope => return format!("silu_derivative(Parts({x}, 0.0))"),
        Unary::Exp => "math_exp",
        Unary::Expm1 => "math_expm1",
        Unary::Log => "math_log",
        Unary::Log1p => "formula_log1p",
        Unary::Tanh => "math_tanh",
        Unary::TanhSlope => "math_tanh_derivative",
        Unary::Sigmoid => "math_sigmoid",
        Unary::SigmoidSlope => "math_sigmoid_derivative",
        Unary::Softplus => "math_softplus",
        Unary::Erf => "formula_erf",
        Unary::Erfc => "formula_erfc",
        Unary::NormalCdf => "formula_normal_cdf",
        Unary::Sin => "formula_sin",
        Unary::Cos => "formula_cos",
        Unary::Atan => "math_atan",
        Unary::Sqrt => "math_sqrt",
        Unary::Abs => "abs",
        Unary::Sign => "math_sign",
        Unary::Relu => "formula_relu",
        Unary::Step => "formula_step",
    };
    format!("{name}({x})")
}

fn binary(function: Binary, a: &str, b: &str) -> String {
    match function {
        Binary::Add => format!("{a} + {b}"),
        Binary::Subtract => format!("{a} - ({b})"),
        Binary::Multiply => format!("{a} * {b}"),
        Binary::Divide => format!("math_divide({a}, {b})"),
        Binary::Power => format!("formula_power({a}, {b})"),
        Binary::Min => format!("formula_min({a}, {b})"),
        Binary::Max => format!("formula_max({a}, {b})"),
    }
}
