//! Softmax and cross-entropy over tiles of logits: the twin of shaders/kernels/tile*.wgsl.

use pulp::NullaryFnOnce;

use super::super::parallel::{LANES, Lanes, SERIAL, on_all_threads, sum_of, vectorised};
use super::super::rowwise::Statistics;
use super::softmax::Slope;
use super::targets::TargetRow;
use super::{Targets, scaled};
use crate::backend::STATE;
use wgrad_formula::formulas::losses::times;
use wgrad_formula::numbers::{difference, exp_difference, ln_1p};

/// A tile of logits, some of the rows and some of their columns, with its targets and scale.
pub(in crate::cpu) struct Tile<'a> {
    pub(in crate::cpu) targets: Targets<'a>,
    pub(in crate::cpu) width: usize,
    /// The row of the targets that corresponds to the tile's first row.
    pub(in crate::cpu) first_row: usize,
    pub(in crate::cpu) first_column: usize,
    pub(in crate::cpu) classes: usize,
    pub(in crate::cpu) scale: f32,
    pub(in crate::cpu) z_loss: f32,
}

/// The state of a row of logits after the tiles so far.
#[derive(Clone, Copy)]
struct State {
    maximum: f32,
    /// Σ e^(z_k − maximum) − 1, which is −1 for an empty sum.
    rest: f32,
    /// The logit of the label.
    label_logit: f32,
    /// For label smoothing: Σ w_k·(maximum − z_k) and Σ w_k, with the weights of the classes.
    spread: f32,
    mass: f32,
}

impl State {
    fn load(values: &[f32]) -> Self {
        let at = |index: usize| values[index];
        let (maximum, rest, label_logit) = (at(0), at(1), at(2));
        Self { maximum, rest, label_logit, spread: at(3), mass: at(4) }
    }

    fn store(self, values: &mut [f32]) {
        let Self { maximum, rest, label_logit, spread, mass } = self;
        values.copy_from_slice(&[maximum, rest, label_logit, spread, mass]);
    }

    fn merge(self, other: Self) -> Self {
        let (a, b) = if self.maximum >= other.maximum { (self, other) } else { (other, self) };
        // NaN never compares as the greater, so keep it if it is in b.
        let maximum = if b.maximum.is_nan() { b.maximum } else { a.maximum };
        let rest = if a.maximum == b.maximum {
            a.rest + (1.0 + b.rest)
        } else {
            a.rest + (1.0 + b.rest) * exp_difference(difference(b.maximum, a.maximum))
        };
        let moved = |state: Self| times(state.mass, maximum - state.maximum);
        Self {
            maximum,
            rest,
            label_logit: a.label_logit + b.label_logit,
            spread: (a.spread + b.spread) + (moved(a) + moved(b)),
            mass: a.mass + b.mass,
        }
    }

    fn is_undefined(self) -> bool {
        !self.maximum.is_finite()
    }
}

impl Tile<'_> {
    fn rows_per_task(&self) -> usize {
        SERIAL.div_ceil(self.width)
    }

    /// Merges the statistics of the tile's rows into their states.
    pub(in crate::cpu) fn statistics(&self, tile: &[f32], states: &mut [f32]) {
        let task = self.rows_per_task();
        let tasks = states.chunks_mut(task * STATE).zip(tile.chunks(task * self.width));
        on_all_threads(tasks.enumerate(), |(index, (states, tile))| {
            let mut exponentials = vec![[0.0; LANES]; self.width.div_ceil(LANES)];
            let rows = states.chunks_exact_mut(STATE).zip(tile.chunks_exact(self.width));
            for (i, (state, z)) in rows.enumerate() {
                let target = self.targets.row(self.first_row + index * task + i);
                let exponentials = &mut exponentials;
                let found = vectorised(RowState { tile: self, target, z, exponentials });
                let merged = match self.first_column {
                    0 => found,
                    _ => State::load(state).merge(found),
                };
                merged.store(state);
            }
        });
    }

    /// Overwrites the logits with dE/dz.
    pub(in crate::cpu) fn gradient(&self, states: &[f32], tile: &mut [f32]) {
        let task = self.rows_per_task();
        let tasks = tile.chunks_mut(task * self.width).zip(states.chunks(task * STATE));
        on_all_threads(tasks.enumerate(), |(index, (tile, states))| {
            let rows = tile.chunks_exact_mut(self.width).zip(states.chunks_exact(STATE));
            for (i, (z, state)) in rows.enumerate() {
                let row = self.first_row + index * task + i;
                let Some(target) = self.targets.row(row) else {
                    z.fill(0.0);
                    continue;
                };
                let scale = self.scale * self.targets.row_weight(row);
                vectorised(RowGradient { tile: self, target, state: State::load(state), scale, z });
            }
        });
    }

    /// Computes the loss of each row, from the states after all its tiles.
    pub(in crate::cpu) fn losses(&self, states: &[f32], losses: &mut [f32]) {
        for (i, (state, loss)) in states.chunks_exact(STATE).zip(losses).enumerate() {
            let row = self.first_row + i;
            let scale = self.scale * self.targets.row_weight(row);
            let target = self.targets.row(row);
            *loss =
                target.map_or(0.0, |target| self.scaled_loss(scale, target, State::load(state)));
        }
    }

    fn scaled_loss(&self, scale: f32, target: TargetRow<'_>, state: State) -> f32 {
        let scaled = scaled(self.scale, scale, self.loss(target, state).into());
        if scaled.is_finite() || state.is_undefined() || self.z_loss == 0.0 {
            return scaled;
        }
        // The square of a large log-sum-exp may be out of range and yet in range after scaling.
        let others = Self { z_loss: 0.0, ..*self }.loss(target, state);
        let normalizer = f64::from(state.maximum + ln_1p(state.rest));
        let coefficient = f64::from(self.z_loss) * f64::from(target.label_weight());
        (f64::from(scale) * (f64::from(others) + coefficient * normalizer * normalizer)) as f32
    }

    fn loss(&self, target: TargetRow<'_>, state: State) -> f32 {
        if state.is_undefined() {
            return f32::NAN;
        }
        let log_sum = ln_1p(state.rest);
        let weight = target.label_weight();
        let t = (1.0 - self.targets.smoothing) * weight;
        let mut loss = times(t, log_sum + (state.maximum - state.label_logit));
        if self.targets.smoothing > 0.0 {
            let share = self.targets.smoothing / self.classes as f32;
            loss += share * (log_sum * state.mass + state.spread);
        }
        if self.z_loss != 0.0 {
            let normalizer = state.maximum + log_sum;
            loss += self.z_loss * weight * normalizer * normalizer;
        }
        loss
    }

    /// The sum of a row's targets.
    fn mass(&self, target: TargetRow<'_>, state: State) -> f32 {
        if self.targets.class_weights.is_none() {
            return 1.0;
        }
        let share = self.targets.smoothing / self.classes as f32;
        (1.0 - self.targets.smoothing) * target.label_weight() + share * state.mass
    }
}

/// The state of a row within this tile alone.
struct RowState<'a> {
    tile: &'a Tile<'a>,
    target: Option<TargetRow<'a>>,
    z: &'a [f32],
    exponentials: &'a mut [Lanes],
}

impl NullaryFnOnce for RowState<'_> {
    type Output = State;

    #[inline(always)]
    fn call(self) -> State {
        let Self { tile, target, z, exponentials } = self;
        let first = tile.first_column;
        let Statistics { maximum: [maximum, ..], rest: [rest, ..], .. } =
            Statistics::of_line(z, exponentials);
        let (maximum, rest) = match maximum {
            f32::NEG_INFINITY => (maximum, -1.0),
            _ if maximum.is_finite() => (maximum, rest),
            _ => (f32::NAN, f32::NAN),
        };
        let label = target.and_then(|target| target.label());
        let label = label.and_then(|label| label.checked_sub(first)).and_then(|i| z.get(i));
        let weight =
            |i: usize| tile.targets.class_weights.map_or(1.0, |weights| weights[first + i]);
        let (mut spread, mut mass) = (0.0, 0.0);
        if tile.targets.smoothing > 0.0 {
            mass = sum_of(z.len(), weight) as f32;
            if maximum != f32::NEG_INFINITY {
                spread = sum_of(z.len(), |i| times(weight(i), maximum - z[i])) as f32;
            }
        }
        State { maximum, rest, label_logit: label.copied().unwrap_or(0.0), spread, mass }
    }
}

/// Overwrites z of a row of a tile with dE/dz.
struct RowGradient<'a> {
    tile: &'a Tile<'a>,
    target: TargetRow<'a>,
    state: State,
    scale: f32,
    z: &'a mut [f32],
}

impl NullaryFnOnce for RowGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { tile, target, state, scale, z } = self;
        let mass = tile.mass(target, state);
        if state.is_undefined() || mass.is_nan() {
            return z.fill(f32::NAN);
        }
        let sum = 1.0 + state.rest;
        let pull = match tile.z_loss {
            0.0 => 0.0,
            z_loss => 2.0 * z_loss * target.label_weight() * (state.maximum + ln_1p(state.rest)),
        };
        let slope = Slope { mass, others: mass * (state.rest / sum), pull, scale };
        for (i, z) in z.iter_mut().enumerate() {
            let p = exp_difference(difference(*z, state.maximum)) / sum;
            *z = slope.at(p, target.at(tile.first_column + i));
        }
    }
}
