//! The parts that operations are described by. Each is generic over how it refers to its tensors' storages, as
//! operations are.

use std::ops::Range;

use wgrad_formula::formulas::{Head, PointwiseFunction, RowFunction};

use super::operation::Use;
use super::storage::Storage;
use crate::lines::{Lines, Rows};

pub(crate) type Mask<'a> = MaskOf<&'a Storage>;
pub(crate) type RowCall<'a> = RowCallOf<&'a Storage>;
pub(crate) type Spread<'a> = SpreadOf<&'a Storage>;
pub(crate) type TargetStorage<'a> = TargetStorageOf<&'a Storage>;
pub(crate) type Ignored<'a> = IgnoredOf<&'a Storage>;
pub(crate) type LabelCheck<'a> = LabelCheckOf<&'a Storage>;
pub(crate) type PredictionCount<'a> = PredictionCountOf<&'a Storage>;
pub(crate) type Repeated<'a> = RepeatedOf<&'a Storage>;
pub(crate) type LossCall<'a> = LossCallOf<&'a Storage>;
pub(crate) type LossOutputs<'a> = LossOutputsOf<&'a Storage>;
pub(crate) type ColumnSums<'a> = ColumnSumsOf<&'a Storage>;
pub(crate) type LossPass<'a> = LossPassOf<&'a Storage>;
pub(crate) type LayerPass<'a> = LayerPassOf<&'a Storage>;
pub(crate) type TileStep<'a> = TileStepOf<&'a Storage>;
pub(crate) type TilePass<'a> = TilePassOf<&'a Storage>;
pub(crate) type Matrix<'a> = MatrixOf<&'a Storage>;
pub(crate) type Product<'a> = ProductOf<&'a Storage>;
pub(crate) type Epilogue<'a> = EpilogueOf<&'a Storage>;
pub(crate) type Bias<'a> = BiasOf<&'a Storage>;
pub(crate) type Update<'a> = UpdateOf<&'a Storage>;
pub(crate) type Advance<'a> = AdvanceOf<&'a Storage>;

/// Element-wise functions of two inputs: an activation's z or y, and dE/dy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Backward,
    BackwardFromOutput,
}

/// The temperature T, by which the input of a row-wise function is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Temperature {
    /// Arguments are multiplied by this first. Differences of the products overflow only if the
    /// differences divided by T do.
    pub(crate) prescale: f32,
    /// 1 / (T · prescale), rounded; `inverse_lost` is the part that rounding removed.
    pub(crate) inverse: f32,
    pub(crate) inverse_lost: f32,
    /// 1 / T, the factor in every derivative.
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

/// The mask of a row-wise function: elements take part where it is not 0. It is repeated
/// over a tensor's leading axes.
#[derive(Clone, Copy)]
pub(crate) struct MaskOf<S> {
    pub(crate) storage: S,
    pub(crate) elements: usize,
}

/// The most axes of a tensor over which another is repeated.
pub(crate) const AXES: usize = 6;

/// A tensor that is repeated over the axes in which it has the length 1.
#[derive(Clone, Copy)]
pub(crate) struct RepeatedOf<S> {
    pub(crate) storage: S,
    pub(crate) elements: usize,
    /// The strides along the axes: 0 where it is repeated.
    pub(crate) strides: [usize; AXES],
}

/// The lines in which a mask keeps nothing, and what they are filled with.
#[derive(Clone, Copy)]
pub(crate) struct EmptyRowsOf<S> {
    pub(crate) mask: MaskOf<S>,
    pub(crate) lines: Lines,
    pub(crate) fill: f32,
    pub(crate) output: S,
}

/// A row-wise function.
#[derive(Clone, Copy)]
pub(crate) struct RowCallOf<S> {
    pub(crate) function: RowFunction,
    pub(crate) lines: Lines,
    pub(crate) temperature: Temperature,
    pub(crate) mask: Option<MaskOf<S>>,
}

/// A product with J, the Jacobian of a row-wise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RowProduct {
    /// Jᵀ·dy
    Backward,
    /// J·dz
    Jvp,
}

/// A gated unit: its input rows are twice as wide as its output rows, and one half of each
/// goes through the activation.
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

    /// The offsets at which the values and the gate begin in a row of the input.
    pub(crate) const fn offsets(self) -> (usize, usize) {
        if self.gate_first { (self.rows.width, 0) } else { (0, self.rows.width) }
    }
}

/// A tensor seen as rows, each belonging to one channel: row r belongs to channel r % channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels {
    pub(crate) channels: usize,
    /// The length of a row; the last row ends where the elements end.
    pub(crate) width: usize,
    pub(crate) elements: usize,
}

impl Channels {
    pub(crate) const fn rows(self) -> Rows {
        let width = if self.width == 0 { 1 } else { self.width };
        Rows { count: self.elements.div_ceil(width), width }
    }
}

/// A tensor that is spread over rows of outputs: the value for row r and column c
/// is element r·row + c·column.
#[derive(Clone, Copy)]
pub(crate) struct SpreadOf<S> {
    pub(crate) storage: S,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// The storage of the targets that a loss compares outputs with.
#[derive(Clone, Copy)]
pub(crate) enum TargetStorageOf<S> {
    Dense(S),
    Labels(S),
}

/// The ignored rows of a batch, which have no effect: those with this label.
#[derive(Clone, Copy)]
pub(crate) struct IgnoredOf<S> {
    pub(crate) labels: S,
    pub(crate) label: i32,
}

/// The targets of a loss, and the factors that its reduction applies.
#[derive(Clone, Copy)]
pub(crate) struct LossCallOf<S> {
    pub(crate) targets: TargetStorageOf<S>,
    pub(crate) smoothing: f32,
    pub(crate) ignore_index: Option<i32>,
    /// The weights of the elements; weights of rows are read from column 0.
    pub(crate) weights: Option<SpreadOf<S>>,
    pub(crate) class_weights: Option<S>,
    /// An extra input of the formula; never used together with class weights.
    pub(crate) extra: Option<SpreadOf<S>>,
    pub(crate) scale: f32,
    /// The divisor of the scale, if only the device knows it.
    pub(crate) divisor: Option<S>,
    /// The coefficient of the squared log-sum-exp.
    pub(crate) z_loss: f32,
}

/// Selects the outputs of a loss to compute.
#[derive(Clone, Copy)]
pub(crate) struct LossOutputsOf<S> {
    /// The scaled loss of each row.
    pub(crate) losses: Option<S>,
    /// The scaled loss of each element; not available together with y.
    pub(crate) terms: Option<S>,
    /// The output of the activation.
    pub(crate) y: Option<S>,
    /// The scaled dE/dz.
    pub(crate) dz: Option<S>,
    /// The sum of dz over all rows, for a loss with a log-sum-exp.
    pub(crate) column_sums: Option<ColumnSumsOf<S>>,
}

impl<S> Default for LossOutputsOf<S> {
    fn default() -> Self {
        Self { losses: None, terms: None, y: None, dz: None, column_sums: None }
    }
}

/// The place where the sum over all rows is stored.
#[derive(Clone, Copy)]
pub(crate) struct ColumnSumsOf<S> {
    pub(crate) storage: S,
    /// Whether the sum is added to the existing values.
    pub(crate) accumulate: bool,
}

/// A loss on top of an activation, computed from z.
#[derive(Clone, Copy)]
pub(crate) struct LossPassOf<S> {
    pub(crate) call: LossCallOf<S>,
    pub(crate) head: Head,
    /// `None` if dz holds z and is to be overwritten; only for the log-sum-exp.
    pub(crate) z: Option<S>,
    pub(crate) rows: Rows,
    /// The number of elements; the last row ends where they end.
    pub(crate) elements: usize,
    /// The row of the targets, weights and losses that corresponds to the first row of z.
    pub(crate) first_row: usize,
    pub(crate) outputs: LossOutputsOf<S>,
}

/// An output layer, from x to the loss and every gradient.
#[derive(Clone, Copy)]
pub(crate) struct LayerPassOf<S> {
    pub(crate) x: S,
    pub(crate) w: S,
    /// Whether w is stored as [outputs, inputs].
    pub(crate) transposed: bool,
    pub(crate) bias: Option<S>,
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) call: LossCallOf<S>,
    /// Whether each output enters the loss independently, so that the outputs can be
    /// cut into rows of any length.
    pub(crate) elementwise: bool,
    pub(crate) head: Head,
    /// The scaled loss of the batch, a single number.
    pub(crate) loss: Option<S>,
    pub(crate) y: Option<S>,
    pub(crate) dz: Option<S>,
    pub(crate) dw: Option<S>,
    pub(crate) db: Option<S>,
    pub(crate) dx: Option<S>,
    /// Whether dw and db are added to the existing values.
    pub(crate) accumulate: bool,
}

/// The number of values that are kept for each row of logits between its tiles.
pub(crate) const STATE: usize = 5;

/// A step of the work on a tile of logits.
#[derive(Clone, Copy)]
pub(crate) enum TileStepOf<S> {
    /// Merges the log-sum-exp of the tile's rows into the states of the preceding tiles; the
    /// tile at column 0 starts afresh.
    Statistics,
    /// Overwrites the tile with dE/dz.
    Gradient,
    /// Computes the scaled loss of each row from the states alone.
    Losses(S),
}

/// Softmax with cross-entropy for labels, over a tile of the logits: some of the
/// rows, and some of their columns.
#[derive(Clone, Copy)]
pub(crate) struct TilePassOf<S> {
    pub(crate) call: LossCallOf<S>,
    pub(crate) tile: S,
    /// The rows of the tile.
    pub(crate) rows: Rows,
    /// The row of the targets, weights and losses that corresponds to the first row of the tile.
    pub(crate) first_row: usize,
    pub(crate) first_column: usize,
    /// The number of classes in a whole row.
    pub(crate) classes: usize,
    /// [`STATE`] numbers for each row of the tile.
    pub(crate) states: S,
}

/// A matrix in a storage: row r, column c as stored lies at offset + r·stride + c.
#[derive(Clone, Copy)]
pub(crate) struct MatrixOf<S> {
    pub(crate) storage: S,
    pub(crate) offset: usize,
    pub(crate) stride: usize,
    /// Whether the matrix is the transpose of what is stored.
    pub(crate) transposed: bool,
}

impl<S: Copy> MatrixOf<S> {
    /// A whole storage, as rows with this number of columns.
    pub(crate) const fn whole(storage: S, columns: usize) -> Self {
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

    /// Converts numbers of rows and columns of the matrix into the stored ones, by swapping them
    /// if the matrix is transposed.
    pub(crate) const fn stored(self, rows: usize, columns: usize) -> (usize, usize) {
        if self.transposed { (columns, rows) } else { (rows, columns) }
    }

    /// The range of the storage from the first to the last element, for a matrix of this shape.
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
pub(crate) struct ProductOf<S> {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    pub(crate) a: MatrixOf<S>,
    pub(crate) b: MatrixOf<S>,
    /// The output, which is never transposed. Other elements of its storage are left unchanged.
    pub(crate) output: MatrixOf<S>,
    pub(crate) epilogue: EpilogueOf<S>,
    /// Whether a·b is added to the existing output before the epilogue.
    pub(crate) accumulate: bool,
}

/// The operations on each element of a product before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct EpilogueOf<S> {
    /// The bias, added to each row.
    pub(crate) bias: Option<BiasOf<S>>,
    pub(crate) function: PointwiseFunction,
}

impl Epilogue<'_> {
    /// Stores the product unchanged.
    pub(crate) const NONE: Self = Self { bias: None, function: PointwiseFunction::Identity };
}

/// One number for each column, starting at an offset in a storage.
#[derive(Clone, Copy)]
pub(crate) struct BiasOf<S> {
    pub(crate) storage: S,
    pub(crate) offset: usize,
}

/// Weights to be changed in place, and their gradient.
#[derive(Clone, Copy)]
pub(crate) struct UpdateOf<S> {
    pub(crate) weights: S,
    pub(crate) gradient: S,
    pub(crate) elements: usize,
}

/// Labels that only the device knows, and what a loss uses in their place.
#[derive(Clone, Copy)]
pub(crate) struct LabelCheckOf<S> {
    pub(crate) labels: S,
    pub(crate) rows: usize,
    pub(crate) classes: usize,
    pub(crate) ignore_index: Option<i32>,
    /// The weights of the rows.
    pub(crate) weights: Option<SpreadOf<S>>,
    /// The labels, with 0 in place of those that are neither a class nor ignored.
    pub(crate) valid: S,
    /// The weights of the rows, with NaN for those labels.
    pub(crate) output: S,
    /// A word to which their number is added.
    pub(crate) invalid: S,
}

/// A batch of predictions and the counts that it is added to.
#[derive(Clone, Copy)]
pub(crate) struct PredictionCountOf<S> {
    /// For each row two words: the class that it predicts and the rank of its label.
    pub(crate) predictions: S,
    pub(crate) labels: S,
    pub(crate) rows: usize,
    pub(crate) classes: usize,
    pub(crate) ignore_index: Option<i32>,
    /// A label is among the first of a row if its rank is less than this.
    pub(crate) top_k: usize,
    /// Whether each label is counted with each prediction, too.
    pub(crate) matrix: bool,
    /// Each count is two words, the low one first: the rows that count, the right ones, those with their label among the
    /// first, the ignored and the invalid ones; then the matrix, a row for each label.
    pub(crate) counts: S,
}

impl<S> PredictionCountOf<S> {
    /// The number of counts before the matrix.
    pub(crate) const TOTALS: usize = 5;

    /// The number of words of all counts.
    pub(crate) const fn words(&self) -> usize {
        let cells = if self.matrix { self.classes * self.classes } else { 0 };
        2 * (Self::TOTALS + cells)
    }
}

/// What a step of Adam on the device begins with.
#[derive(Clone)]
pub(crate) struct AdvanceOf<S> {
    /// The settings of [`AdamStep::settings`].
    pub(crate) settings: S,
    /// 1 / (1 − β1^t) for each t up to `entries`, from which on it is 1, then 1 / √(1 − β2^t).
    pub(crate) corrections: S,
    pub(crate) entries: usize,
    /// For each weight [`AdamStep::SLOT`] words, which begin with the number of steps, the step size and the root scale.
    pub(crate) progress: S,
    /// The number of weights.
    pub(crate) weights: usize,
}

/// The factors of an optimizer's step: given, or those that the device keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FactorsOf<T, K> {
    Given(T),
    Kept(K),
}

/// A step of gradient descent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdStep {
    pub(crate) learning_rate: f32,
    pub(crate) momentum: f32,
    pub(crate) weight_decay: f32,
}

/// A step of Adam, in the form that the kernels take: it already includes the bias corrections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    /// The multiple of the weight that is added to the gradient.
    pub(crate) weight_decay: f32,
    /// The multiple of the weight that is subtracted from the weight.
    pub(crate) decoupled_decay: f32,
    /// 1 − decoupled_decay; the weight is multiplied by this if the difference
    /// would lose digits or overflow.
    pub(crate) kept: f32,
    pub(crate) betas: [f32; 2],
    pub(crate) one_minus_betas: [f32; 2],
    /// The learning rate divided by 1 − β1^t.
    pub(crate) step_size: f32,
    /// 1 / √(1 − β2^t)
    pub(crate) root_scale: f32,
    pub(crate) epsilon: f32,
}

impl SgdStep {
    /// The number of words of [`settings`](Self::settings).
    pub(crate) const SETTINGS: usize = 3;

    /// The factors, as a device keeps them.
    pub(crate) const fn settings(&self) -> [f32; Self::SETTINGS] {
        [self.learning_rate, self.momentum, self.weight_decay]
    }

    /// The step of factors that a device has kept.
    pub(crate) fn of_settings(settings: &[f32]) -> Option<Self> {
        let &[learning_rate, momentum, weight_decay] = settings.first_chunk()?;
        Some(Self { learning_rate, momentum, weight_decay })
    }
}

impl AdamStep {
    /// The number of words of [`settings`](Self::settings), and of the progress that [`AdvanceOf`] changes.
    pub(crate) const SETTINGS: usize = 9;
    pub(crate) const PROGRESS: usize = 3;
    /// The number of words from the progress of a weight to that of the next, where every device can bind it.
    pub(crate) const SLOT: usize = 64;

    /// The learning rate and the factors that do not depend on the number of steps, as a device keeps them.
    pub(crate) const fn settings(&self, learning_rate: f32) -> [f32; Self::SETTINGS] {
        let Self { betas, one_minus_betas, .. } = self;
        [
            learning_rate,
            self.weight_decay,
            self.decoupled_decay,
            self.kept,
            betas[0],
            one_minus_betas[0],
            betas[1],
            one_minus_betas[1],
            self.epsilon,
        ]
    }

    /// The step of factors that a device has kept.
    pub(crate) fn of_settings(settings: &[f32], progress: &[f32]) -> Option<Self> {
        let &[_, weight_decay, decoupled_decay, kept, beta1, rest1, beta2, rest2, epsilon] =
            settings.first_chunk()?;
        let &[_, step_size, root_scale] = progress.first_chunk()?;
        let (betas, one_minus_betas) = ([beta1, beta2], [rest1, rest2]);
        Some(Self {
            weight_decay,
            decoupled_decay,
            kept,
            betas,
            one_minus_betas,
            step_size,
            root_scale,
            epsilon,
        })
    }
}

type To<'t, 's, S, T> = &'t mut dyn FnMut(&'s S, Use) -> T;

impl<S> RowCallOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> RowCallOf<T> {
        let mask = self
            .mask
            .as_ref()
            .map(|mask| MaskOf { storage: to(&mask.storage, Use::Read), elements: mask.elements });
        let Self { function, lines, temperature, .. } = *self;
        RowCallOf { function, lines, temperature, mask }
    }
}

impl<S> RepeatedOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> RepeatedOf<T> {
        let Self { elements, strides, .. } = *self;
        RepeatedOf { storage: to(&self.storage, Use::Read), elements, strides }
    }
}

impl<S> EmptyRowsOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> EmptyRowsOf<T> {
        let Self { lines, fill, .. } = *self;
        let mask =
            MaskOf { storage: to(&self.mask.storage, Use::Read), elements: self.mask.elements };
        EmptyRowsOf { mask, lines, fill, output: to(&self.output, Use::Written) }
    }
}

impl<S> SpreadOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> SpreadOf<T> {
        SpreadOf { storage: to(&self.storage, Use::Read), row: self.row, column: self.column }
    }
}

impl<S> IgnoredOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> IgnoredOf<T> {
        IgnoredOf { labels: to(&self.labels, Use::Read), label: self.label }
    }
}

impl<S> LabelCheckOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> LabelCheckOf<T> {
        LabelCheckOf {
            labels: to(&self.labels, Use::Read),
            rows: self.rows,
            classes: self.classes,
            ignore_index: self.ignore_index,
            weights: self.weights.as_ref().map(|weights| weights.map(to)),
            valid: to(&self.valid, Use::Written),
            output: to(&self.output, Use::Written),
            invalid: to(&self.invalid, Use::Written),
        }
    }
}

impl<S> PredictionCountOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> PredictionCountOf<T> {
        PredictionCountOf {
            predictions: to(&self.predictions, Use::Read),
            labels: to(&self.labels, Use::Read),
            rows: self.rows,
            classes: self.classes,
            ignore_index: self.ignore_index,
            top_k: self.top_k,
            matrix: self.matrix,
            counts: to(&self.counts, Use::Written),
        }
    }
}

impl<S> LossCallOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> LossCallOf<T> {
        LossCallOf {
            targets: match &self.targets {
                TargetStorageOf::Dense(values) => TargetStorageOf::Dense(to(values, Use::Read)),
                TargetStorageOf::Labels(labels) => TargetStorageOf::Labels(to(labels, Use::Read)),
            },
            smoothing: self.smoothing,
            ignore_index: self.ignore_index,
            weights: self.weights.as_ref().map(|weights| weights.map(to)),
            class_weights: self.class_weights.as_ref().map(|weights| to(weights, Use::Read)),
            extra: self.extra.as_ref().map(|extra| extra.map(to)),
            scale: self.scale,
            divisor: self.divisor.as_ref().map(|divisor| to(divisor, Use::Read)),
            z_loss: self.z_loss,
        }
    }
}

impl<S> LossPassOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> LossPassOf<T> {
        let mut written = |storage: &'s Option<S>| storage.as_ref().map(|it| to(it, Use::Written));
        let LossOutputsOf { losses, terms, y, dz, column_sums } = &self.outputs;
        let outputs = LossOutputsOf {
            losses: written(losses),
            terms: written(terms),
            y: written(y),
            dz: written(dz),
            column_sums: column_sums.as_ref().map(|sums| ColumnSumsOf {
                storage: to(&sums.storage, Use::Written),
                accumulate: sums.accumulate,
            }),
        };
        LossPassOf {
            call: self.call.map(to),
            head: self.head,
            z: self.z.as_ref().map(|z| to(z, Use::Read)),
            rows: self.rows,
            elements: self.elements,
            first_row: self.first_row,
            outputs,
        }
    }
}

impl<S> LayerPassOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> LayerPassOf<T> {
        let mut written = |storage: &'s Option<S>| storage.as_ref().map(|it| to(it, Use::Written));
        let [loss, y, dz, dw, db, dx] =
            [&self.loss, &self.y, &self.dz, &self.dw, &self.db, &self.dx].map(&mut written);
        LayerPassOf {
            x: to(&self.x, Use::Read),
            w: to(&self.w, Use::Read),
            transposed: self.transposed,
            bias: self.bias.as_ref().map(|bias| to(bias, Use::Read)),
            batch: self.batch,
            inputs: self.inputs,
            outputs: self.outputs,
            call: self.call.map(to),
            elementwise: self.elementwise,
            head: self.head,
            loss,
            y,
            dz,
            dw,
            db,
            dx,
            accumulate: self.accumulate,
        }
    }
}

impl<S> TileStepOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> TileStepOf<T> {
        match self {
            Self::Statistics => TileStepOf::Statistics,
            Self::Gradient => TileStepOf::Gradient,
            Self::Losses(losses) => TileStepOf::Losses(to(losses, Use::Written)),
        }
    }
}

impl<S> TilePassOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> TilePassOf<T> {
        TilePassOf {
            call: self.call.map(to),
            tile: to(&self.tile, Use::Written),
            rows: self.rows,
            first_row: self.first_row,
            first_column: self.first_column,
            classes: self.classes,
            states: to(&self.states, Use::Written),
        }
    }
}

impl<S> ProductOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> ProductOf<T> {
        let mut matrix = |matrix: &'s MatrixOf<S>, used| MatrixOf {
            storage: to(&matrix.storage, used),
            offset: matrix.offset,
            stride: matrix.stride,
            transposed: matrix.transposed,
        };
        let (a, b) = (matrix(&self.a, Use::Read), matrix(&self.b, Use::Read));
        let output = matrix(&self.output, Use::Written);
        let EpilogueOf { bias, function } = &self.epilogue;
        let bias = bias
            .as_ref()
            .map(|bias| BiasOf { storage: to(&bias.storage, Use::Read), offset: bias.offset });
        ProductOf {
            rows: self.rows,
            inner: self.inner,
            columns: self.columns,
            a,
            b,
            output,
            epilogue: EpilogueOf { bias, function: *function },
            accumulate: self.accumulate,
        }
    }
}

impl<S> UpdateOf<S> {
    pub(super) fn map<'s, T>(&'s self, to: To<'_, 's, S, T>) -> UpdateOf<T> {
        UpdateOf {
            weights: to(&self.weights, Use::Written),
            gradient: to(&self.gradient, Use::Read),
            elements: self.elements,
        }
    }
}
