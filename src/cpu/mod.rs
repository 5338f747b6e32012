//! The CPU backend: the formulas of `reference` in f32, vectorised and on all cores.

mod bounds;
mod cell;
mod clip;
mod gated;
mod halves;
mod ignored;
mod layer;
mod lines;
mod loss;
mod matrix;
mod optimizer;
mod parallel;
mod piecewise;
mod pointwise;
mod prelu;
mod product;
mod region;
mod rest;
mod row_product;
mod rowwise;
mod short_forward;
mod short_rows;
mod tape;
mod transpose;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

pub(crate) use bounds::{Bounds, Extreme};
pub(crate) use cell::Cell;
use cell::{Block, Snapshot};
use half::f16;
use halves::{Held, ValuesMut, map_rows};
use layer::Layer;
use product::Multiplication;
use region::Region;
use tape::Tapes;

use crate::backend::{
    AdamStep, Backend, Binary, Channels, Check, Effect, FusedLayer, GatedCall, Ignored, LayerPass,
    LossCall, LossPass, Preparation, Product, Reading, Replay, RowCall, RowProduct, Rows, STATE,
    SgdStep, Spread, Storage, TargetStorage, TilePass, TileStep, Unary, Update,
};
use crate::device::{Counters, DeviceInfo, DeviceKind, Memory};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::plan::check_device;
use crate::pool::{Pool, Purpose, copied, room, with_memory};
use wgrad_formula::formulas::PointwiseFunction;

/// The elements of a tensor that every machine has the memory for.
const SMALL: usize = 1 << 20;

pub(crate) struct CpuBackend {
    info: LazyLock<DeviceInfo>,
    pool: Arc<Pool<Region>>,
    executed: AtomicU64,
    tapes: Arc<Tapes>,
}

impl CpuBackend {
    pub(crate) fn new() -> Self {
        Self {
            info: LazyLock::new(describe),
            pool: Arc::new(Pool::new()),
            executed: AtomicU64::new(0),
            tapes: Arc::default(),
        }
    }

    /// Zeros to add up in.
    fn zeros(&self, elements: usize) -> Result<Vec<f32>> {
        let mut zeros = with_memory(|| self.pool.trim(), || room(elements))?;
        zeros.resize(elements, 0.0);
        Ok(zeros)
    }

    /// Counts a primitive, which this thread may call.
    fn count(&self) -> Result<()> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        self.check_device()
    }

    fn check_device(&self) -> Result<()> {
        check_device(|| self.tapes.has_one_of_this_thread())
    }

    /// Writes what the host has, by the function, or what a plan wrote the first time.
    fn upload(
        &self,
        output: &Storage,
        write: impl FnOnce(&Cell) -> Result<()>,
    ) -> Result<Option<Snapshot>> {
        self.check_device()?;
        self.tapes.upload(output.words().cpu()?, write)
    }
}

/// Asks the system, and starts the threads, which takes longer than small work.
fn describe() -> DeviceInfo {
    let memory = physical_memory();
    DeviceInfo {
        name: processor_name(),
        kind: DeviceKind::Cpu,
        backend: None,
        driver: format!("wgrad {}", env!("CARGO_PKG_VERSION")),
        max_tensor_bytes: memory,
        max_binding_bytes: memory,
        threads: Some(rayon::current_num_threads()),
        features: wgpu::Features::empty(),
        ordinal: 0,
    }
}

fn processor_name() -> String {
    let described = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    described.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The bytes of memory that the machine has, where the system tells.
fn physical_memory() -> u64 {
    let described = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    described.map_or(isize::MAX as u64, |kibibytes| kibibytes << 10)
}

fn read(storage: &Storage) -> Result<Snapshot> {
    storage.cpu()?.snapshot()
}

fn read_mask(call: RowCall<'_>) -> Result<Option<Snapshot>> {
    call.mask.map(|mask| read(mask.storage)).transpose()
}

/// Overwrites an output that may not be wanted; the function is given an empty slice then.
fn overwrite_some<T>(storage: Option<&Storage>, write: impl FnOnce(&mut [f32]) -> T) -> Result<T> {
    match storage {
        Some(storage) => storage.cpu()?.overwrite(write),
        None => Ok(write(&mut [])),
    }
}

fn strided<'a>(
    spread: Option<Spread<'_>>,
    values: &'a Option<Snapshot>,
) -> Option<loss::Strided<'a>> {
    let (Spread { row, column, .. }, values) = spread.zip(values.as_deref())?;
    Some(loss::Strided { values, row, column })
}

/// Changes an output that may not be wanted, and that only this operation knows of.
fn rewrite_some<T>(storage: Option<&Storage>, write: impl FnOnce(&mut [f32]) -> T) -> Result<T> {
    match storage {
        Some(storage) => storage.cpu()?.rewrite(write),
        None => Ok(write(&mut [])),
    }
}

/// The targets of a loss call and what goes with them, held for as long as it runs.
struct HeldTargets<'a> {
    call: LossCall<'a>,
    values: Snapshot,
    weights: Option<Snapshot>,
    class_weights: Option<Snapshot>,
    extra: Option<Snapshot>,
    divisor: Option<Snapshot>,
}

impl<'a> HeldTargets<'a> {
    fn hold(call: LossCall<'a>) -> Result<Self> {
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

    /// The scale of the reduction.
    fn scale(&self) -> f32 {
        let divisor = self.divisor.as_deref().and_then(|divisor| divisor.first());
        // Nothing can be said of a mean over no weight, whatever there is to add up.
        divisor.map_or(self.call.scale, |&divisor| match divisor {
            0.0 => f32::NAN,
            divisor => self.call.scale / divisor,
        })
    }
}

impl FusedLayer for CpuBackend {
    fn run(&self, pass: LayerPass<'_>) -> Result<()> {
        self.count()?;
        let LayerPass { batch, inputs, outputs, accumulate, .. } = pass;
        let held = HeldTargets::hold(pass.call)?;
        let (x, w) = (read(pass.x)?, read(pass.w)?);
        let bias = pass.bias.map(read).transpose()?;
        let mut targets = held.targets(outputs);
        if pass.elementwise {
            targets = targets.widened(Layer::target_width(outputs));
        }
        let (x, bias) = (&x[..batch * inputs], bias.as_deref());
        let layer = Layer { pass, x, w: &w, bias, targets, scale: held.scale() };
        let length = layer::scratch(batch, inputs, outputs);
        let mut scratch = Block::new(&self.pool, Purpose::Workspace, length)?;
        let scratch = scratch.elements_mut(length);
        let sums = overwrite_some(pass.y, |y| {
            overwrite_some(pass.dz, |dz| {
                overwrite_some(pass.dx, |dx| layer.run(layer::Outputs { y, dz, dx }, scratch))
            })
        })???;
        overwrite_some(pass.loss, |loss| loss.fill(sums.loss as f32))?;
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
}

/// Changes what an output holds where something is added to it, else overwrites it.
fn change(storage: &Storage, accumulate: bool, write: impl FnOnce(&mut [f32])) -> Result<()> {
    let cell = storage.cpu()?;
    if accumulate { cell.modify(write) } else { cell.overwrite(write) }
}

impl Backend for CpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn memory(&self) -> Memory {
        self.pool.memory()
    }

    fn reset_peak_memory(&self) {
        self.pool.reset_peak();
    }

    fn counters(&self) -> Counters {
        Counters { dispatches: self.executed.load(Ordering::Relaxed), ..Counters::default() }
    }

    fn trim(&self) {
        self.pool.trim();
    }

    fn prepare(&self) -> Preparation {
        Box::pin(std::future::ready(Ok(())))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn allocate(&self, elements: usize, purpose: Purpose) -> Result<Storage> {
        if elements > SMALL {
            self.info.tensor_bytes(elements)?;
        }
        let create = || Arc::new(Cell::new(&self.pool, purpose, elements));
        match purpose {
            Purpose::Tensor => self.tapes.allocate(elements, create).map(Storage::Cpu),
            Purpose::Workspace => Ok(Storage::Cpu(create())),
        }
    }

    fn write(&self, values: &[f32], output: &Storage) -> Result<()> {
        self.upload(output, |output| output.upload(values)).map(drop)
    }

    fn write_halves(&self, values: &[f16], output: &Storage) -> Result<()> {
        let write = |words: &mut [f32]| {
            bytemuck::cast_slice_mut(words)[..values.len()].copy_from_slice(values);
        };
        self.upload(output, |output| output.upload_by(write)).map(drop)
    }

    fn write_labels(&self, labels: &[i32], output: &Storage) -> Result<Option<Vec<i32>>> {
        let write = |words: &mut [f32]| bytemuck::cast_slice_mut(words).copy_from_slice(labels);
        let known = self.upload(output, |output| output.overwrite(write))?;
        Ok(known.map(|known| bytemuck::cast_slice(&known).to_vec()))
    }

    fn zero(&self, output: &Storage, _elements: usize) -> Result<()> {
        self.check_device()?;
        output.cpu()?.zero()
    }

    fn read(&self, input: &Storage, elements: usize) -> Result<Reading> {
        let values = read(input)?;
        let copy = || copied(&values[..elements]);
        with_memory(|| self.pool.trim(), copy).map(Reading::Ready)
    }

    fn adopt(&self, _buffer: wgpu::Buffer, _elements: usize) -> Result<Storage> {
        Err(Error::Unsupported {
            what: "tensor_from_buffer".to_owned(),
            reason: "the CPU backend has no wgpu buffers".to_owned(),
        })
    }

    fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        None
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Replay>> {
        Ok(Box::new(tape::record(&self.tapes, work)?))
    }

    fn is_recording(&self) -> bool {
        self.tapes.has_one_of_this_thread()
    }

    /// The work itself is done again, with its checks.
    fn keep_check(&self, _check: Check) {}

    fn keep_effect(&self, effect: Effect) {
        self.tapes.keep_effect(effect);
    }

    fn unary(
        &self,
        map: Unary,
        function: PointwiseFunction,
        input: &Storage,
        output: &Storage,
        _elements: usize,
    ) -> Result<()> {
        self.count()?;
        let input = Held::new(input)?;
        halves::overwrite(output, |output| {
            pointwise::unary(map, function, input.values(), output);
        })
    }

    fn binary(
        &self,
        map: Binary,
        function: PointwiseFunction,
        inputs: [&Storage; 2],
        output: &Storage,
        _elements: usize,
    ) -> Result<()> {
        self.count()?;
        let (x, dy) = (Held::new(inputs[0])?, Held::new(inputs[1])?);
        halves::overwrite(output, |output| {
            pointwise::binary(map, function, [x.values(), dy.values()], output);
        })
    }

    fn takes_rows_of_halves(&self, call: RowCall<'_>) -> bool {
        call.lines.inner == 1 && call.mask.is_none()
    }

    fn row_forward(&self, call: RowCall<'_>, z: &Storage, y: &Storage) -> Result<()> {
        self.count()?;
        if Storage::common_type([z, y])? == DType::F16 {
            return map_rows([z], y, call.lines, |[z], y, lines| {
                rowwise::Call::new(RowCall { lines, ..call }, None).forward(z, y);
            });
        }
        let (z, mask) = (read(z)?, read_mask(call)?);
        let call = rowwise::Call::new(call, mask.as_deref());
        y.cpu()?.overwrite(|y| call.forward(&z, y))
    }

    fn row_product(
        &self,
        product: RowProduct,
        call: RowCall<'_>,
        y: &Storage,
        vector: &Storage,
        output: &Storage,
    ) -> Result<()> {
        self.count()?;
        if Storage::common_type([y, vector, output])? == DType::F16 {
            return map_rows([y, vector], output, call.lines, |[y, vector], output, lines| {
                let call = rowwise::Call::new(RowCall { lines, ..call }, None);
                call.product(product, y, vector, output);
            });
        }
        let (y, vector, mask) = (read(y)?, read(vector)?, read_mask(call)?);
        let call = rowwise::Call::new(call, mask.as_deref());
        output.cpu()?.overwrite(|output| call.product(product, &y, &vector, output))
    }

    fn row_jacobian(&self, call: RowCall<'_>, y: &Storage, output: &Storage) -> Result<()> {
        self.count()?;
        let (y, mask) = (read(y)?, read_mask(call)?);
        let call = rowwise::Call::new(call, mask.as_deref());
        output.cpu()?.overwrite(|output| call.jacobian(&y, output))
    }

    fn gated_forward(&self, call: GatedCall, x: &Storage, y: &Storage) -> Result<()> {
        self.count()?;
        let x = read(x)?;
        y.cpu()?.overwrite(|y| gated::forward(call, &x, y))
    }

    fn gated_backward(
        &self,
        call: GatedCall,
        x: &Storage,
        dy: &Storage,
        dx: &Storage,
    ) -> Result<()> {
        self.count()?;
        let (x, dy) = (read(x)?, read(dy)?);
        dx.cpu()?.overwrite(|dx| gated::backward(call, &x, &dy, dx))
    }

    fn prelu_forward(
        &self,
        channels: Channels,
        z: &Storage,
        weight: &Storage,
        y: &Storage,
    ) -> Result<()> {
        self.count()?;
        let (z, weight) = (read(z)?, read(weight)?);
        y.cpu()?.overwrite(|y| prelu::forward(channels, &z, &weight, y))
    }

    fn prelu_backward(
        &self,
        channels: Channels,
        inputs: [&Storage; 3],
        dz: &Storage,
        dweight: &Storage,
    ) -> Result<()> {
        self.count()?;
        let (z, weight, dy) = (read(inputs[0])?, read(inputs[1])?, read(inputs[2])?);
        dz.cpu()?.overwrite(|dz| prelu::backward(channels, [&z, &weight, &dy], dz))?;
        let mut sums = self.zeros(channels.rows().count)?;
        dweight.cpu()?.overwrite(|dweight| {
            prelu::weight_gradient(channels, [&z, &dy], &mut sums, dweight);
        })
    }

    fn loss(&self, pass: LossPass<'_>) -> Result<()> {
        self.count()?;
        let LossPass { call, head, rows, elements, first_row, outputs, .. } = pass;
        let held = HeldTargets::hold(call)?;
        let z = pass.z.map(read).transpose()?;
        let run = |losses: &mut [f32], terms: &mut [f32], y: &mut [f32], dz: &mut [f32]| {
            let losses = losses.get_mut(first_row..).unwrap_or_default();
            let dz = dz.get_mut(..elements).unwrap_or_default();
            let pass = loss::Pass {
                head,
                z: z.as_ref().map_or(&[], |z| &z[..elements]),
                rows,
                first_row,
                targets: held.targets(rows.width),
                scale: held.scale(),
                z_loss: call.z_loss,
                outputs: loss::Outputs { losses, terms, y, dz },
            };
            pass.run();
        };
        rewrite_some(outputs.losses, |losses| {
            overwrite_some(outputs.terms, |terms| {
                overwrite_some(outputs.y, |y| {
                    rewrite_some(outputs.dz, |dz| run(losses, terms, y, dz))
                })
            })
        })????;
        match (outputs.column_sums, outputs.dz) {
            (Some(sums), Some(dz)) => self.column_sum(dz, rows, sums.storage, 0, sums.accumulate),
            _ => Ok(()),
        }
    }

    fn fused_layer(&self, inputs: usize, outputs: usize) -> Option<&dyn FusedLayer> {
        layer::suits(inputs, outputs).then_some(self)
    }

    fn tile(&self, step: TileStep<'_>, pass: TilePass<'_>) -> Result<()> {
        self.count()?;
        let held = HeldTargets::hold(pass.call)?;
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

    fn row_weights(&self, call: LossCall<'_>, rows: Rows, output: &Storage) -> Result<()> {
        self.count()?;
        let held = HeldTargets::hold(call)?;
        output.cpu()?.overwrite(|output| loss::row_weights(held.targets(rows.width), output))
    }

    fn keep_rows(
        &self,
        ignored: Ignored<'_>,
        input: &Storage,
        first_row: usize,
        rows: Rows,
        output: &Storage,
    ) -> Result<()> {
        self.count()?;
        let (labels, input) = (read(ignored.labels)?, Held::new(input)?);
        let labels = &bytemuck::cast_slice(&labels)[first_row..];
        let input = input.values().from(first_row * rows.width);
        output.cpu()?.rewrite(|output| {
            let output = &mut output[..rows.elements()];
            halves::map([input], ValuesMut::F32(output), &|[x], y| y.copy_from_slice(x));
            ignored::clear(labels, ignored.label, rows.width, output);
        })
    }

    fn clear_rows(
        &self,
        ignored: Ignored<'_>,
        output: &Storage,
        first_row: usize,
        rows: Rows,
    ) -> Result<()> {
        self.count()?;
        let labels = read(ignored.labels)?;
        let labels = &bytemuck::cast_slice(&labels)[first_row..];
        let start = first_row * rows.width;
        output.cpu()?.rewrite(|output| {
            let output = &mut output[start..start + rows.elements()];
            ignored::clear(labels, ignored.label, rows.width, output);
        })
    }

    fn sum(&self, input: &Storage, output: &Storage, elements: usize) -> Result<()> {
        self.count()?;
        let input = read(input)?;
        output.cpu()?.overwrite(|output| output.fill(matrix::sum(&input[..elements])))
    }

    fn column_sum(
        &self,
        input: &Storage,
        rows: Rows,
        output: &Storage,
        offset: usize,
        accumulate: bool,
    ) -> Result<()> {
        self.count()?;
        let mut sums = self.zeros(rows.width)?;
        matrix::column_sum(&read(input)?[..rows.elements()], rows, &mut sums);
        let place = offset..offset + rows.width;
        output.cpu()?.modify(|output| matrix::write(&sums, &mut output[place], accumulate))
    }

    fn matmul(&self, product: Product<'_>) -> Result<()> {
        self.count()?;
        let Product { a, b, rows, columns, output, accumulate, .. } = product;
        let (a, b) = (Held::new(a.storage)?, Held::new(b.storage)?);
        let bias = product.epilogue.bias.map(|bias| read(bias.storage)).transpose()?;
        let factors = Multiplication::new(a.values(), b.values(), bias.as_deref(), accumulate);
        let [mut a, mut b] = factors.panels(&self.pool, product)?;
        let mut panels = [&mut a, &mut b].map(|panel| match panel {
            Some(panel) => panel.all_mut(),
            None => &mut [],
        });
        let run = |output: &mut [f32]| factors.run(product, output, &mut panels);
        let cell = output.storage.cpu()?;
        if accumulate {
            cell.modify(run)
        } else if cell.elements() > rows * columns {
            // Only an operation that made the output itself writes a part of it.
            cell.rewrite(run)
        } else {
            cell.overwrite(run)
        }
    }

    fn reserve(&self, updates: &[Update<'_>]) -> Result<()> {
        optimizer::reserve(&self.pool, updates.iter().map(|update| update.elements))
    }

    fn sgd(&self, step: SgdStep, update: Update<'_>, velocity: Option<&Storage>) -> Result<()> {
        self.count()?;
        let (gradient, old) = (read(update.gradient)?, read(update.weights)?);
        update.weights.cpu()?.overwrite(|weights| match velocity {
            None => {
                optimizer::descent(step, &gradient, &old, weights);
                Ok(())
            }
            Some(velocity) => velocity.cpu()?.rewrite(|velocity| {
                optimizer::sgd(step, &gradient, (&old, weights), velocity);
            }),
        })?
    }

    fn adam(&self, step: AdamStep, update: Update<'_>, moments: [&Storage; 2]) -> Result<()> {
        self.count()?;
        let (gradient, old) = (read(update.gradient)?, read(update.weights)?);
        let (first, second) = (moments[0].cpu()?, moments[1].cpu()?);
        update.weights.cpu()?.overwrite(|weights| {
            first.rewrite(|first| {
                second.rewrite(|second| {
                    optimizer::adam(step, &gradient, (&old, weights), [first, second]);
                })
            })
        })??
    }

    fn clip_norm(
        &self,
        gradients: &[(&Storage, usize)],
        max_norm: f32,
        norm: &Storage,
    ) -> Result<()> {
        self.count()?;
        optimizer::reserve(&self.pool, gradients.iter().map(|&(_, elements)| elements))?;
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

    fn clip_value(&self, gradients: &[(&Storage, usize)], limit: f32) -> Result<()> {
        self.count()?;
        optimizer::reserve(&self.pool, gradients.iter().map(|&(_, elements)| elements))?;
        for (gradient, _) in gradients {
            let old = read(gradient)?;
            gradient.cpu()?.overwrite(|new| clip::bound(limit, &old, new))?;
        }
        Ok(())
    }
}
