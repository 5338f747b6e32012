//! Rows side by side, one in each lane.

use super::parallel::{LANES, Lanes};

/// Memory for the steps of a transposition.
///
/// The index of an element, among LANES rows of the same width, consists of the row's number
/// followed by the column's. Interleaving the two halves of all elements moves the first bit of the
/// row's number to the end; when all its bits have been moved, the column's number comes first.
/// Deinterleaving reverses this. Both compile to vector shuffles, while moving the elements
/// directly would be single moves.
#[derive(Default)]
pub(super) struct Transposition {
    rows: Vec<f32>,
    between: Vec<f32>,
}

impl Transposition {
    /// Sets tile[i][lane] to element i of the row whose number is the lane's. If there are
    /// fewer rows than lanes, the other lanes get the filler. If `change` is given, it is
    /// applied to a copy of the rows first.
    #[inline(always)]
    pub(super) fn rows_to_lanes(
        &mut self,
        rows: &[f32],
        filler: f32,
        change: Option<impl FnOnce(&mut [f32])>,
        tile: &mut [Lanes],
    ) {
        // Each step moves two bits.
        const { assert!(LANES == 1 << 6) };
        let tile = tile.as_flattened_mut();
        self.rows.resize(tile.len(), 0.0);
        self.between.resize(tile.len(), 0.0);
        if rows.len() == tile.len() && change.is_none() {
            interleave(rows, &mut self.between);
        } else {
            let (copy, others) = self.rows.split_at_mut(rows.len());
            copy.copy_from_slice(rows);
            if let Some(change) = change {
                change(copy);
            }
            others.fill(filler);
            interleave(&self.rows, &mut self.between);
        }
        interleave(&self.between, &mut self.rows);
        interleave(&self.rows, tile);
    }

    /// The inverse, for as many rows as the output has.
    #[inline(always)]
    pub(super) fn lanes_to_rows(&mut self, tile: &[Lanes], output: &mut [f32]) {
        // Each step moves one bit.
        const { assert!(LANES == 1 << 6) };
        let tile = tile.as_flattened();
        self.rows.resize(tile.len(), 0.0);
        self.between.resize(tile.len(), 0.0);
        let Self { rows, between } = self;
        deinterleave(tile, rows);
        deinterleave(rows, between);
        deinterleave(between, rows);
        deinterleave(rows, between);
        deinterleave(between, rows);
        if output.len() == tile.len() {
            deinterleave(rows, output);
        } else {
            deinterleave(rows, between);
            output.copy_from_slice(&between[..output.len()]);
        }
    }
}

/// Interleaves the four quarters of the input, element by element.
#[inline(always)]
fn interleave(from: &[f32], to: &mut [f32]) {
    let part = from.len() / 4;
    let (a, rest) = from.split_at(part);
    let (b, rest) = rest.split_at(part);
    let (c, d) = rest.split_at(part);
    let (d, to) = (&d[..part], &mut to.as_chunks_mut::<4>().0[..part]);
    for i in 0..part {
        // Write the elements one by one, because assigning a whole array is not vectorised.
        to[i][0] = a[i];
        to[i][1] = b[i];
        to[i][2] = c[i];
        to[i][3] = d[i];
    }
}

/// The inverse of interleaving, with halves, which is faster than with quarters.
#[inline(always)]
fn deinterleave(from: &[f32], to: &mut [f32]) {
    let part = to.len() / 2;
    let (a, b) = to.split_at_mut(part);
    let (b, from) = (&mut b[..part], &from.as_chunks::<2>().0[..part]);
    for i in 0..part {
        a[i] = from[i][0];
        b[i] = from[i][1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut transposition = Transposition::default();
        for width in [1, 2, 3, 10, 16, 31, 32, 64] {
            for count in [1, 2, 63, LANES] {
                let rows: Vec<f32> = (0..count * width).map(|i| i as f32).collect();
                for change in [None, Some(|rows: &mut [f32]| rows.fill(7.0))] {
                    let mut tile = vec![[f32::NAN; LANES]; width];
                    transposition.rows_to_lanes(&rows, -1.0, change, &mut tile);
                    for (i, lanes) in tile.iter().enumerate() {
                        for (lane, &found) in lanes.iter().enumerate() {
                            let expected = match rows.get(lane * width + i) {
                                None => -1.0,
                                Some(_) if change.is_some() => 7.0,
                                Some(&value) => value,
                            };
                            assert_eq!(found, expected, "{width} {count} {i} {lane}");
                        }
                    }
                    let mut found = vec![f32::NAN; rows.len()];
                    transposition.lanes_to_rows(&tile, &mut found);
                    assert!(change.is_some() || found == rows, "{width} {count}");
                }
            }
        }
    }
}
