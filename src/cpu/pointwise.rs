//! Element-wise work.

use pulp::NullaryFnOnce;

use super::halves::{Values, ValuesMut, map};
use super::parallel::vectorised;
use super::piecewise::Evaluator;
use crate::backend::{Binary, Unary};
use wgrad_formula::formulas::{Pointwise, PointwiseFunction, PointwiseVisitor};

pub(super) fn unary(
    map: Unary,
    function: PointwiseFunction,
    input: Values<'_>,
    output: ValuesMut<'_>,
) {
    let polynomials = Evaluator::new(function, map);
    function.visit(UnaryCall { map, polynomials, input, output });
}

pub(super) fn binary(
    map: Binary,
    function: PointwiseFunction,
    inputs: [Values<'_>; 2],
    output: ValuesMut<'_>,
) {
    let polynomials = match map {
        Binary::Backward => Evaluator::new(function, Unary::Derivative),
        Binary::BackwardFromOutput => None,
    };
    function.visit(BinaryCall { map, function, polynomials, inputs, output });
}

/// In place.
pub(super) fn forward(function: PointwiseFunction, values: &mut [f32]) {
    if function != PointwiseFunction::Identity {
        let polynomials = Evaluator::new(function, Unary::Forward);
        function.visit(InPlace { polynomials, values });
    }
}

/// A function of one number.
trait Map: Copy + Sync {
    fn apply(&self, x: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Forward<F>(F);

impl<F: Pointwise<f32>> Map for Forward<F> {
    #[inline(always)]
    fn apply(&self, z: f32) -> f32 {
        self.0.forward(z)
    }
}

#[derive(Clone, Copy)]
struct Derivative<F>(F);

impl<F: Pointwise<f32>> Map for Derivative<F> {
    #[inline(always)]
    fn apply(&self, z: f32) -> f32 {
        self.0.derivative(z)
    }
}

#[derive(Clone, Copy)]
struct SecondDerivative<F>(F);

impl<F: Pointwise<f32>> Map for SecondDerivative<F> {
    #[inline(always)]
    fn apply(&self, z: f32) -> f32 {
        self.0.second_derivative(z)
    }
}

#[derive(Clone, Copy)]
struct DerivativeFromOutput<F>(F);

impl<F: Pointwise<f32>> Map for DerivativeFromOutput<F> {
    #[inline(always)]
    fn apply(&self, y: f32) -> f32 {
        self.0.derivative_from_output(y)
    }
}

struct UnaryCall<'a> {
    map: Unary,
    polynomials: Option<Evaluator>,
    input: Values<'a>,
    output: ValuesMut<'a>,
}

impl PointwiseVisitor<f32> for UnaryCall<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        match self.map {
            Unary::Forward => self.run(Forward(formula)),
            Unary::Derivative => self.run(Derivative(formula)),
            Unary::SecondDerivative => self.run(SecondDerivative(formula)),
            Unary::DerivativeFromOutput => self.run(DerivativeFromOutput(formula)),
        }
    }
}

struct BinaryCall<'a> {
    map: Binary,
    function: PointwiseFunction,
    polynomials: Option<Evaluator>,
    inputs: [Values<'a>; 2],
    output: ValuesMut<'a>,
}

impl PointwiseVisitor<f32> for BinaryCall<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        match self.map {
            Binary::Backward => self.run(Derivative(formula)),
            Binary::BackwardFromOutput => self.run(DerivativeFromOutput(formula)),
        }
    }
}

struct InPlace<'a> {
    polynomials: Option<Evaluator>,
    values: &'a mut [f32],
}

impl PointwiseVisitor<f32> for InPlace<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        let f = Forward(formula);
        match self.polynomials {
            Some(polynomials) => polynomials.map_in_place(self.values, &elsewhere(f)),
            None => vectorised(MapInPlace { f, values: self.values }),
        }
    }
}

impl UnaryCall<'_> {
    fn run(self, f: impl Map) {
        let polynomials = self.polynomials;
        map([self.input], self.output, &|[input], output| match polynomials {
            Some(polynomials) => polynomials.map(input, None, output, &elsewhere(f)),
            None => vectorised(Mapped { f, input, output }),
        });
    }
}

impl BinaryCall<'_> {
    fn run(self, f: impl Map) {
        let (polynomials, function) = (self.polynomials, self.function);
        let exact = |x: f32| match self.map {
            Binary::Backward => function.at(Unary::Derivative, x.into()),
            Binary::BackwardFromOutput => function.at(Unary::DerivativeFromOutput, x.into()),
        };
        map(self.inputs, self.output, &|[x, dy], output| match polynomials {
            Some(polynomials) => polynomials.map(x, Some(dy), output, &elsewhere(f)),
            None => vectorised(MappedTimes { f, exact: &exact, inputs: [x, dy], output }),
        });
    }
}

/// The function for arguments that its polynomials do not cover.
fn elsewhere(f: impl Map) -> impl Fn(&[f32], &mut [f32]) {
    move |input, output| vectorised(Mapped { f, input, output })
}

/// The function is held by value: nothing that is written can change what it reads.
struct Mapped<'a, F> {
    f: F,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl<F: Map> NullaryFnOnce for Mapped<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        // Asked of all elements at once, this leaves the compiler free to interleave the work of several
        // vectors.
        let Self { f, input, output } = self;
        let mut any_nan = false;
        for (output, &x) in output.iter_mut().zip(input) {
            *output = f.apply(x);
            any_nan |= x.is_nan();
        }
        if any_nan {
            for (output, &x) in output.iter_mut().zip(input) {
                *output = if x.is_nan() { x } else { *output };
            }
        }
    }
}

struct MapInPlace<'a, F> {
    f: F,
    values: &'a mut [f32],
}

impl<F: Map> NullaryFnOnce for MapInPlace<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { f, values } = self;
        for value in values {
            let y = f.apply(*value);
            *value = if value.is_nan() { *value } else { y };
        }
    }
}

/// The chain rule on top of a derivative.
struct MappedTimes<'a, F> {
    f: F,
    /// For a derivative that is out of the range of f32, where the product may be in it.
    exact: &'a dyn Fn(f32) -> f64,
    inputs: [&'a [f32]; 2],
    output: &'a mut [f32],
}

impl<F: Map> NullaryFnOnce for MappedTimes<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { f, exact, inputs: [left, right], output } = self;
        let mut any_special = false;
        for ((output, &x), &dy) in output.iter_mut().zip(left).zip(right) {
            *output = dy * f.apply(x);
            any_special |= x.is_nan() || dy.is_nan() || !output.is_finite();
        }
        if any_special {
            for ((output, &x), &dy) in output.iter_mut().zip(left).zip(right) {
                if x.is_nan() || dy.is_nan() {
                    *output = f32::NAN;
                } else if !output.is_finite() && f.apply(x).is_infinite() {
                    *output = (f64::from(dy) * exact(x)) as f32;
                }
            }
        }
    }
}
