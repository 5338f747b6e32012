//! Outputs with what their rounding loses, for losses that would lose it too.

use pulp::NullaryFnOnce;

use super::super::parallel::{sum, vectorised};
use wgrad_formula::formulas::activations::{Apart, Forms};
use wgrad_formula::formulas::losses::{LossOfForms, weighted};
use wgrad_formula::formulas::{FormsVisitor, Pointwise, PointwiseVisitor};

/// Takes outputs, in place, and what they are compared with relative to the limits that they are close to.
pub(super) struct Shift<'a> {
    pub(super) z: &'a [f32],
    pub(super) slopes: &'a [f32],
    pub(super) y: &'a mut [f32],
    pub(super) with: With<'a>,
}

/// What is moved with the outputs.
pub(super) enum With<'a> {
    /// The targets.
    Targets(&'a mut [f32]),
    /// The margins beyond the targets times the outputs, which are 1 at first.
    Margins { margins: &'a mut [f32], targets: &'a [f32] },
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
        let Self { formula, shift: Shift { z, slopes, y, with } } = self;
        let elements = y.iter_mut().zip(z).zip(slopes);
        match with {
            With::Targets(targets) => {
                for (((y, &z), &slope), t) in elements.zip(targets) {
                    let Apart { limit, offset } = formula.apart(z, *y, slope);
                    (*y, *t) = (offset, *t - limit);
                }
            }
            With::Margins { margins, targets } => {
                for ((((y, &z), &slope), margin), &t) in elements.zip(margins).zip(targets) {
                    let Apart { limit, offset } = formula.apart(z, *y, slope);
                    (*y, *margin) = (offset, 1.0 - t * limit);
                }
            }
        }
    }
}

/// The elements of a block.
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

/// Fills the memory with the forms of g(z), and with NaN where z is.
pub(super) struct Fill<'a> {
    pub(super) z: &'a [f32],
    pub(super) forms: &'a mut FormsMemory,
}

impl PointwiseVisitor<f32> for Fill<'_> {
    type Output = ();

    fn visit<F: Pointwise<f32>>(self, formula: F) {
        if F::HAS_FORMS {
            vectorised(Filling { formula, fill: self });
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

/// A block of forms, and where the slopes go: nowhere for an empty slice. What the terms add up to is the
/// result.
pub(super) struct Evaluation<'a> {
    pub(super) forms: &'a FormsMemory,
    pub(super) targets: &'a [f32],
    pub(super) weights: Option<&'a [f32]>,
    pub(super) scale: f32,
    pub(super) wants_total: bool,
    /// Memory for what is added up.
    pub(super) losses: &'a mut [f32],
    pub(super) slopes: &'a mut [f32],
}

impl FormsVisitor<f32> for Evaluation<'_> {
    type Output = f64;

    fn visit<F: LossOfForms<f32>>(self, formula: F) -> f64 {
        vectorised(Evaluating { formula, evaluation: self })
    }
}

struct Evaluating<'a, F> {
    formula: F,
    evaluation: Evaluation<'a>,
}

impl<F: LossOfForms<f32>> NullaryFnOnce for Evaluating<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { formula, evaluation } = self;
        let Evaluation { forms, targets, weights, scale, wants_total, losses, slopes } = evaluation;
        let mut total = 0.0;
        if wants_total {
            for ((i, loss), &t) in losses.iter_mut().enumerate().take(BLOCK).zip(targets) {
                let y = forms.get(i);
                let value = formula.loss_of_forms(y, t);
                *loss = if y.y.is_nan() | t.is_nan() { f32::NAN } else { value };
            }
            for (loss, &weight) in losses.iter_mut().zip(weights.unwrap_or_default()) {
                *loss = weighted(weight, *loss);
            }
            total = sum(losses);
        }
        for ((i, slope), &t) in slopes.iter_mut().enumerate().take(BLOCK).zip(targets) {
            let y = forms.get(i);
            let value = formula.slope_of_forms(y, t);
            *slope = if y.y.is_nan() | t.is_nan() { f32::NAN } else { value };
        }
        for (slope, &weight) in slopes.iter_mut().zip(weights.unwrap_or_default()) {
            *slope = weighted(weight, *slope);
        }
        slopes.iter_mut().for_each(|slope| *slope *= scale);
        total
    }
}
