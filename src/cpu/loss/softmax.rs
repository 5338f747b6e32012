//! Softmax and cross-entropy in one, from the logits.

use pulp::NullaryFnOnce;

use super::super::lines::NARROW;
use super::super::math::ln_1p;
use super::super::parallel::{LANES, Lanes, Totals, across, lines, terms, vectorised};
use super::super::rowwise::Statistics;
use super::{Pass, Row};
use crate::activation::Activation;
use crate::backend::Temperature;
use crate::reference::Real;
use crate::reference::losses::times;

/// The rows that are worked at together, as tiles: a row in each lane where they are narrow, else one row
/// in pieces of LANES elements.
#[derive(Default)]
struct Tiles {
    z: Vec<Lanes>,
    targets: Vec<Lanes>,
    /// The output of softmax.
    p: Vec<Lanes>,
    dz: Vec<Lanes>,
}

/// What there is once for each row, in the lanes of narrow rows, or in the first lane.
struct PerRow {
    scale: Lanes,
    /// The coefficient of the squared log-sum-exp.
    coefficient: Lanes,
    /// What the targets add up to where that is known, else NaN.
    mass: Lanes,
}

/// What the tiles give besides: by row, or in all lanes.
struct Found {
    maximum: Lanes,
    log_sum: Lanes,
    loss: Lanes,
}

impl Pass<'_> {
    pub(super) fn softmax_cross_entropy<'a>(&self, rows: impl Iterator<Item = Row<'a>>) {
        let width = self.rows.width;
        let is_narrow = width <= NARROW;
        if !is_narrow && self.targets.are_single_labels() {
            let mut exponentials = vec![[0.0; LANES]; width.div_ceil(LANES)];
            return rows.for_each(|row| self.label_row(row, &mut exponentials));
        }
        let together = if is_narrow { LANES } else { 1 };
        let height = if is_narrow { width } else { width.div_ceil(LANES) };
        let mut tiles = Tiles::default();
        for tile in [&mut tiles.z, &mut tiles.targets, &mut tiles.p, &mut tiles.dz] {
            tile.resize(height, [0.0; LANES]);
        }
        let (mut rows, mut group) = (rows, Vec::with_capacity(together));
        loop {
            group.clear();
            group.extend(rows.by_ref().take(together));
            if group.is_empty() {
                return;
            }
            if is_narrow {
                self.group::<false>(&mut group, &mut tiles);
            } else {
                self.group::<true>(&mut group, &mut tiles);
            }
        }
    }

    /// A row with one label and nothing else: what holds for all other elements needs no targets.
    fn label_row(&self, row: Row<'_>, exponentials: &mut [Lanes]) {
        let Row { number, z, loss, y, dz, .. } = row;
        let target = self.targets.row(number);
        // An ignored row counts in nothing, but its output is asked for all the same.
        let label = target.and_then(|target| target.label()).unwrap_or(0);
        let t = target.map_or(0.0, |target| target.at(label));
        let value = vectorised(LabelRow {
            z: if z.is_empty() { None } else { Some(z) },
            label,
            t,
            scale: self.scale * self.targets.row_weight(number),
            coefficient: self.z_loss * target.map_or(0.0, |target| target.label_weight()),
            takes_logarithm: *self.activation == Activation::LogSoftmax,
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

    /// Some narrow rows, or one `ACROSS` the lanes.
    fn group<const ACROSS: bool>(&self, rows: &mut [Row<'_>], tiles: &mut Tiles) {
        let width = self.rows.width;
        if ACROSS {
            let last = width / LANES * LANES;
            tiles.z.as_flattened_mut()[last..].fill(f32::NEG_INFINITY);
            tiles.targets.as_flattened_mut()[last..].fill(0.0);
        }
        let zero = [0.0; LANES];
        let mut per_row = PerRow { scale: zero, coefficient: zero, mass: [1.0; LANES] };
        for (lane, row) in rows.iter().enumerate() {
            let z = if row.z.is_empty() { &*row.dz } else { row.z };
            to_tile::<ACROSS>(&mut tiles.z, lane, z);
            // An ignored row counts in nothing: its results are overwritten below.
            let Some(target) = self.targets.row(row.number) else { continue };
            per_row.scale[lane] = self.scale * self.targets.row_weight(row.number);
            per_row.coefficient[lane] = self.z_loss * target.label_weight();
            per_row.mass[lane] = target.known_mass().unwrap_or(f32::NAN);
            if ACROSS {
                let tile = tiles.targets.as_flattened_mut()[..width].iter_mut();
                tile.enumerate().for_each(|(i, t)| *t = target.base(i));
            } else {
                let tile = tiles.targets.iter_mut();
                tile.enumerate().for_each(|(i, t)| t[lane] = target.base(i));
            }
            if let Some(label) = target.label() {
                let place = if ACROSS { label } else { label * LANES + lane };
                tiles.targets.as_flattened_mut()[place] = target.at(label);
            }
        }
        let wants_dz = rows.iter().any(|row| !row.dz.is_empty());
        let wants_loss = rows.iter().any(|row| row.loss.is_some());
        let wants_p = wants_dz || rows.iter().any(|row| !row.y.is_empty());
        let found =
            vectorised(Evaluation::<ACROSS> { tiles, per_row, wants_loss, wants_dz, wants_p });
        for (lane, row) in rows.iter_mut().enumerate() {
            let undefined = !found.maximum[lane].is_finite();
            if undefined {
                row.y.fill(f32::NAN);
            } else if *self.activation == Activation::LogSoftmax {
                let (maximum, log_sum) = (found.maximum[lane], found.log_sum[lane]);
                from_tile::<ACROSS>(&tiles.z, lane, row.y);
                row.y.iter_mut().for_each(|y| *y = (*y - maximum) - log_sum);
            } else {
                from_tile::<ACROSS>(&tiles.p, lane, row.y);
            }
            let counts = self.targets.row(row.number).is_some();
            if !counts {
                row.dz.fill(0.0);
            } else {
                from_tile::<ACROSS>(&tiles.dz, lane, row.dz);
            }
            if let Some(loss) = &mut row.loss {
                **loss = if counts { found.loss[lane] } else { 0.0 };
            }
        }
    }
}

fn to_tile<const ACROSS: bool>(tile: &mut [Lanes], lane: usize, row: &[f32]) {
    if ACROSS {
        tile.as_flattened_mut()[..row.len()].copy_from_slice(row);
    } else {
        tile.iter_mut().zip(row).for_each(|(to, from)| to[lane] = *from);
    }
}

fn from_tile<const ACROSS: bool>(tile: &[Lanes], lane: usize, row: &mut [f32]) {
    if ACROSS {
        row.copy_from_slice(&tile.as_flattened()[..row.len()]);
    } else {
        row.iter_mut().zip(tile).for_each(|(to, from)| *to = from[lane]);
    }
}

/// The squared log-sum-exp times its coefficient, and the derivative, where there is one.
#[inline(always)]
fn z_loss(coefficient: f32, log_sum_exp: f32) -> (f64, f32) {
    let square = f64::from(log_sum_exp) * f64::from(log_sum_exp);
    let (value, derivative) = (f64::from(coefficient) * square, 2.0 * coefficient * log_sum_exp);
    if coefficient == 0.0 { (0.0, 0.0) } else { (value, derivative) }
}

/// What dE/dz of the elements of a row has in common.
pub(super) struct Slope {
    /// What the targets add up to.
    pub(super) mass: f32,
    /// mass·(1 − p) for an element that dominates its row, without the cancellation.
    pub(super) others: f32,
    /// The derivative of the squared log-sum-exp.
    pub(super) pull: f32,
    pub(super) scale: f32,
}

impl Slope {
    /// That of an element with this probability and this target.
    #[inline(always)]
    pub(super) fn at(&self, p: f32, t: f32) -> f32 {
        let error = if p > 0.5 { (self.mass - t) - self.others } else { p * self.mass - t };
        self.scale * (error + self.pull * p)
    }
}

/// A row whose targets are t at the label and 0 elsewhere. It gives the loss.
struct LabelRow<'a> {
    /// Nothing where dz holds it.
    z: Option<&'a [f32]>,
    label: usize,
    t: f32,
    scale: f32,
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
        let Self { label, t, scale, coefficient, exponentials, y, dz, .. } = self;
        let z = self.z.unwrap_or(&*dz);
        let found = Statistics::of_line(z, exponentials);
        let (maximum, rest) = (found.maximum[0], found.rest[0]);
        let (inverse, inverse_lost) = (found.inverse[0], found.inverse_lost[0]);
        let p = |e: f32| e.multiply_add(inverse, e * inverse_lost);
        let needs_logarithm = self.wants_loss || coefficient != 0.0 || self.takes_logarithm;
        let log_sum = if needs_logarithm { ln_1p(rest) } else { 0.0 };
        let (z_loss, pull) = z_loss(coefficient, maximum + log_sum);
        let logit = z.get(label).copied().unwrap_or(f32::NAN);
        let error = times(t, log_sum - (logit - maximum));
        let loss = (f64::from(scale) * (f64::from(error) + z_loss)) as f32;
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

struct Evaluation<'a, const ACROSS: bool> {
    tiles: &'a mut Tiles,
    per_row: PerRow,
    wants_loss: bool,
    wants_dz: bool,
    wants_p: bool,
}

impl<const ACROSS: bool> NullaryFnOnce for Evaluation<'_, ACROSS> {
    type Output = Found;

    #[inline(always)]
    fn call(self) -> Found {
        let Self { tiles, mut per_row, wants_loss, wants_dz, wants_p } = self;
        let Tiles { z, targets, p, dz } = tiles;
        // What is the same in all lanes is computed once.
        let lines = lines(ACROSS);
        across::<ACROSS, _>(&mut per_row.scale, |first, _| first);
        let PerRow { scale, coefficient, mass: known } = per_row;
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
        if wants_loss || wants_dz {
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
            let value = (f64::from(scale[lane]) * (totals.of_lane(lane) + z_loss)) as f32;
            loss[lane] = if undefined[lane] { f32::NAN } else { value };
        }
        for values in [&mut mass, &mut others, &mut pull] {
            across::<ACROSS, _>(values, |first, _| first);
        }
        across::<ACROSS, _>(&mut undefined, |first, _| first);
        if wants_p {
            for p in p.iter_mut() {
                for lane in 0..LANES {
                    let e = p[lane];
                    p[lane] = e.multiply_add(inverse[lane], e * inverse_lost[lane]);
                }
            }
        }
        if wants_dz {
            for ((dz, p), targets) in dz.iter_mut().zip(&*p).zip(&*targets) {
                for lane in 0..LANES {
                    let (mass, others) = (mass[lane], others[lane]);
                    let slope = Slope { mass, others, pull: pull[lane], scale: scale[lane] };
                    let slope = slope.at(p[lane], targets[lane]);
                    dz[lane] = if undefined[lane] { f32::NAN } else { slope };
                }
            }
        }
        Found { maximum, log_sum, loss }
    }
}
