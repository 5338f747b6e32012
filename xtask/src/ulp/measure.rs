//! The measure: units in the last place, and the tally of a sweep.

/// The distance of a result from the exact value, in units in the last place of the correctly
/// rounded f32.
///
/// The unit is the distance between floats in the binade of the correctly rounded result: 2^-23 for a result
/// in [1, 2), and 2^-149 for every subnormal one. A result that overflows although the exact value does not,
/// or the other way round, counts as 2^128. NaN and infinity are infinitely far away from any other exact
/// value.
#[inline]
pub fn ulps(found: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if found.is_nan() || exact.is_nan() {
        return if found.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if found == rounded && found.is_infinite() {
        return 0.0;
    }
    let found = if found.is_infinite() {
        f64::from(found.signum()) * 2f64.powi(128)
    } else {
        f64::from(found)
    };
    (found - exact).abs() * inverse_unit(rounded)
}

/// The reciprocal of the unit in the last place.
#[inline]
fn inverse_unit(rounded: f32) -> f64 {
    let exponent = (u64::from(rounded.to_bits()) >> 23 & 0xff).clamp(1, 254);
    // 2^(150 - exponent)
    f64::from_bits((1023 + 150 - exponent) << 52)
}

/// An error, and the argument at which it occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worst {
    pub ulps: f64,
    pub at: f32,
}

impl Worst {
    #[inline]
    fn meet(&mut self, ulps: f64, at: f32) {
        if ulps > self.ulps {
            *self = Self { ulps, at };
        }
    }
}

/// The results of a sweep for one function on one device.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The worst error among normal arguments with normal (or overflowing) results.
    pub worst: Worst,
    /// The number of these results, of those that are off by more than one unit, and of those that are
    /// correctly rounded.
    pub normal: u64,
    pub above_one: u64,
    pub correct: u64,
    /// The worst error if the argument or the result is subnormal or zero, not counting flushed results.
    pub subnormal: Worst,
    /// The number of results that are zero because they, or their arguments, are subnormal.
    pub flushed: u64,
    /// The number of wrong results for infinite arguments, which should be the limit, and for NaN, as an argument
    /// or as the exact result.
    pub wrong: u64,
    pub first_wrong: Option<f32>,
    /// The smallest unit to use, for results that are differences of greater numbers.
    pub least_unit: Option<f64>,
}

impl Tally {
    #[inline]
    pub fn add(&mut self, x: f32, found: f32, exact: f64) {
        let rounded = exact as f32;
        let error = match self.least_unit {
            Some(unit) => ulps(found, exact).min((f64::from(found) - exact).abs() / unit),
            None => ulps(found, exact),
        };
        // Not the rounded result, as drivers flush numbers that are subnormal before rounding.
        if is_normal(x) && exact.abs() >= LEAST_NORMAL {
            self.normal += 1;
            self.above_one += u64::from(error > 1.0);
            self.correct += u64::from(found == rounded);
            self.worst.meet(error, x);
        } else if x.is_finite() && !exact.is_nan() {
            if found == 0.0 && rounded != 0.0 && may_be_flushed(x, exact) {
                self.flushed += 1;
            } else {
                self.subnormal.meet(error, x);
            }
        } else if found != rounded && !(found.is_nan() && rounded.is_nan()) {
            self.wrong += 1;
            self.first_wrong.get_or_insert(x);
        }
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.worst.meet(other.worst.ulps, other.worst.at);
        self.normal += other.normal;
        self.above_one += other.above_one;
        self.correct += other.correct;
        self.subnormal.meet(other.subnormal.ulps, other.subnormal.at);
        self.flushed += other.flushed;
        self.wrong += other.wrong;
        self.first_wrong = self.first_wrong.or(other.first_wrong);
        self
    }

    /// Describes what is beyond the bound.
    ///
    /// If the argument or the result is subnormal, two units are always allowed, as such numbers have few digits to
    /// lose.
    pub fn faults(&self, bound: f64) -> Vec<String> {
        let mut faults = Vec::new();
        if self.worst.ulps > bound {
            let Worst { ulps, at } = self.worst;
            faults.push(format!("{ulps:.3} ULP at {at:?} exceed the bound {bound}"));
        }
        if self.subnormal.ulps > bound.max(2.0) {
            let Worst { ulps, at } = self.subnormal;
            faults.push(format!("{ulps:.3} ULP at {at:?}, where something is subnormal or zero"));
        }
        if let Some(at) = self.first_wrong {
            let count = self.wrong;
            faults.push(format!("{count} wrong results where NaN or infinity is, first at {at:?}"));
        }
        faults
    }
}

const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;

/// Whether the result may be zero instead: it is subnormal, or small because the argument is subnormal.
#[inline]
fn may_be_flushed(x: f32, exact: f64) -> bool {
    exact.abs() < LEAST_NORMAL || (x.is_subnormal() && exact.abs() < 4.0 * LEAST_NORMAL)
}

#[inline]
fn is_normal(x: f32) -> bool {
    x.is_finite() && x.abs() >= f32::MIN_POSITIVE
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: f32 = f32::MIN_POSITIVE;

    fn of(x: f32, found: f32, exact: f64) -> Tally {
        let mut tally = Tally::default();
        tally.add(x, found, exact);
        tally
    }

    #[test]
    fn the_unit_is_that_of_the_rounded_results_binade() {
        assert_eq!(ulps(1.5, 1.5), 0.0);
        assert_eq!(ulps(1.0f32.next_up(), 1.0), 1.0);
        // Below a power of two, floats are closer together than the unit.
        assert_eq!(ulps(1.0f32.next_down(), 1.0), 0.5);
        assert_eq!(ulps(-2.0f32.next_up(), -2.0), 1.0);
        // The error of a correctly rounded result counts too.
        let halfway = 1.0 + 2f64.powi(-24);
        assert_eq!(ulps(1.0, halfway), 0.5);
        assert_eq!(ulps(1.0f32.next_up(), halfway), 0.5);
        assert_eq!(ulps(0.0, 1e-30), 1e-30 / f64::from(1e-30f32.next_up() - 1e-30f32));
    }

    #[test]
    fn a_least_unit_replaces_smaller_ones() {
        let mut tally = Tally { least_unit: Some(2f64.powi(-24)), ..Tally::default() };
        tally.add(0.3, 0.0, 2f64.powi(-26));
        assert_eq!(tally.worst.ulps, 0.25);
        tally.add(0.3, f32::NAN, 0.5);
        assert_eq!(tally.worst.ulps, f64::INFINITY);
    }

    #[test]
    fn the_least_and_the_greatest_numbers_have_units_too() {
        let unit = 2f64.powi(-149);
        assert_eq!(ulps(f32::from_bits(3), 1.0 * unit), 2.0);
        assert_eq!(ulps(0.0, 0.25 * unit), 0.25);
        assert_eq!(ulps(LEAST, f64::from(LEAST) + 3.0 * unit), 3.0);
        assert_eq!(ulps(f32::MAX, f64::from(f32::MAX) - 2f64.powi(104)), 1.0);
    }

    #[test]
    fn overflow_is_one_step_past_the_greatest_number() {
        let step = 2f64.powi(104);
        assert_eq!(ulps(f32::INFINITY, f64::INFINITY), 0.0);
        assert_eq!(ulps(f32::INFINITY, 1e300), 0.0);
        assert_eq!(ulps(f32::INFINITY, f64::from(f32::MAX)), 1.0);
        assert_eq!(ulps(f32::MAX, 2f64.powi(128) + step), 2.0);
        assert_eq!(ulps(f32::MAX, f64::INFINITY), f64::INFINITY);
        assert!(ulps(f32::NEG_INFINITY, 1e300) > 1e20);
    }

    #[test]
    fn nan_is_right_only_where_it_belongs() {
        assert_eq!(ulps(f32::NAN, f64::NAN), 0.0);
        assert_eq!(ulps(f32::NAN, 1.0), f64::INFINITY);
        assert_eq!(ulps(1.0, f64::NAN), f64::INFINITY);
        assert_eq!(of(1.0, f32::NAN, 1.0).worst, Worst { ulps: f64::INFINITY, at: 1.0 });
        assert_eq!(of(f32::NAN, f32::NAN, f64::NAN).wrong, 0);
        assert_eq!(of(f32::NAN, 1.0, f64::NAN).wrong, 1);
        assert_eq!(of(-1.0, 1.0, f64::NAN).first_wrong, Some(-1.0));
        assert_eq!(of(f32::INFINITY, 1.0, 1.0).wrong, 0);
        assert_eq!(of(f32::INFINITY, 1.0f32.next_down(), 1.0).wrong, 1);
    }

    #[test]
    fn subnormal_numbers_are_counted_apart_and_may_be_flushed() {
        let subnormal = f32::from_bits(40);
        let flushed = of(1.0, 0.0, subnormal.into());
        assert_eq!((flushed.flushed, flushed.normal), (1, 0));
        assert!(flushed.faults(1.0).is_empty());
        let near = of(1.0, f32::from_bits(42), subnormal.into());
        assert_eq!(near.subnormal.ulps, 2.0);
        assert!(near.faults(1.0).is_empty());
        assert_eq!(of(1.0, f32::from_bits(43), subnormal.into()).faults(1.0).len(), 1);
        // Whether a result is subnormal is decided before rounding.
        assert_eq!(of(1.0, 0.0, LEAST_NORMAL * (1.0 - 1e-9)).flushed, 1);
        // A driver that flushes arguments returns zero for twice a subnormal argument.
        assert!(of(subnormal, 0.0, 2.0 * f64::from(subnormal)).faults(1.0).is_empty());
        assert!(of(LEAST.next_down(), 0.0, 2.0 * f64::from(LEAST)).faults(1.0).is_empty());
        // That is no excuse if the result is normal, or exactly zero.
        assert_eq!(of(subnormal, 0.0, 1.0).faults(1.0).len(), 1);
        assert_eq!(of(LEAST, 0.0, 2.0 * f64::from(LEAST)).faults(1.0).len(), 1);
        assert_eq!(of(-1.0, 1e-30, 0.0).faults(1.0).len(), 1);
    }

    #[test]
    fn tallies_add_up() {
        let tallies = [of(1.0, 1.0, 1.0), of(2.0, 2.0f32.next_up(), 2.0), of(3.0, 9.0, 3.0)];
        let [first, second, third] = tallies;
        let all = first.merge(second).merge(third);
        assert_eq!((all.normal, all.correct, all.above_one), (3, 1, 1));
        assert_eq!(all.worst.at, 3.0);
        assert_eq!(all.faults(4.0).len(), 1);
    }
}
