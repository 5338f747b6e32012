//! The elements of rows that do not fill the last vector.

/// The last N elements of rows. Those that do not fill a vector of N are at their end.
#[derive(Clone, Copy)]
pub(super) struct Rest<const N: usize> {
    /// All bits are set in the places of these elements.
    places: [u32; N],
}

impl<const N: usize> Rest<N> {
    #[inline(always)]
    pub(super) fn of_rows(width: usize) -> Self {
        let others = N - width % N;
        Self { places: std::array::from_fn(|i| if i >= others { u32::MAX } else { 0 }) }
    }

    /// The row's elements in these places, and `others` elsewhere.
    #[inline(always)]
    pub(super) fn choose(&self, row: &[f32; N], others: &[f32; N]) -> [f32; N] {
        let mut chosen = *others;
        for i in 0..N {
            let (row, other) = (row[i].to_bits(), others[i].to_bits());
            chosen[i] = f32::from_bits(row & self.places[i] | other & !self.places[i]);
        }
        chosen
    }
}
