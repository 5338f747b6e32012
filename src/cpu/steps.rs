//! Formulas of a user: their steps one after the other, each over a block that stays in the first-level cache.

use std::f32::consts::PI;

use pulp::NullaryFnOnce;
use wgrad_formula::expression::{
    Binary, Comparison, Operand, Operation, Program, Sign, Unary, binary_value, integer_power,
    parts_value, times_value, unary_value,
};

use wgrad_formula::numbers::{Real, Sum};

use super::parallel::vectorised;
use super::piecewise::{Evaluator, Tabulated};
use super::pointwise::Multiplied;
use wgrad_formula::formulas::{Map, PointwiseFunction};

/// The number of elements in a block.
const BLOCK: usize = 1024;

/// Memory for the intermediate values of programs, which a thread keeps.
pub(super) struct Steps<'a> {
    program: &'a Program,
    parameters: &'a [f32],
    /// The polynomials of each step's function, if it has them.
    polynomials: Vec<Option<Evaluator>>,
    /// A block for each slot, then one for each constant and parameter that a step reads.
    blocks: Vec<Vec<f32>>,
    scalars: Vec<Operand>,
    /// The two parts of a product.
    parts: [Vec<f32>; 2],
}

impl<'a> Steps<'a> {
    /// Memory for blocks of outputs that have this number of elements, or parts of them.
    pub(super) fn new(program: &'a Program, parameters: &'a [f32], elements: usize) -> Self {
        let length = elements.min(BLOCK);
        let mut scalars: Vec<Operand> = Vec::new();
        for step in &program.steps {
            for operand in step.operation.operands() {
                let is_scalar = matches!(operand, Operand::Number(_) | Operand::Parameter(_));
                if is_scalar && !scalars.contains(&operand) {
                    scalars.push(operand);
                }
            }
        }
        let mut blocks = vec![vec![0.0; length]; program.slots];
        blocks.extend(scalars.iter().map(|&scalar| vec![value(scalar, parameters); length]));
        let polynomials = program.steps.iter().map(|step| polynomials(step.operation)).collect();
        let parts = [0; 2].map(|_| vec![0.0; length]);
        Self { program, parameters, polynomials, blocks, scalars, parts }
    }

    /// Writes the function of each element; the inputs are its arguments. NaN in one of them is NaN in the output.
    pub(super) fn run(&mut self, inputs: &[&[f32]], output: &mut [f32]) {
        for start in (0..output.len()).step_by(BLOCK) {
            let end = output.len().min(start + BLOCK);
            self.block(inputs, start, &mut output[start..end]);
        }
    }

    /// Writes the products of the function with factors, and returns whether all are finite.
    pub(super) fn run_times(
        &mut self,
        inputs: &[&[f32]],
        factors: &[f32],
        output: &mut [f32],
    ) -> bool {
        let mut is_finite = true;
        for start in (0..output.len()).step_by(BLOCK) {
            let end = output.len().min(start + BLOCK);
            let output = &mut output[start..end];
            self.block(inputs, start, output);
            is_finite &= vectorised(Multiplied { factors: &factors[start..end], output });
        }
        is_finite
    }

    fn block(&mut self, inputs: &[&[f32]], start: usize, output: &mut [f32]) {
        let length = output.len();
        let last = match self.program.output {
            Operand::Slot(_) => self.program.steps.len().checked_sub(1),
            _ => None,
        };
        let mut parts = std::mem::take(&mut self.parts);
        for (place, step) in self.program.steps.iter().enumerate() {
            let target = usize::from(step.slot);
            // The block is taken out, so that the others can be read: no step reads what it overwrites.
            let mut result = std::mem::take(&mut self.blocks[target]);
            let of = |operand: Operand| match operand {
                Operand::Slot(slot) => &self.blocks[usize::from(slot)][..length],
                Operand::Variable(place) => &inputs[usize::from(place)][start..start + length],
                scalar => self.scalar(scalar, length),
            };
            let output = if last == Some(place) { &mut *output } else { &mut result[..length] };
            let is_done = self.polynomials[place].is_some_and(|polynomials| {
                let parts = parts.each_mut().map(|part| &mut part[..length]);
                by_polynomials(polynomials, step.operation, &of, parts, output)
            });
            if !is_done {
                apply(step.operation, &of, output);
            }
            self.blocks[target] = result;
        }
        self.parts = parts;
        match self.program.output {
            // The last step has written it.
            Operand::Slot(_) => {}
            Operand::Variable(place) => {
                output.copy_from_slice(&inputs[usize::from(place)][start..start + length]);
            }
            scalar => output.fill(value(scalar, self.parameters)),
        }
        for input in inputs {
            let input = &input[start..start + length];
            if vectorised(Farthest(input)) > f32::INFINITY.to_bits() {
                vectorised(Spread { input, output: &mut *output });
            }
        }
    }

    fn scalar(&self, wanted: Operand, length: usize) -> &[f32] {
        let place = self.scalars.iter().position(|scalar| *scalar == wanted).unwrap_or(0);
        &self.blocks[self.program.slots + place][..length]
    }
}

fn value(scalar: Operand, parameters: &[f32]) -> f32 {
    match scalar {
        Operand::Number(value) => value as f32,
        Operand::Parameter(place) => parameters[usize::from(place)],
        Operand::Slot(_) | Operand::Variable(_) => f32::NAN,
    }
}

fn apply<'a>(operation: Operation, of: &dyn Fn(Operand) -> &'a [f32], output: &mut [f32]) {
    match operation {
        Operation::Unary(function, x) => vectorised(Each { function, x: of(x), output }),
        Operation::Binary(function, [a, b]) => {
            vectorised(Zip { function, inputs: [of(a), of(b)], output });
        }
        Operation::Power(x, n) => vectorised(Power { x: of(x), n, output }),
        Operation::OfProduct(function, factors, sign) => {
            let product = Product::new(factors, factors.map(of), sign);
            vectorised(OfProduct { function, factor: None, product, output });
        }
        Operation::Times(factor, function, factors, sign) => {
            let product = Product::new(factors, factors.map(of), sign);
            vectorised(OfProduct { function, factor: Some(of(factor)), product, output });
        }
        Operation::Select(comparison, operands) => {
            vectorised(Select { comparison, operands: operands.map(of), output });
        }
    }
}

/// The polynomials of the operation's function; `None` if it has none.
fn polynomials(operation: Operation) -> Option<Evaluator> {
    use PointwiseFunction::{Sigmoid, Silu, Softplus, Tanh};
    let (function, is_rounded) = match operation {
        Operation::Unary(function, _) => (function, false),
        Operation::OfProduct(function, [first, _], _)
        | Operation::Times(_, function, [first, _], _) => (function, first != Operand::Number(1.0)),
        _ => return None,
    };
    let (activation, map) = match function {
        Unary::Sigmoid => (Sigmoid, Map::Forward),
        Unary::SigmoidSlope => (Sigmoid, Map::Derivative),
        Unary::Tanh => (Tanh, Map::Forward),
        Unary::TanhSlope => (Tanh, Map::Derivative),
        Unary::Softplus => (Softplus { beta: 1.0, threshold: 20.0 }, Map::Forward),
        // What the rounding of a product does to it is not easily told.
        Unary::SiluSlope if !is_rounded => (Silu, Map::Derivative),
        Unary::NormalCdf => return Evaluator::new(Tabulated::NormalCdf),
        _ => return None,
    };
    Evaluator::new(Tabulated::Activation(activation, map))
}

/// Computes a step by polynomials; false if an argument is beyond them, so that nothing is computed.
fn by_polynomials<'a>(
    polynomials: Evaluator,
    operation: Operation,
    of: &dyn Fn(Operand) -> &'a [f32],
    [high, low]: [&mut [f32]; 2],
    output: &mut [f32],
) -> bool {
    let (factor, function, operands, sign) = match operation {
        Operation::Unary(function, x) => {
            let elsewhere = |x: &[f32], output: &mut [f32]| {
                vectorised(Each { function, x, output });
            };
            polynomials.map(of(x), None, output, &elsewhere);
            return true;
        }
        Operation::OfProduct(function, operands, sign) => (None, function, operands, sign),
        Operation::Times(factor, function, operands, sign) => {
            (Some(of(factor)), function, operands, sign)
        }
        _ => return false,
    };
    let is_exact = operands[0] == Operand::Number(1.0);
    let x = if is_exact && sign == Sign::Plus {
        of(operands[1])
    } else {
        let product = Product::new(operands, operands.map(of), sign);
        vectorised(Split { product, high: &mut *high, low: &mut *low });
        high
    };
    if vectorised(Farthest(x)) > polynomials.farthest().to_bits() {
        return false;
    }
    // No argument is beyond them.
    polynomials.map(x, factor.filter(|_| is_exact), output, &|_, _| {});
    if !is_exact {
        vectorised(Corrected { function, factor, high: x, low, output });
    }
    true
}

/// The bits of the greatest magnitude, to which any NaN contributes more than infinity.
struct Farthest<'a>(&'a [f32]);

impl NullaryFnOnce for Farthest<'_> {
    type Output = u32;

    #[inline(always)]
    fn call(self) -> u32 {
        self.0.iter().fold(0, |farthest, x| farthest.max(x.abs().to_bits()))
    }
}

/// Writes the two parts of products.
struct Split<'a> {
    product: Product<'a>,
    high: &'a mut [f32],
    low: &'a mut [f32],
}

impl NullaryFnOnce for Split<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { product: Product { constant, factors: [a, b], sign }, high, low } = self;
        let parts = high.iter_mut().zip(low).zip(a.iter().zip(b));
        match constant {
            Some(constant) => parts.for_each(|((high, low), (_, b))| {
                Sum { high: *high, low: *low } = (sign * b).times_constant(constant);
            }),
            None => parts.for_each(|((high, low), (a, b))| {
                Sum { high: *high, low: *low } = a.product(sign * b);
            }),
        }
    }
}

/// Adds what the low part of an argument does to a function's value, `f(high + low)` = `f(high) + low·f'(high)`, and
/// multiplies by a factor, if there is one. The low part is so small that two digits of f' are enough.
struct Corrected<'a> {
    function: Unary,
    factor: Option<&'a [f32]>,
    high: &'a [f32],
    low: &'a [f32],
    output: &'a mut [f32],
}

impl NullaryFnOnce for Corrected<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { function, factor, high, low, output } = self;
        macro_rules! each {
            ($y:ident, $x:ident: $slope:expr) => {{
                let elements = output.iter_mut().zip(high).zip(low);
                match factor {
                    None => elements.for_each(|((output, &$x), &low)| {
                        let $y = *output;
                        *output = low.mul_add($slope, $y);
                    }),
                    Some(factor) => {
                        elements.zip(factor).for_each(|(((output, &$x), &low), factor)| {
                            let $y = *output;
                            *output = factor * low.mul_add($slope, $y);
                        })
                    }
                }
            }};
        }
        match function {
            Unary::Sigmoid => each!(y, _x: y * (1.0 - y)),
            Unary::Tanh => each!(y, _x: 1.0 - y * y),
            // σ = 1 − e^−y
            Unary::Softplus => each!(y, _x: y / (1.0 + y)),
            // −y·tanh(x/2)
            Unary::SigmoidSlope => each!(y, x: -y * (0.4 * x).clamp(-1.0, 1.0)),
            // −2·y·tanh(x)
            Unary::TanhSlope => each!(y, x: -2.0 * y * (0.8 * x).clamp(-1.0, 1.0)),
            // The density is y times the inverse of Mills' ratio of −x, about (√(x² + 8/π) − x)/2.
            Unary::NormalCdf => {
                each!(y, x: 0.5 * y * (x.mul_add(x, 8.0 / PI).sqrt() - x));
            }
            // The others have no polynomials for a rounded argument.
            _ => output.fill(f32::NAN),
        }
    }
}

struct Each<'a> {
    function: Unary,
    x: &'a [f32],
    output: &'a mut [f32],
}

impl NullaryFnOnce for Each<'_> {
    type Output = ();

    /// One loop for each function, with the match outside.
    #[inline(always)]
    fn call(self) {
        let Self { function, x, output } = self;
        macro_rules! each {
            ($($Function:ident)+) => {
                match function {
                    $( Unary::$Function => {
                        for (output, &x) in output.iter_mut().zip(x) {
                            *output = unary_value(Unary::$Function, x);
                        }
                    } )+
                }
            };
        }
        each!(
            Negate Exp Expm1 Log Log1p Tanh TanhSlope Sigmoid SigmoidSlope SiluSlope Softplus Erf
            Erfc NormalCdf Sin Cos Atan Sqrt Abs Sign Relu Step
        );
    }
}

struct Zip<'a> {
    function: Binary,
    inputs: [&'a [f32]; 2],
    output: &'a mut [f32],
}

impl NullaryFnOnce for Zip<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { function, inputs: [a, b], output } = self;
        macro_rules! each {
            ($($Function:ident)+) => {
                match function {
                    $( Binary::$Function => {
                        for ((output, &a), &b) in output.iter_mut().zip(a).zip(b) {
                            *output = binary_value(Binary::$Function, a, b);
                        }
                    } )+
                }
            };
        }
        each!(Add Subtract Multiply Divide Power Min Max);
    }
}

/// The product that a function is applied to, in two parts.
#[derive(Clone, Copy)]
struct Product<'a> {
    /// The first factor, if it is a constant: all its digits count.
    constant: Option<f64>,
    factors: [&'a [f32]; 2],
    /// 1, or −1 to change the product's sign.
    sign: f32,
}

impl<'a> Product<'a> {
    fn new([first, _]: [Operand; 2], factors: [&'a [f32]; 2], sign: Sign) -> Self {
        let sign = if sign == Sign::Minus { -1.0 } else { 1.0 };
        Self { constant: first.number(), factors, sign }
    }
}

/// f of a product, or a factor times f of it.
struct OfProduct<'a> {
    function: Unary,
    factor: Option<&'a [f32]>,
    product: Product<'a>,
    output: &'a mut [f32],
}

impl NullaryFnOnce for OfProduct<'_> {
    type Output = ();

    /// One loop for each function and kind of product: a choice within a loop would keep it from being vectorised.
    #[inline(always)]
    fn call(self) {
        let Self { function, factor, product: Product { constant, factors: [a, b], sign }, output } =
            self;
        macro_rules! each {
            ($x:ident = $first:ident, $second:ident: $product:expr) => {
                match factor {
                    None => each!(
                        @functions
                        [Exp Expm1 Tanh TanhSlope Sigmoid SigmoidSlope SiluSlope Softplus NormalCdf Sin Cos]
                        Function => {
                            for ((output, &$first), &$second) in output.iter_mut().zip(a).zip(b) {
                                let $x = $product;
                                *output = parts_value(Function, $x);
                            }
                        }
                    ),
                    Some(factor) => each!(
                        @functions [Exp TanhSlope Sigmoid SigmoidSlope]
                        Function => {
                            let elements = output.iter_mut().zip(factor).zip(a).zip(b);
                            for (((output, &factor), &$first), &$second) in elements {
                                let $x = $product;
                                *output = times_value(factor, Function, $x);
                            }
                        }
                    ),
                }
            };
            (@functions [$($Function:ident)+] $name:ident => $loop:block) => {
                match function {
                    $( Unary::$Function => {
                        #[allow(non_upper_case_globals)]
                        const $name: Unary = Unary::$Function;
                        $loop
                    } )+
                    // Programs apply no other function to a product.
                    _ => output.fill(f32::NAN),
                }
            };
        }
        match constant {
            Some(1.0) => each!(x = _a, b: Sum::from(sign * b)),
            Some(constant) => each!(x = _a, b: (sign * b).times_constant(constant)),
            None => each!(x = a, b: a.product(sign * b)),
        }
    }
}

struct Power<'a> {
    x: &'a [f32],
    n: u32,
    output: &'a mut [f32],
}

impl NullaryFnOnce for Power<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, n, output } = self;
        macro_rules! each {
            ($($N:literal)+) => {
                match n {
                    $( $N => {
                        for (output, &x) in output.iter_mut().zip(x) {
                            *output = integer_power(x, $N);
                        }
                    } )+
                    _ => {
                        for (output, &x) in output.iter_mut().zip(x) {
                            *output = integer_power(x, n);
                        }
                    }
                }
            };
        }
        each!(2 3 4 5 6 8);
    }
}

struct Select<'a> {
    comparison: Comparison,
    operands: [&'a [f32]; 4],
    output: &'a mut [f32],
}

impl NullaryFnOnce for Select<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let [a, b, yes, no] = self.operands;
        let elements = self.output.iter_mut().zip(a).zip(b).zip(yes).zip(no);
        match self.comparison {
            Comparison::Less => {
                elements.for_each(|((((it, a), b), yes), no)| *it = if a < b { *yes } else { *no });
            }
            Comparison::LessOrEqual => {
                elements.for_each(|((((it, a), b), yes), no)| *it = if a <= b { *yes } else { *no })
            }
            Comparison::Equal => {
                elements.for_each(|((((it, a), b), yes), no)| *it = if a == b { *yes } else { *no })
            }
        }
    }
}

/// Makes the outputs NaN whose input is.
struct Spread<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

impl NullaryFnOnce for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (output, &x) in self.output.iter_mut().zip(self.input) {
            *output = if x.is_nan() { x } else { *output };
        }
    }
}
