//! Work along rows: the softmax family.

use pulp::NullaryFnOnce;

use super::lines::over_lines;
use super::math::{difference, exp_difference, ln_1p};
use super::parallel::{maximum, sum_of, vectorised};
use crate::activation::RowwiseVisitor;
use crate::backend::{Lines, RowCall, RowProduct, Temperature};
use crate::reference::activations::{RowStatistics, Shifted};
use crate::reference::{Real, Rowwise, Sum};

/// A row-wise function and its mask.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    call: RowCall<'a>,
    mask: Option<&'a [f32]>,
}

impl<'a> Call<'a> {
    pub(super) fn new(call: RowCall<'a>, mask: Option<&'a [f32]>) -> Self {
        Self { call, mask }
    }

    pub(super) fn forward(self, z: &[f32], y: &mut [f32]) {
        self.call.activation.visit_rowwise(Forward { call: self, z, y });
    }

    pub(super) fn product(
        self,
        product: RowProduct,
        y: &[f32],
        vector: &[f32],
        output: &mut [f32],
    ) {
        self.call.activation.visit_rowwise(Product { call: self, product, y, vector, output });
    }

    pub(super) fn jacobian(self, y: &[f32], output: &mut [f32]) {
        self.call.activation.visit_rowwise(Jacobian { call: self, y, output });
    }

    /// Whether the mask keeps this element.
    fn keeps(self, index: usize) -> bool {
        self.mask.is_none_or(|mask| mask[index % mask.len()] != 0.0)
    }

    /// The indices of a line's elements.
    fn line(self, start: usize) -> impl Iterator<Item = usize> {
        let Lines { width, inner, .. } = self.call.lines;
        (0..width).map(move |i| start + i * inner)
    }

    /// Puts a value where the mask excludes elements of a line.
    fn exclude(self, start: usize, line: &mut [f32], value: f32) {
        if self.mask.is_some() {
            let excluded = line.iter_mut().zip(self.line(start));
            let excluded = excluded.filter(|&(_, index)| !self.keeps(index));
            excluded.for_each(|(element, _)| *element = value);
        }
    }

    /// The line, with 0 where the mask excludes: a copy where there is a mask.
    fn kept<'b>(self, start: usize, line: &'b [f32], copy: &'b mut Vec<f32>) -> &'b [f32] {
        if self.mask.is_none() {
            return line;
        }
        line.clone_into(copy);
        self.exclude(start, copy, 0.0);
        copy
    }
}

impl Temperature {
    /// (z − m) / T for what was prescaled.
    #[inline(always)]
    fn difference<const SCALED: bool>(self, z: f32, m: f32) -> Sum<f32> {
        let d = difference(z, m);
        if !SCALED {
            return d;
        }
        let quotient = d.high.product(self.inverse);
        let low = quotient.low + (d.high * self.inverse_lost + d.low * self.inverse);
        Sum { high: quotient.high, low: if quotient.high.is_finite() { low } else { 0.0 } }
    }
}

/// What a row adds up to, relative to its greatest element.
#[derive(Clone, Copy)]
pub(super) struct Statistics {
    pub(super) maximum: f32,
    /// Σ e^d_j with the differences d_j = (z_j − maximum) / T, less the 1 of the maximum itself: small
    /// where one element dominates.
    pub(super) rest: f32,
}

impl Statistics {
    /// Nothing for a row with NaN or +∞, or with nothing but −∞. The exponentials of the elements,
    /// relative to the greatest, are left in the second slice.
    #[inline(always)]
    pub(super) fn of<const SCALED: bool>(
        z: &[f32],
        temperature: Temperature,
        exponentials: &mut [f32],
    ) -> Option<Self> {
        let maximum = maximum(z);
        if !maximum.is_finite() {
            return None;
        }
        for (e, &z) in exponentials.iter_mut().zip(z) {
            *e = exp_difference(temperature.difference::<SCALED>(z, maximum));
        }
        let below = |i: usize| if z[i] == maximum { 0.0 } else { exponentials[i] };
        let ties = sum_of(z.len(), |i| if z[i] == maximum { 1.0 } else { 0.0 });
        let rest = sum_of(z.len(), below) + (ties - 1.0);
        Some(Self { maximum, rest: rest as f32 })
    }

    #[inline(always)]
    pub(super) fn sums(self) -> RowStatistics<f32> {
        let log_sum = ln_1p(self.rest);
        RowStatistics { sum: 1.0 + self.rest, log_sum, threshold: 0.0, threshold_lost: 0.0 }
    }
}

/// The threshold of a row's differences to its greatest element. Michelot's iteration in the form of
/// Newton's method: shaders/kernels/row_statistics.wgsl tells how it goes, and why so few rounds do.
#[inline(always)]
fn threshold(length: usize, d: impl Fn(usize) -> Sum<f32>) -> RowStatistics<f32> {
    const ROUNDS: usize = 64;
    let (mut threshold, mut step, mut support) = (-1.0f32, 0.0f32, f64::INFINITY);
    for _ in 0..ROUNDS {
        threshold += step;
        let above = |i: usize| d(i).high > threshold;
        let excess = |i: usize| {
            let d = d(i);
            if d.high > threshold { (d.high - threshold) + d.low } else { 0.0 }
        };
        let excess = sum_of(length, excess) - 1.0;
        let found = sum_of(length, |i| if above(i) { 1.0 } else { 0.0 });
        step = (excess / found) as f32;
        if found >= support {
            break;
        }
        support = found;
    }
    RowStatistics { sum: 0.0, log_sum: 0.0, threshold, threshold_lost: step }
}

struct Forward<'a> {
    call: Call<'a>,
    z: &'a [f32],
    y: &'a mut [f32],
}

impl RowwiseVisitor<f32> for Forward<'_> {
    type Output = ();

    fn visit<F: Rowwise<f32>>(self, formula: F) {
        let Self { call, z, y } = self;
        let RowCall { lines, temperature, .. } = call.call;
        over_lines(y, [z], lines, |start, [z], y, scratch| {
            let [arguments, _] = &mut scratch.copies;
            arguments.clear();
            arguments.extend(z.iter().map(|&z| temperature.prescale * formula.argument(z)));
            call.exclude(start, arguments, f32::NEG_INFINITY);
            let z = arguments;
            if temperature.is_one() {
                vectorised(ForwardRow::<F, false> { formula, temperature, z, y });
            } else {
                vectorised(ForwardRow::<F, true> { formula, temperature, z, y });
            }
        });
    }
}

/// One row, of the arguments z.
struct ForwardRow<'a, F, const SCALED: bool> {
    formula: F,
    temperature: Temperature,
    z: &'a [f32],
    y: &'a mut [f32],
}

impl<F: Rowwise<f32>, const SCALED: bool> NullaryFnOnce for ForwardRow<'_, F, SCALED> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { formula, temperature, z, y } = self;
        let (maximum, row) = if F::PROJECTS {
            let maximum = maximum(z);
            if !maximum.is_finite() {
                return y.fill(f32::NAN);
            }
            let d = |i: usize| temperature.difference::<SCALED>(z[i], maximum);
            (maximum, threshold(z.len(), d))
        } else {
            let Some(statistics) = Statistics::of::<SCALED>(z, temperature, y) else {
                return y.fill(f32::NAN);
            };
            (statistics.maximum, statistics.sums())
        };
        for (y, &z) in y.iter_mut().zip(z) {
            let d = temperature.difference::<SCALED>(z, maximum);
            let element = Shifted { difference: d.high, lost: d.low, exponential: *y };
            *y = formula.forward(element, row);
        }
    }
}

struct Product<'a> {
    call: Call<'a>,
    product: RowProduct,
    y: &'a [f32],
    vector: &'a [f32],
    output: &'a mut [f32],
}

impl RowwiseVisitor<f32> for Product<'_> {
    type Output = ();

    fn visit<F: Rowwise<f32>>(self, formula: F) {
        let Self { call, product, y, vector, output } = self;
        let slope = call.call.temperature.slope;
        over_lines(output, [y, vector], call.call.lines, |start, [y, vector], output, scratch| {
            let [y_copy, vector_copy] = &mut scratch.copies;
            let y = call.kept(start, y, y_copy);
            let vector = call.kept(start, vector, vector_copy);
            vectorised(ProductRow { formula, product, y, vector, output });
            if slope != 1.0 {
                output.iter_mut().for_each(|value| *value *= slope);
            }
            // Whatever the row is, an excluded element is a constant.
            call.exclude(start, output, 0.0);
        });
    }
}

struct ProductRow<'a, F> {
    formula: F,
    product: RowProduct,
    y: &'a [f32],
    vector: &'a [f32],
    output: &'a mut [f32],
}

impl<F: Rowwise<f32>> NullaryFnOnce for ProductRow<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { formula, product, y, vector, output } = self;
        match product {
            RowProduct::Backward => product_row::<F>(
                (y, vector, output),
                |y, dy| formula.backward_term(y, dy),
                |y, dy, total| formula.backward(y, dy, total),
            ),
            RowProduct::Jvp => product_row::<F>(
                (y, vector, output),
                |y, dz| formula.jvp_term(y, dz),
                |y, dz, total| formula.jvp(y, dz, total),
            ),
        }
    }
}

#[inline(always)]
fn product_row<F: Rowwise<f32>>(
    (y, vector, output): (&[f32], &[f32], &mut [f32]),
    term: impl Fn(f32, f32) -> f32,
    element: impl Fn(f32, f32, f32) -> f32,
) {
    // One length for all, so that the loops need no checks.
    let (y, vector) = (&y[..output.len()], &vector[..output.len()]);
    let undefined = y.iter().chain(vector).any(|value| value.is_nan());
    if undefined {
        return output.fill(f32::NAN);
    }
    let mut total = sum_of(output.len(), |i| term(y[i], vector[i]));
    if F::PROJECTS {
        total /= support(y).max(1.0);
    }
    let total = total as f32;
    for ((output, &y), &v) in output.iter_mut().zip(y).zip(vector) {
        *output = element(y, v, total);
    }
}

/// How many outputs are positive.
#[inline(always)]
fn support(y: &[f32]) -> f64 {
    sum_of(y.len(), |i| if y[i] > 0.0 { 1.0 } else { 0.0 })
}

struct Jacobian<'a> {
    call: Call<'a>,
    y: &'a [f32],
    output: &'a mut [f32],
}

impl RowwiseVisitor<f32> for Jacobian<'_> {
    type Output = ();

    fn visit<F: Rowwise<f32>>(self, formula: F) {
        let Self { call, y, output } = self;
        let RowCall { lines, temperature, .. } = call.call;
        let Lines { width, inner, .. } = lines;
        // A row of the output is ∂y_i/∂z for one i.
        let rows = Lines { outer: output.len() / width.max(1), width, inner: 1 };
        over_lines(output, [], rows, |start, [], output, scratch| {
            let (line, i) = (start / width / width, start / width % width);
            let start = line / inner * lines.block() + line % inner;
            if !call.keeps(start + i * inner) {
                return output.fill(0.0);
            }
            let [line, _] = &mut scratch.copies;
            line.clear();
            line.extend(call.line(start).map(|index| y[index]));
            call.exclude(start, line, 0.0);
            let y = &*line;
            let support = if F::PROJECTS { support(y) as f32 } else { 0.0 };
            for (j, (output, index)) in output.iter_mut().zip(call.line(start)).enumerate() {
                let value = temperature.slope * formula.jacobian(y[i], y[j], i == j, support);
                let value = if y[i].is_nan() || y[j].is_nan() { f32::NAN } else { value };
                *output = if call.keeps(index) { value } else { 0.0 };
            }
        });
    }
}
