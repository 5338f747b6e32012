//! A loss with its targets, checked.

use std::sync::Arc;

use super::targets::TargetValues;
use wgrad_formula::expression::{Custom, Of};
use wgrad_formula::formulas::{Formula, Head, PointwiseFunction, RowFunction, Unit};

use super::{Loss, Targets, check_signs, check_values};
use crate::backend::{
    Binary, Ignored, LabelCheckOf, LossCall, Mask, OpOf, RowCall, Spread, Storage, TargetStorage,
    Temperature,
};
use crate::device::Device;
use crate::device::labels::Labels;
use crate::device::plan::Check;
use crate::device::tensor::{Tensor, check_devices, check_shape};
use crate::error::{Error, Result};
use crate::lines::{Lines, Rows};
use crate::reduction::Reduction;
use crate::shape::Shape;

/// The number of elements of one partial sum of a loss on elements: fixed, so that the result does not
/// depend on the number of threads.
const PARTIAL: usize = 4096;

/// A tensor, with its strides by row and by column of the outputs.
type Spreading<'a> = (&'a Tensor, usize, usize);

/// A loss with its checked targets and weights, and the factor of the reduction.
pub(crate) struct Comparison<'a> {
    loss: Loss,
    targets: &'a Targets,
    /// The outputs along their last axis.
    pub(crate) rows: Rows,
    weights: Option<Spreading<'a>>,
    extra: Option<Spreading<'a>>,
    /// Labels that only the device knows, as it has checked them.
    checked: Option<CheckedLabels>,
    /// dE/dloss times the weights, with their strides, for the gradients of an unreduced loss.
    upstream: Option<(Storage, usize, usize)>,
    scale: f32,
    divisor: Option<Storage>,
    /// Whether rows are ignored, or may be when a plan is run.
    ignores: bool,
    /// Whether only the device knows if any row counts.
    may_be_empty: bool,
    /// The loss if nothing counts: 0, or NaN for the mean of nothing, as in PyTorch.
    pub(crate) empty: Option<f32>,
}

/// Valid labels, and weights of the rows that are NaN where the label was not valid.
struct CheckedLabels {
    labels: Storage,
    weights: Storage,
}

impl<'a> Comparison<'a> {
    /// Checks a loss of outputs of this shape. `targets` are of f32; the host may know the values of the
    /// targets that were `given`.
    pub(crate) fn new(
        op: &'static str,
        loss: &Loss,
        device: &Device,
        shape: &Shape,
        given: &Targets,
        targets: &'a Targets,
        reduction: Reduction,
    ) -> Result<Self> {
        loss.validate()?;
        check_devices(op, std::iter::once(device).chain(targets.devices()))?;
        let width = shape.row();
        let count = shape[..shape.len().saturating_sub(1)].iter().product();
        let rows = Rows { count, width };
        if loss.unit() == Unit::Row && width == 0 {
            return Err(Error::shape(op, "outputs with at least one class", shape));
        }
        let known = count_rows(op, loss, shape, rows, targets)?;
        let counted = known.unwrap_or(rows.count);
        let fit = Fit { op, loss, shape, width };
        let (weights, extra) = (fit.weights(targets)?, fit.extra(targets)?);
        check_target_values(loss, given)?;
        let labels = matches!(targets.values, TargetValues::Labels(_));
        let is_recording = device.is_recording();
        if is_recording {
            keep_checks(device, loss, given, width);
        }
        // Other rows may be ignored at each run of a plan.
        let counts_later =
            (is_recording || known.is_none()) && labels && loss.ignore_index().is_some();
        let elements = rows.elements();
        let divisor = match (reduction, loss.unit()) {
            (Reduction::None | Reduction::Sum, _) => None,
            (Reduction::Mean, Unit::Element) => Some(elements),
            (Reduction::Mean, Unit::Row) => Some(counted),
            (Reduction::BatchMean, _) => Some(shape.first().copied().unwrap_or(1)),
        };
        let nothing = elements == 0 || (counted == 0 && !counts_later);
        let mut comparison = Self {
            loss: *loss,
            targets,
            rows,
            weights,
            extra,
            checked: None,
            upstream: None,
            scale: divisor.map_or(1.0, |divisor| (1.0 / divisor.max(1) as f64) as f32),
            divisor: None,
            ignores: counted < rows.count || is_recording || known.is_none(),
            may_be_empty: false,
            empty: nothing.then_some(if divisor == Some(0) { f32::NAN } else { 0.0 }),
        };
        if !nothing
            && let TargetValues::Labels(labels) = &targets.values
            && !labels.is_known()
        {
            comparison.check_labels(device, labels)?;
        }
        if let Some(divisor) = comparison.given_divisor(op, given, reduction)? {
            comparison.scale = 1.0;
            comparison.divisor = Some(divisor);
            comparison.empty = comparison.empty.map(|_| 0.0);
        }
        comparison.take_upstream(op, device, shape, reduction)?;
        let weighted = weights.is_some() || (labels && targets.class_weights.is_some());
        let is_mean = reduction == Reduction::Mean && loss.function().has_weighted_mean();
        if (weighted || counts_later) && !nothing && is_mean && targets.divisor.is_none() {
            comparison.divide_by_weights(device)?;
            comparison.may_be_empty = counts_later;
        }
        Ok(comparison)
    }

    /// The divisor of the caller's.
    fn given_divisor(
        &self,
        op: &'static str,
        given: &Targets,
        reduction: Reduction,
    ) -> Result<Option<Storage>> {
        let Some(divisor) = &self.targets.divisor else { return Ok(None) };
        if reduction != Reduction::Mean {
            return Err(Error::Unsupported {
                what: format!("a divisor with the reduction {reduction}"),
                reason: "it is what the mean divides by".to_owned(),
            });
        }
        if divisor.len() != 1 {
            return Err(Error::shape(op, "a divisor of one element", divisor.dimensions()));
        }
        if let Some(given) = &given.divisor {
            if given.device().is_recording() {
                let (of, known) = (given.storage().clone(), given.clone());
                let run = Arc::new(move || check_divisor(&known));
                given.device().keep_check(Check { of, run });
            }
            check_divisor(given)?;
        }
        Ok(Some(divisor.storage().clone()))
    }

    /// Multiplies dE/dloss of the caller's by the weights.
    fn take_upstream(
        &mut self,
        op: &'static str,
        device: &Device,
        shape: &Shape,
        reduction: Reduction,
    ) -> Result<()> {
        let Some(gradient) = &self.targets.loss_gradient else { return Ok(()) };
        if reduction != Reduction::None {
            return Err(Error::Unsupported {
                what: format!("dE/dloss of each row with the reduction {reduction}"),
                reason: "it belongs to Reduction::None; a reduced loss is one number".to_owned(),
            });
        }
        let outer = shape.len().saturating_sub(1);
        let (expected, row, column) = match self.loss.unit() {
            Unit::Row => (&shape[..outer], 1, 0),
            Unit::Element => (&shape[..], self.rows.width, 1),
        };
        check_shape(op, "dE/dloss", gradient, expected)?;
        let storage = match self.call().weights {
            None => gradient.storage().clone(),
            Some(weights)
                if (weights.row, weights.column) == (row, column) || gradient.len() == 1 =>
            {
                let product = device.scratch(gradient.len())?;
                multiply(device, weights.storage, gradient.storage(), &product, gradient.len())?;
                product
            }
            Some(_) => {
                return Err(Error::Unsupported {
                    what: "dE/dloss with weights of another shape".to_owned(),
                    reason: format!("give weights of the loss's shape {expected:?}"),
                });
            }
        };
        self.upstream = Some((storage, row, column));
        Ok(())
    }

    /// Lets the device check labels that it alone knows.
    fn check_labels(&mut self, device: &Device, labels: &Labels) -> Result<()> {
        let rows = self.rows.count;
        let (valid, weights) = (device.scratch(rows)?, device.scratch(rows)?);
        device.run(OpOf::CheckLabels(LabelCheckOf {
            labels: labels.storage(),
            rows,
            classes: self.rows.width,
            ignore_index: self.loss.ignore_index(),
            weights: self.call().weights,
            valid: &valid,
            output: &weights,
            invalid: labels.counter()?,
        }))?;
        self.checked = Some(CheckedLabels { labels: valid, weights });
        Ok(())
    }

    /// Makes the mean divide by the weights of the rows.
    fn divide_by_weights(&mut self, device: &Device) -> Result<()> {
        let (weights, sum) = (device.scratch(self.rows.count)?, device.scratch(1)?);
        let call = self.call();
        device.run(OpOf::RowWeights { call, rows: self.rows, output: &weights })?;
        let elements = self.rows.count;
        device.run(OpOf::Sum { input: &weights, output: &sum, elements })?;
        (self.scale, self.divisor) = (1.0, Some(sum));
        Ok(())
    }

    /// Makes the mean of nothing NaN if only the device knows that nothing counts: each loss is 0 then.
    pub(crate) fn finish(&self, device: &Device, loss: &Tensor) -> Result<()> {
        let Some(divisor) = self.divisor.as_ref().filter(|_| self.may_be_empty) else {
            return Ok(());
        };
        // The divisor is the mask of this row: the result is NaN if the divisor is 0, else 0.
        let call = RowCall {
            function: RowFunction::LogSoftmax,
            lines: Lines { outer: 1, width: 1, inner: 1 },
            temperature: Temperature::ONE,
            mask: Some(Mask { storage: divisor, elements: 1 }),
        };
        let (zero, term) = (device.scratch(1)?, device.scratch(1)?);
        device.zero(&zero, 1)?;
        device.run(OpOf::RowForward { call, z: &zero, y: &term })?;
        let (rows, output) = (Rows { count: 1, width: 1 }, loss.storage());
        device.run(OpOf::ColumnSum { input: &term, rows, output, offset: 0, accumulate: true })
    }

    /// What the loss compares with, for the backends.
    pub(crate) fn call(&self) -> LossCall<'_> {
        let spread = |spreading: Option<Spreading<'a>>| {
            spreading.map(|(tensor, row, column)| Spread { storage: tensor.storage(), row, column })
        };
        let checked = self.checked.as_ref();
        let checked_weights = checked.map(|it| Spread { storage: &it.weights, row: 1, column: 0 });
        LossCall {
            targets: match &self.targets.values {
                TargetValues::Dense(tensor) => TargetStorage::Dense(tensor.storage()),
                TargetValues::Labels(labels) => {
                    let valid = checked.map(|checked| &checked.labels);
                    TargetStorage::Labels(valid.unwrap_or_else(|| labels.storage()))
                }
            },
            smoothing: self.loss.label_smoothing(),
            ignore_index: self.loss.ignore_index(),
            weights: checked_weights.or_else(|| spread(self.weights)),
            class_weights: self.targets.class_weights.as_ref().map(Tensor::storage),
            extra: spread(self.extra),
            scale: self.scale,
            divisor: self.divisor.as_ref(),
            z_loss: 0.0,
        }
    }

    /// Whether the gradients are not those of the sum of the losses.
    pub(crate) const fn has_upstream(&self) -> bool {
        self.upstream.is_some()
    }

    /// A call as it is for the gradients, which dE/dloss multiplies.
    pub(crate) fn for_gradients<'c>(&'c self, call: LossCall<'c>, rows: Rows) -> LossCall<'c> {
        let Some((storage, row, column)) = &self.upstream else { return call };
        // Elements may be split into rows of another length.
        let row = if *column == 0 { *row } else { rows.width };
        let weights = Some(Spread { storage, row, column: *column });
        LossCall { weights, ..call }
    }

    /// The call, and the rows to work in. If the elements are independent, they may be split into any rows.
    pub(crate) fn call_in_rows(&self) -> (LossCall<'_>, Rows) {
        let mut call = self.call();
        if !self.is_elementwise() {
            return (call, self.rows);
        }
        for Spread { row, .. } in [&mut call.weights, &mut call.extra].into_iter().flatten() {
            *row = if *row == 0 { 0 } else { PARTIAL };
        }
        (call, Rows { count: self.rows.elements().div_ceil(PARTIAL), width: PARTIAL })
    }

    /// Whether the elements are independent of each other.
    pub(crate) fn is_elementwise(&self) -> bool {
        let elementwise = |spreading: Option<Spreading<'_>>| {
            spreading.is_none_or(|(_, row, column)| (row == 0) == (column == 0))
        };
        self.loss.unit() == Unit::Element && elementwise(self.weights) && elementwise(self.extra)
    }

    /// The ignored rows, if there are any.
    pub(crate) fn ignored(&self) -> Option<Ignored<'a>> {
        let TargetValues::Labels(labels) = &self.targets.values else { return None };
        let label = self.loss.ignore_index().filter(|_| self.ignores)?;
        Some(Ignored { labels: labels.storage(), label })
    }

    /// Whether the loss is one number for each element or for each row.
    pub(crate) fn unit(&self) -> Unit {
        self.loss.unit()
    }

    pub(crate) fn has_labels(&self) -> bool {
        matches!(self.targets.values, TargetValues::Labels(_))
    }

    /// The loss of outputs, without an activation below it.
    pub(crate) fn head(&self) -> Head {
        Head::of_output(self.loss.function().formula)
    }
}

/// The product of two storages, element by element: the chain rule of z²/2.
fn multiply(
    device: &Device,
    one: &Storage,
    other: &Storage,
    output: &Storage,
    elements: usize,
) -> Result<()> {
    let function = PointwiseFunction::Custom(Custom::new(Of::Activation, "z^2 / 2", &[])?);
    let (map, inputs) = (Binary::Backward, [one, other]);
    device.run(OpOf::Binary { map, function, inputs, output, elements })
}

/// Checks that a divisor is positive, as far as the host knows it.
fn check_divisor(divisor: &Tensor) -> Result<()> {
    let Some(bounds) = divisor.bounds()? else { return Ok(()) };
    let value = bounds.least.value;
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::parameter("divisor", value, "must be positive and finite"))
}

/// Checks that the loss is defined for the targets, as far as the host knows them.
fn check_target_values(loss: &Loss, targets: &Targets) -> Result<()> {
    if let TargetValues::Dense(tensor) = &targets.values {
        check_dense(loss, tensor)?;
    }
    targets.variance.as_ref().map_or(Ok(()), |variance| check_variance(loss, variance))
}

fn check_dense(loss: &Loss, targets: &Tensor) -> Result<()> {
    if let Some((range, reason)) = loss.target_range() {
        check_values(loss.name(), targets, range, reason)?;
    }
    if loss.takes_signs() {
        check_signs(loss.name(), targets)?;
    }
    Ok(())
}

fn check_variance(loss: &Loss, variance: &Tensor) -> Result<()> {
    check_values(loss.name(), variance, 0.0..=f32::INFINITY, "must not be negative")
        .map_err(of_variance)
}

/// Makes a plan check the targets at each run.
fn keep_checks(device: &Device, loss: &Loss, targets: &Targets, width: usize) {
    let loss = *loss;
    let keep = |of: &Storage, run: Arc<dyn Fn() -> Result<()> + Send + Sync>| {
        device.keep_check(Check { of: of.clone(), run });
    };
    match &targets.values {
        TargetValues::Labels(labels) => {
            let (of, labels) = (labels.storage(), labels.clone());
            let known = labels.is_known();
            keep(
                of,
                Arc::new(move || {
                    let counted = labels.count(width, loss.ignore_index())?;
                    if known && counted.is_none() {
                        return Err(Error::Unsupported {
                            what:
                                "labels that only the device knows, in a plan recorded with others"
                                    .to_owned(),
                            reason: "nothing would check them; record the plan with such labels"
                                .to_owned(),
                        });
                    }
                    Ok(())
                }),
            );
        }
        TargetValues::Dense(tensor) => {
            let (of, tensor) = (tensor.storage(), tensor.clone());
            keep(of, Arc::new(move || check_dense(&loss, &tensor)));
        }
    }
    if let Some(variance) = &targets.variance {
        let (of, variance) = (variance.storage(), variance.clone());
        keep(of, Arc::new(move || check_variance(&loss, &variance)));
    }
}

/// Turns the error of a target into that of a variance.
fn of_variance(error: Error) -> Error {
    match error {
        Error::InvalidTarget { value, reason, .. } => Error::parameter("variance", value, reason),
        other => other,
    }
}

/// The number of rows that count; `None` if only the device knows it.
fn count_rows(
    op: &'static str,
    loss: &Loss,
    shape: &Shape,
    rows: Rows,
    targets: &Targets,
) -> Result<Option<usize>> {
    let unsupported = |what: &str, reason: &str| {
        Err(Error::Unsupported { what: format!("{loss} with {what}"), reason: reason.to_owned() })
    };
    match &targets.values {
        TargetValues::Dense(_) if matches!(loss.function().formula, Formula::Margins { .. }) => {
            unsupported("dense targets", "it compares with the output of a label; give labels")
        }
        TargetValues::Dense(t) if t.shape() != &**shape => {
            let expected = format!("targets of the output's shape {shape}");
            let hint = dense_hint(loss, rows, t);
            Err(Error::shape(op, expected, format!("{}{hint}", t.dimensions())))
        }
        TargetValues::Dense(_) => Ok(Some(rows.count)),
        TargetValues::Labels(_) if loss.unit() == Unit::Element => {
            unsupported("labels", "it compares each output with a number; give dense targets")
        }
        TargetValues::Labels(labels) if labels.len() != rows.count => {
            let expected = format!("{} labels for the output's shape {shape}", rows.count);
            let hint = match labels.len() == rows.elements() {
                true => {
                    "; a number for each output, as one-hot targets are, goes into device.tensor"
                }
                false => "",
            };
            Err(Error::shape(op, expected, format!("{}{hint}", labels.len())))
        }
        TargetValues::Labels(labels) => labels.count(rows.width, loss.ignore_index()),
    }
}

/// A hint for dense targets whose shape is not the output's.
fn dense_hint(loss: &Loss, rows: Rows, targets: &Tensor) -> &'static str {
    if loss.unit() == Unit::Row && targets.len() == rows.count {
        return "; class indices, one a row, go into device.labels(&[i32])";
    }
    match targets.len() == rows.elements() {
        true => "; it has as many elements: reshape it",
        false => "",
    }
}

/// Checks weights and variances against outputs of this shape.
struct Fit<'a> {
    op: &'static str,
    loss: &'a Loss,
    shape: &'a Shape,
    width: usize,
}

impl Fit<'_> {
    fn unsupported<T>(&self, what: &str, losses: &str) -> Result<T> {
        Err(Error::Unsupported {
            what: format!("{} with {what}", self.loss),
            reason: format!("they belong to {losses}"),
        })
    }

    /// The strides of a tensor with one number for each output, row or column, as far as these are allowed, or
    /// with a single number.
    fn spread<'t>(
        &self,
        what: &str,
        tensor: &'t Tensor,
        allowed: &[Along],
    ) -> Result<Spreading<'t>> {
        let found = tensor.shape();
        let outer = &self.shape[..self.shape.len().saturating_sub(1)];
        let one_row = || {
            let split = found.split_last();
            split.is_some_and(|(last, rest)| *last == self.width && rest.iter().all(|&n| n == 1))
        };
        let is = |along: &Along| match along {
            Along::Elements => found == &**self.shape,
            Along::Rows => found == outer || found.split_last() == Some((&1, outer)),
            Along::Columns => one_row(),
            Along::MarkedColumns => found.len() > 1 && one_row(),
        };
        if tensor.len() == 1 {
            return Ok((tensor, 0, 0));
        }
        match allowed.iter().find(|along| is(along)) {
            Some(Along::Elements) => Ok((tensor, self.width, 1)),
            Some(Along::Rows) => Ok((tensor, 1, 0)),
            Some(Along::Columns | Along::MarkedColumns) => Ok((tensor, 0, 1)),
            None => {
                let shapes = allowed.iter().map(|along| along.shape(self.shape, self.width));
                let shapes = shapes.collect::<Vec<_>>().join(", ");
                let expected = format!("{what} of shape {shapes}, or one number");
                Err(Error::shape(self.op, expected, tensor.dimensions()))
            }
        }
    }

    fn weights<'t>(&self, targets: &'t Targets) -> Result<Option<Spreading<'t>>> {
        let allowed: &[Along] = match self.loss.unit() {
            Unit::Element => &[Along::Elements, Along::Rows, Along::MarkedColumns],
            Unit::Row => &[Along::Rows],
        };
        let weights = targets.weights.as_ref();
        weights.map(|weights| self.spread("weights", weights, allowed)).transpose()
    }

    /// The weights of positive targets or the variances. Class weights are checked here too.
    fn extra<'t>(&self, targets: &'t Targets) -> Result<Option<Spreading<'t>>> {
        if let Some(weights) = &targets.class_weights {
            if self.loss.unit() == Unit::Element {
                return self.unsupported(
                    "class weights",
                    "cross_entropy, cross_entropy_with_logits, nll and multi_margin",
                );
            }
            check_shape(self.op, "class weights", weights, &[self.width])?;
        }
        let is_gaussian = self.loss.function().takes_variance();
        match (&targets.pos_weight, &targets.variance) {
            (Some(_), _) if *self.loss != Loss::BceWithLogits => {
                self.unsupported("weights of positive targets", "bce_with_logits")
            }
            (_, Some(_)) if !is_gaussian => self.unsupported("variances", "gaussian_nll"),
            (_, None) if is_gaussian => Err(Error::Unsupported {
                what: format!("{} without a variance", self.loss),
                reason: "give it with Targets::variance".to_owned(),
            }),
            (Some(weight), _) => {
                let allowed = [Along::Elements, Along::Columns];
                self.spread("weights of positive targets", weight, &allowed).map(Some)
            }
            (_, Some(variance)) => {
                self.spread("variances", variance, &[Along::Elements, Along::Rows]).map(Some)
            }
            (None, None) => Ok(None),
        }
    }
}

/// How a tensor may be broadcast over outputs.
enum Along {
    Elements,
    Rows,
    Columns,
    /// With leading axes of length 1, because a vector has one number for each row.
    MarkedColumns,
}

impl Along {
    fn shape(&self, shape: &Shape, width: usize) -> String {
        let outer = &shape[..shape.len().saturating_sub(1)];
        match self {
            Self::Elements => shape.to_string(),
            Self::Rows => format!("{outer:?}"),
            Self::Columns => format!("[{width}]"),
            Self::MarkedColumns => format!("[1, {width}]"),
        }
    }
}
