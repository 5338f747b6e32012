//! Fits the polynomials to the formula in f64.

use std::f64::consts::PI;

use super::table::{Column, DEGREE, Function, INTERVALS, Symmetry, Table};

/// The degree of a polynomial that replaces the formula in an interval; it is as accurate as f64.
const EXACT: usize = 15;

/// The number of places around the middle of an interval that are tried as its centre.
const CANDIDATES: usize = 256;

pub(super) fn table(function: &Function) -> Table {
    let symmetry = function.symmetry;
    let f = |a: f64| match symmetry.is_product() {
        true => function.at(-a) / -a,
        false => function.at(-a),
    };
    let mut centres = Column([0.0; INTERVALS]);
    let mut coefficients = [const { Column([0.0; INTERVALS]) }; DEGREE + 1];
    for n in 0..INTERVALS {
        let edge = |index: f64| function.edge(index.max(0.0));
        let (low, high) = (edge(n as f64 - 0.5), edge(n as f64 + 0.5));
        let interval = Interval { middle: 0.5 * (low + high), half: 0.5 * (high - low) };
        let exact = interval.polynomial::<{ EXACT + 1 }>(f);
        let centre = interval.centre(&exact);
        centres.0[n] = centre;
        for (column, coefficient) in coefficients.iter_mut().zip(interval.around(&exact, centre)) {
            column.0[n] = coefficient as f32;
        }
    }
    // Stay a little below the edge, which rounding must not pass.
    let farthest = (function.edge(INTERVALS as f64 - 0.5) * (1.0 - 1e-5)) as f32;
    // Whether f(x) is 1 or x in f32 for all x beyond this.
    let small = 0.25 * f64::from(f32::EPSILON);
    let far = f64::from(farthest);
    let saturates = match symmetry {
        Symmetry::Complement => function.at(-far).abs() < small,
        Symmetry::Ramp | Symmetry::RampOfProduct => function.at(-far).abs() < small * far,
        Symmetry::Odd => 1.0 - function.at(far) < small,
        Symmetry::Even => false,
    };
    let (keep, bound) = match symmetry {
        Symmetry::Odd if saturates => (u32::MAX, u32::MAX),
        // As integers, the bits of negative numbers are greater.
        _ if saturates => (u32::MAX, (-farthest).to_bits()),
        _ => (!(1 << 31), farthest.to_bits()),
    };
    Table {
        symmetry,
        rate: function.rate as f32,
        growth: function.growth as f32,
        farthest,
        keep,
        bound,
        centres,
        coefficients,
    }
}

impl Function {
    /// The a for which a·(rate + growth·a) has this value.
    fn edge(&self, index: f64) -> f64 {
        // This form of the root also holds for a growth of 0.
        2.0 * index / (self.rate + (self.rate * self.rate + 4.0 * self.growth * index).sqrt())
    }
}

/// An interval, whose numbers are given by u = (a − middle) / half.
struct Interval {
    middle: f64,
    half: f64,
}

impl Interval {
    /// The polynomial in u that interpolates the function at the Chebyshev points.
    fn polynomial<const N: usize>(&self, f: impl Fn(f64) -> f64) -> [f64; N] {
        let points: [f64; N] = std::array::from_fn(|n| (PI * (n as f64 + 0.5) / N as f64).cos());
        interpolate(points, points.map(|u| f(self.middle + self.half * u)))
    }

    /// The f32 near the middle for which the function and its slope are closest to f32 numbers:
    /// both are coefficients, which should have no error. Instead, 0 is used if it is an edge at
    /// which the function is such a number, or else the function's root if it has one.
    fn centre(&self, exact: &[f64]) -> f32 {
        let at_edge = value(exact, -1.0);
        if self.middle == self.half && (at_edge - f64::from(at_edge as f32)).abs() < 1e-12 {
            return 0.0;
        }
        if value(exact, -1.0) * value(exact, 1.0) < 0.0 {
            return self.root(exact);
        }
        let candidates: [f32; CANDIDATES] = std::array::from_fn(|n| {
            let u = (n as f64 / CANDIDATES as f64 - 0.5) / 8.0;
            (self.middle + self.half * u) as f32
        });
        let u = candidates.map(|a| (f64::from(a) - self.middle) / self.half);
        let (ys, slopes) = (values(exact, u), values(&slopes(exact), u));
        let lost = |y: f64| (f64::from(y as f32) - y).abs();
        // The error of the slope has its full effect at the edge.
        let error = |n: usize| lost(ys[n]) + self.half * lost(slopes[n] / self.half);
        let best = (0..CANDIDATES).min_by(|&a, &b| error(a).total_cmp(&error(b)));
        best.map_or(self.middle as f32, |n| candidates[n])
    }

    /// The f32 nearest to the root, found by bisection.
    fn root(&self, exact: &[f64]) -> f32 {
        let negative_first = value(exact, -1.0) < 0.0;
        let (mut low, mut high) = (-1.0, 1.0);
        for _ in 0..f64::MANTISSA_DIGITS {
            let u = 0.5 * (low + high);
            if (value(exact, u) < 0.0) == negative_first { low = u } else { high = u }
        }
        (self.middle + self.half * low) as f32
    }

    /// The coefficients of the powers of a − centre, constant first, of the polynomial that
    /// interpolates the function at the centre and at Chebyshev points.
    fn around(&self, exact: &[f64], centre: f32) -> [f64; DEGREE + 1] {
        let at = |t: f64| value(exact, (f64::from(centre) + t - self.middle) / self.half);
        let constant = at(0.0);
        // Use the points for one degree more, and replace the middle one by the centre.
        let points: [f64; DEGREE] = std::array::from_fn(|n| {
            let n = if n < DEGREE / 2 { n } else { n + 1 };
            let u = (PI * (n as f64 + 0.5) / (DEGREE + 1) as f64).cos();
            self.middle + self.half * u - f64::from(centre)
        });
        let quotients = interpolate(points, points.map(|t| (at(t) - constant) / t));
        std::array::from_fn(|power| if power == 0 { constant } else { quotients[power - 1] })
    }
}

/// The value of the polynomial with these coefficients, constant first.
fn value(coefficients: &[f64], u: f64) -> f64 {
    let [value] = values(coefficients, [u]);
    value
}

/// The polynomial's values at several places, which are all computed together.
fn values<const N: usize>(coefficients: &[f64], u: [f64; N]) -> [f64; N] {
    let mut values = [0.0; N];
    for coefficient in coefficients.iter().rev() {
        values.iter_mut().zip(u).for_each(|(value, u)| *value = *value * u + coefficient);
    }
    values
}

fn slopes(coefficients: &[f64]) -> Vec<f64> {
    let powers = coefficients.iter().enumerate().skip(1);
    powers.map(|(power, coefficient)| power as f64 * coefficient).collect()
}

/// The coefficients, constant first, of the polynomial that has these values at these points.
fn interpolate<const N: usize>(points: [f64; N], values: [f64; N]) -> [f64; N] {
    // Compute Newton's divided differences, then the powers.
    let mut differences = values;
    for order in 1..N {
        for n in (order..N).rev() {
            let step = points[n] - points[n - order];
            differences[n] = (differences[n] - differences[n - 1]) / step;
        }
    }
    let mut coefficients = [0.0; N];
    for (point, difference) in points.into_iter().zip(differences).rev() {
        for power in (1..N).rev() {
            coefficients[power] = coefficients[power - 1] - point * coefficients[power];
        }
        coefficients[0] = difference - point * coefficients[0];
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::super::table::FUNCTIONS;
    use super::*;

    #[test]
    fn polynomials_are_as_good_as_their_coefficients() {
        for function in &FUNCTIONS {
            let table = table(function);
            for n in 0..INTERVALS {
                let edges = [-0.5, 0.5].map(|half| function.edge((n as f64 + half).max(0.0)));
                for step in 0..=100 {
                    let a = edges[0] + (edges[1] - edges[0]) * f64::from(step) / 100.0;
                    let t = a - f64::from(table.centres.0[n]);
                    let coefficients = table.coefficients.each_ref().map(|c| f64::from(c.0[n]));
                    let exact = match table.symmetry.is_product() {
                        true if a == 0.0 => continue,
                        true => function.at(-a) / -a,
                        false => function.at(-a),
                    };
                    let error = (value(&coefficients, t) / exact - 1.0).abs();
                    let name = function.of;
                    assert!(error < 0.6 * f64::from(f32::EPSILON), "{name:?} {a}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn interpolation_meets_the_values() {
        let points = [-1.0, 0.25, 2.0, 3.0];
        let coefficients = interpolate(points, points.map(|x| 1.0 - 2.0 * x + 0.5 * x * x * x));
        for (found, exact) in coefficients.into_iter().zip([1.0, -2.0, 0.0, 0.5]) {
            assert!((found - exact).abs() < 1e-14, "{found} for {exact}");
        }
    }
}
