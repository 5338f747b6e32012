//! Softmax and cross-entropy in one, computed from the logits.

use pulp::NullaryFnOnce;

use super::super::parallel::{LANES, Lanes, Totals, across, lines, terms, vectorised};
use super::super::rowwise::Statistics;
use super::super::transpose::Transposition;
use super::{Outputs, Pass, Row, scaled};
use crate::backend::Temperature;
use wgrad_formula::formulas::losses::times;
use wgrad_formula::numbers::Real;
use wgrad_formula::numbers::ln_1p;

/// The rows that are processed together, as tiles: one row in each lane if they are narrow,
/// otherwise one row in pieces of LANES elements.
struct Tiles {
    z: Vec<Lanes>,
    targets: Vec<Lanes>,
    /// First the output of softmax, then the output of the activation.
    p: Vec<Lanes>,
    dz: Vec<Lanes>,
    transposition: Transposition,
}

impl Tiles {
    fn new(height: usize) -> Self {
        let tile = || vec![[0.0; LANES]; height];
        let (z, targets, p, dz) = (tile(), tile(), tile(), tile());
        Self { z, targets, p, dz, transposition: Transposition::default() }
    }
}

/// Values of which each row has one: in the lane of each narrow row, or in the first lane.
struct PerRow {
    scale: Lanes,
    /// The coefficient of the squared log-sum-exp.
    coefficient: Lanes,
    /// The sum of the targets if it is known, else NaN.
    mass: Lanes,
    /// The label, if the row is compared with nothing else, its target and its logit.
    label: [usize; LANES],
    target: Lanes,
    logit: Lanes,
}

impl Pass<'_> {
    /// Processes rows, starting at this one, that are too narrow to be processed one by one.
    pub(super) fn narrow_softmax_cross_entropy(
        &self,
        first: usize,
        count: usize,
        outputs: Outputs<'_>,
    ) {
        let width = self.rows.width;
        let mut tiles = Tiles::new(width);
        for (group, outputs) in outputs.tasks(count, width, LANES).enumerate() {
            let (row, before) = (first + group * LANES, group * LANES);
            let count = LANES.min(count - before);
            let z = (!self.z.is_empty()).then(|| &self.z[row * width..(row + count) * width]);
            let number = self.first_row + row;
            let tiles = &mut tiles;
            vectorised(Group::<false> { pass: self, number, count, z, outputs, tiles });
        }
    }

    /// Processes wider rows, one by one.
    pub(super) fn softmax_cross_entropy<'a>(&self, rows: impl Iterator<Item = Row<'a>>) {
        let height = self.rows.width.div_ceil(LANES);
        if self.targets.are_single_labels() {
            let mut exponentials = vec![[0.0; LANES]; height];
            return rows.for_each(|row| self.label_row(row, &mut exponentials));
        }
        let mut tiles = Tiles::new(height);
        for Row { number, z, loss, y, dz, .. } in rows {
            let losses = loss.map(std::slice::from_mut).unwrap_or_default();
            let (z, tiles) = ((!z.is_empty()).then_some(z), &mut tiles);
            let outputs = Outputs { losses, y, dz, terms: &mut [] };
            vectorised(Group::<true> { pass: self, number, count: 1, z, outputs, tiles });
        }
    }

    /// Processes a row with a single label and nothing else. The other elements need no targets.
    fn label_row(&self, row: Row<'_>, exponentials: &mut [Lanes]) {
        let Row { number, z, loss, y, dz, .. } = row;
        let target = self.targets.row(number);
        // An ignored row has no effect on the loss, but its output is wanted all the same.
        let label = target.and_then(|target| target.label()).unwrap_or(0);
        let t = target.map_or(0.0, |target| target.at(label));
        let value = vectorised(LabelRow {
            z: if z.is_empty() { None } else { Some(z) },
            label,
            t,
            scale: self.scale * self.targets.row_weight(number),
            reduction: self.scale,
            coefficient: target.map_or(0.0, |target| times(self.z_loss, target.label_weight())),
            takes_logarithm: self.takes_logarithm(),
            wants_loss: loss.is_some(),
            y,
            dz: &mut *dz,
            exponentials,
        });
        if target.is_none() {
            dz.fill(0.0);
        }
        if let Some(loss) = loss {
            *loss = if target.is_some() { value } else { 0.0 };
        }
    }
}

/// The squared log-sum-exp times its coefficient, and the derivative;
/// zeros if the coefficient is 0.
#[inline(always)]
fn z_loss(coefficient: f32, log_sum_exp: f32) -> (f64, f32) {
    let square = f64::from(log_sum_exp) * f64::from(log_sum_exp);
    let (value, derivative) = (f64::from(coefficient) * square, 2.0 * coefficient * log_sum_exp);
    if coefficient == 0.0 { (0.0, 0.0) } else { (value, derivative) }
}

/// target·distance in f32, unless it is out of the range of f32, in which case f64 is used:
/// after scaling it may be in range.
#[inline(always)]
fn entropy(target: f32, distance: f32) -> f64 {
    let product = times(target, distance);
    if product.is_infinite() { f64::from(target) * f64::from(distance) } else { product.into() }
}

/// The values that dE/dz of the elements of a row has in common.
pub(super) struct Slope {
    /// The sum of the targets.
    pub(super) mass: f32,
    /// mass·(1 − p) for an element that dominates its row, without the cancellation.
    pub(super) others: f32,
    /// The derivative of the squared log-sum-exp.
    pub(super) pull: f32,
    pub(super) scale: f32,
}

impl Slope {
    /// dE/dz of an element with this probability and this target.
    #[inline(always)]
    pub(super) fn at(&self, p: f32, t: f32) -> f32 {
        let error = if p > 0.5 { (self.mass - t) - self.others } else { p * self.mass - t };
        self.scale * (error + self.pull * p)
    }
}

/// A row whose targets are t at the label and 0 elsewhere. The call returns the loss.
struct LabelRow<'a> {
    /// `None` if dz holds z.
    z: Option<&'a [f32]>,
    label: usize,
    t: f32,
    scale: f32,
    /// The part of the scale that all rows share.
    reduction: f32,
    /// The coefficient of the squared log-sum-exp.
    coefficient: f32,
    takes_logarithm: bool,
    wants_loss: bool,
    y: &'a mut [f32],
    dz: &'a mut [f32],
    exponentials: &'a mut [Lanes],
}

impl NullaryFnOnce for LabelRow<'_> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        let Self { label, t, scale, reduction, coefficient, exponentials, y, dz, .. } = self;
        let z = self.z.unwrap_or(&*dz);
        let found = Statistics::of_line(z, exponentials);
        let (maximum, rest) = (found.maximum[0], found.rest[0]);
        let (inverse, inverse_lost) = (found.inverse[0], found.inverse_lost[0]);
        let p = |e: f32| e.multiply_add(inverse, e * inverse_lost);
        let needs_logarithm = self.wants_loss || coefficient != 0.0 || self.takes_logarithm;
        let log_sum = if needs_logarithm { ln_1p(rest) } else { 0.0 };
        let (z_loss, pull) = z_loss(coefficient, maximum + log_sum);
        let logit = z.get(label).copied().unwrap_or(f32::NAN);
        let entropy = entropy(t, log_sum - (logit - maximum));
        let loss = scaled(reduction, scale, entropy + z_loss);
        let e = exponentials.as_flattened();
        if !maximum.is_finite() {
            y.fill(f32::NAN);
        } else if self.takes_logarithm {
            for (y, z) in y.iter_mut().zip(z) {
                *y = (*z - maximum) - log_sum;
            }
        } else {
            for (y, e) in y.iter_mut().zip(e) {
                *y = p(*e);
            }
        }
        if !maximum.is_finite() || t.is_nan() {
            dz.fill(f32::NAN);
            return f32::NAN;
        }
        let slope = Slope { mass: t, others: t * (rest / (1.0 + rest)), pull, scale };
        for (dz, e) in dz.iter_mut().zip(e) {
            *dz = slope.at(p(*e), 0.0);
        }
        if let Some(dz) = dz.get_mut(label) {
            *dz = slope.at(p(e[label]), t);
        }
        loss
    }
}

/// Several narrow rows, or one row `ACROSS` the lanes.
struct Group<'a, const ACROSS: bool> {
    pass: &'a Pass<'a>,
    /// The first row's number among the targets.
    number: usize,
    count: usize,
    /// `None` if dz holds z.
    z: Option<&'a [f32]>,
    outputs: Outputs<'a>,
    tiles: &'a mut Tiles,
}

impl<const ACROSS: bool> NullaryFnOnce for Group<'_, ACROSS> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let per_row = self.load();
        let loss = self.evaluate(per_row);
        let Self { pass, number, count, outputs, tiles, .. } = self;
        let Outputs { losses, y, dz, .. } = outputs;
        let Tiles { p, dz: dz_tile, transposition, .. } = tiles;
        for (tile, output) in [(&*p, y), (&*dz_tile, &mut *dz)] {
            if ACROSS {
                output.copy_from_slice(&tile.as_flattened()[..output.len()]);
            } else if !output.is_empty() {
                transposition.lanes_to_rows(tile, output);
            }
        }
        losses.iter_mut().zip(loss).for_each(|(to, loss)| *to = loss);
        let width = pass.rows.width;
        for lane in (0..count).filter(|lane| pass.targets.row(number + lane).is_none()) {
            if let Some(loss) = losses.get_mut(lane) {
                *loss = 0.0;
            }
            if let Some(dz) = dz.get_mut(lane * width..(lane + 1) * width) {
                dz.fill(0.0);
            }
        }
    }
}

impl<const ACROSS: bool> Group<'_, ACROSS> {
    /// Whether each row is compared with a single label, so that no targets
    /// of other classes are needed.
    #[inline(always)]
    fn has_labels(&self) -> bool {
        !ACROSS && self.pass.targets.are_single_labels()
    }

    /// Fills the tiles of z and, except for single labels, of the targets.
    #[inline(always)]
    fn load(&mut self) -> PerRow {
        let has_labels = self.has_labels();
        let Self { pass, number, count, z, outputs, tiles } = self;
        let width = pass.rows.width;
        let z = z.unwrap_or(&*outputs.dz);
        if ACROSS {
            let (row, others) = tiles.z.as_flattened_mut().split_at_mut(width);
            row.copy_from_slice(z);
            others.fill(f32::NEG_INFINITY);
            tiles.targets.as_flattened_mut()[width..].fill(0.0);
        } else {
            let nothing = None::<fn(&mut [f32])>;
            tiles.transposition.rows_to_lanes(z, 0.0, nothing, &mut tiles.z);
        }
        let zero = [0.0; LANES];
        let mut per_row = PerRow {
            scale: zero,
            coefficient: zero,
            mass: [1.0; LANES],
            label: [0; LANES],
            target: zero,
            logit: zero,
        };
        for lane in 0..*count {
            // Ignored rows are skipped: their results are overwritten at the end.
            let Some(target) = pass.targets.row(*number + lane) else { continue };
            per_row.scale[lane] = pass.scale * pass.targets.row_weight(*number + lane);
            per_row.coefficient[lane] = times(pass.z_loss, target.label_weight());
            per_row.mass[lane] = target.known_mass().unwrap_or(f32::NAN);
            let label = target.label();
            if let (true, Some(label)) = (has_labels, label) {
                per_row.label[lane] = label;
                per_row.target[lane] = target.at(label);
                per_row.logit[lane] = z[lane * width + label];
                continue;
            }
            if ACROSS {
                let tile = tiles.targets.as_flattened_mut()[..width].iter_mut();
                tile.enumerate().for_each(|(i, t)| *t = target.base(i));
            } else {
                let tile = tiles.targets.iter_mut();
                tile.enumerate().for_each(|(i, t)| t[lane] = target.base(i));
            }
            if let Some(label) = label {
                let place = if ACROSS { label } else { label * LANES + lane };
                tiles.targets.as_flattened_mut()[place] = target.at(label);
            }
        }
        per_row
    }

    /// Fills the tiles of the outputs that are wanted, and returns the losses, either of each
    /// row or the same in all lanes.
    #[inline(always)]
    fn evaluate(&mut self, mut per_row: PerRow) -> Lanes {
        let has_labels = self.has_labels();
        let [wants_y, wants_dz] = [&self.outputs.y, &self.outputs.dz].map(|o| !o.is_empty());
        let wants_loss = !self.outputs.losses.is_empty();
        let takes_logarithm = self.pass.takes_logarithm();
        let Tiles { z, targets, p, dz, .. } = &mut *self.tiles;
        // Values that are the same in all lanes are computed once.
        let lines = lines(ACROSS);
        across::<ACROSS, _>(&mut per_row.scale, |first, _| first);
        let PerRow { scale, coefficient, mass: known, label, target, logit } = per_row;
        let found = Statistics::of::<false, true, ACROSS>(
            [&*z, &[]],
            |z| z,
            Temperature::ONE,
            [&mut *p, &mut []],
        );
        let Statistics { maximum, rest, inverse, inverse_lost } = found;
        let (mut sum, mut log_sum) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..lines {
            sum[lane] = 1.0 + rest[lane];
            log_sum[lane] = ln_1p(rest[lane]);
        }
        across::<ACROSS, _>(&mut sum, |first, _| first);
        across::<ACROSS, _>(&mut log_sum, |first, _| first);
        let (mut totals, mut masses) = (Totals::<ACROSS>::ZERO, Totals::<ACROSS>::ZERO);
        if has_labels {
            let error = |lane: usize| log_sum[lane] - (logit[lane] - maximum[lane]);
            totals.add(|lane| times(target[lane], error(lane)));
            masses.add(|lane| target[lane]);
        } else if wants_loss || wants_dz {
            for (z, targets) in z.chunks(terms(ACROSS)).zip(targets.chunks(terms(ACROSS))) {
                let (mut losses, mut mass) = ([0.0f32; LANES], [0.0f32; LANES]);
                for (z, targets) in z.iter().zip(targets) {
                    for lane in 0..LANES {
                        let t = targets[lane];
                        losses[lane] += times(t, log_sum[lane] - (z[lane] - maximum[lane]));
                        mass[lane] += t;
                    }
                }
                totals.add(|lane| losses[lane]);
                masses.add(|lane| mass[lane]);
            }
        }
        let (mut mass, mut others, mut pull) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let (mut undefined, mut loss) = ([false; LANES], [0.0; LANES]);
        for lane in 0..lines {
            let found = masses.of_lane(lane) as f32;
            mass[lane] = if known[lane].is_nan() { found } else { known[lane] };
            undefined[lane] = !maximum[lane].is_finite() || mass[lane].is_nan();
            others[lane] = mass[lane] * (rest[lane] / sum[lane]);
            let (z_loss, derivative) = z_loss(coefficient[lane], maximum[lane] + log_sum[lane]);
            pull[lane] = derivative;
            let mut total = totals.of_lane(lane);
            if has_labels && !total.is_finite() {
                total = entropy(target[lane], log_sum[lane] - (logit[lane] - maximum[lane]));
            }
            let value = scaled(self.pass.scale, scale[lane], total + z_loss);
            loss[lane] = if undefined[lane] { f32::NAN } else { value };
        }
        for values in [&mut mass, &mut others, &mut pull] {
            across::<ACROSS, _>(values, |first, _| first);
        }
        across::<ACROSS, _>(&mut undefined, |first, _| first);
        if wants_dz || wants_y {
            for p in p.iter_mut() {
                for lane in 0..LANES {
                    let e = p[lane];
                    p[lane] = e.multiply_add(inverse[lane], e * inverse_lost[lane]);
                }
            }
        }
        let slope = |lane: usize, p: f32, t: f32| {
            let (mass, others, pull) = (mass[lane], others[lane], pull[lane]);
            let slope = Slope { mass, others, pull, scale: scale[lane] }.at(p, t);
            if undefined[lane] { f32::NAN } else { slope }
        };
        if wants_dz && has_labels {
            for (dz, p) in dz.iter_mut().zip(&*p) {
                for lane in 0..LANES {
                    dz[lane] = slope(lane, p[lane], 0.0);
                }
            }
            for lane in 0..self.count {
                dz[label[lane]][lane] = slope(lane, p[label[lane]][lane], target[lane]);
            }
        } else if wants_dz {
            for ((dz, p), targets) in dz.iter_mut().zip(&*p).zip(&*targets) {
                for lane in 0..LANES {
                    dz[lane] = slope(lane, p[lane], targets[lane]);
                }
            }
        }
        if wants_y {
            for (p, z) in p.iter_mut().zip(&*z) {
                for lane in 0..LANES {
                    let logarithm = (z[lane] - maximum[lane]) - log_sum[lane];
                    let y = if takes_logarithm { logarithm } else { p[lane] };
                    p[lane] = if maximum[lane].is_finite() { y } else { f32::NAN };
                }
            }
        }
        loss
    }
}
