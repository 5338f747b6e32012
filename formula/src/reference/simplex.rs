//! A loss of terms on top of softmax or softmin, as a function of z.

use crate::formulas::activations::Forms;
use crate::formulas::losses::weighted;
use crate::formulas::{RowFunction, TermFunction, View};

/// The values with which an output is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) t: f64,
    pub(super) extra: f64,
    pub(super) weight: f64,
}

const NAN: (f64, f64) = (f64::NAN, f64::NAN);

/// The weighted terms of a row and their derivatives with respect to z, for a loss of softmax or softmin.
///
/// If the loss takes logarithms, the derivatives are computed from the logits
/// u_k = ln(p_k / (1 − p_k)) of the single outputs: 1 − p of the output that dominates
/// the row is the sum of the others. Otherwise they are taken relative to the
/// derivative of the greatest output.
pub(super) fn weighted_terms(
    function: RowFunction,
    loss: TermFunction,
    z: &[f64],
    beside: impl Fn(usize) -> Beside,
) -> (Vec<f64>, Vec<f64>) {
    let view = loss.view();
    let sign = if function == RowFunction::Softmin { -1.0 } else { 1.0 };
    let x: Vec<f64> = z.iter().map(|z| sign * z).collect();
    let Some(row) = Simplex::new(&x) else {
        return (vec![f64::NAN; z.len()], vec![f64::NAN; z.len()]);
    };
    let term = |k: usize| {
        let Beside { t, extra, weight } = beside(k);
        let y = row.forms(k);
        let limit = if row.top == Some(k) { 1.0 } else { 0.0 };
        let offset = if row.top == Some(k) { -y.rest } else { y.y };
        if [t, extra].iter().any(|value| value.is_nan()) {
            return NAN;
        }
        let (term, slope) = match view {
            View::Logarithms => loss.at_forms(y, t),
            View::Difference => loss.at(offset, t - limit, extra),
            View::Margin => loss.at(offset, t, 1.0 - t * limit),
            View::Output => loss.at(y.y, t, extra),
        };
        (weighted(weight, term), weighted(weight, slope))
    };
    let (terms, slopes): (Vec<f64>, Vec<f64>) = (0..x.len()).map(term).unzip();
    let dz = match view {
        View::Logarithms => row.chain_of_logits(&slopes),
        _ => row.chain_of_outputs(&slopes),
    };
    let dz = dz.into_iter().map(|dz| sign * dz).collect();
    (terms, dz)
}

/// A row of arguments of softmax, with its statistics.
struct Simplex<'a> {
    x: &'a [f64],
    maximum: f64,
    log_sum: f64,
    /// The index of the output that is greater than ½.
    top: Option<usize>,
    /// The greatest argument of the others, and the sum of their exponentials relative to it.
    second: f64,
    sum: f64,
    /// Σ e^(x − maximum) over all but the greatest.
    rest: f64,
}

impl<'a> Simplex<'a> {
    /// Returns `None` for a row that has no softmax.
    fn new(x: &'a [f64]) -> Option<Self> {
        let maximum = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if x.iter().any(|x| x.is_nan()) || maximum.is_infinite() {
            return None;
        }
        let greatest = x.iter().position(|&x| x == maximum)?;
        let others = || x.iter().enumerate().filter(|&(k, _)| k != greatest).map(|(_, &x)| x);
        let rest = others().map(|x| (x - maximum).exp()).sum::<f64>();
        let second = others().fold(f64::NEG_INFINITY, f64::max);
        let sum = others().map(|x| relative(x, second)).sum();
        let top = (rest < 1.0).then_some(greatest);
        Some(Self { x, maximum, log_sum: rest.ln_1p(), top, second, sum, rest })
    }

    fn forms(&self, k: usize) -> Forms<f64> {
        let difference = self.x[k] - self.maximum;
        let (log, y) = (difference - self.log_sum, difference.exp() / (1.0 + self.rest));
        let (rest, log_rest) = if self.top == Some(k) {
            let log_rest = (self.second - self.maximum) + self.sum.ln() - self.log_sum;
            (self.rest / (1.0 + self.rest), log_rest)
        } else {
            (1.0 - y, (-y).ln_1p())
        };
        Forms { y, rest, log, log_rest, slope: y * rest, log_slope: rest, rest_slope: y }
    }

    /// Computes dE/dz from dE/dp.
    fn chain_of_outputs(&self, slopes: &[f64]) -> Vec<f64> {
        let greatest = |k: &usize| self.x[*k] == self.maximum;
        let origin = (0..slopes.len()).find(greatest).map_or(0.0, |k| slopes[k]);
        let terms = |k: usize| self.forms(k).y * (slopes[k] - origin);
        let total: f64 = (0..slopes.len()).map(terms).sum();
        (0..slopes.len()).map(|k| self.forms(k).y * ((slopes[k] - origin) - total)).collect()
    }

    /// Computes dE/dz from dE/du.
    fn chain_of_logits(&self, slopes: &[f64]) -> Vec<f64> {
        let is_top = |k: usize| self.top == Some(k);
        let part = |k: usize| slopes[k] / self.forms(k).rest;
        let total: f64 = (0..slopes.len()).filter(|&k| !is_top(k)).map(part).sum();
        let of_top = self.top.map_or(0.0, |top| slopes[top]);
        let element = |k: usize| {
            let p = self.forms(k).y;
            if self.x.len() == 1 {
                // A single output is 1 whatever z is.
                times_zero(slopes[k])
            } else if is_top(k) {
                slopes[k] - p * total
            } else {
                let share = relative(self.x[k], self.second) / self.sum;
                let taken = if self.top.is_some() { share * of_top } else { 0.0 };
                (part(k) - taken) - p * total
            }
        };
        (0..slopes.len()).map(element).collect()
    }
}

/// 0, or NaN if x is NaN.
fn times_zero(x: f64) -> f64 {
    if x.is_nan() { x } else { 0.0 }
}

/// e^(x − m); 1 if both are −∞.
fn relative(x: f64, m: f64) -> f64 {
    if x == m { 1.0 } else { (x - m).exp() }
}
