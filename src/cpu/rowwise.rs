//! Work along rows: the softmax family.

use super::lines::{Kernel, over_lines};
use super::parallel::{LANES, Lanes, Totals, across, lines, over_pieces_of, sum_of, terms};
use super::row_product::{ProductFormula, ProductKernel};
use super::short_forward;
use super::short_rows::{are_short, over_short_rows};
use crate::backend::{Lines, RowCall, RowProduct, Temperature};
use wgrad_formula::formulas::activations::{RowStatistics, RowTotals, Shifted};
use wgrad_formula::formulas::{Rowwise, RowwiseVisitor};
use wgrad_formula::numbers::{Real, Sum};
use wgrad_formula::numbers::{difference, exp_difference, finite_difference, ln_1p};

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
        self.call.function.visit(Forward { call: self, z, y });
    }

    pub(super) fn product(
        self,
        product: RowProduct,
        y: &[f32],
        vector: &[f32],
        output: &mut [f32],
    ) {
        self.call.function.visit(Product { call: self, product, y, vector, output });
    }

    pub(super) fn jacobian(self, y: &[f32], output: &mut [f32]) {
        self.call.function.visit(Jacobian { call: self, y, output });
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
}

impl Temperature {
    /// e^((z − m) / T) for prescaled z and m.
    #[inline(always)]
    fn exponential<const SCALED: bool>(self, z: f32, m: f32) -> f32 {
        exp_difference(if SCALED { self.difference::<true>(z, m) } else { finite_difference(z, m) })
    }

    /// (z − m) / T for prescaled z and m.
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

/// The lines that have NaN in these values. The lines are not overwritten here: a maximum that is
/// passed by reference is no longer kept in registers.
#[inline(always)]
pub(super) fn undefined<'a, const ACROSS: bool>(
    values: impl Iterator<Item = &'a Lanes>,
    argument: impl Fn(f32) -> f32,
) -> [bool; LANES] {
    let mut undefined = [false; LANES];
    for values in values {
        for lane in 0..LANES {
            undefined[lane] |= argument(values[lane]).is_nan();
        }
    }
    across::<ACROSS, _>(&mut undefined, |a, b| a | b);
    undefined
}

/// The greatest element of each line: NaN if one is NaN, −∞ if there is none.
#[inline(always)]
fn maximum<const ACROSS: bool>(z: [&[Lanes]; 2], argument: impl Fn(f32) -> f32) -> Lanes {
    let greater = |a: f32, b: f32| if a > b { a } else { b };
    let (mut greatest, mut any_nan) = ([f32::NEG_INFINITY; LANES], false);
    for z in z {
        // Process several at a time, because the values that are kept for all lanes are in memory.
        let (quads, rest) = z.as_chunks::<4>();
        for quad in quads {
            for lane in 0..LANES {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| argument(quad[i][lane]));
                any_nan |= (a.is_nan() | b.is_nan()) | (c.is_nan() | d.is_nan());
                greatest[lane] = greater(greater(greater(a, b), greater(c, d)), greatest[lane]);
            }
        }
        for z in rest {
            for lane in 0..LANES {
                let z = argument(z[lane]);
                any_nan |= z.is_nan();
                greatest[lane] = greater(z, greatest[lane]);
            }
        }
    }
    across::<ACROSS, _>(&mut greatest, greater);
    if any_nan {
        let undefined = undefined::<ACROSS>(z.into_iter().flatten(), argument);
        for lane in 0..LANES {
            greatest[lane] = if undefined[lane] { f32::NAN } else { greatest[lane] };
        }
    }
    greatest
}

/// Sets each y to f(z, y), with a separate f for each lane.
#[inline(always)]
fn update<const ACROSS: bool, F: Fn(f32, f32) -> f32>(
    z: [&[Lanes]; 2],
    y: [&mut [Lanes]; 2],
    f: impl Fn(usize) -> F,
) {
    for (y, z) in y.into_iter().zip(z) {
        if ACROSS {
            // One f serves all lanes.
            let f = f(0);
            let elements = y.as_flattened_mut().iter_mut().zip(z.as_flattened());
            elements.for_each(|(y, z)| *y = f(*z, *y));
        } else {
            for (y, z) in y.iter_mut().zip(z) {
                for lane in 0..LANES {
                    y[lane] = f(lane)(z[lane], y[lane]);
                }
            }
        }
    }
}

/// Adds this number of terms in each lane to the lane's total.
#[inline(always)]
fn add<const ACROSS: bool>(
    totals: &mut Totals<ACROSS>,
    terms: usize,
    term: impl Fn(usize, usize) -> f32,
) {
    // In a line across the lanes, neighbours are added first, which halves the
    // number of conversions. A line in one lane has all its terms there, and none of
    // them should be rounded away.
    let pairs = if ACROSS { terms / 2 } else { 0 };
    for i in 0..pairs {
        totals.add(|lane| term(2 * i, lane) + term(2 * i + 1, lane));
    }
    for i in 2 * pairs..terms {
        totals.add(|lane| term(i, lane));
    }
}

/// The sums of lines, relative to their greatest elements: one line in each lane,
/// or the same line in all lanes.
pub(super) struct Statistics {
    /// Not finite for a line that contains NaN or +∞, or only −∞.
    pub(super) maximum: Lanes,
    /// Σ e^d_j with the differences d_j = (z_j − maximum) / T, minus the 1 of the maximum itself.
    /// It is small if one element dominates.
    pub(super) rest: Lanes,
    /// 1 / Σ e^d_j, rounded; `inverse_lost` is the part that rounding removed.
    pub(super) inverse: Lanes,
    pub(super) inverse_lost: Lanes,
}

impl Statistics {
    /// The statistics of lines in two parts. The exponentials of the elements, relative to the
    /// greatest, are left in the output. With `APART`, small sums minus 1 keep all their digits.
    #[inline(always)]
    pub(super) fn of<const SCALED: bool, const APART: bool, const ACROSS: bool>(
        z: [&[Lanes]; 2],
        argument: impl Fn(f32) -> f32 + Copy,
        temperature: Temperature,
        exponentials: [&mut [Lanes]; 2],
    ) -> Self {
        let maximum = maximum::<ACROSS>(z, argument);
        let exponential = |lane: usize| {
            let maximum = maximum[lane];
            move |z, _| temperature.exponential::<SCALED>(argument(z), maximum)
        };
        let (mut totals, mut ties) = (Totals::<ACROSS>::ZERO, [0.0f32; LANES]);
        let [first, last] = exponentials;
        update::<ACROSS, _>(z, [&mut *first, &mut *last], exponential);
        for e in [&*first, &*last] {
            // The exponential of a tie is 1. Another one that is rounded to 1 counts the same.
            let term = |i: usize, lane: usize| match e[i][lane] {
                e if APART && e == 1.0 => 0.0,
                e => e,
            };
            add(&mut totals, e.len(), term);
            if APART && ACROSS {
                // Count in whole numbers, which vectors can add up in any order.
                let mut count = 0;
                for e in e.as_flattened() {
                    count += u32::from(*e == 1.0);
                }
                ties[0] += count as f32;
            } else if APART {
                for e in e {
                    for lane in 0..LANES {
                        ties[lane] += if e[lane] == 1.0 { 1.0 } else { 0.0 };
                    }
                }
            }
        }
        let zero = [0.0; LANES];
        let mut found = Self { maximum, rest: zero, inverse: zero, inverse_lost: zero };
        // Values that are the same in all lanes are computed once.
        for (lane, ties) in ties.iter().enumerate().take(lines(ACROSS)) {
            let rest = totals.of_lane(lane) + f64::from(ties - 1.0);
            let inverse = inverse(rest);
            found.rest[lane] = rest as f32;
            found.inverse[lane] = inverse.high;
            found.inverse_lost[lane] = inverse.low;
        }
        for values in [&mut found.rest, &mut found.inverse, &mut found.inverse_lost] {
            across::<ACROSS, _>(values, |first, _| first);
        }
        found
    }

    /// The statistics of one line.
    #[inline(always)]
    pub(super) fn of_line(z: &[f32], exponentials: &mut [Lanes]) -> Self {
        let (whole, rest) = z.as_chunks::<LANES>();
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        let last = if rest.is_empty() { &[][..] } else { &[last][..] };
        let (e, e_last) = exponentials.split_at_mut(whole.len());
        Self::of::<false, true, true>([whole, last], |z| z, Temperature::ONE, [e, e_last])
    }
}

/// The inverse of 1 + rest, rounded, and the part that rounding removed.
#[inline(always)]
pub(super) fn inverse(rest: f64) -> Sum<f32> {
    let inverse = 1.0 / (1.0 + rest);
    let high = inverse as f32;
    Sum { high, low: (inverse - f64::from(high)) as f32 }
}

/// The data from which the outputs of a row are computed.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The number from which the differences of the elements are taken, with
    /// the part that rounding removed.
    origin: Sum<f32>,
    statistics: RowStatistics<f32>,
}

/// The data of several rows.
pub(super) struct RowSet<const N: usize> {
    origin: [f32; N],
    origin_lost: [f32; N],
    inverse: [f32; N],
    inverse_lost: [f32; N],
    log_sum: [f32; N],
    threshold: [f32; N],
    threshold_lost: [f32; N],
}

impl<const N: usize> RowSet<N> {
    pub(super) const ZERO: Self = Self {
        origin: [0.0; N],
        origin_lost: [0.0; N],
        inverse: [0.0; N],
        inverse_lost: [0.0; N],
        log_sum: [0.0; N],
        threshold: [0.0; N],
        threshold_lost: [0.0; N],
    };

    #[inline(always)]
    pub(super) fn set(&mut self, n: usize, row: Row) {
        self.origin[n] = row.origin.high;
        self.origin_lost[n] = row.origin.low;
        self.inverse[n] = row.statistics.inverse;
        self.inverse_lost[n] = row.statistics.inverse_lost;
        self.log_sum[n] = row.statistics.log_sum;
        self.threshold[n] = row.statistics.threshold;
        self.threshold_lost[n] = row.statistics.threshold_lost;
    }

    #[inline(always)]
    pub(super) fn row(&self, n: usize) -> Row {
        Row {
            origin: Sum { high: self.origin[n], low: self.origin_lost[n] },
            statistics: RowStatistics {
                inverse: self.inverse[n],
                inverse_lost: self.inverse_lost[n],
                log_sum: self.log_sum[n],
                threshold: self.threshold[n],
                threshold_lost: self.threshold_lost[n],
            },
        }
    }
}

/// The thresholds for the differences of lines to their greatest elements. This is Michelot's
/// iteration in the form of Newton's method; shaders/kernels/row_statistics.wgsl explains it,
/// and why so few rounds suffice.
#[inline(always)]
fn threshold<const ACROSS: bool>(
    z: [&[Lanes]; 2],
    d: impl Fn(f32, usize) -> Sum<f32>,
) -> [Lanes; 2] {
    const ROUNDS: usize = 64;
    let (mut threshold, mut step) = ([-1.0f32; LANES], [0.0f32; LANES]);
    let mut support = [f32::INFINITY; LANES];
    for _ in 0..ROUNDS {
        // A line whose support no longer shrinks keeps its threshold.
        for lane in 0..LANES {
            threshold[lane] += if support[lane] > 0.0 { step[lane] } else { 0.0 };
        }
        let (mut totals, mut found) = (Totals::<ACROSS>::ZERO, [0.0f32; LANES]);
        for z in z.into_iter().flat_map(|z| z.chunks(terms(ACROSS))) {
            let mut sums = [0.0f32; LANES];
            for z in z {
                for lane in 0..LANES {
                    let d = d(z[lane], lane);
                    let is_above = d.high > threshold[lane];
                    sums[lane] += if is_above { (d.high - threshold[lane]) + d.low } else { 0.0 };
                    found[lane] += if is_above { 1.0 } else { 0.0 };
                }
            }
            totals.add(|lane| sums[lane]);
        }
        across::<ACROSS, _>(&mut found, |a, b| a + b);
        let mut moving = 0;
        for lane in 0..LANES {
            let moves = support[lane] > 0.0;
            let next = ((totals.of_lane(lane) - 1.0) / f64::from(found[lane])) as f32;
            step[lane] = if moves { next } else { step[lane] };
            let shrinks = moves && found[lane] < support[lane];
            support[lane] = if shrinks { found[lane] } else { 0.0 };
            moving += u32::from(shrinks);
        }
        if moving == 0 {
            break;
        }
    }
    [threshold, step]
}

struct Forward<'a> {
    call: Call<'a>,
    z: &'a [f32],
    y: &'a mut [f32],
}

impl RowwiseVisitor<f32> for Forward<'_> {
    type Output = ();

    fn visit<F: Rowwise<f32>>(self, formula: F) {
        let Self { call: Call { call, mask }, z, y } = self;
        let RowCall { lines, temperature, .. } = call;
        if temperature.is_one() {
            ForwardKernel::<F, false> { formula, temperature }.over(y, z, lines, mask);
        } else {
            ForwardKernel::<F, true> { formula, temperature }.over(y, z, lines, mask);
        }
    }
}

pub(super) struct ForwardKernel<F, const SCALED: bool> {
    formula: F,
    temperature: Temperature,
}

impl<F: Rowwise<f32>, const SCALED: bool> Kernel<1> for ForwardKernel<F, SCALED> {
    /// The element whose argument is −∞.
    fn nothing(&self) -> [f32; 1] {
        [self.formula.argument(f32::NEG_INFINITY)]
    }

    fn excluded(&self) -> Option<f32> {
        None
    }

    #[inline(always)]
    fn run<const ACROSS: bool>(&self, [z]: [[&[Lanes]; 2]; 1], [y, y_last]: [&mut [Lanes]; 2]) {
        let Self { temperature, .. } = self;
        let argument = |z| self.argument(z);
        let mut rows = RowSet::<LANES>::ZERO;
        if F::PROJECTS {
            let maximum = maximum::<ACROSS>(z, argument);
            let d = |z, lane: usize| temperature.difference::<SCALED>(argument(z), maximum[lane]);
            let [threshold, threshold_lost] = threshold::<ACROSS>(z, d);
            rows = RowSet { origin: maximum, threshold, threshold_lost, ..rows };
        } else {
            let y = [&mut *y, &mut *y_last];
            let Statistics { maximum, rest, inverse, inverse_lost } = match F::TAKES_LOGARITHM {
                true => Statistics::of::<SCALED, true, ACROSS>(z, argument, *temperature, y),
                false => Statistics::of::<SCALED, false, ACROSS>(z, argument, *temperature, y),
            };
            for lane in 0..lines(ACROSS) {
                let inverse = Sum { high: inverse[lane], low: inverse_lost[lane] };
                rows.set(lane, self.row(maximum[lane], rest[lane], inverse));
            }
        }
        update::<ACROSS, _>(z, [y, y_last], |lane| {
            let row = rows.row(lane);
            move |z, exponential| self.output(z, exponential, row)
        });
    }
}

impl<F: Rowwise<f32>, const SCALED: bool> ForwardKernel<F, SCALED> {
    /// z − (maximum + log_sum) takes two operations, while (z − maximum) − log_sum needs
    /// eight to be as accurate: the sum in brackets is computed once per row, with the
    /// part that its rounding removes.
    const HAS_LOGARITHM_IN_ORIGIN: bool = F::TAKES_LOGARITHM && !SCALED;

    /// Computes the outputs of each line.
    fn over(&self, y: &mut [f32], z: &[f32], lines: Lines, mask: Option<&[f32]>) {
        if !F::PROJECTS && are_short(lines, short_forward::WIDTHS) && mask.is_none() {
            over_short_rows(self, y, [z], lines.width);
        } else {
            over_lines(self, y, [z], lines, mask);
        }
    }

    /// The argument that takes the place of z, prescaled.
    #[inline(always)]
    pub(super) fn argument(&self, z: f32) -> f32 {
        let z = self.formula.argument(z);
        if SCALED { self.temperature.prescale * z } else { z }
    }

    /// e^((z − maximum) / T)
    #[inline(always)]
    pub(super) fn exponential(&self, z: f32, maximum: f32) -> f32 {
        self.temperature.exponential::<SCALED>(self.argument(z), maximum)
    }

    /// The data of a row, from its [`Statistics`]. If the maximum is not finite, every value that
    /// the outputs are multiplied by, or that is added to them, is NaN, so the outputs are NaN too.
    #[inline(always)]
    pub(super) fn row(&self, maximum: f32, rest: f32, inverse: Sum<f32>) -> Row {
        let or_nan = |value| if maximum.is_finite() { value } else { f32::NAN };
        let log_sum = if F::TAKES_LOGARITHM { or_nan(ln_1p(rest)) } else { 0.0 };
        let (origin, log_sum) = match Self::HAS_LOGARITHM_IN_ORIGIN {
            true => (difference(maximum, -log_sum), 0.0),
            false => (maximum.into(), log_sum),
        };
        let statistics = RowStatistics {
            inverse: or_nan(inverse.high),
            inverse_lost: inverse.low,
            log_sum,
            threshold: 0.0,
            threshold_lost: 0.0,
        };
        Row { origin, statistics }
    }

    #[inline(always)]
    pub(super) fn output(&self, z: f32, exponential: f32, row: Row) -> f32 {
        let Row { origin, statistics } = row;
        let z = self.argument(z);
        let d = match Self::HAS_LOGARITHM_IN_ORIGIN {
            true => Sum { high: z - origin.high, low: -origin.low },
            false => self.temperature.difference::<SCALED>(z, origin.high),
        };
        let element = Shifted { difference: d.high, lost: d.low, exponential };
        let value = self.formula.forward(element, statistics);
        if F::PROJECTS && !origin.high.is_finite() { f32::NAN } else { value }
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
        let Self { call: Call { call, mask }, product, y, vector, output } = self;
        let RowCall { lines, temperature, .. } = call;
        let slope = temperature.slope;
        // The Jacobian of an activation that takes no logarithm is symmetric,
        // so both products are the same.
        if F::TAKES_LOGARITHM && product == RowProduct::Jvp {
            let kernel = ProductKernel { formula: JvpProduct(formula), slope };
            return kernel.over(output, [y, vector], lines, mask);
        }
        let kernel = ProductKernel { formula: BackwardProduct(formula), slope };
        kernel.over(output, [y, vector], lines, mask);
    }
}

/// The product with the transposed Jacobian.
struct BackwardProduct<F>(F);

impl<F: Rowwise<f32>> ProductFormula for BackwardProduct<F> {
    const SHIFTS: bool = F::SHIFTS_BACKWARD;
    const PROJECTS: bool = F::PROJECTS;
    const NOTHING: f32 = if F::TAKES_LOGARITHM { f32::NEG_INFINITY } else { 0.0 };

    #[inline(always)]
    fn outweighs(&self, y: f32) -> bool {
        self.0.outweighs(y)
    }

    #[inline(always)]
    fn term(&self, y: f32, dy: f32) -> f32 {
        // The term of an output that is not left out.
        self.0.backward_term(if F::SHIFTS_BACKWARD { y } else { Self::NOTHING }, dy)
    }

    #[inline(always)]
    fn totals(&self, total: f32, y: f32, dy: f32) -> RowTotals<f32> {
        if F::SHIFTS_BACKWARD { RowTotals::of(total) } else { self.0.backward_totals(total, y, dy) }
    }

    #[inline(always)]
    fn element(&self, y: f32, dy: f32, totals: RowTotals<f32>) -> f32 {
        self.0.backward(y, dy, totals)
    }
}

/// The product with the Jacobian of an activation that takes a logarithm, from the
/// exponentials of its outputs.
struct JvpProduct<F>(F);

impl<F: Rowwise<f32>> ProductFormula for JvpProduct<F> {
    const SHIFTS: bool = true;
    const PROJECTS: bool = false;
    const NOTHING: f32 = 0.0;

    #[inline(always)]
    fn outweighs(&self, p: f32) -> bool {
        p > 0.5
    }

    #[inline(always)]
    fn term(&self, p: f32, dz: f32) -> f32 {
        self.0.jvp_term(p, dz)
    }

    #[inline(always)]
    fn totals(&self, total: f32, _p: f32, _dz: f32) -> RowTotals<f32> {
        RowTotals::of(total)
    }

    #[inline(always)]
    fn element(&self, p: f32, dz: f32, totals: RowTotals<f32>) -> f32 {
        self.0.jvp(p, dz, totals.total)
    }
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
        over_pieces_of(output, width, |start, output| {
            let (line, i) = (start / width / width, start / width % width);
            let start = line / inner * lines.block() + line % inner;
            if !call.keeps(start + i * inner) {
                return output.fill(0.0);
            }
            let nothing = if F::TAKES_LOGARITHM { f32::NEG_INFINITY } else { 0.0 };
            let kept = |index: usize| if call.keeps(index) { y[index] } else { nothing };
            let line: Vec<f32> = call.line(start).map(kept).collect();
            let total = sum_of(line.len(), |j| formula.jacobian_term(line[j])) as f32;
            for (j, (output, index)) in output.iter_mut().zip(call.line(start)).enumerate() {
                let (y_i, y_j) = (line[i], line[j]);
                let value = temperature.slope * formula.jacobian(y_i, y_j, i == j, total);
                let value = if y_i.is_nan() || y_j.is_nan() { f32::NAN } else { value };
                *output = if call.keeps(index) { value } else { 0.0 };
            }
        });
    }
}
