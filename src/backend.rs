//! The seam between what is public and the places to compute.
//!
//! What is public is written once, over the primitives of [`Backend`]; shapes, devices, labels and
//! parameters have been checked before a primitive is called.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use crate::cpu;
use crate::device::{Counters, DeviceInfo, Memory};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu;
use crate::pool::Purpose;
use half::f16;
use wgrad_formula::formulas::{Head, PointwiseFunction, RowFunction};

pub(crate) use crate::lines::{Lines, Rows};
pub(crate) use wgrad_formula::formulas::{Argument, Map as Unary};

/// The elements of a tensor, on one of the backends.
#[derive(Clone)]
pub(crate) enum Storage {
    Cpu(Arc<cpu::Cell>),
    Gpu(Arc<gpu::Buffer>),
    /// Elements of f16: reached through [`words`](Storage::words) alone.
    Halves(Arc<Halves>),
}

/// Elements of f16, two in each word of a storage, the first in its low half.
pub(crate) struct Halves {
    pub(crate) words: Storage,
    pub(crate) elements: usize,
}

impl Storage {
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::Cpu(_) | Self::Gpu(_) => DType::F32,
            Self::Halves(_) => DType::F16,
        }
    }

    /// The storage of the 32-bit words, whatever the type of the elements.
    pub(crate) fn words(&self) -> &Self {
        match self {
            Self::Cpu(_) | Self::Gpu(_) => self,
            Self::Halves(halves) => &halves.words,
        }
    }

    /// Where the words are: the same of storages that share them.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Cpu(cell) => Place::Own(Arc::as_ptr(cell).addr()),
            Self::Gpu(buffer) if buffer.is_adopted() => Place::Adopted(buffer.raw().clone()),
            Self::Gpu(buffer) => Place::Own(Arc::as_ptr(buffer).addr()),
            Self::Halves(halves) => halves.words.place(),
        }
    }

    /// The type of storages that all have the same.
    pub(crate) fn common_type<const N: usize>(storages: [&Self; N]) -> Result<DType> {
        let first = storages.first().map_or(DType::F32, |storage| storage.dtype());
        let same = storages.iter().all(|storage| storage.dtype() == first);
        if same { Ok(first) } else { Err(taken_for_f32()) }
    }

    /// Whether what is written to one is seen in the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self.words(), other.words()) {
            (Self::Cpu(one), Self::Cpu(other)) => Arc::ptr_eq(one, other),
            (Self::Gpu(one), Self::Gpu(other)) => one.is(other),
            _ => false,
        }
    }

    pub(crate) fn cpu(&self) -> Result<&cpu::Cell> {
        match self {
            Self::Cpu(cell) => Ok(cell),
            Self::Gpu(_) => Err(misplaced("the CPU", "a GPU")),
            Self::Halves(_) => Err(taken_for_f32()),
        }
    }

    pub(crate) fn gpu(&self) -> Result<&Arc<gpu::Buffer>> {
        match self {
            Self::Gpu(buffer) => Ok(buffer),
            Self::Cpu(_) => Err(misplaced("a GPU", "the CPU")),
            Self::Halves(_) => Err(taken_for_f32()),
        }
    }

    /// The bounds of the elements, where the host wrote them.
    pub(crate) fn bounds(&self) -> Option<cpu::Bounds> {
        match self {
            Self::Cpu(cell) => cell.bounds(cpu::Bounds::of),
            Self::Gpu(buffer) => buffer.bounds(),
            Self::Halves(halves) => match &halves.words {
                Self::Cpu(cell) => cell.bounds(|words| {
                    cpu::Bounds::of_halves(&bytemuck::cast_slice(words)[..halves.elements])
                }),
                words => words.bounds(),
            },
        }
    }
}

/// Where the words of a storage are, as long as it lives.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Own(usize),
    /// A buffer of the caller's, in whichever tensor it comes.
    Adopted(wgpu::Buffer),
}

/// Tells whether a storage is one that was seen before, without keeping its memory.
#[derive(Debug)]
pub(crate) enum Identity {
    Cpu(Weak<cpu::Cell>),
    Gpu(Weak<gpu::Buffer>),
    /// A buffer of the caller's, in whichever tensor it comes.
    Adopted(wgpu::Buffer),
}

impl Identity {
    pub(crate) fn of(storage: &Storage) -> Self {
        match storage {
            Storage::Cpu(cell) => Self::Cpu(Arc::downgrade(cell)),
            Storage::Gpu(buffer) if buffer.is_adopted() => Self::Adopted(buffer.raw().clone()),
            Storage::Gpu(buffer) => Self::Gpu(Arc::downgrade(buffer)),
            Storage::Halves(halves) => Self::of(&halves.words),
        }
    }

    pub(crate) fn is(&self, storage: &Storage) -> bool {
        match (self, storage.words()) {
            (Self::Cpu(known), Storage::Cpu(cell)) => known.as_ptr() == Arc::as_ptr(cell),
            (Self::Gpu(known), Storage::Gpu(buffer)) => known.as_ptr() == Arc::as_ptr(buffer),
            (Self::Adopted(known), Storage::Gpu(buffer)) => known == buffer.raw(),
            _ => false,
        }
    }

    /// Whether it can still come again.
    pub(crate) fn is_alive(&self) -> bool {
        match self {
            Self::Cpu(known) => known.strong_count() > 0,
            Self::Gpu(known) => known.strong_count() > 0,
            Self::Adopted(_) => true,
        }
    }
}

/// That a storage of halves was about to be read as one of f32.
fn taken_for_f32() -> Error {
    Error::Unsupported {
        what: "an f16 tensor".to_owned(),
        reason: "the kernel computes with f32 alone".to_owned(),
    }
}

fn misplaced(first: &str, second: &str) -> Error {
    Error::DeviceMismatch { op: "backend", first: first.into(), second: second.into() }
}

/// Element-wise functions of an activation's z or y and of dE/dy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Backward,
    BackwardFromOutput,
}

/// What a row-wise function is divided by before its activation: the temperature T.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Temperature {
    /// Taken times this, arguments have differences that overflow only where those over T do.
    pub(crate) prescale: f32,
    /// 1 / (T · prescale), rounded, and what the rounding took.
    pub(crate) inverse: f32,
    pub(crate) inverse_lost: f32,
    /// 1 / T, the factor of every derivative.
    pub(crate) slope: f32,
}

impl Temperature {
    pub(crate) const ONE: Self =
        Self { prescale: 1.0, inverse: 1.0, inverse_lost: 0.0, slope: 1.0 };

    pub(crate) fn new(temperature: f32) -> Self {
        let prescale = if temperature > 1.0 { 0.5 } else { 1.0 };
        let exact = 1.0 / (f64::from(temperature) * f64::from(prescale));
        let inverse = exact as f32;
        let inverse_lost = (exact - f64::from(inverse)) as f32;
        Self { prescale, inverse, inverse_lost, slope: 1.0 / temperature }
    }

    pub(crate) fn is_one(self) -> bool {
        self == Self::ONE
    }
}

/// What takes part in a row-wise function, where not 0; repeated over a tensor's leading axes.
#[derive(Clone, Copy)]
pub(crate) struct Mask<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) elements: usize,
}

/// A row-wise function.
#[derive(Clone, Copy)]
pub(crate) struct RowCall<'a> {
    pub(crate) function: RowFunction,
    pub(crate) lines: Lines,
    pub(crate) temperature: Temperature,
    pub(crate) mask: Option<Mask<'a>>,
}

/// A product with the Jacobian of a row-wise function, J.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RowProduct {
    /// Jᵀ·dy
    Backward,
    /// J·dz
    Jvp,
}

/// A gated unit: rows of twice the width, one half of which goes through the activation.
#[derive(Clone, Copy)]
pub(crate) struct GatedCall {
    pub(crate) function: PointwiseFunction,
    pub(crate) gate_first: bool,
    /// The rows of the output.
    pub(crate) rows: Rows,
}

impl GatedCall {
    /// The rows of the input.
    pub(crate) const fn input_rows(self) -> Rows {
        Rows { count: self.rows.count, width: 2 * self.rows.width }
    }

    /// Where the values and the gate begin in a row of the input.
    pub(crate) const fn offsets(self) -> (usize, usize) {
        if self.gate_first { (self.rows.width, 0) } else { (0, self.rows.width) }
    }
}

/// A tensor seen as rows, of which each has the next channel: row r has the channel r % channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels {
    pub(crate) channels: usize,
    /// The length of a row; the last row ends where the elements do.
    pub(crate) width: usize,
    pub(crate) elements: usize,
}

impl Channels {
    pub(crate) const fn rows(self) -> Rows {
        let width = if self.width == 0 { 1 } else { self.width };
        Rows { count: self.elements.div_ceil(width), width }
    }
}

/// A tensor that is spread over rows of outputs: what belongs to row r and column c is element
/// r·row + c·column.
#[derive(Clone, Copy)]
pub(crate) struct Spread<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// What a loss compares with, as the backends see it.
#[derive(Clone, Copy)]
pub(crate) enum TargetStorage<'a> {
    Dense(&'a Storage),
    Labels(&'a Storage),
}

/// The rows of a batch that count in nothing: those with this label.
#[derive(Clone, Copy)]
pub(crate) struct Ignored<'a> {
    pub(crate) labels: &'a Storage,
    pub(crate) label: i32,
}

/// What a loss compares with, and what its reduction multiplies by.
#[derive(Clone, Copy)]
pub(crate) struct LossCall<'a> {
    pub(crate) targets: TargetStorage<'a>,
    pub(crate) smoothing: f32,
    pub(crate) ignore_index: Option<i32>,
    /// The weights of elements; those of rows are in column 0.
    pub(crate) weights: Option<Spread<'a>>,
    pub(crate) class_weights: Option<&'a Storage>,
    /// What else the formula takes: never together with weights of classes.
    pub(crate) extra: Option<Spread<'a>>,
    pub(crate) scale: f32,
    /// What the scale is divided by, where only the device knows.
    pub(crate) divisor: Option<&'a Storage>,
    /// The coefficient of the squared log-sum-exp.
    pub(crate) z_loss: f32,
}

/// Which of a loss's outputs to compute.
#[derive(Clone, Copy, Default)]
pub(crate) struct LossOutputs<'a> {
    /// The scaled loss of each row.
    pub(crate) losses: Option<&'a Storage>,
    /// The scaled loss of each element; not together with y.
    pub(crate) terms: Option<&'a Storage>,
    /// The output of the activation.
    pub(crate) y: Option<&'a Storage>,
    /// The scaled dE/dz.
    pub(crate) dz: Option<&'a Storage>,
    /// Its sum over all rows, for a loss with a log-sum-exp.
    pub(crate) column_sums: Option<ColumnSums<'a>>,
}

/// Where the sum over all rows goes.
#[derive(Clone, Copy)]
pub(crate) struct ColumnSums<'a> {
    pub(crate) storage: &'a Storage,
    /// Added to what is there.
    pub(crate) accumulate: bool,
}

/// A loss on top of an activation, from z.
#[derive(Clone, Copy)]
pub(crate) struct LossPass<'a> {
    pub(crate) call: LossCall<'a>,
    pub(crate) head: Head,
    /// Nothing where dz holds it, to be overwritten: for the log-sum-exp.
    pub(crate) z: Option<&'a Storage>,
    pub(crate) rows: Rows,
    /// The last row ends where the elements do.
    pub(crate) elements: usize,
    /// The row of the targets, weights and losses that the first row of z has.
    pub(crate) first_row: usize,
    pub(crate) outputs: LossOutputs<'a>,
}

/// An output layer, from x to the loss and every gradient.
#[derive(Clone, Copy)]
pub(crate) struct LayerPass<'a> {
    pub(crate) x: &'a Storage,
    pub(crate) w: &'a Storage,
    /// w is stored as [outputs, inputs].
    pub(crate) transposed: bool,
    pub(crate) bias: Option<&'a Storage>,
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) call: LossCall<'a>,
    /// Each output stands for itself in the loss, so that any cut into rows will do.
    pub(crate) elementwise: bool,
    pub(crate) head: Head,
    /// The scaled loss of the batch: one number.
    pub(crate) loss: Option<&'a Storage>,
    pub(crate) y: Option<&'a Storage>,
    pub(crate) dz: Option<&'a Storage>,
    pub(crate) dw: Option<&'a Storage>,
    pub(crate) db: Option<&'a Storage>,
    pub(crate) dx: Option<&'a Storage>,
    /// dw and db are added to what is there.
    pub(crate) accumulate: bool,
}

/// Whether what the host knows of a tensor still allows recorded work.
#[derive(Clone)]
pub(crate) struct Check {
    pub(crate) of: Storage,
    pub(crate) run: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

/// What recorded work does on the host.
pub(crate) type Effect = Arc<dyn Fn() + Send + Sync>;

pub(crate) type Preparation = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Work that was recorded.
pub(crate) trait Replay: Send + Sync {
    /// Does it once more, into the same storages; by the work itself where nothing else was kept.
    fn run(&self, work: &dyn Fn() -> Result<()>) -> Result<()>;
}

/// Computes whole output layers, in less time than the primitives that they are made of.
pub(crate) trait FusedLayer {
    fn run(&self, pass: LayerPass<'_>) -> Result<()>;
}

/// The numbers that are kept of each row of logits between its tiles.
pub(crate) const STATE: usize = 5;

/// A step in the work on a tile of logits.
#[derive(Clone, Copy)]
pub(crate) enum TileStep<'a> {
    /// Merges the log-sum-exp of the tile's rows with the states of those before; the tile at column 0
    /// begins anew.
    Statistics,
    /// Puts dE/dz in the place of the tile.
    Gradient,
    /// The scaled loss of each row, from the states alone.
    Losses(&'a Storage),
}

/// Softmax with cross-entropy for labels, over a tile of the logits: some rows, and of them some columns.
#[derive(Clone, Copy)]
pub(crate) struct TilePass<'a> {
    pub(crate) call: LossCall<'a>,
    pub(crate) tile: &'a Storage,
    /// The rows of the tile.
    pub(crate) rows: Rows,
    /// The row of the targets, weights and losses that the first row of the tile has.
    pub(crate) first_row: usize,
    pub(crate) first_column: usize,
    /// The classes of a whole row.
    pub(crate) classes: usize,
    /// [`STATE`] numbers for each row of the tile.
    pub(crate) states: &'a Storage,
}

/// A matrix in a storage: row r, column c of what is stored lies at offset + r·stride + c.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) offset: usize,
    pub(crate) stride: usize,
    /// The matrix is the transpose of what is stored.
    pub(crate) transposed: bool,
}

impl<'a> Matrix<'a> {
    /// A whole storage, in rows of so many columns.
    pub(crate) const fn whole(storage: &'a Storage, columns: usize) -> Self {
        Self { storage, offset: 0, stride: columns, transposed: false }
    }

    /// The transpose, without a copy.
    pub(crate) const fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// The part of the matrix that begins at this row and column.
    pub(crate) const fn at(self, row: usize, column: usize) -> Self {
        let (row, column) = self.stored(row, column);
        Self { offset: self.offset + row * self.stride + column, ..self }
    }

    /// What counts rows and columns of the matrix, for the rows and columns that are stored.
    pub(crate) const fn stored(self, rows: usize, columns: usize) -> (usize, usize) {
        if self.transposed { (columns, rows) } else { (rows, columns) }
    }

    /// The places in the storage from the first to the last element, where the matrix has this shape.
    pub(crate) const fn range(self, rows: usize, columns: usize) -> Range<usize> {
        let (rows, columns) = self.stored(rows, columns);
        if rows == 0 || columns == 0 {
            return 0..0;
        }
        self.offset..self.offset + (rows - 1) * self.stride + columns
    }
}

/// A matrix product `output = activation(a·b + bias)` of shape [rows, columns].
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    pub(crate) a: Matrix<'a>,
    pub(crate) b: Matrix<'a>,
    /// Not transposed. What else lies in its storage stays as it is.
    pub(crate) output: Matrix<'a>,
    pub(crate) epilogue: Epilogue<'a>,
    /// Adds a·b to what the output holds, before the epilogue.
    pub(crate) accumulate: bool,
}

/// What is done to each element of a product before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Added to each row.
    pub(crate) bias: Option<Bias<'a>>,
    pub(crate) function: PointwiseFunction,
}

impl Epilogue<'_> {
    /// Nothing is done.
    pub(crate) const NONE: Self = Self { bias: None, function: PointwiseFunction::Identity };
}

/// One number for each column, from an offset of a storage on.
#[derive(Clone, Copy)]
pub(crate) struct Bias<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) offset: usize,
}

/// Weights to change in place, and their gradient.
#[derive(Clone, Copy)]
pub(crate) struct Update<'a> {
    pub(crate) weights: &'a Storage,
    pub(crate) gradient: &'a Storage,
    pub(crate) elements: usize,
}

/// A step of gradient descent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdStep {
    pub(crate) learning_rate: f32,
    pub(crate) momentum: f32,
    pub(crate) weight_decay: f32,
}

/// A step of Adam, as the kernels take it: the bias corrections are worked into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    /// Times the weight, added to the gradient.
    pub(crate) weight_decay: f32,
    /// Times the weight, taken from the weight.
    pub(crate) decoupled_decay: f32,
    /// 1 less that, which the weight is multiplied by where the difference loses digits or overflows.
    pub(crate) kept: f32,
    pub(crate) betas: [f32; 2],
    pub(crate) one_minus_betas: [f32; 2],
    /// The learning rate over 1 − β1^t.
    pub(crate) step_size: f32,
    /// 1 / √(1 − β2^t)
    pub(crate) root_scale: f32,
    pub(crate) epsilon: f32,
}

/// Elements on their way to the host.
pub(crate) enum Reading {
    Ready(Vec<f32>),
    Gpu(gpu::ReadBack),
}

impl Reading {
    /// Blocks until they are there.
    pub(crate) fn wait(self) -> Result<Vec<f32>> {
        match self {
            Self::Ready(values) => Ok(values),
            Self::Gpu(reading) => reading.wait(),
        }
    }

    /// Never blocks.
    pub(crate) async fn resolve(self) -> Result<Vec<f32>> {
        match self {
            Self::Ready(values) => Ok(values),
            Self::Gpu(reading) => reading.resolve().await,
        }
    }
}

/// The primitives that all operations are made of.
///
/// An output is overwritten whole, but for those of products and column sums. It may be one of the
/// inputs: the inputs count as they were before.
pub(crate) trait Backend: Send + Sync {
    fn info(&self) -> &DeviceInfo;
    fn memory(&self) -> Memory;
    fn reset_peak_memory(&self);
    fn counters(&self) -> Counters;
    /// Gives the pool's unused buffers back to the system.
    fn trim(&self);
    /// Resolves when all kernels of what has been recorded are compiled.
    fn prepare(&self) -> Preparation;
    /// Starts what has been recorded.
    fn flush(&self) -> Result<()>;
    /// Waits until all that has been recorded is done.
    fn synchronize(&self) -> Result<()>;

    fn allocate(&self, elements: usize, purpose: Purpose) -> Result<Storage>;
    /// The bounds of what is written are known from then on.
    fn write(&self, values: &[f32], output: &Storage) -> Result<()>;
    /// Into a storage of f16; the bounds are known here too.
    fn write_halves(&self, values: &[f16], output: &Storage) -> Result<()>;
    /// Returns what was written instead, where a plan repeats its own.
    fn write_labels(&self, labels: &[i32], output: &Storage) -> Result<Option<Vec<i32>>>;
    fn zero(&self, output: &Storage, elements: usize) -> Result<()>;
    fn read(&self, input: &Storage, elements: usize) -> Result<Reading>;
    /// Makes a storage of a buffer that the caller owns.
    fn adopt(&self, buffer: wgpu::Buffer, elements: usize) -> Result<Storage>;
    /// The wgpu device behind this backend, where there is one.
    fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)>;

    /// Does the work, and keeps what this thread does in it so that it can be done again.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Replay>>;
    /// Whether the caller's work is being kept.
    fn is_recording(&self) -> bool;
    /// Lets what is being kept begin with a check each time, where the checks of the work itself are not
    /// repeated, and the work did not write what is checked.
    fn keep_check(&self, check: Check);
    /// Lets what is being kept end with this each time.
    fn keep_effect(&self, effect: Effect);

    /// Of tensors of either type.
    fn unary(
        &self,
        map: Unary,
        function: PointwiseFunction,
        input: &Storage,
        output: &Storage,
        elements: usize,
    ) -> Result<()>;
    /// Of two inputs of one type, and an output of either.
    fn binary(
        &self,
        map: Binary,
        function: PointwiseFunction,
        inputs: [&Storage; 2],
        output: &Storage,
        elements: usize,
    ) -> Result<()>;

    /// Whether the functions of rows take tensors of f16 for such a call, where all are of that type.
    fn takes_rows_of_halves(&self, call: RowCall<'_>) -> bool;
    fn row_forward(&self, call: RowCall<'_>, z: &Storage, y: &Storage) -> Result<()>;
    /// From the output y.
    fn row_product(
        &self,
        product: RowProduct,
        call: RowCall<'_>,
        y: &Storage,
        vector: &Storage,
        output: &Storage,
    ) -> Result<()>;
    /// From the output y; the Jacobians of the lines one after the other.
    fn row_jacobian(&self, call: RowCall<'_>, y: &Storage, output: &Storage) -> Result<()>;

    /// `y = value ⊙ g(gate)`
    fn gated_forward(&self, call: GatedCall, x: &Storage, y: &Storage) -> Result<()>;
    /// Both gradients, where the values and the gate are in x.
    fn gated_backward(
        &self,
        call: GatedCall,
        x: &Storage,
        dy: &Storage,
        dx: &Storage,
    ) -> Result<()>;

    fn prelu_forward(
        &self,
        channels: Channels,
        z: &Storage,
        weight: &Storage,
        y: &Storage,
    ) -> Result<()>;
    /// From z, the weight and dy: dE/dz, and the weight's gradient of each channel.
    fn prelu_backward(
        &self,
        channels: Channels,
        inputs: [&Storage; 3],
        dz: &Storage,
        dweight: &Storage,
    ) -> Result<()>;

    fn loss(&self, pass: LossPass<'_>) -> Result<()>;
    /// What computes output layers with so many inputs and outputs, made of terms or with a log-sum-exp,
    /// faster than by the other primitives; nothing where they are as fast.
    fn fused_layer(&self, _inputs: usize, _outputs: usize) -> Option<&dyn FusedLayer> {
        None
    }
    fn tile(&self, step: TileStep<'_>, pass: TilePass<'_>) -> Result<()>;
    /// What each row weighs in a mean: its weight times that of its label, 0 where it is ignored.
    fn row_weights(&self, call: LossCall<'_>, rows: Rows, output: &Storage) -> Result<()>;

    /// Copies the rows of a batch from this one on to the beginning of a workspace, with zeros in the place of
    /// those that are ignored.
    fn keep_rows(
        &self,
        ignored: Ignored<'_>,
        input: &Storage,
        first_row: usize,
        rows: Rows,
        output: &Storage,
    ) -> Result<()>;
    /// Puts zeros in the place of the ignored among these rows of a batch, in what an operation made itself.
    fn clear_rows(
        &self,
        ignored: Ignored<'_>,
        output: &Storage,
        first_row: usize,
        rows: Rows,
    ) -> Result<()>;

    /// The sum of all elements; 0 for none.
    fn sum(&self, input: &Storage, output: &Storage, elements: usize) -> Result<()>;
    /// The sum over all rows, zeros for none, in the output from the offset on. What else the output
    /// holds stays as it is. With `accumulate`, the sum is added to what is there.
    fn column_sum(
        &self,
        input: &Storage,
        rows: Rows,
        output: &Storage,
        offset: usize,
        accumulate: bool,
    ) -> Result<()>;
    /// The factors may be of f16.
    fn matmul(&self, product: Product<'_>) -> Result<()>;

    /// Makes sure that there is memory for these updates, one after the other.
    fn reserve(&self, updates: &[Update<'_>]) -> Result<()>;
    /// The velocity is the optimizer's own: nobody else sees it. Without momentum there is none.
    fn sgd(&self, step: SgdStep, update: Update<'_>, velocity: Option<&Storage>) -> Result<()>;
    /// The moments are the optimizer's own, too.
    fn adam(&self, step: AdamStep, update: Update<'_>, moments: [&Storage; 2]) -> Result<()>;
    /// Multiplies gradients, of so many elements each, by min(1, max_norm / (norm + 1e-6)), and writes
    /// the norm of all of them before.
    fn clip_norm(
        &self,
        gradients: &[(&Storage, usize)],
        max_norm: f32,
        norm: &Storage,
    ) -> Result<()>;
    /// Keeps the elements within ±limit; NaN stays NaN.
    fn clip_value(&self, gradients: &[(&Storage, usize)], limit: f32) -> Result<()>;
}
