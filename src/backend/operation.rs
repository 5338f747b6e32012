//! Operations: plain descriptions that both backends compute.
//!
//! An operation is generic over how it refers to its tensors' storages: by reference while
//! it runs, by value in a plan.

use wgrad_formula::formulas::{Head, Map, PointwiseFunction};

use super::operands::*;
use super::storage::Storage;
use crate::lines::Rows;

/// An operation on the storages of tensors.
///
/// An output is overwritten completely, except those of products and column sums. It may also be
/// one of the inputs; the operation then uses the values that the input had before.
#[derive(Clone)]
pub(crate) enum OpOf<S> {
    /// `map` of each element, for tensors of either type.
    Unary {
        map: Map,
        function: PointwiseFunction,
        input: S,
        output: S,
        elements: usize,
    },
    /// The chain rule for each element: the two inputs have the same type,
    /// and the output has either type.
    Binary {
        map: Binary,
        function: PointwiseFunction,
        inputs: [S; 2],
        output: S,
        elements: usize,
    },
    RowForward {
        call: RowCallOf<S>,
        z: S,
        y: S,
    },
    /// A product with the Jacobian, from the output y.
    RowProduct {
        product: RowProduct,
        call: RowCallOf<S>,
        y: S,
        vector: S,
        output: S,
    },
    /// The Jacobians of the lines one after the other, from the output y.
    RowJacobian {
        call: RowCallOf<S>,
        y: S,
        output: S,
    },
    /// A mask of 1 and 0 for tensors of these lengths, from a mask of what is kept and one that is added, in which −∞
    /// excludes; with `causal`, an element of the last axis is kept up to its place along the axis before.
    ExpandMask {
        lengths: [usize; AXES],
        kept: Option<RepeatedOf<S>>,
        added: Option<RepeatedOf<S>>,
        causal: bool,
        output: S,
    },
    /// `output = scale·input + added`
    AddRepeated {
        lengths: [usize; AXES],
        input: S,
        scale: f32,
        added: RepeatedOf<S>,
        output: S,
    },
    /// Fills the lines in which a mask keeps nothing.
    FillEmptyRows(EmptyRowsOf<S>),
    /// `y = value ⊙ g(gate)`
    GatedForward {
        call: GatedCall,
        x: S,
        y: S,
    },
    /// Both gradients, stored in the same places of dx as the values and the gate in x.
    GatedBackward {
        call: GatedCall,
        x: S,
        dy: S,
        dx: S,
    },
    PreluForward {
        channels: Channels,
        z: S,
        weight: S,
        y: S,
    },
    /// dE/dz and the gradient of each channel's weight, from z, the weight and dy.
    PreluBackward {
        channels: Channels,
        inputs: [S; 3],
        dz: S,
        dweight: S,
    },
    Loss(LossPassOf<S>),
    /// A whole output layer in one pass, on a backend that [supports](super::Backend::supports) it.
    Layer(LayerPassOf<S>),
    Tile(TileStepOf<S>, TilePassOf<S>),
    /// The weight of each row in a mean: its own weight times the weight of its
    /// label, or 0 if it is ignored.
    RowWeights {
        call: LossCallOf<S>,
        rows: Rows,
        output: S,
    },
    /// Copies rows of a batch, starting at `first_row`, to the beginning of a workspace, with
    /// ignored rows set to zero. The input may be f16.
    KeepRows {
        ignored: IgnoredOf<S>,
        input: S,
        first_row: usize,
        rows: Rows,
        output: S,
    },
    /// Sets the ignored rows among these rows of a batch to zero, in an output that the
    /// operation itself has computed.
    ClearRows {
        ignored: IgnoredOf<S>,
        output: S,
        first_row: usize,
        rows: Rows,
    },
    /// Checks labels that the host does not know.
    CheckLabels(LabelCheckOf<S>),
    /// The place of the greatest element of each row, the first of several; NaN counts as the greatest. With labels
    /// each row has a second word: the number of classes that it prefers to its label.
    Predict {
        input: S,
        rows: Rows,
        labels: Option<S>,
        output: S,
    },
    /// Adds a batch to counts of right and wrong predictions.
    CountPredictions(PredictionCountOf<S>),
    /// The sum of all elements; 0 if there are none.
    Sum {
        input: S,
        output: S,
        elements: usize,
    },
    /// The sum over all rows (zeros if there are none), written to the output from the
    /// offset on. The rest of the output is left unchanged. With `accumulate`, the sum is
    /// added to the existing values.
    ColumnSum {
        input: S,
        rows: Rows,
        output: S,
        offset: usize,
        accumulate: bool,
    },
    /// A matrix product, whose factors may be f16.
    Product(ProductOf<S>),
    /// Copies all elements to a storage of the same type and size. Both may be any parts of a tensor.
    Copy {
        input: S,
        output: S,
    },
    /// Keeps those f32 numbers which round to what a storage of halves holds, and widens the others: they have changed
    /// there.
    Refresh {
        rounded: S,
        exact: S,
        elements: usize,
    },
    /// Fills the output with zeros, which may be any part of a tensor.
    Zero {
        output: S,
        words: usize,
    },
    /// Counts a step of Adam for each of some weights, and computes what depends on the number of steps.
    Advance(AdvanceOf<S>),
    /// The velocity belongs to the optimizer, and nothing else reads it. It is `None` without momentum. Kept
    /// factors are the settings.
    Sgd {
        factors: FactorsOf<SgdStep, S>,
        update: UpdateOf<S>,
        velocity: Option<S>,
    },
    /// The moments, too, belong to the optimizer. Kept factors are the settings and the progress of the weight.
    Adam {
        factors: FactorsOf<AdamStep, [S; 2]>,
        update: UpdateOf<S>,
        moments: [S; 2],
    },
    /// Multiplies gradients, each given with its number of elements, by min(1,
    /// max_norm / (norm + 1e-6)), and writes the norm that they have together before this.
    ClipNorm {
        gradients: Vec<(S, usize)>,
        max_norm: f32,
        norm: S,
    },
    /// Clamps the elements to ±limit; NaN stays NaN.
    ClipValue {
        gradients: Vec<(S, usize)>,
        limit: f32,
    },
}

pub(crate) type Op<'a> = OpOf<&'a Storage>;

/// How an operation uses a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    /// Written or changed.
    Written,
}

impl<S> OpOf<S> {
    /// The pointwise function that the operation computes; `None` if there is none.
    pub(crate) fn function(&self) -> Option<&PointwiseFunction> {
        match self {
            Self::Unary { function, .. } | Self::Binary { function, .. } => Some(function),
            Self::GatedForward { call, .. } | Self::GatedBackward { call, .. } => {
                Some(&call.function)
            }
            Self::Loss(LossPassOf { head, .. }) | Self::Layer(LayerPassOf { head, .. }) => {
                match head {
                    Head::Terms(pair) => Some(&pair.activation),
                    _ => None,
                }
            }
            Self::Product(product) => Some(&product.epilogue.function),
            _ => None,
        }
    }

    /// The operation with each storage converted by the function, which is also told how
    /// the operation uses the storage.
    pub(crate) fn map<'s, T>(&'s self, to: &mut dyn FnMut(&'s S, Use) -> T) -> OpOf<T> {
        use Use::{Read as R, Written as W};
        match self {
            Self::Unary { map, function, input, output, elements } => OpOf::Unary {
                map: *map,
                function: *function,
                input: to(input, R),
                output: to(output, W),
                elements: *elements,
            },
            Self::Binary { map, function, inputs, output, elements } => OpOf::Binary {
                map: *map,
                function: *function,
                inputs: inputs.each_ref().map(|input| to(input, R)),
                output: to(output, W),
                elements: *elements,
            },
            Self::RowForward { call, z, y } => {
                OpOf::RowForward { call: call.map(to), z: to(z, R), y: to(y, W) }
            }
            Self::RowProduct { product, call, y, vector, output } => OpOf::RowProduct {
                product: *product,
                call: call.map(to),
                y: to(y, R),
                vector: to(vector, R),
                output: to(output, W),
            },
            Self::RowJacobian { call, y, output } => {
                OpOf::RowJacobian { call: call.map(to), y: to(y, R), output: to(output, W) }
            }
            Self::ExpandMask { lengths, kept, added, causal, output } => OpOf::ExpandMask {
                lengths: *lengths,
                kept: kept.as_ref().map(|kept| kept.map(to)),
                added: added.as_ref().map(|added| added.map(to)),
                causal: *causal,
                output: to(output, W),
            },
            Self::AddRepeated { lengths, input, scale, added, output } => OpOf::AddRepeated {
                lengths: *lengths,
                input: to(input, R),
                scale: *scale,
                added: added.map(to),
                output: to(output, W),
            },
            Self::FillEmptyRows(rows) => OpOf::FillEmptyRows(rows.map(to)),
            Self::GatedForward { call, x, y } => {
                OpOf::GatedForward { call: *call, x: to(x, R), y: to(y, W) }
            }
            Self::GatedBackward { call, x, dy, dx } => {
                OpOf::GatedBackward { call: *call, x: to(x, R), dy: to(dy, R), dx: to(dx, W) }
            }
            Self::PreluForward { channels, z, weight, y } => OpOf::PreluForward {
                channels: *channels,
                z: to(z, R),
                weight: to(weight, R),
                y: to(y, W),
            },
            Self::PreluBackward { channels, inputs, dz, dweight } => OpOf::PreluBackward {
                channels: *channels,
                inputs: inputs.each_ref().map(|input| to(input, R)),
                dz: to(dz, W),
                dweight: to(dweight, W),
            },
            Self::Loss(pass) => OpOf::Loss(pass.map(to)),
            Self::Layer(pass) => OpOf::Layer(pass.map(to)),
            Self::Tile(step, pass) => OpOf::Tile(step.map(to), pass.map(to)),
            Self::RowWeights { call, rows, output } => {
                OpOf::RowWeights { call: call.map(to), rows: *rows, output: to(output, W) }
            }
            Self::KeepRows { ignored, input, first_row, rows, output } => OpOf::KeepRows {
                ignored: ignored.map(to),
                input: to(input, R),
                first_row: *first_row,
                rows: *rows,
                output: to(output, W),
            },
            Self::ClearRows { ignored, output, first_row, rows } => OpOf::ClearRows {
                ignored: ignored.map(to),
                output: to(output, W),
                first_row: *first_row,
                rows: *rows,
            },
            Self::CheckLabels(check) => OpOf::CheckLabels(check.map(to)),
            Self::Predict { input, rows, labels, output } => OpOf::Predict {
                input: to(input, R),
                rows: *rows,
                labels: labels.as_ref().map(|labels| to(labels, R)),
                output: to(output, W),
            },
            Self::CountPredictions(count) => OpOf::CountPredictions(count.map(to)),
            Self::Sum { input, output, elements } => {
                OpOf::Sum { input: to(input, R), output: to(output, W), elements: *elements }
            }
            Self::ColumnSum { input, rows, output, offset, accumulate } => OpOf::ColumnSum {
                input: to(input, R),
                rows: *rows,
                output: to(output, W),
                offset: *offset,
                accumulate: *accumulate,
            },
            Self::Product(product) => OpOf::Product(product.map(to)),
            Self::Copy { input, output } => {
                OpOf::Copy { input: to(input, R), output: to(output, W) }
            }
            Self::Refresh { rounded, exact, elements } => {
                OpOf::Refresh { rounded: to(rounded, R), exact: to(exact, W), elements: *elements }
            }
            Self::Zero { output, words } => OpOf::Zero { output: to(output, W), words: *words },
            Self::Advance(AdvanceOf { settings, corrections, entries, progress, weights }) => {
                OpOf::Advance(AdvanceOf {
                    settings: to(settings, R),
                    corrections: to(corrections, R),
                    entries: *entries,
                    progress: to(progress, W),
                    weights: *weights,
                })
            }
            Self::Sgd { factors, update, velocity } => OpOf::Sgd {
                factors: match factors {
                    FactorsOf::Given(step) => FactorsOf::Given(*step),
                    FactorsOf::Kept(settings) => FactorsOf::Kept(to(settings, R)),
                },
                update: update.map(to),
                velocity: velocity.as_ref().map(|velocity| to(velocity, W)),
            },
            Self::Adam { factors, update, moments } => OpOf::Adam {
                factors: match factors {
                    FactorsOf::Given(step) => FactorsOf::Given(*step),
                    FactorsOf::Kept(kept) => FactorsOf::Kept(kept.each_ref().map(|it| to(it, R))),
                },
                update: update.map(to),
                moments: moments.each_ref().map(|moments| to(moments, W)),
            },
            Self::ClipNorm { gradients, max_norm, norm } => OpOf::ClipNorm {
                gradients: gradients.iter().map(|(it, count)| (to(it, W), *count)).collect(),
                max_norm: *max_norm,
                norm: to(norm, W),
            },
            Self::ClipValue { gradients, limit } => OpOf::ClipValue {
                gradients: gradients.iter().map(|(it, count)| (to(it, W), *count)).collect(),
                limit: *limit,
            },
        }
    }
}
