//! Element-wise work.

use pulp::NullaryFnOnce;

use super::halves::{Values, ValuesMut, map};
use super::parallel::vectorised;
use crate::activation::{Activation, PointwiseVisitor};
use crate::backend::{Binary, Unary};
use crate::reference::Pointwise;

pub(super) fn unary(map: Unary, activation: &Activation, input: Values<'_>, output: ValuesMut<'_>) {
    activation.visit_pointwise(UnaryCall { map, input, output });
}

pub(super) fn binary(
    map: Binary,
    activation: &Activation,
    inputs: [Values<'_>; 2],
    output: ValuesMut<'_>,
) {
    activation.visit_pointwise(BinaryCall { map, inputs, output });
}

/// In place.
pub(super) fn forward(activation: &Activation, values: &mut [f32]) {
    if *activation != Activation::Identity {
        activation.visit_pointwise(InPlace { values });
    }
}

/// A function of one number.
trait Map: Copy + Sync {
    fn apply(&self, x: f32) -> f32;
}

/// A function of two numbers.
trait Map2: Copy + Sync {
    fn apply(&self, x: f32, y: f32) -> f32;
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

/// The chain rule on top of a derivative.
#[derive(Clone, Copy)]
struct Chain<D>(D);

impl<D: Map> Map2 for Chain<D> {
    #[inline(always)]
    fn apply(&self, x: f32, dy: f32) -> f32 {
        dy * self.0.apply(x)
    }
}

struct UnaryCall<'a> {
    map: Unary,
    input: Values<'a>,
    output: ValuesMut<'a>,
}

impl PointwiseVisitor<f32> for UnaryCall<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        let (input, output) = (self.input, self.output);
        match self.map {
            Unary::Forward => map_unary(Forward(formula), input, output),
            Unary::Derivative => map_unary(Derivative(formula), input, output),
            Unary::SecondDerivative => map_unary(SecondDerivative(formula), input, output),
            Unary::DerivativeFromOutput => map_unary(DerivativeFromOutput(formula), input, output),
        }
    }
}

struct BinaryCall<'a> {
    map: Binary,
    inputs: [Values<'a>; 2],
    output: ValuesMut<'a>,
}

impl PointwiseVisitor<f32> for BinaryCall<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        let (inputs, output) = (self.inputs, self.output);
        match self.map {
            Binary::Backward => map_binary(Chain(Derivative(formula)), inputs, output),
            Binary::BackwardFromOutput => {
                map_binary(Chain(DerivativeFromOutput(formula)), inputs, output);
            }
        }
    }
}

struct InPlace<'a> {
    values: &'a mut [f32],
}

impl PointwiseVisitor<f32> for InPlace<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        vectorised(MapInPlace { f: Forward(formula), values: self.values });
    }
}

fn map_unary<F: Map>(f: F, input: Values<'_>, output: ValuesMut<'_>) {
    map([input], output, &|[input], output| vectorised(Mapped { f, input, output }));
}

fn map_binary<F: Map2>(f: F, inputs: [Values<'_>; 2], output: ValuesMut<'_>) {
    map(inputs, output, &|inputs, output| vectorised(Mapped2 { f, inputs, output }));
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

struct Mapped2<'a, F> {
    f: F,
    inputs: [&'a [f32]; 2],
    output: &'a mut [f32],
}

impl<F: Map2> NullaryFnOnce for Mapped2<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { f, inputs: [left, right], output } = self;
        let mut any_nan = false;
        for ((output, &x), &y) in output.iter_mut().zip(left).zip(right) {
            *output = f.apply(x, y);
            any_nan |= x.is_nan() || y.is_nan();
        }
        if any_nan {
            for ((output, &x), &y) in output.iter_mut().zip(left).zip(right) {
                *output = if x.is_nan() || y.is_nan() { f32::NAN } else { *output };
            }
        }
    }
}
