//! The least and the greatest of values.

use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::NullaryFnOnce;

use super::parallel::{CHUNK, of_pieces, vectorised};

/// The extremes of a tensor's elements, NaN aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: Extreme,
    pub(crate) greatest: Extreme,
}

/// An element, the first of its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extreme {
    pub(crate) value: f32,
    pub(crate) index: usize,
}

impl Bounds {
    /// Nothing where there are no numbers.
    pub(crate) fn of(values: &[f32]) -> Option<Self> {
        let ranges = of_pieces(values, CHUNK, range);
        let least = ranges.iter().map(|range| range.0).fold(f32::INFINITY, f32::min);
        let greatest = ranges.iter().map(|range| range.1).fold(f32::NEG_INFINITY, f32::max);
        // Only the first chunk that has the value is searched for its place.
        let find = |value: f32, has: &dyn Fn(&(f32, f32)) -> bool| {
            let start = ranges.iter().position(has)? * CHUNK;
            let place = values[start..].iter().position(|&element| element == value)?;
            Some(Extreme { value: values[start + place], index: start + place })
        };
        Some(Self {
            least: find(least, &|range| range.0 == least)?,
            greatest: find(greatest, &|range| range.1 == greatest)?,
        })
    }

    /// The same of halves.
    pub(crate) fn of_halves(values: &[f16]) -> Option<Self> {
        // A chunk at a time: all of them would take three times the memory.
        let chunks = of_pieces(values, CHUNK, |chunk: &[f16]| Self::of(&chunk.to_f32_vec()));
        let chunks = chunks.into_iter().zip((0..).step_by(CHUNK));
        let placed = chunks.filter_map(|(bounds, start)| {
            let place = |extreme: Extreme| Extreme { index: start + extreme.index, ..extreme };
            let Self { least, greatest } = bounds?;
            Some(Self { least: place(least), greatest: place(greatest) })
        });
        placed.reduce(|before, next| Self {
            least: if next.least.value < before.least.value { next.least } else { before.least },
            greatest: match next.greatest.value > before.greatest.value {
                true => next.greatest,
                false => before.greatest,
            },
        })
    }

    /// Those of so many zeros.
    pub(crate) fn of_zeros(elements: usize) -> Option<Self> {
        let zero = Extreme { value: 0.0, index: 0 };
        (elements > 0).then_some(Self { least: zero, greatest: zero })
    }
}

/// The least and the greatest value; +∞ and −∞ where there are no numbers.
fn range(values: &[f32]) -> (f32, f32) {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let [least, greatest] = vectorised(Lanes { chunks });
    let least = least.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    let greatest = greatest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    (least, greatest)
}

const LANES: usize = 32;

/// The least and the greatest value of each lane. With their own extremes taken in here too, the
/// compiler would not keep the lanes in vectors.
struct Lanes<'a> {
    chunks: &'a [[f32; LANES]],
}

impl NullaryFnOnce for Lanes<'_> {
    type Output = [[f32; LANES]; 2];

    #[inline(always)]
    fn call(self) -> Self::Output {
        let mut least = [f32::INFINITY; LANES];
        let mut greatest = [f32::NEG_INFINITY; LANES];
        for chunk in self.chunks {
            for lane in 0..LANES {
                let value = chunk[lane];
                // Neither holds for NaN.
                least[lane] = if value < least[lane] { value } else { least[lane] };
                greatest[lane] = if value > greatest[lane] { value } else { greatest[lane] };
            }
        }
        [least, greatest]
    }
}

#[cfg(test)]
mod tests {
    use super::super::parallel::SERIAL;
    use super::*;

    /// The definition.
    fn plain(values: &[f32]) -> Option<Bounds> {
        let mut numbers = values
            .iter()
            .enumerate()
            .filter(|(_, value)| !value.is_nan())
            .map(|(index, &value)| Extreme { value, index });
        let first = numbers.next()?;
        let mut bounds = Bounds { least: first, greatest: first };
        for number in numbers {
            if number.value < bounds.least.value {
                bounds.least = number;
            }
            if number.value > bounds.greatest.value {
                bounds.greatest = number;
            }
        }
        Some(bounds)
    }

    #[test]
    fn the_first_of_the_extremes_is_found_at_any_length() {
        let mut random = fastrand::Rng::with_seed(1);
        for length in (0..70).chain([CHUNK - 1, CHUNK, CHUNK + 1, SERIAL - 1, SERIAL, 100_003]) {
            // Few different values, so that each comes again.
            let values: Vec<f32> = (0..length).map(|_| random.f32() - 0.5).collect();
            let coarse: Vec<f32> = values.iter().map(|value| (value * 8.0).round()).collect();
            for values in [values, coarse] {
                assert_eq!(Bounds::of(&values), plain(&values), "{length}");
            }
        }
    }

    #[test]
    fn nan_is_passed_over_and_infinity_is_not() {
        for length in [1, 15, 16, 17, 33, CHUNK + 40, SERIAL + 40] {
            assert_eq!(Bounds::of(&vec![f32::NAN; length]), None);
            for special in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1e-45] {
                for place in [0, length / 2, length - 1] {
                    let mut values = vec![f32::NAN; length];
                    values[place] = special;
                    let only = Extreme { value: special, index: place };
                    let expected = Bounds { least: only, greatest: only };
                    let found = Bounds::of(&values).unwrap();
                    assert_eq!(found, expected, "{length}, {place}");
                    assert_eq!(found.least.value.to_bits(), special.to_bits());
                    values.iter_mut().filter(|value| value.is_nan()).for_each(|v| *v = 2.0);
                    assert_eq!(Bounds::of(&values), plain(&values), "{length}, {place}");
                }
            }
        }
    }

    #[test]
    fn zeros_are_told_without_looking() {
        for length in [0, 1, 100] {
            assert_eq!(Bounds::of_zeros(length), Bounds::of(&vec![0.0; length]));
        }
    }
}
