//! Element-wise work.
//!
//! Only functions of one number, and products with them, are compiled for each activation. Loops
//! that all activations share do the rest of the work.

use pulp::NullaryFnOnce;

use super::halves::{self, Values, ValuesMut};
use super::parallel::vectorised_or_back;
use super::piecewise::{Evaluator, Tabulated};
use super::steps::Steps;
use crate::backend::{Binary, Unary};
use wgrad_formula::expression::Custom;
use wgrad_formula::formulas::{Pointwise, PointwiseFunction, PointwiseVisitor};

/// The number of elements that are copied at a time when a function is applied in place.
const COPIED: usize = 256;

pub(super) fn unary(
    map: Unary,
    function: PointwiseFunction,
    input: Values<'_>,
    output: ValuesMut<'_>,
) {
    let function = Mapping::new(map, function);
    halves::map([input], output, &|[x], y| function.apply(x, y));
}

pub(super) fn binary(
    map: Binary,
    function: PointwiseFunction,
    inputs: [Values<'_>; 2],
    output: ValuesMut<'_>,
) {
    let map = match map {
        Binary::Backward => Unary::Derivative,
        Binary::BackwardFromOutput => Unary::DerivativeFromOutput,
    };
    let function = Mapping::new(map, function);
    halves::map(inputs, output, &|[x, dy], output| function.apply_times(x, dy, output));
}

/// Applies the activation in place.
pub(super) fn forward(function: PointwiseFunction, values: &mut [f32]) {
    if function == PointwiseFunction::Identity {
        return;
    }
    let function = Mapping::new(Unary::Forward, function);
    let mut copy = [0.0; COPIED];
    for values in values.chunks_mut(COPIED) {
        let x = &mut copy[..values.len()];
        x.copy_from_slice(values);
        function.apply(x, values);
    }
}

/// A function of one number, computed by polynomials if it has them.
struct Mapping {
    map: Unary,
    function: PointwiseFunction,
    polynomials: Option<Evaluator>,
}

impl Mapping {
    fn new(map: Unary, function: PointwiseFunction) -> Self {
        Self { map, function, polynomials: Evaluator::new(Tabulated::Activation(function, map)) }
    }

    fn apply(&self, x: &[f32], y: &mut [f32]) {
        match self.polynomials {
            Some(polynomials) => polynomials.map(x, None, y, &|x, y| self.by_formula(x, y)),
            None => self.by_formula(x, y),
        }
    }

    /// Computes a derivative and multiplies it by dy, as the chain rule requires.
    fn apply_times(&self, x: &[f32], dy: &[f32], output: &mut [f32]) {
        if let Some(polynomials) = self.polynomials {
            return polynomials.map(x, Some(dy), output, &|x, y| self.by_formula(x, y));
        }
        if let PointwiseFunction::Custom(custom) = self.function {
            let Some(mut steps) = steps(self.map, &custom, output.len()) else {
                return output.fill(f32::NAN);
            };
            if !steps.run_times(&[x], dy, output) {
                self.amend(x, dy, output);
            }
            return;
        }
        let width = output.len();
        let rows = Factors { x, factors: dy, stride: width, width };
        if !times(self.map, self.function, rows, output) {
            self.amend(x, dy, output);
        }
    }

    fn by_formula(&self, x: &[f32], y: &mut [f32]) {
        by_formula(self.map, self.function, x, y);
    }

    /// Corrects products that are not finite: a derivative may be out of the range of f32
    /// when the product is in range.
    #[cold]
    fn amend(&self, x: &[f32], dy: &[f32], output: &mut [f32]) {
        for ((output, &x), &dy) in output.iter_mut().zip(x).zip(dy) {
            if x.is_nan() || dy.is_nan() {
                *output = f32::NAN;
            } else if !output.is_finite() && self.at(x).is_infinite() {
                *output = (f64::from(dy) * self.exact(x.into())) as f32;
            }
        }
    }

    fn at(&self, x: f32) -> f32 {
        let mut y = [0.0];
        self.by_formula(&[x], &mut y);
        y[0]
    }

    fn exact(&self, x: f64) -> f64 {
        self.function.at(self.map, x)
    }
}

/// Multiplies the output by factors, and returns whether all products are finite.
pub(super) struct Multiplied<'a> {
    pub(super) factors: &'a [f32],
    pub(super) output: &'a mut [f32],
}

impl NullaryFnOnce for Multiplied<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        let mut is_finite = true;
        for (output, &factor) in self.output.iter_mut().zip(self.factors) {
            *output *= factor;
            is_finite &= output.is_finite();
        }
        is_finite
    }
}

/// Computes `y = f(x)`, with NaN if x is NaN.
fn by_formula(map: Unary, function: PointwiseFunction, x: &[f32], y: &mut [f32]) {
    match function {
        PointwiseFunction::Custom(custom) => match steps(map, &custom, y.len()) {
            Some(mut steps) => steps.run(&[x], y),
            None => y.fill(f32::NAN),
        },
        _ => function.visit(ByFormula { map, x, y }),
    }
}

/// The steps of a formula of a user; `None` if it has no such function.
fn steps(map: Unary, custom: &Custom, elements: usize) -> Option<Steps<'_>> {
    let order = match map {
        Unary::Forward => 0,
        Unary::Derivative => 1,
        Unary::SecondDerivative => 2,
        // No formula is offered as a function of its output.
        Unary::DerivativeFromOutput => return None,
    };
    let derived = custom.derived(order)?;
    Some(Steps::new(&derived.program, custom.values(), elements))
}

struct ByFormula<'a> {
    map: Unary,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl PointwiseVisitor<f32> for ByFormula<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        let Self { map, x, y } = self;
        match map {
            Unary::Forward => apply(Forward(formula), x, y),
            Unary::Derivative => apply(Derivative(formula), x, y),
            Unary::SecondDerivative => apply(SecondDerivative(formula), x, y),
            Unary::DerivativeFromOutput => apply(DerivativeFromOutput(formula), x, y),
        }
    }
}

/// Arguments and the other factors of products, in rows.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) x: &'a [f32],
    pub(super) factors: &'a [f32],
    /// The distance between the beginnings of two rows, here; products are stored without gaps.
    pub(super) stride: usize,
    /// The number of elements in a row.
    pub(super) width: usize,
}

impl<'a> Factors<'a> {
    /// The arguments, factors and products of each row.
    #[inline(always)]
    fn rows<'b>(
        self,
        output: &'b mut [f32],
    ) -> impl Iterator<Item = (&'a [f32], &'a [f32], &'b mut [f32])> {
        output.chunks_mut(self.width.max(1)).enumerate().map(move |(row, output)| {
            let elements = row * self.stride..row * self.stride + output.len();
            (&self.x[elements.clone()], &self.factors[elements], output)
        })
    }
}

/// Computes `output = f(x) ⊙ factors` for g or a first derivative, by its formula.
/// Returns whether all products are finite and no x is NaN; if not, the caller has to
/// look for the elements in question.
pub(super) fn times(
    map: Unary,
    function: PointwiseFunction,
    factors: Factors<'_>,
    output: &mut [f32],
) -> bool {
    function.visit(Times { map, factors, output })
}

struct Times<'a> {
    map: Unary,
    factors: Factors<'a>,
    output: &'a mut [f32],
}

impl PointwiseVisitor<f32> for Times<'_> {
    type Output = bool;

    fn visit<F: Pointwise<f32>>(self, formula: F) -> bool {
        let Self { map, factors, output } = self;
        match map {
            Unary::Forward => apply_times(Forward(formula), factors, output),
            Unary::DerivativeFromOutput => {
                apply_times(DerivativeFromOutput(formula), factors, output)
            }
            _ => apply_times(Derivative(formula), factors, output),
        }
    }
}

/// A function of one number. This is not a closure, because it must become part of
/// the loop whatever its length.
trait Map: Copy + Sync {
    fn at(&self, x: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Forward<F>(F);

impl<F: Pointwise<f32>> Map for Forward<F> {
    #[inline(always)]
    fn at(&self, z: f32) -> f32 {
        self.0.forward(z)
    }
}

#[derive(Clone, Copy)]
struct Derivative<F>(F);

impl<F: Pointwise<f32>> Map for Derivative<F> {
    #[inline(always)]
    fn at(&self, z: f32) -> f32 {
        self.0.derivative(z)
    }
}

#[derive(Clone, Copy)]
struct SecondDerivative<F>(F);

impl<F: Pointwise<f32>> Map for SecondDerivative<F> {
    #[inline(always)]
    fn at(&self, z: f32) -> f32 {
        self.0.second_derivative(z)
    }
}

#[derive(Clone, Copy)]
struct DerivativeFromOutput<F>(F);

impl<F: Pointwise<f32>> Map for DerivativeFromOutput<F> {
    #[inline(always)]
    fn at(&self, y: f32) -> f32 {
        self.0.derivative_from_output(y)
    }
}

#[inline(never)]
fn apply(f: impl Map, x: &[f32], y: &mut [f32]) {
    if let Err(Mapped { f, x, y }) = vectorised_or_back(Mapped { f, x, y }) {
        one_by_one(&|x| f.at(x), x, y);
    }
}

#[inline(never)]
fn apply_times(f: impl Map, factors: Factors<'_>, output: &mut [f32]) -> bool {
    let work = MappedTimes { f, factors, output };
    vectorised_or_back(work).unwrap_or_else(|MappedTimes { f, factors, output }| {
        for (x, factors, output) in factors.rows(output) {
            one_by_one(&|x| f.at(x), x, output);
            output.iter_mut().zip(factors).for_each(|(output, factor)| *output *= factor);
        }
        false
    })
}

/// This is not inlined, so that there is one loop for all functions.
#[inline(never)]
fn one_by_one(f: &dyn Fn(f32) -> f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = if x.is_nan() { x } else { f(x) };
    }
}

/// The function is held by value, so that no write can change what it reads.
struct Mapped<'a, F> {
    f: F,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<F: Map> NullaryFnOnce for Mapped<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        // One flag for all elements leaves the compiler free to interleave the work of several
        // vectors.
        let Self { f, x, y } = self;
        let mut any_nan = false;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f.at(x);
            any_nan |= x.is_nan();
        }
        if any_nan {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = if x.is_nan() { x } else { *y };
            }
        }
    }
}

/// Products of the function and other factors.
struct MappedTimes<'a, F> {
    f: F,
    factors: Factors<'a>,
    output: &'a mut [f32],
}

impl<F: Map> NullaryFnOnce for MappedTimes<'_, F> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        let Self { f, factors, output } = self;
        let mut any_special = false;
        for (x, factors, output) in factors.rows(output) {
            for ((output, &x), &factor) in output.iter_mut().zip(x).zip(factors) {
                *output = factor * f.at(x);
                any_special |= x.is_nan() | !output.is_finite();
            }
        }
        !any_special
    }
}
