//! Ignored rows of a batch, which have no effect.

/// Sets the rows with this label to zero.
pub(super) fn clear(labels: &[i32], label: i32, width: usize, rows: &mut [f32]) {
    let rows = rows.chunks_mut(width.max(1)).zip(labels);
    rows.filter(|(_, found)| **found == label).for_each(|(row, _)| row.fill(0.0));
}
