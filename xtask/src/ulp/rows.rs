//! Measures row-wise activations on rows of many lengths and scales.

use wgrad::{Activation, Device, Result, reference};

use super::measure::Tally;
use super::sweep::tally_of;

/// The lengths of the rows, the standard deviations of their elements, and the number of elements of each
/// combination.
const LENGTHS: [usize; 18] =
    [1, 2, 3, 4, 7, 8, 10, 16, 31, 64, 100, 127, 256, 257, 500, 777, 1000, 1024];
const SCALES: [f32; 6] = [1e-3, 0.1, 1.0, 4.0, 20.0, 200.0];
const ELEMENTS: usize = 1 << 16;

/// The unit in the last place of the numbers just below 1.
const LAST_PLACE_OF_ONE: f64 = 1.0 / (1 << 24) as f64;

/// The error that the sum of a distribution's elements may have.
const SUM_BOUND: f64 = 1e-6;

/// The results for one activation on one device.
#[derive(Debug, Default)]
pub struct RowTally {
    pub tally: Tally,
    pub rows: u64,
    /// The length of the row that has the worst element.
    pub length: usize,
    /// The greatest |Σp − 1|, if rows add up to one.
    pub sum_error: Option<f64>,
}

impl RowTally {
    fn add(
        &mut self,
        activation: &Activation,
        device: &Device,
        z: &[f32],
        length: usize,
    ) -> Result<()> {
        let shape = [z.len() / length, length];
        let found = activation.forward(&device.tensor(z, shape)?)?.to_vec()?;
        let wide: Vec<f64> = z.iter().map(|&z| z.into()).collect();
        let exact = reference::forward(activation, &wide, length);
        // Sparsemax's outputs are differences of numbers near 1: near its kink no relative bound holds.
        let least_unit = (*activation == Activation::Sparsemax).then_some(LAST_PLACE_OF_ONE);
        let tally = tally_of(z, &found, &exact, least_unit);
        if tally.worst.ulps > self.tally.worst.ulps {
            self.length = length;
        }
        self.tally = std::mem::take(&mut self.tally).merge(tally);
        self.rows += shape[0] as u64;
        for (found, exact) in found.chunks(length).zip(exact.chunks(length)) {
            let sum: f64 = found.iter().map(|&p| f64::from(p)).sum();
            if (exact.iter().sum::<f64>() - 1.0).abs() < 1e-9 {
                let error = (sum - 1.0).abs();
                self.sum_error = Some(self.sum_error.map_or(error, |worst| worst.max(error)));
            }
        }
        Ok(())
    }

    pub fn faults(&self, bound: f64) -> Vec<String> {
        let mut faults = self.tally.faults(bound);
        if let Some(error) = self.sum_error.filter(|error| *error > SUM_BOUND) {
            faults.push(format!("a row adds up to 1 ± {error:.1e}, beyond {SUM_BOUND:.0e}"));
        }
        faults
    }
}

/// Measures a row-wise activation. `progress` is called with the number of elements done.
pub fn sweep(activation: &Activation, device: &Device, progress: impl Fn(u64)) -> Result<RowTally> {
    let mut tally = RowTally::default();
    let mut random = fastrand::Rng::with_seed(1);
    for length in LENGTHS {
        for scale in SCALES {
            let count = ELEMENTS / length * length;
            let z: Vec<f32> = (0..count).map(|_| scale * normal(&mut random)).collect();
            tally.add(activation, device, &z, length)?;
            progress(count as u64);
        }
    }
    for row in special_rows() {
        tally.add(activation, device, &row, row.len())?;
    }
    Ok(tally)
}

/// The number of elements of a sweep.
pub const fn elements() -> u64 {
    let mut total = 0;
    let mut i = 0;
    while i < LENGTHS.len() {
        total += ELEMENTS / LENGTHS[i] * LENGTHS[i] * SCALES.len();
        i += 1;
    }
    total as u64
}

/// Rows with NaN, infinities, ties, and the greatest numbers.
fn special_rows() -> Vec<Vec<f32>> {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    vec![
        vec![nan, 0.0, 1.0],
        vec![0.0, inf, 1.0],
        vec![inf, -inf, inf],
        vec![-inf; 5],
        vec![-inf, 2.0, -inf, 1.0],
        vec![3.0; 1024],
        vec![0.0; 1000],
        vec![f32::MAX, f32::MIN, 0.0],
        vec![f32::MIN; 3],
        vec![1e-45, 0.0, -1e-45, 1e-40],
        vec![0.0, -87.5, -95.0, -103.0, -104.5, -1e4],
    ]
}

/// A number that is normally distributed around 0: the sum of twelve uniform numbers has the variance 1.
fn normal(random: &mut fastrand::Rng) -> f32 {
    (0..12).map(|_| random.f32()).sum::<f32>() - 6.0
}
