//! An expression as a list of steps, which is evaluated in any precision.

use super::graph::{Binary, Comparison, Graph, Id, Node, Unary};
use super::wgsl::{parts_name, times_name};
use crate::numbers::{Real, Sum};

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
    // Without a loop where n is a constant, as small ones are in loops that have to be vectorised.
    let y = x * x;
    match n {
        1 => return x,
        2 => return y,
        3 => return x * y,
        4 => return y * y,
        5 => return x * (y * y),
        6 => return y * (y * y),
        8 => return (y * y) * (y * y),
        _ => {}
    }
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

impl Operand {
    /// The constant, if it is one.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(value),
            _ => None,
        }
    }
}

/// What a step computes from its operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation<T = Operand> {
    /// A function of one number.
    Unary(Unary, T),
    /// A function of two numbers.
    Binary(Binary, [T; 2]),
    /// The power with a positive integer.
    Power(T, u32),
    /// `if a ? b { c } else { d }`
    Select(Comparison, [T; 4]),
    /// `f(±a·b)`, with the digits that rounding the product would lose.
    OfProduct(Unary, [T; 2], Sign),
    /// `factor·f(±a·b)`, rounded once even if f is subnormal.
    Times(T, Unary, [T; 2], Sign),
}

/// The sign of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It stays.
    Plus,
    /// It is changed.
    Minus,
}

impl<T: Copy> Operation<T> {
    /// The operands, in order.
    pub fn operands(&self) -> impl Iterator<Item = T> {
        let operands: [Option<T>; 4] = match *self {
            Self::Unary(_, x) | Self::Power(x, _) => [Some(x), None, None, None],
            Self::Binary(_, [a, b]) | Self::OfProduct(_, [a, b], _) => {
                [Some(a), Some(b), None, None]
            }
            Self::Times(factor, _, [a, b], _) => [Some(factor), Some(a), Some(b), None],
            Self::Select(_, operands) => operands.map(Some),
        };
        operands.into_iter().flatten()
    }

    fn map<U>(self, to: impl Fn(T) -> U) -> Operation<U> {
        match self {
            Self::Unary(function, x) => Operation::Unary(function, to(x)),
            Self::Power(x, n) => Operation::Power(to(x), n),
            Self::Binary(function, operands) => Operation::Binary(function, operands.map(to)),
            Self::OfProduct(function, operands, sign) => {
                Operation::OfProduct(function, operands.map(to), sign)
            }
            Self::Times(factor, function, operands, sign) => {
                Operation::Times(to(factor), function, operands.map(to), sign)
            }
            Self::Select(comparison, operands) => Operation::Select(comparison, operands.map(to)),
        }
    }
}

/// `f(x)` for an argument in two parts.
#[inline(always)]
pub fn parts_value<R: Real>(function: Unary, x: Sum<R>) -> R {
    let one = R::from_f64(1.0);
    match function {
        Unary::Exp => R::exp_of(x),
        Unary::Expm1 => R::exp_m1_of(x),
        Unary::Tanh => R::tanh_of(x),
        Unary::TanhSlope => one.tanh_slope(x),
        Unary::Sigmoid => R::sigmoid_of(x),
        Unary::SigmoidSlope => one.sigmoid_slope(x),
        Unary::SiluSlope => R::silu_derivative(x),
        Unary::Softplus => R::softplus_of(x),
        Unary::NormalCdf => R::normal_cdf_of(x),
        Unary::Sin => R::sin_of(x),
        Unary::Cos => R::cos_of(x),
        _ => unary_value(function, x.high),
    }
}

/// `factor·f(x)` for an argument in two parts.
#[inline(always)]
pub fn times_value<R: Real>(factor: R, function: Unary, x: Sum<R>) -> R {
    match function {
        Unary::Exp => factor.exp_times(x),
        // It is computed with four times the factor, which must not overflow.
        Unary::TanhSlope => R::from_f64(4.0) * (R::from_f64(0.25) * factor).tanh_slope(x),
        Unary::Sigmoid => factor.times_sigmoid(x),
        Unary::SigmoidSlope => factor.sigmoid_slope(x),
        _ => factor * parts_value(function, x),
    }
}

/// `±a·b` in two parts. If a is a constant, all its digits count.
#[inline(always)]
pub fn signed_product<R: Real>(a: R, constant: Option<f64>, b: R, sign: Sign) -> Sum<R> {
    let product = match constant {
        Some(1.0) => Sum::from(b),
        Some(constant) => b.times_constant(constant),
        None => a.product(b),
    };
    match sign {
        Sign::Plus => product,
        Sign::Minus => -product,
    }
}

impl Graph {
    /// What computes a node; `None` for a leaf.
    fn operation(&self, id: Id, uses: &[u32]) -> Option<Operation<Id>> {
        Some(match self.node(id) {
            Node::Variable(_) | Node::Parameter(_) | Node::Number(_) => return None,
            Node::Unary(function, x) if parts_name(function).is_some() => match self.product(x) {
                Some((operands, sign)) => Operation::OfProduct(function, operands, sign),
                None => Operation::Unary(function, x),
            },
            Node::Unary(function, x) => Operation::Unary(function, x),
            Node::Binary(Binary::Power, [base, exponent]) => match self.value(exponent) {
                Some(n) if n.fract() == 0.0 && (1.0..=64.0).contains(&n) => {
                    Operation::Power(base, n as u32)
                }
                _ => Operation::Binary(Binary::Power, [base, exponent]),
            },
            Node::Binary(Binary::Multiply, [a, b]) => {
                let fused = [[a, b], [b, a]].into_iter().find_map(|[factor, of]| {
                    // A function that is used elsewhere too is computed once.
                    let Node::Unary(function, x) = self.node(of) else { return None };
                    if times_name(function).is_none() || uses[of.index()] > 1 {
                        return None;
                    }
                    let (operands, sign) = self.argument(x);
                    Some(Operation::Times(factor, function, operands?, sign))
                });
                fused.unwrap_or(Operation::Binary(Binary::Multiply, [a, b]))
            }
            Node::Binary(function, operands) => Operation::Binary(function, operands),
            Node::Select(comparison, operands) => Operation::Select(comparison, operands),
        })
    }

    /// The factors of a product or square, and its sign; a constant factor is the first.
    fn product(&self, x: Id) -> Option<([Id; 2], Sign)> {
        match self.node(x) {
            Node::Unary(Unary::Negate, inner) => {
                self.product(inner).map(|(operands, _)| (operands, Sign::Minus))
            }
            Node::Binary(Binary::Multiply, operands) => Some((operands, Sign::Plus)),
            Node::Binary(Binary::Power, [base, exponent]) if self.value(exponent) == Some(2.0) => {
                Some(([base, base], Sign::Plus))
            }
            _ => None,
        }
    }

    /// An argument as a product; with the constant 1 if it is none, and if the graph has that constant.
    fn argument(&self, x: Id) -> (Option<[Id; 2]>, Sign) {
        if let Some((operands, sign)) = self.product(x) {
            return (Some(operands), sign);
        }
        let (x, sign) = match self.node(x) {
            Node::Unary(Unary::Negate, inner) => (inner, Sign::Minus),
            _ => (x, Sign::Plus),
        };
        (self.one().map(|one| [one, x]), sign)
    }
}

/// An operation, and the slot for its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What is computed.
    pub operation: Operation,
    /// Where the result goes; none of the operands is there.
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

/// What computes each node of the output, and the nodes in order: each after its operands and soon before it is
/// needed, so that few are held at a time.
fn in_order(graph: &Graph, output: Id) -> (Vec<Id>, Vec<Option<Operation<Id>>>) {
    let mut uses = vec![0; graph.size()];
    for id in graph.live(&[output]) {
        graph.node(id).operands().for_each(|operand| uses[operand.index()] += 1);
    }
    let mut order = Vec::new();
    let mut operations = vec![None; graph.size()];
    let mut is_done = vec![false; graph.size()];
    // Whether the operands of a node are on the stack above it, or done.
    let mut stack = vec![(output, false)];
    while let Some((id, is_ready)) = stack.pop() {
        if is_done[id.index()] {
            continue;
        }
        if is_ready {
            is_done[id.index()] = true;
            order.push(id);
            continue;
        }
        stack.push((id, true));
        operations[id.index()] = graph.operation(id, &uses);
        let operands: Vec<Id> =
            operations[id.index()].iter().flat_map(Operation::operands).collect();
        stack.extend(operands.into_iter().rev().map(|operand| (operand, false)));
    }
    (order, operations)
}

impl Program {
    /// The program that computes the node; `None` if it needs more than [`SLOTS`] slots.
    pub fn new(graph: &Graph, output: Id) -> Option<Self> {
        let (ids, operations) = in_order(graph, output);
        let mut last_use = vec![usize::MAX; graph.size()];
        for (place, &id) in ids.iter().enumerate() {
            for operand in operations[id.index()].iter().flat_map(Operation::operands) {
                last_use[operand.index()] = place;
            }
        }
        let leaf = |id: Id| match graph.node(id) {
            Node::Variable(place) => Some(Operand::Variable(place)),
            Node::Parameter(place) => Some(Operand::Parameter(place)),
            Node::Number(bits) => Some(Operand::Number(f64::from_bits(bits))),
            _ => None,
        };
        let mut places = vec![None; graph.size()];
        let mut free: Vec<u8> = (0..SLOTS as u8).rev().collect();
        let mut steps = Vec::new();
        let mut slots = 0;
        for (place, &id) in ids.iter().enumerate() {
            let Some(operation) = operations[id.index()] else {
                places[id.index()] = leaf(id);
                continue;
            };
            // The result never goes where an operand is: it can be written while they are read.
            let slot = free.pop()?;
            slots = slots.max(usize::from(slot) + 1);
            let mut ending: Vec<Id> =
                operation.operands().filter(|operand| last_use[operand.index()] == place).collect();
            ending.sort();
            ending.dedup();
            for operand in ending {
                if let Some(Operand::Slot(slot)) = places[operand.index()] {
                    free.push(slot);
                }
            }
            let operation = operation
                .map(|id| leaf(id).or(places[id.index()]).unwrap_or(Operand::Number(f64::NAN)));
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
                    Operation::OfProduct(function, [a, b], sign) => {
                        parts_value(function, signed_product(of(a), a.number(), of(b), sign))
                    }
                    Operation::Times(factor, function, [a, b], sign) => {
                        let product = signed_product(of(a), a.number(), of(b), sign);
                        times_value(of(factor), function, product)
                    }
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
