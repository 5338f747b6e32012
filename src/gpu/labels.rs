//! Checks of labels that only the device knows.

use std::sync::Arc;

use super::buffer::OnGpu;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{groups, pieces, window};
use super::operations::{WORKGROUP, ZERO, run};
use super::parameters::parameters;
use crate::backend::{LabelCheck, LabelCheckOf};
use crate::error::Result;

parameters! {
    struct CheckLabelsParameters {
        rows: u32,
        zero: u32,
        classes: u32,
        ignores: u32,
        ignore_index: i32,
        weighted: u32,
        weights_row: u32,
        labels_base: u32,
        weights_base: u32,
        valid_base: u32,
        output_base: u32,
    }
}

pub(super) fn check(context: &Arc<Context>, check: &LabelCheck<'_>) -> Result<()> {
    let &LabelCheckOf { labels, rows, classes, ignore_index, weights, valid, output, invalid } =
        check;
    let kernel = Kernel::new(Template::CheckLabels);
    for (start, length) in pieces(rows, context.window_elements()) {
        let [labels, valid, output] = [
            window(labels.gpu()?, start, length),
            window(valid.gpu()?, start, length),
            window(output.gpu()?, start, length),
        ];
        let row = weights.map_or(0, |weights| weights.row);
        let weights = match weights {
            Some(weights) => window(weights.storage.gpu()?, start * row, (length - 1) * row + 1),
            // Never read.
            None => labels,
        };
        let parameters = CheckLabelsParameters {
            rows: length as u32,
            zero: ZERO,
            classes: u32::try_from(classes).unwrap_or(u32::MAX),
            ignores: ignore_index.is_some().into(),
            ignore_index: ignore_index.unwrap_or_default(),
            weighted: check.weights.is_some().into(),
            weights_row: row as u32,
            labels_base: labels.base,
            weights_base: weights.base,
            valid_base: valid.base,
            output_base: output.base,
        };
        let bindings = [
            labels.binding,
            weights.binding,
            valid.binding,
            output.binding,
            window(invalid.gpu()?, 0, 1).binding,
        ];
        run(context, &kernel, &bindings, &parameters, groups(length.div_ceil(WORKGROUP)))?;
    }
    Ok(())
}
