//! Losses, together with the activation below them.

use std::sync::Arc;

use super::buffer::{Buffer, OnGpu};
use super::column_sum::column_sum;
use super::context::Context;
use super::kernel::{HELD, Kernel, TargetKind, Template};
use super::operand::{groups, window};
use super::operations::{
    Loops, RowPass, WORKGROUP, ZERO, lanes, row_groups, rows_window, run as dispatch,
};
use super::parameters::parameters;
use super::recorder::ALIGNMENT;
use crate::backend::{
    ColumnSums, LossCall, LossOutputs, LossPass, Rows, STATE, Spread, Storage, TargetStorage,
    TilePass, TileStep,
};
use crate::error::Result;
use wgrad_formula::formulas::{Formula, Head, Pair, RowFunction};

/// The least number of rows for which a workgroup adds up their columns: fewer rows would leave almost as much to add
/// up. Measured in bytes: outside of its products an output layer moves 1.00 to 1.15 times what it has to, instead of
/// 1.52 to 1.59 (CHANGELOG.md, "An output layer of softmax and cross-entropy adds up dE/db"). Not measured: other
/// numbers of rows.
const SUMMED_ROWS: usize = 16;

/// The least number of elements between the starts of two bindings of one buffer.
const UNUSED: usize = ALIGNMENT / size_of::<f32>();

parameters! {
    struct LossParameters {
        rows: u32,
        width: u32,
        elements: u32,
        zero: u32,
        scale: f32,
        smoothing: f32,
        ignores: u32,
        ignore_index: i32,
        z_loss: f32,
        z_base: u32,
        targets_base: u32,
        losses_base: u32,
        y_base: u32,
        dz_base: u32,
        weights_base: u32,
        weights_row: u32,
        weights_column: u32,
        extra_base: u32,
        extra_row: u32,
        extra_column: u32,
        first_column: u32,
        classes: u32,
    }
}

/// The inputs and outputs of the loss kernels.
struct Operands<'a> {
    call: LossCall<'a>,
    rows: Rows,
    z: Option<&'a Arc<Buffer>>,
    targets: &'a Arc<Buffer>,
    kind: TargetKind,
    weights: Option<(&'a Arc<Buffer>, Spread<'a>)>,
    extra: Option<(&'a Arc<Buffer>, Spread<'a>)>,
    divisor: Option<&'a Arc<Buffer>>,
    losses: Option<&'a Arc<Buffer>>,
    /// y, or the terms in its place.
    y: Option<&'a Arc<Buffer>>,
    dz: Option<&'a Arc<Buffer>>,
    /// The sums of the columns over each workgroup's rows, and their number. They are bound in place of y.
    column_sums: Option<(Arc<Buffer>, usize)>,
    /// For a tile, its first column and the number of classes of a whole row. `y` holds the states then.
    tile: Option<(usize, usize)>,
    /// Bound in place of an output that is not wanted, and never touched.
    unused: Arc<Buffer>,
}

impl<'a> Operands<'a> {
    fn new(
        context: &Arc<Context>,
        call: LossCall<'a>,
        rows: Rows,
        z: Option<&'a Storage>,
        outputs: LossOutputs<'a>,
    ) -> Result<Self> {
        let (targets, kind) = match call.targets {
            TargetStorage::Dense(storage) => (storage, TargetKind::Dense),
            TargetStorage::Labels(storage) => (storage, TargetKind::Labels),
        };
        let spread = |spread: Option<Spread<'a>>| {
            spread.map(|spread| Ok((spread.storage.gpu()?, spread))).transpose()
        };
        let classes = |storage| Spread { storage, row: 0, column: 1 };
        let buffer = |storage: Option<&'a Storage>| storage.map(OnGpu::gpu).transpose();
        Ok(Self {
            call,
            rows,
            z: buffer(z)?,
            targets: targets.gpu()?,
            kind,
            weights: spread(call.weights)?,
            extra: spread(call.extra.or(call.class_weights.map(classes)))?,
            divisor: buffer(call.divisor)?,
            losses: buffer(outputs.losses)?,
            y: buffer(outputs.y.or(outputs.terms))?,
            dz: buffer(outputs.dz)?,
            column_sums: None,
            tile: None,
            unused: context.workspace(3 * UNUSED)?,
        })
    }

    fn kernel(&self, template: Template, outputs: LossOutputs<'_>) -> Kernel {
        let flag = |is: bool| f64::from(u8::from(is));
        Kernel::new(template)
            .constant("INPUTS", f64::from(self.inputs()))
            .constant("WANT_LOSS", flag(self.losses.is_some()))
            .constant("WANT_TERMS", flag(outputs.terms.is_some()))
            .constant("WANT_Y", flag(outputs.y.is_some()))
            .constant("WANT_DZ", flag(self.dz.is_some()))
    }

    /// The inputs that are present, as bits.
    fn inputs(&self) -> u32 {
        let inputs = [
            self.weights.is_some(),
            self.call.class_weights.is_some(),
            self.call.extra.is_some(),
            self.divisor.is_some(),
        ];
        inputs.into_iter().zip(0..).map(|(has, bit)| u32::from(has) << bit).sum()
    }

    /// Runs a kernel for a window of the rows of z, given as its first row, its number of rows and its number of
    /// elements. The targets of row 0 are in row `first_row`.
    fn run(
        &self,
        context: &Context,
        kernel: &Kernel,
        (first, count, length): (usize, usize, usize),
        first_row: usize,
        groups: [u32; 3],
    ) -> Result<()> {
        let Rows { width, .. } = self.rows;
        let row = first_row + first;
        let (first_column, classes) = self.tile.unwrap_or((0, width));
        // Bound in place of an input or output that is not wanted: one vec4, or all elements if there are
        // fewer. Outputs may not overlap.
        let nothing = |buffer| window(buffer, 0, length.min(4));
        let unused = |output: usize| window(&self.unused, output * UNUSED, 4);
        let elements = |buffer: Option<&'a Arc<Buffer>>, otherwise| {
            buffer.map_or(otherwise, |buffer| window(buffer, first * width, length))
        };
        let spread = |operand: Option<(&'a Arc<Buffer>, Spread<'a>)>| match operand {
            Some((buffer, Spread { row: by_row, column, .. })) => {
                // The last row may be short.
                let last = (count - 1) * by_row + (length - (count - 1) * width - 1) * column;
                let before = count.saturating_sub(2) * by_row + (width - 1) * column;
                let last = match (by_row, count) {
                    (0, _) => (classes - 1) * column,
                    (_, 1) => last,
                    _ => last.max(before),
                };
                (window(buffer, row * by_row, last + 1), [by_row as u32, column as u32])
            }
            None => (nothing(self.targets), [0, 0]),
        };
        let targets = match self.kind {
            TargetKind::Dense => window(self.targets, row * width, length),
            TargetKind::Labels => window(self.targets, row, count),
        };
        let z = elements(self.z, nothing(self.targets));
        let ((weights, weights_by), (extra, extra_by)) = (spread(self.weights), spread(self.extra));
        let divisor = nothing(self.divisor.unwrap_or(self.targets));
        let losses =
            self.losses.map_or_else(|| unused(0), |losses| rows_window(losses, row, count, 1));
        let y = match (&self.column_sums, self.y, self.tile) {
            (Some((sums, numbers)), ..) => window(sums, 0, *numbers),
            (None, Some(states), Some(_)) => window(states, 0, count * STATE),
            (None, y, _) => elements(y, unused(1)),
        };
        let dz = elements(self.dz, unused(2));
        let parameters = LossParameters {
            rows: count as u32,
            width: width as u32,
            elements: length as u32,
            zero: ZERO,
            scale: self.call.scale,
            smoothing: self.call.smoothing,
            ignores: u32::from(self.call.ignore_index.is_some()),
            ignore_index: self.call.ignore_index.unwrap_or_default(),
            z_loss: self.call.z_loss,
            z_base: z.base,
            targets_base: targets.base,
            losses_base: losses.base,
            y_base: y.base,
            dz_base: dz.base,
            weights_base: weights.base,
            weights_row: weights_by[0],
            weights_column: weights_by[1],
            extra_base: extra.base,
            extra_row: extra_by[0],
            extra_column: extra_by[1],
            first_column: first_column as u32,
            classes: classes as u32,
        };
        let windows = [z, targets, weights, extra, divisor, losses, y, dz];
        let bindings = windows.map(|window| window.binding);
        dispatch(context, kernel, &bindings, &parameters, groups)
    }
}

pub(super) fn run(context: &Arc<Context>, pass: LossPass<'_>) -> Result<()> {
    let LossPass { call, head, rows, elements, first_row, outputs, .. } = pass;
    let width = rows.width;
    let mut operands = Operands::new(context, call, rows, pass.z, outputs)?;
    let kind = operands.kind;
    // The number of passes that the kernel makes over a row.
    let passes = match head {
        Head::RowTerms { .. } => 6,
        Head::Terms(_) => 1,
        Head::Margins { .. } => 2,
        Head::LogSumExp { .. } => 3,
    };
    let lanes = lanes(context, width, passes);
    let windows = RowPass { rows, output_width: width, loops: Some(Loops { width, passes }) };
    let windows: Vec<(usize, usize)> = windows.windows(context)?.collect();
    let groups = rows.count.div_ceil(WORKGROUP / lanes);
    let sums_columns = outputs.column_sums.is_some()
        && outputs.y.is_none()
        && windows.len() == 1
        && WORKGROUP / lanes >= SUMMED_ROWS;
    if sums_columns {
        operands.column_sums = Some((context.workspace(groups * width)?, groups * width));
    }
    // The last row may be short.
    let vectors = width.is_multiple_of(4) && elements.is_multiple_of(4);
    let kernel = |template| operands.kernel(template, outputs);
    let kernel = match head {
        Head::RowTerms { function, term } => {
            let kernel = kernel(Template::RowTerms { targets: kind, view: term.view() });
            kernel.activation(function).loss(Formula::Terms(term))
        }
        Head::Terms(Pair { activation, term, argument }) => {
            let kernel = kernel(Template::LossTerms { targets: kind, argument, vectors });
            kernel.activation(activation).loss(Formula::Terms(term))
        }
        Head::Margins { p, margin } => {
            kernel(Template::MultiMargin).loss(Formula::Margins { p, margin })
        }
        Head::LogSumExp { activation } => {
            let is_log = activation == RowFunction::LogSoftmax.into();
            let is_log = f64::from(u8::from(is_log));
            let (in_place, held) = (pass.z.is_none(), width <= HELD * lanes);
            let template = Template::SoftmaxCrossEntropy { targets: kind, in_place, vectors, held };
            let kernel = kernel(template);
            let kernel = kernel.activation(RowFunction::Softmax);
            let kernel = kernel.constant("Y_IS_LOG", is_log);
            let kernel = kernel.constant("SUM_COLUMNS", f64::from(u8::from(sums_columns)));
            kernel.constant("IN_PLACE", f64::from(u8::from(in_place)))
        }
    };
    let kernel = kernel.constant("LANES", lanes as f64);
    for (first, count) in windows {
        let length = (count * width).min(elements - first * width);
        let groups = row_groups(count, lanes);
        operands.run(context, &kernel, (first, count, length), first_row, groups)?;
    }
    let (Some(ColumnSums { storage, accumulate }), Some(dz)) = (outputs.column_sums, operands.dz)
    else {
        return Ok(());
    };
    let output = storage.gpu()?;
    match operands.column_sums {
        Some((sums, _)) => {
            column_sum(context, &sums, Rows { count: groups, width }, output, 0, accumulate)
        }
        None => column_sum(context, dz, rows, output, 0, accumulate),
    }
}

/// Runs a step of the work on a tile, which dE/dz overwrites. The states are bound as y.
pub(super) fn tile(context: &Arc<Context>, step: TileStep<'_>, pass: TilePass<'_>) -> Result<()> {
    let TilePass { call, tile, rows, first_row, first_column, classes, states } = pass;
    let losses = if let TileStep::Losses(losses) = step { Some(losses) } else { None };
    let outputs = LossOutputs { losses, y: Some(states), dz: Some(tile), ..LossOutputs::default() };
    let mut operands = Operands::new(context, call, rows, None, outputs)?;
    operands.tile = Some((first_column, classes));
    let Rows { count, width } = rows;
    let kernel = |template| operands.kernel(template, outputs);
    let (kernel, groups) = match step {
        TileStep::Statistics => {
            let kernel = kernel(Template::TileStatistics).activation(RowFunction::Softmax);
            let lanes = lanes(context, width, 3);
            (kernel.constant("LANES", lanes as f64), row_groups(count, lanes))
        }
        TileStep::Gradient => {
            (kernel(Template::TileGradient), groups((count * width).div_ceil(WORKGROUP)))
        }
        TileStep::Losses(_) => (kernel(Template::TileLosses), groups(count.div_ceil(WORKGROUP))),
    };
    operands.run(context, &kernel, (0, count, count * width), first_row, groups)
}

pub(super) fn row_weights(
    context: &Arc<Context>,
    call: LossCall<'_>,
    rows: Rows,
    output: &Storage,
) -> Result<()> {
    let outputs = LossOutputs { losses: Some(output), ..LossOutputs::default() };
    let operands = Operands::new(context, call, rows, None, outputs)?;
    let kernel = operands.kernel(Template::RowWeights(operands.kind), outputs);
    let pass = RowPass { rows, output_width: 1, loops: None };
    for (first, count) in pass.windows(context)? {
        let range = (first, count, count * rows.width);
        operands.run(context, &kernel, range, 0, groups(count.div_ceil(WORKGROUP)))?;
    }
    Ok(())
}
