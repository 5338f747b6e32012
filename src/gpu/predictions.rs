//! The classes that rows predict, and counts of them.

use std::sync::Arc;

use super::buffer::OnGpu;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, pieces, window};
use super::operations::{
    Loops, RowPass, WORKGROUP, ZERO, lanes, row_groups, rows_window, run as dispatch,
};
use super::parameters::parameters;
use crate::backend::{PredictionCount, PredictionCountOf, Rows, Storage};
use crate::error::{Error, Result};

/// The number of times that the kernel passes over a row.
const PASSES: usize = 2;

parameters! {
    struct PredictionsParameters {
        rows: u32,
        width: u32,
        zero: u32,
        z_base: u32,
        labels_base: u32,
        output_base: u32,
    }
}

parameters! {
    struct CountPredictionsParameters {
        rows: u32,
        zero: u32,
        classes: u32,
        ignores: u32,
        ignore_index: i32,
        top_k: u32,
        matrix: u32,
        predictions_base: u32,
        labels_base: u32,
    }
}

/// The class that each row predicts and, with labels, the rank of its label.
pub(super) fn predict(
    context: &Arc<Context>,
    input: &Storage,
    rows: Rows,
    labels: Option<&Storage>,
    output: &Storage,
) -> Result<()> {
    let words = if labels.is_some() { 2 } else { 1 };
    let lanes = lanes(context, rows.width, PASSES);
    let kernel = Kernel::new(Template::Predictions)
        .constant("LANES", lanes as f64)
        .constant("WANT_RANK", f64::from(u8::from(labels.is_some())));
    let (input, output) = (input.gpu()?, output.gpu()?);
    let loops = Some(Loops { width: rows.width, passes: PASSES });
    let pass = RowPass { rows, output_width: words, loops };
    for (first, count) in pass.windows(context)? {
        let z = rows_window(input, first, count, rows.width);
        let labels = match labels {
            Some(labels) => window(labels.gpu()?, first, count),
            // Never read.
            None => z,
        };
        let output = rows_window(output, first, count, words);
        let parameters = PredictionsParameters {
            rows: count as u32,
            width: rows.width as u32,
            zero: ZERO,
            z_base: z.base,
            labels_base: labels.base,
            output_base: output.base,
        };
        let bindings = [z.binding, labels.binding, output.binding];
        dispatch(context, &kernel, &bindings, &parameters, row_groups(count, lanes))?;
    }
    Ok(())
}

pub(super) fn count(context: &Arc<Context>, count: &PredictionCount<'_>) -> Result<()> {
    let &PredictionCountOf { predictions, labels, rows, classes, counts, .. } = count;
    let kernel = Kernel::new(Template::CountPredictions);
    let words = count.words();
    if words > context.window_elements() {
        let bytes = |words: usize| (words * size_of::<u32>()) as u64;
        return Err(Error::TooLarge {
            what: format!("a confusion matrix of {classes} classes"),
            bytes: bytes(words),
            limit: bytes(context.window_elements()),
        });
    }
    for (first, length) in pieces(rows, context.window_elements() / 2) {
        let predictions = rows_window(predictions.gpu()?, first, length, 2);
        let labels = window(labels.gpu()?, first, length);
        let parameters = CountPredictionsParameters {
            rows: length as u32,
            zero: ZERO,
            classes: classes as u32,
            ignores: count.ignore_index.is_some().into(),
            ignore_index: count.ignore_index.unwrap_or_default(),
            top_k: u32::try_from(count.top_k).unwrap_or(u32::MAX),
            matrix: count.matrix.into(),
            predictions_base: predictions.base,
            labels_base: labels.base,
        };
        let counts = window(counts.gpu()?, 0, words);
        let bindings = [predictions.binding, labels.binding, counts.binding];
        let dispatched = groups(length.div_ceil(WORKGROUP));
        dispatch(context, &kernel, &bindings, &parameters, dispatched)?;
    }
    Ok(())
}
