//! Row-wise activations, one row at a time.

use crate::formulas::activations::{RowStatistics, Rowwise, Shifted};
use crate::formulas::{RowFunction, RowwiseVisitor};

/// A function of rows, applied to one row: with the temperature T it is applied to z / T, and
/// excluded elements take no part in it.
///
/// An excluded output is a constant, 0 (−∞ for log_softmax): all its derivatives are 0, and its
/// dE/dy and dz have no effect. A row that has no value, because it contains NaN or +∞ or only −∞,
/// becomes NaN, and so does a row in which everything is excluded.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    function: RowFunction,
    temperature: f64,
    mask: Option<&'a [bool]>,
}

impl<'a> Row<'a> {
    /// The function at temperature 1, with nothing excluded.
    pub const fn new(function: RowFunction) -> Self {
        Self { function, temperature: 1.0, mask: None }
    }

    /// Sets another temperature, T > 0.
    pub const fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// Sets which elements are kept; a missing entry keeps its element.
    pub const fn mask(mut self, mask: &'a [bool]) -> Self {
        self.mask = Some(mask);
        self
    }

    /// `y = g(z)`.
    pub fn forward(&self, z: &[f64]) -> Vec<f64> {
        self.evaluate(z, What::Forward)
    }

    /// `dE/dz` from z and `dE/dy`: the product Jᵀ·dy.
    pub fn backward(&self, z: &[f64], dy: &[f64]) -> Vec<f64> {
        self.evaluate(z, What::Backward(dy))
    }

    /// `J·dz`: how y changes along dz.
    pub fn jvp(&self, z: &[f64], dz: &[f64]) -> Vec<f64> {
        self.evaluate(z, What::Jvp(dz))
    }

    /// `∂y_i/∂z_j`, row-major [K, K].
    pub fn jacobian(&self, z: &[f64]) -> Vec<f64> {
        self.evaluate(z, What::Jacobian)
    }

    fn evaluate(&self, z: &[f64], what: What<'_>) -> Vec<f64> {
        let evaluation = Evaluation { row: self, z, what };
        self.function.visit(evaluation)
    }

    fn keeps(&self, i: usize) -> bool {
        self.mask.and_then(|mask| mask.get(i)).copied().unwrap_or(true)
    }
}

#[derive(Clone, Copy)]
enum What<'a> {
    Forward,
    Backward(&'a [f64]),
    Jvp(&'a [f64]),
    Jacobian,
}

struct Evaluation<'a> {
    row: &'a Row<'a>,
    z: &'a [f64],
    what: What<'a>,
}

impl RowwiseVisitor<f64> for Evaluation<'_> {
    type Output = Vec<f64>;

    fn visit<F: Rowwise<f64>>(self, formula: F) -> Vec<f64> {
        let y = self.forward(formula);
        let kept = || (0..y.len()).filter(|&i| self.row.keeps(i));
        let support = kept().filter(|&i| y[i] > 0.0).count() as f64;
        let total = |term: &dyn Fn(usize) -> f64| {
            kept().map(term).sum::<f64>() / if F::PROJECTS { support } else { 1.0 }
        };
        // An excluded element is a constant.
        let each = |derivative: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let value = |i| match (self.row.keeps(i), y[i].is_nan()) {
                (false, _) => 0.0,
                (true, true) => f64::NAN,
                (true, false) => derivative(i) / self.row.temperature,
            };
            (0..y.len()).map(value).collect()
        };
        match self.what {
            What::Forward => y,
            What::Backward(dy) => {
                let apart = kept().find(|&i| formula.outweighs(y[i]));
                let (y_apart, dy_apart) = apart.map_or((0.0, 0.0), |i| (y[i], dy[i]));
                let shift = match F::SHIFTS_BACKWARD {
                    true => Shift::to(match apart {
                        Some(_) => dy_apart,
                        None => total(&|i| formula.backward_term(y[i], dy[i])),
                    }),
                    false => Shift::NONE,
                };
                let total = total(&|i| formula.backward_term(y[i], shift.apply(dy[i])));
                let totals = formula.backward_totals(total, y_apart, dy_apart);
                each(&|i| formula.backward(y[i], shift.apply(dy[i]), totals) / shift.scale)
            }
            What::Jvp(dz) => {
                let p = |i: usize| if F::TAKES_LOGARITHM { y[i].exp() } else { y[i] };
                let shift = Shift::to(match kept().find(|&i| formula.outweighs(y[i])) {
                    Some(i) => dz[i],
                    None => total(&|i| formula.jvp_term(p(i), dz[i])),
                });
                let total = total(&|i| formula.jvp_term(p(i), shift.apply(dz[i])));
                each(&|i| formula.jvp(p(i), shift.apply(dz[i]), total) / shift.scale)
            }
            What::Jacobian => {
                let total: f64 = kept().map(|i| formula.jacobian_term(y[i])).sum();
                let row = |i: usize| match self.row.keeps(i) {
                    true => each(&|j| formula.jacobian(y[i], y[j], i == j, total)),
                    false => vec![0.0; y.len()],
                };
                (0..y.len()).flat_map(row).collect()
            }
        }
    }
}

/// A vector relative to a number, scaled by a power of two if that keeps it finite.
#[derive(Clone, Copy)]
struct Shift {
    scale: f64,
    origin: f64,
}

impl Shift {
    const NONE: Self = Self { scale: 1.0, origin: 0.0 };

    fn to(origin: f64) -> Self {
        if !origin.is_finite() {
            return Self::NONE;
        }
        let scale = if origin.abs() >= 1e300 { 0.25 } else { 1.0 };
        Self { scale, origin: scale * origin }
    }

    fn apply(self, value: f64) -> f64 {
        self.scale * value - self.origin
    }
}

impl Evaluation<'_> {
    fn forward<F: Rowwise<f64>>(&self, formula: F) -> Vec<f64> {
        let argument = |(i, &z): (usize, &f64)| {
            if self.row.keeps(i) { formula.argument(z) } else { f64::NEG_INFINITY }
        };
        let z: Vec<f64> = self.z.iter().enumerate().map(argument).collect();
        let maximum = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if z.iter().any(|z| z.is_nan()) || maximum.is_infinite() {
            return vec![f64::NAN; z.len()];
        }
        let differences: Vec<f64> =
            z.iter().map(|z| (z - maximum) / self.row.temperature).collect();
        // The sum without the 1 of the maximum itself: with it, an f64
        // might keep only the 1.
        let ties = z.iter().filter(|&&z| z == maximum).count();
        let below = z.iter().zip(&differences).filter(|&(&z, _)| z < maximum);
        let rest = below.map(|(_, d)| d.exp()).sum::<f64>() + (ties as f64 - 1.0);
        let statistics = RowStatistics {
            inverse: 1.0 / (1.0 + rest),
            inverse_lost: 0.0,
            log_sum: rest.ln_1p(),
            threshold: threshold(&differences),
            threshold_lost: 0.0,
        };
        let shifted =
            |&difference: &f64| Shifted { difference, lost: 0.0, exponential: difference.exp() };
        differences.iter().map(|d| formula.forward(shifted(d), statistics)).collect()
    }
}

/// τ with Σ max(z − τ, 0) = 1, found by the method of Martins and Astudillo: the support consists
/// of the k greatest elements, for the last k for which the k-th is above their threshold.
fn threshold(z: &[f64]) -> f64 {
    let mut sorted = z.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut threshold) = (0.0, f64::NEG_INFINITY);
    for (k, z) in (1..).map(f64::from).zip(sorted) {
        sum += z;
        if z > (sum - 1.0) / k {
            threshold = (sum - 1.0) / k;
        }
    }
    threshold
}
