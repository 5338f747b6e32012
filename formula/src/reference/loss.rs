//! A whole loss with its targets and all their options, computed formula by formula.

use super::simplex::{Beside, weighted_terms};
use super::sum;
use crate::data::{Error, Reduction, Result};
use crate::formulas::losses::{times, weigh, weighted};
use crate::formulas::{Head, LossFunction, Pair, Unit};

/// The values with which the outputs are compared.
#[derive(Clone, Copy, Debug)]
pub enum TargetValues<'a> {
    /// A number for each output, [B, K].
    Dense(&'a [f64]),
    /// The index of a class for each row, `[B]`.
    Labels(&'a [i32]),
}

/// The targets, with their weights and other options, as slices.
///
/// Weights and variances have one number for each output, one for each row, or one in all; the
/// weights of classes and of positive targets have one for each class.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// The targets.
    pub values: TargetValues<'a>,
    /// The weights of the classes.
    pub class_weights: Option<&'a [f64]>,
    /// The weights of elements or rows.
    pub weights: Option<&'a [f64]>,
    /// The weights of positive targets.
    pub pos_weight: Option<&'a [f64]>,
    /// The variances.
    pub variance: Option<&'a [f64]>,
}

impl<'a> From<TargetValues<'a>> for Targets<'a> {
    fn from(values: TargetValues<'a>) -> Self {
        Self { values, class_weights: None, weights: None, pos_weight: None, variance: None }
    }
}

impl<'a> Targets<'a> {
    /// A number for each output.
    pub fn dense(values: &'a [f64]) -> Self {
        TargetValues::Dense(values).into()
    }

    /// The index of a class for each row.
    pub fn labels(labels: &'a [i32]) -> Self {
        TargetValues::Labels(labels).into()
    }
}

/// A loss and its gradient.
#[derive(Clone, Debug)]
pub struct LossGradient {
    /// The unreduced loss: of each element, or of each row for losses on rows.
    pub terms: Vec<f64>,
    /// The reduced loss; the sum for [`Reduction::None`].
    pub loss: f64,
    /// Its gradient with respect to y; 0 for rows and outputs that have no effect.
    pub dy: Vec<f64>,
    /// Whether each row counts, which is the case unless its label is ignored.
    pub counts: Vec<bool>,
}

/// A loss and its data: arguments of shape [B, classes].
#[derive(Clone, Copy, Debug)]
pub struct LossData<'a> {
    /// The loss.
    pub loss: LossFunction,
    /// The reduction to one number.
    pub reduction: Reduction,
    /// The arguments, row-major: outputs, or the arguments of the activation below the loss.
    pub arguments: &'a [f64],
    /// The length of a row.
    pub classes: usize,
    /// The targets.
    pub targets: Targets<'a>,
    /// The coefficient of the z-loss; 0 for none.
    pub z_loss: f64,
}

/// The loss, and its derivatives with respect to the arguments, formula by formula.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the slices do not go together.
pub fn loss(head: Head, data: &LossData<'_>) -> Result<LossGradient> {
    let LossData { loss, reduction, arguments: y, classes, targets, z_loss } = *data;
    let rows = check(y, classes, &targets)?;
    let data = |row: usize| Row { head, loss, y, classes, rows, targets, z_loss, row };
    let evaluated: Vec<RowLoss> = (0..rows).map(|row| data(row).evaluate()).collect();
    let weights: f64 = evaluated.iter().map(|row| row.weight).sum();
    let divisor = match (reduction, loss.unit()) {
        (Reduction::Sum | Reduction::None, _) => 1.0,
        (Reduction::BatchMean, _) => rows as f64,
        (Reduction::Mean, Unit::Element) => y.len() as f64,
        // A mean over a total weight of 0 is undefined, whatever the terms are.
        (Reduction::Mean, Unit::Row) if weights == 0.0 => f64::NAN,
        (Reduction::Mean, Unit::Row) => weights,
    };
    let counts: Vec<bool> = evaluated.iter().map(|row| row.counts).collect();
    let terms: Vec<f64> = evaluated.iter().flat_map(|row| row.terms.iter().copied()).collect();
    let slope = |(index, &slope): (usize, &f64)| {
        let (row, column) = (index / classes, index % classes);
        // A row or output without an effect on the loss has no slope,
        // even if the divisor is 0 or NaN.
        let is_chained = head.is_of_rows();
        let has_part = counts[row] && (is_chained || !data(row).is_left_out(column));
        if has_part || counts[row] && slope.is_nan() { slope / divisor } else { 0.0 }
    };
    let slopes: Vec<f64> = evaluated.iter().flat_map(|row| row.slopes.iter().copied()).collect();
    let dy = slopes.iter().enumerate().map(slope).collect();
    Ok(LossGradient { loss: sum(terms.iter().copied()) / divisor, terms, dy, counts })
}

/// The number of rows; an error if the slices do not match.
fn check(y: &[f64], classes: usize, targets: &Targets<'_>) -> Result<usize> {
    const OP: &str = "reference loss";
    let rows = y.len() / classes.max(1);
    if rows * classes != y.len() {
        return Err(Error::shape(OP, format!("whole rows of {classes}"), y.len()));
    }
    let (expected, found) = match targets.values {
        TargetValues::Dense(values) => (y.len(), values.len()),
        TargetValues::Labels(labels) => (rows, labels.len()),
    };
    if expected != found {
        return Err(Error::shape(OP, format!("{expected} targets"), found));
    }
    let spread = [targets.weights, targets.variance];
    if let Some(odd) = spread.into_iter().flatten().find(|s| ![y.len(), rows, 1].contains(&s.len()))
    {
        let expected = format!("{} weights or variances, {rows}, or 1", y.len());
        return Err(Error::shape(OP, expected, odd.len()));
    }
    let by_class = [targets.class_weights, targets.pos_weight];
    if let Some(odd) = by_class.into_iter().flatten().find(|s| s.len() != classes) {
        return Err(Error::shape(OP, format!("{classes} weights of classes"), odd.len()));
    }
    Ok(rows)
}

/// One row of outputs with its targets.
struct Row<'a> {
    head: Head,
    loss: LossFunction,
    y: &'a [f64],
    classes: usize,
    rows: usize,
    targets: Targets<'a>,
    z_loss: f64,
    row: usize,
}

struct RowLoss {
    terms: Vec<f64>,
    slopes: Vec<f64>,
    /// The row's contribution to the divisor of a mean.
    weight: f64,
    counts: bool,
}

impl Row<'_> {
    /// The value for a column, from values for each element, for each row, or for all.
    fn spread(&self, values: Option<&[f64]>, column: usize) -> f64 {
        let Some(values) = values else { return 1.0 };
        if values.len() == self.y.len() {
            values[self.row * self.classes + column]
        } else if values.len() == self.rows {
            values[self.row]
        } else {
            values[0]
        }
    }

    fn label(&self) -> Option<i32> {
        match self.targets.values {
            TargetValues::Labels(labels) => Some(labels[self.row]),
            TargetValues::Dense(_) => None,
        }
    }

    fn class_weight(&self, class: usize) -> f64 {
        self.targets.class_weights.map_or(1.0, |weights| weights[class])
    }

    /// The weight of the row's label; 1 for dense targets.
    fn label_weight(&self) -> f64 {
        self.label().map_or(1.0, |label| self.class_weight(label as usize))
    }

    /// The target of a class, smoothed and weighted.
    fn target(&self, column: usize) -> f64 {
        let smoothing = f64::from(self.loss.label_smoothing);
        let target = match self.targets.values {
            TargetValues::Dense(values) => values[self.row * self.classes + column],
            TargetValues::Labels(labels) => f64::from(labels[self.row] == column as i32),
        };
        let smoothed = (1.0 - smoothing) * target + smoothing / self.classes as f64;
        if self.loss.unit() == Unit::Element {
            target
        } else {
            times(smoothed, self.class_weight(column))
        }
    }

    /// Whether the row is compared only with the output of its label, and this is another output.
    /// If so, this output has no effect on the loss, whatever the weights and the divisor are.
    fn is_left_out(&self, column: usize) -> bool {
        let is_of_terms = matches!(self.head, Head::Terms(_) | Head::RowTerms { .. });
        let is_single = is_of_terms && self.loss.label_smoothing == 0.0;
        is_single && self.label().is_some_and(|label| label as usize != column)
    }

    fn extra(&self, column: usize) -> f64 {
        match self.loss.takes_variance() {
            true => self.spread(self.targets.variance, column),
            false => self.targets.pos_weight.map_or(1.0, |weights| weights[column]),
        }
    }

    fn evaluate(&self) -> RowLoss {
        let y = &self.y[self.row * self.classes..][..self.classes];
        let ignored = self.label().is_some() && self.label() == self.loss.ignore_index;
        let terms = if self.loss.unit() == Unit::Element { self.classes } else { 1 };
        if ignored {
            let (terms, slopes) = (vec![0.0; terms], vec![0.0; self.classes]);
            return RowLoss { terms, slopes, weight: 0.0, counts: false };
        }
        let (terms, slopes) = match self.head {
            Head::Terms(pair) => self.of_unit(self.terms(pair, y)),
            Head::RowTerms { function, term } => {
                self.of_unit(weighted_terms(function, term, y, |column| self.beside(column)))
            }
            Head::LogSumExp { .. } => self.log_sum_exp(y),
            Head::Margins { p, margin } => self.margins(p, margin, y),
        };
        let row_weight = self.spread(self.targets.weights, 0);
        let weight = match self.head {
            Head::Margins { .. } => 1.0,
            _ => row_weight * self.label_weight(),
        };
        RowLoss { terms, slopes, weight, counts: true }
    }

    fn beside(&self, column: usize) -> Beside {
        Beside {
            t: self.target(column),
            extra: self.extra(column),
            weight: match self.is_left_out(column) {
                true => 0.0,
                false => self.spread(self.targets.weights, column),
            },
        }
    }

    fn terms(&self, pair: Pair, y: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let term = |(column, &y): (usize, &f64)| {
            let Beside { t, extra, weight } = self.beside(column);
            let (term, slope) = pair.at(y, t, extra);
            if self.is_left_out(column) && !term.is_nan() {
                return (0.0, 0.0);
            }
            (weighted(weight, term), weighted(weight, slope))
        };
        y.iter().enumerate().map(term).unzip()
    }

    /// The terms, or their sum for a loss on rows.
    fn of_unit(&self, (terms, slopes): (Vec<f64>, Vec<f64>)) -> (Vec<f64>, Vec<f64>) {
        let terms = if self.loss.unit() == Unit::Row { vec![sum(terms)] } else { terms };
        (terms, slopes)
    }

    /// `Σ_k −t_k·ln p_k + c·(ln Σ e^z)²` for p = softmax(z).
    fn log_sum_exp(&self, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let weight = self.spread(self.targets.weights, 0);
        let targets: Vec<f64> = (0..z.len()).map(|k| self.target(k)).collect();
        let maximum = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let undefined = z.iter().chain(&targets).any(|value| value.is_nan());
        if undefined || maximum.is_infinite() {
            return (vec![f64::NAN], vec![f64::NAN; z.len()]);
        }
        // The sum without the 1 of the maximum itself: with it, an f64
        // might keep only the 1.
        let ties = z.iter().filter(|&&z| z == maximum).count();
        let below = z.iter().filter(|&&z| z < maximum);
        let rest = below.map(|z| (z - maximum).exp()).sum::<f64>() + (ties as f64 - 1.0);
        let log_sum = rest.ln_1p();
        let mass: f64 = targets.iter().sum();
        let normalizer = maximum + log_sum;
        let coefficient = times(self.z_loss, self.label_weight());
        let term =
            |(z, t): (&f64, &f64)| if *t == 0.0 { 0.0 } else { t * (log_sum - (z - maximum)) };
        let cross_entropy = z.iter().zip(&targets).map(term).sum::<f64>();
        let loss = cross_entropy + coefficient * normalizer * normalizer;
        let slope = |(z, t): (&f64, &f64)| {
            let p = (z - maximum).exp() / (1.0 + rest);
            // 1 − p of an element that dominates its row, computed without cancellation.
            let error = if p > 0.5 {
                (mass - t) - mass * rest_without(p, *z == maximum, rest)
            } else {
                p * mass - t
            };
            weighted(weight, error + 2.0 * coefficient * normalizer * p)
        };
        (vec![weighted(weight, loss)], z.iter().zip(&targets).map(slope).collect())
    }

    /// `w_l/K·Σ_{i≠l} max(0, margin − z_l + z_i)^p` for the label l.
    fn margins(&self, p: u32, margin: f32, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let Some(label) = self.label().and_then(|label| usize::try_from(label).ok()) else {
            return (vec![f64::NAN], vec![f64::NAN; z.len()]);
        };
        let scale = self.spread(self.targets.weights, 0) * self.label_weight() / z.len() as f64;
        let hinge = |i: usize| {
            let hinge = f64::from(margin) - z[label] + z[i];
            if i == label || hinge <= 0.0 { 0.0 } else { hinge }
        };
        let term = |i: usize| if p == 1 { hinge(i) } else { hinge(i) * hinge(i) };
        let slope = |i: usize| match p {
            1 if hinge(i) > 0.0 || hinge(i).is_nan() => hinge(i).signum(),
            1 => 0.0,
            _ => 2.0 * hinge(i),
        };
        let loss = (0..z.len()).map(term).sum::<f64>();
        let mut slopes: Vec<f64> = (0..z.len()).map(|i| weigh(scale, slope(i))).collect();
        slopes[label] = -slopes.iter().sum::<f64>();
        (vec![weigh(scale, loss)], slopes)
    }
}

/// 1 − p for the greatest element.
fn rest_without(p: f64, greatest: bool, rest: f64) -> f64 {
    if greatest { rest / (1.0 + rest) } else { 1.0 - p }
}
