//! The classes that rows predict, and counts of them.

use crate::backend::parallel::{SERIAL, on_all_threads, vectorised};
use crate::backend::{PredictionCount, Rows};

/// An integer that grows with x, the same for 0 and −0, and greatest for NaN.
fn order_of(x: f32) -> i32 {
    let bits = x.to_bits().cast_signed();
    let magnitude = bits & i32::MAX;
    if magnitude > f32::INFINITY.to_bits().cast_signed() {
        return i32::MAX;
    }
    if bits < 0 { -magnitude } else { magnitude }
}

/// The place of the greatest element, the first of several.
fn best(row: &[f32]) -> usize {
    let greatest = row.iter().map(|&x| order_of(x)).max();
    row.iter().position(|&x| Some(order_of(x)) == greatest).unwrap_or_default()
}

/// The number of elements that the row prefers to that of the label; all, if that is no class.
fn rank(row: &[f32], label: i32) -> usize {
    let Some((label, &of_label)) =
        usize::try_from(label).ok().and_then(|label| Some((label, row.get(label)?)))
    else {
        return row.len();
    };
    let order = order_of(of_label);
    let greater = row.iter().filter(|&&x| order_of(x) > order).count();
    greater + row[..label].iter().filter(|&&x| order_of(x) == order).count()
}

/// Writes the class that each row predicts and, with labels, the rank of its label.
pub(super) fn predict(input: &[f32], rows: Rows, labels: Option<&[i32]>, output: &mut [u32]) {
    let words = if labels.is_some() { 2 } else { 1 };
    let Rows { count, width } = rows;
    let each = (SERIAL / 2).div_ceil(width.max(1));
    let run = |(piece, output): (usize, &mut [u32])| {
        vectorised(|| {
            for (row, output) in (piece * each..).zip(output.chunks_mut(words)) {
                let elements = &input[row * width..(row + 1) * width];
                output[0] = best(elements) as u32;
                if let (Some(labels), Some(to)) = (labels, output.get_mut(1)) {
                    *to = rank(elements, labels[row]) as u32;
                }
            }
        });
    };
    let pieces = output[..count * words].chunks_mut(each * words).enumerate();
    if rows.elements() < SERIAL { pieces.for_each(run) } else { on_all_threads(pieces, run) }
}

/// Counts the rows by what they predict for their label.
pub(super) fn count(
    call: &PredictionCount<'_>,
    predictions: &[u32],
    labels: &[i32],
    counts: &mut [u32],
) {
    let mut add = |place: usize| {
        let low = counts[2 * place].wrapping_add(1);
        counts[2 * place] = low;
        counts[2 * place + 1] += u32::from(low == 0);
    };
    for (prediction, &label) in predictions.chunks(2).zip(labels).take(call.rows) {
        let class = usize::try_from(label).ok().filter(|&class| class < call.classes);
        match class {
            _ if Some(label) == call.ignore_index => add(3),
            None => add(4),
            Some(class) => {
                let (predicted, rank) = (prediction[0] as usize, prediction[1] as usize);
                add(0);
                if rank == 0 {
                    add(1);
                }
                if rank < call.top_k {
                    add(2);
                }
                if call.matrix {
                    add(PredictionCount::TOTALS + class * call.classes + predicted);
                }
            }
        }
    }
}
