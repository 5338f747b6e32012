//! An expression as a list of steps, which is evaluated in any precision.

use super::graph::{Binary, Comparison, Graph, Id, Node, Unary};
use crate::numbers::Real;

/// The number of intermediate values that a program may hold at a time.
pub const SLOTS: usize = 48;

/// The value of a function of one number.
#[inline(always)]
pub fn unary_value<R: Real>(function: Unary, x: R) -> R {
    let number = R::from_f64;
    match function {
        Unary::Negate => -x,
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => {
            let u = number(1.0) + x;
            let log = u.ln();
            // The quotient restores what the sum 1 + x has lost.
            let corrected = log * (x / (u - number(1.0)));
            if u == number(1.0) {
                x
            } else if x > number(1e30) || u == number(0.0) {
                log
            } else {
                corrected
            }
        }
        Unary::Tanh => x.tanh(),
        Unary::TanhSlope => x.tanh_derivative(),
        Unary::Sigmoid => x.sigmoid(),
        Unary::SigmoidSlope => x.sigmoid_derivative(),
        Unary::SiluSlope => R::silu_derivative(x.into()),
        Unary::Softplus => x.softplus(),
        Unary::Erf => x.erf(),
        Unary::Erfc => number(2.0) * R::normal_cdf_of(x.times_constant(-std::f64::consts::SQRT_2)),
        Unary::NormalCdf => R::normal_cdf_of(x.into()),
        Unary::Sin => R::sin_of(x.into()),
        Unary::Cos => R::cos_of(x.into()),
        Unary::Atan => x.atan(),
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.magnitude(),
        Unary::Sign => {
            if x > number(0.0) {
                number(1.0)
            } else if x < number(0.0) {
                number(-1.0)
            } else {
                number(0.0)
            }
        }
        Unary::Relu => {
            if x > number(0.0) {
                x
            } else {
                number(0.0)
            }
        }
        Unary::Step => {
            if x > number(0.0) {
                number(1.0)
            } else {
                number(0.0)
            }
        }
    }
}

/// The value of a function of two numbers.
#[inline(always)]
pub fn binary_value<R: Real>(function: Binary, a: R, b: R) -> R {
    match function {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Power => a.power(b),
        // NaN in one number is NaN in the result.
        Binary::Min => {
            if a < b {
                a
            } else if b <= a {
                b
            } else {
                a + b
            }
        }
        Binary::Max => {
            if a > b {
                a
            } else if b >= a {
                b
            } else {
                a + b
            }
        }
    }
}

/// x to the power n > 0.
#[inline(always)]
pub fn integer_power<R: Real>(x: R, n: u32) -> R {
    let (mut result, mut square, mut rest) = (None, x, n);
    loop {
        if rest & 1 == 1 {
            result = Some(match result {
                None => square,
                Some(result) => result * square,
            });
        }
        rest >>= 1;
        match (rest, result) {
            (0, Some(result)) => return result,
            (0, None) => return R::from_f64(1.0),
            _ => square = square * square,
        }
    }
}

/// Where a step finds a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// An intermediate value.
    Slot(u8),
    /// An argument.
    Variable(u8),
    /// A parameter.
    Parameter(u8),
    /// A constant.
    Number(f64),
}

/// What a step computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// A function of one number.
    Unary(Unary, Operand),
    /// A function of two numbers.
    Binary(Binary, [Operand; 2]),
    /// The power with a positive integer.
    Power(Operand, u32),
    /// `if a ? b { c } else { d }`
    Select(Comparison, [Operand; 4]),
}

/// An operation, and the slot for its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What is computed.
    pub operation: Operation,
    /// Where the result goes.
    pub slot: u8,
}

/// The steps of one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// In order.
    pub steps: Vec<Step>,
    /// Where the result is after the last step.
    pub output: Operand,
    /// The number of slots that the steps use.
    pub slots: usize,
}

impl Program {
    /// The program that computes the node; `None` if it needs more than [`SLOTS`] slots.
    pub fn new(graph: &Graph, output: Id) -> Option<Self> {
        let live = graph.live(&[output]);
        let mut last_use = vec![usize::MAX; graph.size()];
        for (place, &id) in live.iter().enumerate() {
            for operand in graph.node(id).operands() {
                last_use[operand.index()] = place;
            }
        }
        let mut places = vec![None; graph.size()];
        let mut free: Vec<u8> = (0..SLOTS as u8).rev().collect();
        let mut steps = Vec::new();
        let mut slots = 0;
        for (place, &id) in live.iter().enumerate() {
            let of = |id: Id| places[id.index()].unwrap_or(Operand::Number(f64::NAN));
            let node = graph.node(id);
            let operation = match node {
                Node::Variable(variable) => {
                    places[id.index()] = Some(Operand::Variable(variable));
                    continue;
                }
                Node::Parameter(parameter) => {
                    places[id.index()] = Some(Operand::Parameter(parameter));
                    continue;
                }
                Node::Number(bits) => {
                    places[id.index()] = Some(Operand::Number(f64::from_bits(bits)));
                    continue;
                }
                Node::Unary(function, x) => Operation::Unary(function, of(x)),
                Node::Binary(Binary::Power, [base, exponent]) => match graph.value(exponent) {
                    Some(n) if n.fract() == 0.0 && (1.0..=64.0).contains(&n) => {
                        Operation::Power(of(base), n as u32)
                    }
                    _ => Operation::Binary(Binary::Power, [of(base), of(exponent)]),
                },
                Node::Binary(function, operands) => Operation::Binary(function, operands.map(of)),
                Node::Select(comparison, operands) => {
                    Operation::Select(comparison, operands.map(of))
                }
            };
            // The result never goes where an operand is: it can be written while they are read.
            let slot = free.pop()?;
            let mut ending: Vec<Id> =
                node.operands().filter(|operand| last_use[operand.index()] == place).collect();
            ending.sort();
            ending.dedup();
            for operand in ending {
                if let Some(Operand::Slot(slot)) = places[operand.index()] {
                    free.push(slot);
                }
            }
            slots = slots.max(usize::from(slot) + 1);
            places[id.index()] = Some(Operand::Slot(slot));
            steps.push(Step { operation, slot });
        }
        Some(Self { steps, output: places[output.index()]?, slots })
    }

    /// The value for these arguments and parameters.
    pub fn evaluate<R: Real>(&self, variables: &[R], parameters: &[R]) -> R {
        let mut slots = [R::from_f64(0.0); SLOTS];
        for Step { operation, slot } in &self.steps {
            let of = |operand: Operand| match operand {
                Operand::Slot(slot) => slots[usize::from(slot)],
                Operand::Variable(variable) => variables[usize::from(variable)],
                Operand::Parameter(parameter) => parameters[usize::from(parameter)],
                Operand::Number(value) => R::from_f64(value),
            };
            let value =
                match *operation {
                    Operation::Unary(function, x) => unary_value(function, of(x)),
                    Operation::Binary(function, [a, b]) => binary_value(function, of(a), of(b)),
                    Operation::Power(x, n) => integer_power(of(x), n),
                    Operation::Select(comparison, [a, b, c, d]) => {
                        if comparison.holds(of(a), of(b)) { of(c) } else { of(d) }
                    }
                };
            slots[usize::from(*slot)] = value;
        }
        match self.output {
            Operand::Slot(slot) => slots[usize::from(slot)],
            Operand::Variable(variable) => variables[usize::from(variable)],
            Operand::Parameter(parameter) => parameters[usize::from(parameter)],
            Operand::Number(value) => R::from_f64(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_in_f32_is_as_good_as_its_rounding() {
        let mut worst = [0.0_f64; 3];
        for step in -9000..=9000 {
            let x = f64::from(step as f32 / 1000.0) as f32;
            let exact = [
                0.5 * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2),
                libm::erf(x.into()),
                libm::erfc(x.into()),
            ];
            let found = [Unary::NormalCdf, Unary::Erf, Unary::Erfc].map(|it| unary_value(it, x));
            for ((worst, found), exact) in worst.iter_mut().zip(found).zip(exact) {
                if exact.abs() > 1.2e-38 {
                    let error = (f64::from(found) - exact).abs() / exact.abs();
                    *worst = worst.max(error / f64::from(f32::EPSILON));
                }
            }
        }
        println!("{worst:?}");
        assert!(worst.iter().all(|error| *error < 4.0), "{worst:?}");
    }

    #[test]
    fn logarithms_near_1_keep_their_digits() {
        for x in [1e-9_f32, -1e-9, 0.1, -0.3, -0.9, 3.0, 1e20, 0.0] {
            let (found, exact) = (unary_value(Unary::Log1p, x), f64::from(x).ln_1p());
            assert!((f64::from(found) - exact).abs() <= 3e-7 * exact.abs(), "{x}: {found} {exact}");
        }
        assert_eq!(unary_value(Unary::Log1p, -1.0_f32), f32::NEG_INFINITY);
        assert_eq!(unary_value(Unary::Log1p, f32::INFINITY), f32::INFINITY);
        assert!(unary_value(Unary::Log1p, -2.0_f32).is_nan());
    }
}
