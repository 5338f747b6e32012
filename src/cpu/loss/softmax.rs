//! Softmax and cross-entropy in one, from the logits.

use pulp::NullaryFnOnce;

use super::super::parallel::{sum_of, vectorised};
use super::super::rowwise::Statistics;
use super::targets::TargetRow;
use super::{Pass, Row};
use crate::activation::Activation;
use crate::backend::Temperature;

impl Pass<'_> {
    pub(super) fn softmax_cross_entropy<'a>(&self, rows: impl Iterator<Item = Row<'a>>) {
        let mut exponentials = vec![0.0; self.rows.width];
        let mut logits = Vec::new();
        for row in rows {
            let z = if row.z.is_empty() {
                row.dz.clone_into(&mut logits);
                &logits
            } else {
                row.z
            };
            vectorised(SoftmaxCrossEntropy {
                target: self.targets.row(row.number),
                scale: self.scale * self.targets.row_weight(row.number),
                z_loss: self.z_loss,
                y_is_log: *self.activation == Activation::LogSoftmax,
                exponentials: &mut exponentials,
                row: Row { z, ..row },
            });
        }
    }
}

struct SoftmaxCrossEntropy<'a, 'b> {
    row: Row<'a>,
    target: Option<TargetRow<'b>>,
    scale: f32,
    z_loss: f32,
    y_is_log: bool,
    exponentials: &'b mut [f32],
}

impl NullaryFnOnce for SoftmaxCrossEntropy<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { row: Row { z, loss, y, dz, .. }, target, scale, z_loss, .. } = self;
        let exponentials = self.exponentials;
        let statistics = Statistics::of::<false>(z, Temperature::ONE, exponentials);
        let sums = statistics.map(Statistics::sums);
        match (statistics, sums) {
            (Some(statistics), Some(sums)) if self.y_is_log => {
                let log = |z: f32| (z - statistics.maximum) - sums.log_sum;
                y.iter_mut().zip(z).for_each(|(y, &z)| *y = log(z));
            }
            (Some(_), Some(sums)) => {
                y.iter_mut().zip(&*exponentials).for_each(|(y, e)| *y = e / sums.sum);
            }
            _ => y.fill(f32::NAN),
        }
        // An ignored row counts in nothing, a NaN in it included.
        let Some(target) = target else {
            if let Some(loss) = loss {
                *loss = 0.0;
            }
            return dz.fill(0.0);
        };
        let mass = target.mass(z.len());
        let (Some(statistics), Some(sums), false) = (statistics, sums, mass.is_nan()) else {
            if let Some(loss) = loss {
                *loss = f32::NAN;
            }
            return dz.fill(f32::NAN);
        };
        let normalizer = statistics.maximum + sums.log_sum;
        let coefficient = z_loss * target.label_weight();
        if let Some(loss) = loss {
            let term = |i: usize| {
                let t = target.at(i);
                let term = t * (sums.log_sum - (z[i] - statistics.maximum));
                if t == 0.0 { 0.0 } else { term }
            };
            let mut total = sum_of(z.len(), term);
            if coefficient != 0.0 {
                total += f64::from(coefficient) * f64::from(normalizer).powi(2);
            }
            *loss = (f64::from(scale) * total) as f32;
        }
        // 1 − p of an element that dominates its row, without the cancellation.
        let others = statistics.rest / sums.sum;
        let pull = if coefficient == 0.0 { 0.0 } else { 2.0 * coefficient * normalizer };
        for (i, (dz, e)) in dz.iter_mut().zip(&*exponentials).enumerate() {
            let (p, t) = (e / sums.sum, target.at(i));
            let dominant = (mass - t) - mass * others;
            let error = if p > 0.5 { dominant } else { p * mass - t };
            *dz = scale * (error + pull * p);
        }
    }
}
