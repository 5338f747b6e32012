//! The least and greatest of a set of values.

use half::slice::HalfFloatSliceExt;
use pulp::NullaryFnOnce;

use super::parallel::{CHUNK, of_pieces, vectorised};

/// The extremes of a tensor's elements, ignoring NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: Extreme,
    pub(crate) greatest: Extreme,
    /// The first element that is neither 0 nor 1, if all numbers lie between 0 and 1.
    pub(crate) between: Option<Extreme>,
}

/// An element: the first one that has this value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extreme {
    pub(crate) value: f32,
    pub(crate) index: usize,
}

impl Bounds {
    /// Returns `None` if there are no numbers.
    pub(crate) fn of(values: &[f32]) -> Option<Self> {
        let ranges = of_pieces(values, CHUNK, range);
        let least = ranges.iter().map(|range| range.0).fold(f32::INFINITY, f32::min);
        let greatest = ranges.iter().map(|range| range.1).fold(f32::NEG_INFINITY, f32::max);
        // To find the index, search only the first chunk that has the value.
        let find = |value: f32, has: &dyn Fn(&(f32, f32)) -> bool| {
            let start = ranges.iter().position(has)? * CHUNK;
            let place = values[start..].iter().position(|&element| element == value)?;
            Some(Extreme { value: values[start + place], index: start + place })
        };
        let within = least >= 0.0 && greatest <= 1.0;
        Some(Self {
            least: find(least, &|range| range.0 == least)?,
            greatest: find(greatest, &|range| range.1 == greatest)?,
            between: if within { between(values) } else { None },
        })
    }

    /// The bounds of values of 16 bits.
    pub(crate) fn of_halves<H: Sync>(values: &[H]) -> Option<Self>
    where
        [H]: HalfFloatSliceExt,
    {
        // Convert one chunk at a time: converting everything at once would
        // take three times the memory.
        let chunks = of_pieces(values, CHUNK, |chunk: &[H]| Self::of(&chunk.to_f32_vec()));
        let chunks = chunks.into_iter().zip((0..).step_by(CHUNK));
        let placed = chunks.filter_map(|(bounds, start)| {
            let place = |extreme: Extreme| Extreme { index: start + extreme.index, ..extreme };
            let Self { least, greatest, between } = bounds?;
            let (least, greatest) = (place(least), place(greatest));
            Some(Self { least, greatest, between: between.map(place) })
        });
        placed.reduce(|before, next| {
            let is_less = next.least.value < before.least.value;
            let least = if is_less { next.least } else { before.least };
            let is_greater = next.greatest.value > before.greatest.value;
            let greatest = if is_greater { next.greatest } else { before.greatest };
            let within = least.value >= 0.0 && greatest.value <= 1.0;
            let between = before.between.or(next.between).filter(|_| within);
            Self { least, greatest, between }
        })
    }

    /// The bounds of this number of zeros.
    pub(crate) fn of_zeros(elements: usize) -> Option<Self> {
        let zero = Extreme { value: 0.0, index: 0 };
        (elements > 0).then_some(Self { least: zero, greatest: zero, between: None })
    }
}

/// The first element that is neither 0 nor 1. In probabilities it is one of the first elements. A
/// mask has to be scanned to its end, so the scan goes in whole pieces.
fn between(values: &[f32]) -> Option<Extreme> {
    let is_between = |value: &f32| *value != 0.0 && *value != 1.0;
    let has_one = |piece: &[f32]| piece.iter().fold(false, |any, value| any | is_between(value));
    let piece = values.chunks(PIECE).position(has_one)?;
    let place = values[piece * PIECE..].iter().position(is_between)?;
    let index = piece * PIECE + place;
    Some(Extreme { value: values[index], index })
}

const PIECE: usize = 256;

/// The least and the greatest value; +∞ and −∞ if there are no numbers.
fn range(values: &[f32]) -> (f32, f32) {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let [least, greatest] = vectorised(Lanes { chunks });
    let least = least.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    let greatest = greatest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    (least, greatest)
}

const LANES: usize = 32;

/// The least and the greatest value of each lane. If their overall extremes were also computed
/// here, the compiler would not keep the lanes in vectors.
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
                // Both comparisons are false for NaN.
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

    /// The definition of the bounds.
    fn plain(values: &[f32]) -> Option<Bounds> {
        let mut numbers = values
            .iter()
            .enumerate()
            .filter(|(_, value)| !value.is_nan())
            .map(|(index, &value)| Extreme { value, index });
        let first = numbers.next()?;
        let mut bounds = Bounds { least: first, greatest: first, between: None };
        for number in numbers {
            if number.value < bounds.least.value {
                bounds.least = number;
            }
            if number.value > bounds.greatest.value {
                bounds.greatest = number;
            }
        }
        if bounds.least.value >= 0.0 && bounds.greatest.value <= 1.0 {
            let mut all = values.iter().enumerate();
            let odd = all.find(|(_, value)| ![0.0, 1.0].contains(*value));
            bounds.between = odd.map(|(index, &value)| Extreme { value, index });
        }
        Some(bounds)
    }

    #[test]
    fn the_first_of_the_extremes_is_found_at_any_length() {
        let mut random = fastrand::Rng::with_seed(1);
        for length in (0..70).chain([CHUNK - 1, CHUNK, CHUNK + 1, SERIAL - 1, SERIAL, 100_003]) {
            // Use few distinct values, so that each of them repeats.
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
                    let found = Bounds::of(&values).unwrap();
                    assert_eq!([found.least, found.greatest], [only; 2], "{length}, {place}");
                    let (between, expected) = (found.between, plain(&values).unwrap().between);
                    assert_eq!(between.map(|it| it.index), expected.map(|it| it.index));
                    assert_eq!(found.least.value.to_bits(), special.to_bits());
                    values.iter_mut().filter(|value| value.is_nan()).for_each(|v| *v = 2.0);
                    assert_eq!(Bounds::of(&values), plain(&values), "{length}, {place}");
                }
            }
        }
    }

    #[test]
    fn what_is_neither_0_nor_1_is_found_wherever_it_is() {
        for length in [1, PIECE - 1, PIECE, PIECE + 1, SERIAL + 3] {
            let mask: Vec<f32> = (0..length).map(|i| (i % 3 / 2) as f32).collect();
            assert_eq!(Bounds::of(&mask).unwrap().between, None);
            for odd in [0.5, 1e-45, 1.0f32.next_down()] {
                for place in [0, length / 2, length - 1] {
                    let mut values = mask.clone();
                    values[place] = odd;
                    let expected = Some(Extreme { value: odd, index: place });
                    assert_eq!(Bounds::of(&values).unwrap().between, expected, "{length}, {place}");
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
