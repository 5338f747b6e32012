//! The multi-class hinge loss.

use super::super::parallel::sum_of;
use super::{Pass, Row};
use wgrad_formula::formulas::losses::weigh;

impl Pass<'_> {
    pub(super) fn multi_margin<'a>(
        &self,
        p: u32,
        margin: f32,
        rows: impl Iterator<Item = Row<'a>>,
    ) {
        for Row { number, z, loss, dz, .. } in rows {
            let target = self.targets.row(number);
            let Some((target, label)) = target.and_then(|target| Some((target, target.label()?)))
            else {
                continue;
            };
            let weight = self.targets.row_weight(number) * target.label_weight();
            let scale = self.scale * weight / z.len() as f32;
            let base = margin - z[label];
            let hinge = |i: usize| {
                let hinge = base + z[i];
                if i == label || hinge <= 0.0 { 0.0 } else { hinge }
            };
            let slope = |i: usize| match hinge(i) {
                0.0 => 0.0,
                hinge if p == 1 => {
                    if hinge.is_nan() {
                        hinge
                    } else {
                        1.0
                    }
                }
                hinge => 2.0 * hinge,
            };
            if let Some(loss) = loss {
                let term = |i: usize| if p == 1 { hinge(i) } else { hinge(i) * hinge(i) };
                let sum = sum_of(z.len(), term);
                let wide = |i: usize| {
                    let hinge = f64::from(hinge(i));
                    if p == 1 { hinge } else { hinge * hinge }
                };
                let sum = if sum.is_finite() { sum } else { (0..z.len()).map(wide).sum() };
                *loss = weigh(f64::from(scale), sum) as f32;
            }
            if !dz.is_empty() {
                let slopes = sum_of(z.len(), slope);
                // Twice a hinge may overflow even if the scaled value does not.
                let wide =
                    |i: usize| if p == 1 { f64::from(slope(i)) } else { 2.0 * f64::from(hinge(i)) };
                let slopes = if slopes.is_finite() { slopes } else { (0..z.len()).map(wide).sum() };
                dz.iter_mut().enumerate().for_each(|(i, dz)| {
                    let scaled = weigh(scale, slope(i));
                    let exact = f64::from(scale) * wide(i);
                    *dz = if scaled.is_finite() { scaled } else { exact as f32 };
                });
                dz[label] = -weigh(f64::from(scale), slopes) as f32;
            }
        }
    }
}
