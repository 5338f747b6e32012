//! The operations on the CPU, and the functions that compute them.

use super::cell::{Block, OnCpu, Snapshot, Writing};
use super::halves::{self, Held, ValuesMut, map_rows};
use super::layer::{self, Layer};
use super::product::Multiplication;
use super::{
    CpuBackend, clip, gated, ignored, loss, masks, matrix, optimizer, pointwise, predictions,
    prelu, rowwise,
};
use crate::backend::{
    AdamStep, Advance, Channels, EmptyRowsOf, FactorsOf, Ignored, LabelCheck, LayerPass, LossCall,
    LossPass, Op, OpOf, Product, Purpose, Repeated, RowCall, RowProduct, Rows, STATE, SgdStep,
    Spread, Storage, TargetStorage, TilePass, TileStep, Update,
};
use crate::dtype::DType;
use crate::error::Result;

/// Whether the operation can be computed as it is.
pub(super) fn supports(op: &Op<'_>) -> bool {
    match op {
        OpOf::RowForward { call, y, .. } | OpOf::RowProduct { call, y, .. } => {
            y.dtype() == DType::F32 || (call.lines.inner == 1 && call.mask.is_none())
        }
        OpOf::Layer(pass) => layer::suits(pass.inputs, pass.outputs),
        _ => true,
    }
}

/// What takes a large stack frame is not inlined, so that small operations do not pay for it.
pub(super) fn run(backend: &CpuBackend, op: &Op<'_>) -> Result<()> {
    match *op {
        OpOf::Unary { map, function, input, output, .. } => {
            let input = Held::new(input)?;
            halves::overwrite(output, |output| {
                pointwise::unary(map, function, input.values(), output);
            })
        }
        OpOf::Binary { map, function, inputs: [x, dy], output, .. } => {
            let (x, dy) = (Held::new(x)?, Held::new(dy)?);
            halves::overwrite(output, |output| {
                pointwise::binary(map, function, [x.values(), dy.values()], output);
            })
        }
        OpOf::RowForward { call, z, y } => row_forward(call, z, y),
        OpOf::RowProduct { product, call, y, vector, output } => {
            row_product(product, call, [y, vector], output)
        }
        OpOf::RowJacobian { call, y, output } => {
            let (y, mask) = (read(y)?, read_mask(call)?);
            let call = rowwise::Call::new(call, mask.as_deref());
            output.cpu()?.overwrite(|output| call.jacobian(&y, output))
        }
        OpOf::ExpandMask { lengths, kept, added, causal, output } => {
            let held = [kept, added].map(|it| it.map(|it| read(it.storage)).transpose());
            let [held_kept, held_added] = held;
            let (held_kept, held_added) = (held_kept?, held_added?);
            let sources = [repeated(kept, &held_kept), repeated(added, &held_added)];
            output.cpu()?.overwrite(|output| masks::expand(lengths, sources, causal, output))
        }
        OpOf::AddRepeated { lengths, input, scale, added, output } => {
            let (z, values) = (read(input)?, read(added.storage)?);
            let added = masks::Repeated { values: &values, strides: added.strides };
            output.cpu()?.overwrite(|output| masks::add(lengths, &z, scale, added, output))
        }
        OpOf::FillEmptyRows(EmptyRowsOf { mask, lines, fill, output }) => {
            let (values, old) = (read(mask.storage)?, read(output)?);
            let mask = &values[..mask.elements];
            output.cpu()?.overwrite(|output| {
                output.copy_from_slice(&old);
                masks::fill_empty(mask, lines, fill, output);
            })
        }
        OpOf::GatedForward { call, x, y } => {
            let x = read(x)?;
            y.cpu()?.overwrite(|y| gated::forward(call, &x, y))
        }
        OpOf::GatedBackward { call, x, dy, dx } => {
            let (x, dy) = (read(x)?, read(dy)?);
            dx.cpu()?.overwrite(|dx| gated::backward(call, &x, &dy, dx))
        }
        OpOf::PreluForward { channels, z, weight, y } => {
            let (z, weight) = (read(z)?, read(weight)?);
            y.cpu()?.overwrite(|y| prelu::forward(channels, &z, &weight, y))
        }
        OpOf::PreluBackward { channels, inputs, dz, dweight } => {
            prelu_backward(backend, channels, inputs, [dz, dweight])
        }
        OpOf::Loss(ref pass) => loss_pass(backend, pass),
        OpOf::Layer(ref pass) => layer_pass(backend, pass),
        OpOf::Tile(step, ref pass) => tile(step, pass),
        OpOf::RowWeights { ref call, rows, output } => {
            let held = HeldTargets::hold(call)?;
            output.cpu()?.overwrite(|output| loss::row_weights(held.targets(rows.width), output))
        }
        OpOf::KeepRows { ignored, input, first_row, rows, output } => {
            keep_rows(ignored, input, first_row, rows, output)
        }
        OpOf::ClearRows { ignored, output, first_row, rows } => {
            clear_rows(ignored, output, first_row, rows)
        }
        OpOf::CheckLabels(ref check) => check_labels(check),
        OpOf::Predict { input, rows, labels, output } => {
            let (input, labels) = (read(input)?, labels.map(read).transpose()?);
            let labels = labels.as_deref().map(bytemuck::cast_slice);
            output.cpu()?.overwrite(|output| {
                predictions::predict(&input, rows, labels, bytemuck::cast_slice_mut(output));
            })
        }
        OpOf::CountPredictions(ref count) => {
            let (predicted, labels) = (read(count.predictions)?, read(count.labels)?);
            let [predicted, labels] = [&predicted, &labels];
            count.counts.cpu()?.modify(|counts| {
                let labels = bytemuck::cast_slice(labels);
                let counts = bytemuck::cast_slice_mut(counts);
                predictions::count(count, bytemuck::cast_slice(predicted), labels, counts);
            })
        }
        OpOf::Sum { input, output, elements } => {
            let input = read(input)?;
            output.cpu()?.overwrite(|output| output.fill(matrix::sum(&input[..elements])))
        }
        OpOf::ColumnSum { input, rows, output, offset, accumulate } => {
            column_sum(backend, input, rows, (output, offset), accumulate)
        }
        OpOf::Product(ref product) => multiply(backend, product),
        OpOf::Copy { input, output } => copy(input, output),
        OpOf::Refresh { rounded, exact, .. } => {
            let rounded = Held::new(rounded)?;
            exact.cpu()?.rewrite(|exact| halves::refresh(rounded.values(), exact))
        }
        OpOf::Zero { output, .. } => output.cpu_words()?.zero(),
        OpOf::Advance(ref advance) => self::advance(advance),
        OpOf::Sgd { factors, update, velocity } => {
            let step = match factors {
                FactorsOf::Given(step) => Some(step),
                FactorsOf::Kept(settings) => SgdStep::of_settings(&read(settings)?),
            };
            step.map_or(Ok(()), |step| sgd(step, update, velocity))
        }
        OpOf::Adam { factors, update, moments } => {
            let step = match factors {
                FactorsOf::Given(step) => Some(step),
                FactorsOf::Kept([settings, progress]) => {
                    AdamStep::of_settings(&read(settings)?, &read(progress)?)
                }
            };
            step.map_or(Ok(()), |step| adam(step, update, moments))
        }
        OpOf::ClipNorm { ref gradients, max_norm, norm } => {
            clip_norm(backend, gradients, max_norm, norm)
        }
        OpOf::ClipValue { ref gradients, limit } => clip_value(backend, gradients, limit),
    }
}

fn read(storage: &Storage) -> Result<Snapshot> {
    storage.cpu()?.snapshot()
}

fn read_mask(call: RowCall<'_>) -> Result<Option<Snapshot>> {
    call.mask.map(|mask| read(mask.storage)).transpose()
}

/// An output to be overwritten completely, if it is wanted.
fn new_elements(storage: Option<&Storage>) -> Result<Option<Writing<'_>>> {
    storage.map(|storage| storage.cpu()?.new_elements()).transpose()
}

/// An output to be changed, if it is wanted. Only this operation may know of it.
fn own_elements(storage: Option<&Storage>) -> Result<Option<Writing<'_>>> {
    storage.map(|storage| storage.cpu()?.own_elements()).transpose()
}

/// The elements of an output; empty if it is not wanted.
fn slice<'a>(elements: &'a mut Option<Writing<'_>>) -> &'a mut [f32] {
    elements.as_deref_mut().unwrap_or_default()
}

/// Changes an output in place if it accumulates, otherwise overwrites it.
fn change(storage: &Storage, accumulate: bool, write: impl FnOnce(&mut [f32])) -> Result<()> {
    let cell = storage.cpu()?;
    if accumulate { cell.modify(write) } else { cell.overwrite(write) }
}

#[inline(never)]
fn row_forward(call: RowCall<'_>, z: &Storage, y: &Storage) -> Result<()> {
    if Storage::common_type([z, y])?.is_half() {
        return map_rows([z], y, call.lines, |[z], y, lines| {
            rowwise::Call::new(RowCall { lines, ..call }, None).forward(z, y);
        });
    }
    let (z, mask) = (read(z)?, read_mask(call)?);
    let call = rowwise::Call::new(call, mask.as_deref());
    y.cpu()?.overwrite(|y| call.forward(&z, y))
}

#[inline(never)]
fn row_product(
    product: RowProduct,
    call: RowCall<'_>,
    [y, vector]: [&Storage; 2],
    output: &Storage,
) -> Result<()> {
    if Storage::common_type([y, vector, output])?.is_half() {
        return map_rows([y, vector], output, call.lines, |[y, vector], output, lines| {
            let call = rowwise::Call::new(RowCall { lines, ..call }, None);
            call.product(product, y, vector, output);
        });
    }
    let (y, vector, mask) = (read(y)?, read(vector)?, read_mask(call)?);
    let call = rowwise::Call::new(call, mask.as_deref());
    output.cpu()?.overwrite(|output| call.product(product, &y, &vector, output))
}

#[inline(never)]
fn prelu_backward(
    backend: &CpuBackend,
    channels: Channels,
    [z, weight, dy]: [&Storage; 3],
    [dz, dweight]: [&Storage; 2],
) -> Result<()> {
    let (z, weight, dy) = (read(z)?, read(weight)?, read(dy)?);
    dz.cpu()?.overwrite(|dz| prelu::backward(channels, [&z, &weight, &dy], dz))?;
    let mut sums = backend.zeros(channels.rows().count)?;
    dweight.cpu()?.overwrite(|dweight| {
        prelu::weight_gradient(channels, [&z, &dy], &mut sums, dweight);
    })
}

fn repeated<'a>(
    of: Option<Repeated<'_>>,
    values: &'a Option<Snapshot>,
) -> Option<masks::Repeated<'a>> {
    let (Repeated { strides, .. }, values) = of.zip(values.as_deref())?;
    Some(masks::Repeated { values, strides })
}

fn strided<'a>(
    spread: Option<Spread<'_>>,
    values: &'a Option<Snapshot>,
) -> Option<loss::Strided<'a>> {
    let (Spread { row, column, .. }, values) = spread.zip(values.as_deref())?;
    Some(loss::Strided { values, row, column })
}

/// The targets of a loss call, with their weights and options, held while the call runs.
struct HeldTargets<'a> {
    call: &'a LossCall<'a>,
    values: Snapshot,
    weights: Option<Snapshot>,
    class_weights: Option<Snapshot>,
    extra: Option<Snapshot>,
    divisor: Option<Snapshot>,
}

impl<'a> HeldTargets<'a> {
    fn hold(call: &'a LossCall<'a>) -> Result<Self> {
        let (TargetStorage::Dense(values) | TargetStorage::Labels(values)) = call.targets;
        let spread = |spread: Option<Spread<'_>>| spread.map(|s| read(s.storage)).transpose();
        Ok(Self {
            values: read(values)?,
            weights: spread(call.weights)?,
            class_weights: call.class_weights.map(read).transpose()?,
            extra: spread(call.extra)?,
            divisor: call.divisor.map(read).transpose()?,
            call,
        })
    }

    fn targets(&self, width: usize) -> loss::Targets<'_> {
        let values = match self.call.targets {
            TargetStorage::Dense(_) => loss::TargetValues::Dense(&self.values),
            TargetStorage::Labels(_) => {
                loss::TargetValues::Labels(bytemuck::cast_slice(&self.values))
            }
        };
        loss::Targets {
            values,
            width,
            smoothing: self.call.smoothing,
            ignore_index: self.call.ignore_index,
            weights: strided(self.call.weights, &self.weights),
            class_weights: self.class_weights.as_deref(),
            extra: strided(self.call.extra, &self.extra),
        }
    }

    /// The scale that the reduction applies.
    fn scale(&self) -> f32 {
        let divisor = self.divisor.as_deref().and_then(|divisor| divisor.first());
        // A mean over a total weight of 0 is undefined, whatever the terms are.
        divisor.map_or(self.call.scale, |&divisor| match divisor {
            0.0 => f32::NAN,
            divisor => self.call.scale / divisor,
        })
    }
}

#[inline(never)]
fn loss_pass(backend: &CpuBackend, pass: &LossPass<'_>) -> Result<()> {
    let &LossPass { head, rows, elements, first_row, ref outputs, .. } = pass;
    let held = HeldTargets::hold(&pass.call)?;
    let z = pass.z.map(read).transpose()?;
    let mut losses = own_elements(outputs.losses)?;
    let mut terms = new_elements(outputs.terms)?;
    let mut y = new_elements(outputs.y)?;
    let mut dz = own_elements(outputs.dz)?;
    let work = loss::Pass {
        head,
        z: z.as_ref().map_or(&[], |z| &z[..elements]),
        rows,
        first_row,
        targets: held.targets(rows.width),
        scale: held.scale(),
        z_loss: pass.call.z_loss,
        outputs: loss::Outputs {
            losses: slice(&mut losses).get_mut(first_row..).unwrap_or_default(),
            terms: slice(&mut terms),
            y: slice(&mut y),
            dz: slice(&mut dz).get_mut(..elements).unwrap_or_default(),
        },
    };
    work.run();
    drop((losses, terms, y, dz));
    match (outputs.column_sums, outputs.dz) {
        (Some(sums), Some(dz)) => column_sum(backend, dz, rows, (sums.storage, 0), sums.accumulate),
        _ => Ok(()),
    }
}

#[inline(never)]
fn layer_pass(backend: &CpuBackend, pass: &LayerPass<'_>) -> Result<()> {
    let &LayerPass { batch, inputs, outputs, accumulate, .. } = pass;
    let held = HeldTargets::hold(&pass.call)?;
    let (x, w) = (read(pass.x)?, read(pass.w)?);
    let bias = pass.bias.map(read).transpose()?;
    let mut targets = held.targets(outputs);
    if pass.elementwise {
        targets = targets.widened(Layer::target_width(outputs));
    }
    let (x, bias) = (&x[..batch * inputs], bias.as_deref());
    let layer = Layer { pass, x, w: &w, bias, targets, scale: held.scale() };
    let length = layer::scratch(batch, inputs, outputs);
    let mut scratch = Block::new(backend.pool(), Purpose::Workspace, length)?;
    let scratch = scratch.elements_mut(length);
    let mut y = new_elements(pass.y)?;
    let mut dz = new_elements(pass.dz)?;
    let mut dx = new_elements(pass.dx)?;
    let written = layer::Outputs { y: slice(&mut y), dz: slice(&mut dz), dx: slice(&mut dx) };
    let sums = layer.run(written, scratch);
    drop((y, dz, dx));
    if let Some(loss) = pass.loss {
        loss.cpu()?.overwrite(|loss| loss.fill(sums.loss as f32))?;
    }
    if let Some(db) = pass.db {
        let sums = sums.db.map(|sum| sum as f32);
        change(db, accumulate, |db| matrix::write(&sums[..outputs], db, accumulate))?;
    }
    if let Some(dw) = pass.dw {
        let sums = &scratch[..inputs * outputs];
        change(dw, accumulate, |dw| layer.write_weights(sums, dw))?;
    }
    Ok(())
}

#[inline(never)]
fn tile(step: TileStep<'_>, pass: &TilePass<'_>) -> Result<()> {
    let held = HeldTargets::hold(&pass.call)?;
    let Rows { count, width } = pass.rows;
    let tile = loss::Tile {
        targets: held.targets(pass.classes),
        width,
        first_row: pass.first_row,
        first_column: pass.first_column,
        classes: pass.classes,
        scale: held.scale(),
        z_loss: pass.call.z_loss,
    };
    let states = pass.states.cpu()?;
    match step {
        TileStep::Statistics => {
            let z = read(pass.tile)?;
            states.rewrite(|states| {
                tile.statistics(&z[..count * width], &mut states[..count * STATE]);
            })
        }
        TileStep::Gradient => {
            let states = states.snapshot()?;
            let z = pass.tile.cpu()?;
            z.rewrite(|z| tile.gradient(&states[..count * STATE], &mut z[..count * width]))
        }
        TileStep::Losses(losses) => {
            let states = states.snapshot()?;
            let rows = pass.first_row..pass.first_row + count;
            let losses = losses.cpu()?;
            losses.rewrite(|losses| tile.losses(&states[..count * STATE], &mut losses[rows]))
        }
    }
}

fn keep_rows(
    ignored: Ignored<'_>,
    input: &Storage,
    first_row: usize,
    rows: Rows,
    output: &Storage,
) -> Result<()> {
    let (labels, input) = (read(ignored.labels)?, Held::new(input)?);
    let labels = &bytemuck::cast_slice(&labels)[first_row..];
    let input = input.values().from(first_row * rows.width);
    output.cpu()?.rewrite(|output| {
        let output = &mut output[..rows.elements()];
        halves::map([input], ValuesMut::F32(output), &|[x], y| y.copy_from_slice(x));
        ignored::clear(labels, ignored.label, rows.width, output);
    })
}

fn clear_rows(ignored: Ignored<'_>, output: &Storage, first_row: usize, rows: Rows) -> Result<()> {
    let labels = read(ignored.labels)?;
    let labels = &bytemuck::cast_slice(&labels)[first_row..];
    let start = first_row * rows.width;
    output.cpu()?.rewrite(|output| {
        let output = &mut output[start..start + rows.elements()];
        ignored::clear(labels, ignored.label, rows.width, output);
    })
}

#[inline(never)]
fn check_labels(check: &LabelCheck<'_>) -> Result<()> {
    let (labels, weights) = (read(check.labels)?, check.weights.map(|it| read(it.storage)));
    let weights = weights.transpose()?;
    let weights = strided(check.weights, &weights);
    let labels: &[i32] = bytemuck::cast_slice(&labels);
    let is_valid = |label: i32| {
        let class = usize::try_from(label).is_ok_and(|label| label < check.classes);
        class || Some(label) == check.ignore_index
    };
    check.valid.cpu()?.overwrite(|valid| {
        let valid: &mut [i32] = bytemuck::cast_slice_mut(valid);
        for (valid, &label) in valid.iter_mut().zip(labels) {
            *valid = if is_valid(label) { label } else { 0 };
        }
    })?;
    check.output.cpu()?.overwrite(|output| {
        for (row, (output, &label)) in output.iter_mut().zip(labels).enumerate() {
            let weight = weights.as_ref().map_or(1.0, |weights| weights.values[row * weights.row]);
            *output = if is_valid(label) { weight } else { f32::NAN };
        }
    })?;
    let wrong = labels.iter().filter(|&&label| !is_valid(label)).count();
    check.invalid.cpu()?.modify(|invalid| {
        // The word of an integer.
        invalid[0] = f32::from_bits(invalid[0].to_bits().wrapping_add(wrong as u32));
    })
}

#[inline(never)]
fn column_sum(
    backend: &CpuBackend,
    input: &Storage,
    rows: Rows,
    (output, offset): (&Storage, usize),
    accumulate: bool,
) -> Result<()> {
    let mut sums = backend.zeros(rows.width)?;
    matrix::column_sum(&read(input)?[..rows.elements()], rows, &mut sums);
    let place = offset..offset + rows.width;
    output.cpu()?.modify(|output| matrix::write(&sums, &mut output[place], accumulate))
}

#[inline(never)]
fn multiply(backend: &CpuBackend, &product: &Product<'_>) -> Result<()> {
    let Product { a, b, rows, columns, output, accumulate, .. } = product;
    let (a, b) = (Held::new(a.storage)?, Held::new(b.storage)?);
    let bias = product.epilogue.bias.map(|bias| read(bias.storage)).transpose()?;
    let factors = Multiplication::new(a.values(), b.values(), bias.as_deref(), accumulate);
    let [mut a, mut b] = factors.panels(backend.pool(), product)?;
    let mut panels = [&mut a, &mut b].map(|panel| match panel {
        Some(panel) => panel.all_mut(),
        None => &mut [],
    });
    let run = |output: &mut [f32]| factors.run(product, output, &mut panels);
    let cell = output.storage.cpu()?;
    if accumulate {
        cell.modify(run)
    } else if cell.elements() > rows * columns {
        // An operation that writes only a part of an output has made the output itself.
        cell.rewrite(run)
    } else {
        cell.overwrite(run)
    }
}

/// The half that shares the last word of an odd number of f16 stays as it is.
fn copy(input: &Storage, output: &Storage) -> Result<()> {
    let bytes = input.dtype().bytes() * input.elements();
    let input = input.cpu_words()?.snapshot()?;
    let input = &bytemuck::cast_slice::<f32, u8>(&input)[..bytes];
    output.cpu_words()?.store(|output| {
        bytemuck::cast_slice_mut(output)[..bytes].copy_from_slice(input);
    })
}

fn advance(advance: &Advance<'_>) -> Result<()> {
    let (settings, corrections) = (read(advance.settings)?, read(advance.corrections)?);
    advance.progress.cpu()?.modify(|progress| {
        for weight in progress.chunks_mut(AdamStep::SLOT).take(advance.weights) {
            // The words of an integer and two numbers.
            if let [steps, step_size, root_scale, ..] = weight {
                let count = steps.to_bits() + 1;
                let entry = advance.entries.min(count as usize) - 1;
                *steps = f32::from_bits(count);
                *step_size = settings[0] * corrections[entry];
                *root_scale = corrections[advance.entries + entry];
            }
        }
    })
}

fn sgd(step: SgdStep, update: Update<'_>, velocity: Option<&Storage>) -> Result<()> {
    let (gradient, old) = (read(update.gradient)?, read(update.weights)?);
    let mut weights = update.weights.cpu()?.new_elements()?;
    match velocity {
        None => optimizer::descent(step, &gradient, &old, &mut weights),
        Some(velocity) => {
            let mut velocity = velocity.cpu()?.own_elements()?;
            optimizer::sgd(step, &gradient, (&old, &mut weights), &mut velocity);
        }
    }
    Ok(())
}

fn adam(step: AdamStep, update: Update<'_>, [first, second]: [&Storage; 2]) -> Result<()> {
    let (gradient, old) = (read(update.gradient)?, read(update.weights)?);
    let (first, second) = (first.cpu()?, second.cpu()?);
    let mut weights = update.weights.cpu()?.new_elements()?;
    let (mut first, mut second) = (first.own_elements()?, second.own_elements()?);
    optimizer::adam(step, &gradient, (&old, &mut weights), [&mut first, &mut second]);
    Ok(())
}

#[inline(never)]
fn clip_norm(
    backend: &CpuBackend,
    gradients: &[(&Storage, usize)],
    max_norm: f32,
    norm: &Storage,
) -> Result<()> {
    optimizer::reserve(backend.pool(), gradients.iter().map(|&(_, elements)| elements))?;
    let mut squares = 0.0;
    for (gradient, _) in gradients {
        squares += clip::sum_of_squares(&read(gradient)?);
    }
    let factor = norm.cpu()?.overwrite(|norm| {
        norm.fill(squares.sqrt() as f32);
        clip::factor(norm[0], max_norm)
    })?;
    if factor == 1.0 {
        return Ok(());
    }
    for (gradient, _) in gradients {
        let old = read(gradient)?;
        gradient.cpu()?.overwrite(|new| clip::scale(factor, &old, new))?;
    }
    Ok(())
}

fn clip_value(backend: &CpuBackend, gradients: &[(&Storage, usize)], limit: f32) -> Result<()> {
    optimizer::reserve(backend.pool(), gradients.iter().map(|&(_, elements)| elements))?;
    for (gradient, _) in gradients {
        let old = read(gradient)?;
        gradient.cpu()?.overwrite(|new| clip::bound(limit, &old, new))?;
    }
    Ok(())
}
