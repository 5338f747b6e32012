//! Formulas of a user: their steps one after the other, each over a block that stays in the first-level cache.

use pulp::NullaryFnOnce;
use wgrad_formula::expression::{
    Binary, Comparison, Operand, Operation, Program, Sign, Unary, binary_value, integer_power,
    parts_value, times_value, unary_value,
};

use wgrad_formula::numbers::{Real, Sum};

use super::parallel::vectorised;

/// The number of elements in a block.
const BLOCK: usize = 512;

/// Memory for the intermediate values of programs, which a thread keeps.
pub(super) struct Steps<'a> {
    program: &'a Program,
    parameters: &'a [f32],
    /// A block for each slot, then one for each constant and parameter that a step reads.
    blocks: Vec<Vec<f32>>,
    scalars: Vec<Operand>,
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
        Self { program, parameters, blocks, scalars }
    }

    /// Writes the function of each element; the inputs are its arguments. NaN in one of them is NaN in the output.
    pub(super) fn run(&mut self, inputs: &[&[f32]], output: &mut [f32]) {
        for start in (0..output.len()).step_by(BLOCK) {
            let end = output.len().min(start + BLOCK);
            self.block(inputs, start, &mut output[start..end]);
        }
    }

    fn block(&mut self, inputs: &[&[f32]], start: usize, output: &mut [f32]) {
        let length = output.len();
        let last = match self.program.output {
            Operand::Slot(_) => self.program.steps.len().checked_sub(1),
            _ => None,
        };
        for (place, step) in self.program.steps.iter().enumerate() {
            let target = usize::from(step.slot);
            // The block is taken out, so that the others can be read: no step reads what it overwrites.
            let mut result = std::mem::take(&mut self.blocks[target]);
            let of = |operand: Operand| match operand {
                Operand::Slot(slot) => &self.blocks[usize::from(slot)][..length],
                Operand::Variable(place) => &inputs[usize::from(place)][start..start + length],
                scalar => self.scalar(scalar, length),
            };
            if last == Some(place) {
                apply(step.operation, &of, output);
            } else {
                apply(step.operation, &of, &mut result[..length]);
            }
            self.blocks[target] = result;
        }
        match self.program.output {
            // The last step has written it.
            Operand::Slot(_) => {}
            Operand::Variable(place) => {
                output.copy_from_slice(&inputs[usize::from(place)][start..start + length]);
            }
            scalar => output.fill(value(scalar, self.parameters)),
        }
        for input in inputs {
            vectorised(Spread { input: &input[start..start + length], output: &mut *output });
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
        Operation::Unary(function, x) => vectorised(Map { function, x: of(x), output }),
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

struct Map<'a> {
    function: Unary,
    x: &'a [f32],
    output: &'a mut [f32],
}

impl NullaryFnOnce for Map<'_> {
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
