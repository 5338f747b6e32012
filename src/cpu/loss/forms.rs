//! Outputs with the part that rounding loses, for losses that would otherwise lose it too.

use pulp::NullaryFnOnce;

use super::super::parallel::{vectorised, vectorised_or_back};
use super::terms::{Order, one_by_one};
use wgrad_formula::formulas::activations::Forms;
use wgrad_formula::formulas::{FormsVisitor, LossOfForms, Pointwise, PointwiseVisitor};

/// Replaces outputs by their offsets from the limits that they are close to, for
/// an activation that has limits.
pub(super) struct Shift<'a> {
    pub(super) z: &'a [f32],
    pub(super) slopes: &'a [f32],
    pub(super) y: &'a mut [f32],
    pub(super) limits: &'a mut [f32],
}

impl PointwiseVisitor<f32> for Shift<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        if F::HAS_LIMITS {
            vectorised(Shifting { formula, shift: self });
        }
    }
}

struct Shifting<'a, F> {
    formula: F,
    shift: Shift<'a>,
}

impl<F: Pointwise<f32>> NullaryFnOnce for Shifting<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { formula, shift: Shift { z, slopes, y, limits } } = self;
        for (((y, limit), &z), &slope) in y.iter_mut().zip(limits).zip(z).zip(slopes) {
            let apart = formula.apart(z, *y, slope);
            (*y, *limit) = (apart.offset, apart.limit);
        }
    }
}

/// The number of elements in a block.
pub(super) const BLOCK: usize = 512;

/// The forms of a block of outputs.
pub(super) struct FormsMemory {
    y: [f32; BLOCK],
    rest: [f32; BLOCK],
    log: [f32; BLOCK],
    log_rest: [f32; BLOCK],
    slope: [f32; BLOCK],
    log_slope: [f32; BLOCK],
    rest_slope: [f32; BLOCK],
}

impl FormsMemory {
    pub(super) fn new() -> Box<Self> {
        let zeros = || [0.0; BLOCK];
        Box::new(Self {
            y: zeros(),
            rest: zeros(),
            log: zeros(),
            log_rest: zeros(),
            slope: zeros(),
            log_slope: zeros(),
            rest_slope: zeros(),
        })
    }

    #[inline(always)]
    pub(super) fn set(&mut self, i: usize, forms: Forms<f32>) {
        self.y[i] = forms.y;
        self.rest[i] = forms.rest;
        self.log[i] = forms.log;
        self.log_rest[i] = forms.log_rest;
        self.slope[i] = forms.slope;
        self.log_slope[i] = forms.log_slope;
        self.rest_slope[i] = forms.rest_slope;
    }

    #[inline(always)]
    fn get(&self, i: usize) -> Forms<f32> {
        Forms {
            y: self.y[i],
            rest: self.rest[i],
            log: self.log[i],
            log_rest: self.log_rest[i],
            slope: self.slope[i],
            log_slope: self.log_slope[i],
            rest_slope: self.rest_slope[i],
        }
    }
}

/// Fills the memory with the forms of g(z); y is NaN if z is NaN.
pub(super) struct Fill<'a> {
    pub(super) z: &'a [f32],
    pub(super) forms: &'a mut FormsMemory,
}

impl PointwiseVisitor<f32> for Fill<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        if F::HAS_FORMS
            && let Err(Filling { formula, fill }) =
                vectorised_or_back(Filling { formula, fill: self })
        {
            fill.one_by_one(&|z| formula.forms(z));
        }
    }
}

impl Fill<'_> {
    #[inline(never)]
    fn one_by_one(self, of: &dyn Fn(f32) -> Forms<f32>) {
        for (i, &z) in self.z.iter().enumerate() {
            let found = of(z);
            self.forms.set(i, Forms { y: if z.is_nan() { z } else { found.y }, ..found });
        }
    }
}

struct Filling<'a, F> {
    formula: F,
    fill: Fill<'a>,
}

impl<F: Pointwise<f32>> NullaryFnOnce for Filling<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { formula, fill: Fill { z, forms } } = self;
        for (i, &z) in z.iter().enumerate().take(BLOCK) {
            let found = formula.forms(z);
            forms.set(i, Forms { y: if z.is_nan() { z } else { found.y }, ..found });
        }
    }
}

/// Computes each element from the forms of an output and the target; NaN if either is NaN.
pub(super) struct Elements<'a> {
    pub(super) order: Order,
    pub(super) forms: &'a FormsMemory,
    pub(super) targets: &'a [f32],
    pub(super) output: &'a mut [f32],
}

impl FormsVisitor<f32> for Elements<'_> {
    type Output = ();

    fn visit<F: LossOfForms<f32>>(self, formula: F) {
        let Self { order, forms, targets, output } = self;
        match order {
            Order::Loss => apply(Value(formula), forms, targets, output),
            Order::Slope(factor) => apply(Slope { formula, factor }, forms, targets, output),
        }
    }
}

/// A function of each element.
trait Term: Copy {
    fn of(self, y: Forms<f32>, t: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Value<F>(F);

impl<F: LossOfForms<f32>> Term for Value<F> {
    #[inline(always)]
    fn of(self, y: Forms<f32>, t: f32) -> f32 {
        self.0.loss_of_forms(y, t)
    }
}

#[derive(Clone, Copy)]
struct Slope<F> {
    formula: F,
    factor: f32,
}

impl<F: LossOfForms<f32>> Term for Slope<F> {
    #[inline(always)]
    fn of(self, y: Forms<f32>, t: f32) -> f32 {
        self.factor * self.formula.slope_of_forms(y, t)
    }
}

#[inline(always)]
fn element(term: impl Term, y: Forms<f32>, t: f32) -> f32 {
    let value = term.of(y, t);
    if y.y.is_nan() | t.is_nan() { f32::NAN } else { value }
}

#[inline(never)]
fn apply(term: impl Term, forms: &FormsMemory, targets: &[f32], output: &mut [f32]) {
    let each = Each { term, forms, targets, output };
    if let Err(Each { term, forms, targets, output }) = vectorised_or_back(each) {
        one_by_one(output, &|i| element(term, forms.get(i), targets[i]));
    }
}

struct Each<'a, T> {
    term: T,
    forms: &'a FormsMemory,
    targets: &'a [f32],
    output: &'a mut [f32],
}

impl<T: Term> NullaryFnOnce for Each<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { term, forms, targets, output } = self;
        for ((i, output), &t) in output.iter_mut().enumerate().take(BLOCK).zip(targets) {
            *output = element(term, forms.get(i), t);
        }
    }
}
