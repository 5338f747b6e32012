//! The masks of row-wise activations: repeated over axes, added to the logits, causal.

use std::borrow::Cow;
use std::sync::Arc;

use wgrad_formula::formulas::RowFunction;

use super::rowwise::Rowwise;
use crate::backend::{AXES, EmptyRowsOf, Mask, OpOf, Repeated};
use crate::device::plan::Check;
use crate::device::tensor::{Tensor, check_devices};
use crate::error::{Error, Result};
use crate::shape::Shape;

/// The result in a row in which the masks of a [`Rowwise`] exclude everything. Its gradients are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EmptyRows {
    /// NaN, as PyTorch's softmax of a row of −∞.
    #[default]
    Nan,
    /// 0, and −∞ for log_softmax, the logarithm of 0.
    Zeros,
}

/// How a mask lies over the axes of a tensor.
struct Laid<'a> {
    mask: &'a Tensor,
    /// The strides along the tensor's axes: 0 where the mask is repeated.
    strides: Vec<usize>,
}

impl<'a> Laid<'a> {
    fn new(op: &'static str, what: &str, mask: &'a Tensor, shape: &Shape) -> Result<Self> {
        let misshaped = || {
            let expected =
                format!("{what} of the shape {shape} or of its last axes, of which any may be 1");
            Error::shape(op, expected, mask.dimensions())
        };
        let missing = shape.len().checked_sub(mask.shape().len()).ok_or_else(misshaped)?;
        let mut strides = vec![0; shape.len()];
        let mut stride = 1;
        for (axis, &length) in mask.shape().iter().enumerate().rev() {
            match length {
                1 => {}
                length if length == shape[missing + axis] => strides[missing + axis] = stride,
                _ => return Err(misshaped()),
            }
            stride *= length;
        }
        Ok(Self { mask, strides })
    }

    /// The mask over the axes from the first one on that is not repeated.
    fn repeated(&self, first: usize) -> Repeated<'a> {
        let mut strides = [0; AXES];
        let axes = &self.strides[first..];
        strides[AXES - axes.len()..].copy_from_slice(axes);
        Repeated { storage: self.mask.storage(), elements: self.mask.len(), strides }
    }

    fn first_axis(&self) -> usize {
        self.strides.iter().position(|&stride| stride > 0).unwrap_or(self.strides.len())
    }
}

/// The lengths of the axes from the first one on, after others of length 1.
fn lengths_of(op: &'static str, shape: &Shape, first: usize) -> Result<[usize; AXES]> {
    let axes = &shape[first..];
    let mut lengths = [1; AXES];
    match lengths.len().checked_sub(axes.len()) {
        Some(missing) => lengths[missing..].copy_from_slice(axes),
        None => {
            return Err(Error::Unsupported {
                what: format!("{op} with a mask that is repeated over {} axes", axes.len()),
                reason: format!("there may be {AXES}; reshape the tensors"),
            });
        }
    }
    Ok(lengths)
}

impl Rowwise {
    /// Adds a mask to the logits: `g(z / T + mask)`, as other libraries' attention masks of 0 and −∞, or any bias. Its
    /// shape is repeated as that of [`mask`](Self::mask). An element of −∞ excludes its element as a mask of 0 does,
    /// whatever z is there. +∞ is an error if the host knows it; otherwise it makes its row NaN, as NaN does. The
    /// gradient is that for z; that for the mask is T times it.
    ///
    /// ```
    /// use wgrad::{Activation, Device, Rowwise};
    ///
    /// let device = Device::cpu();
    /// let z = device.tensor(&[1.0, 3.0, 9.0, 2.0, 2.0, 9.0], [2, 3])?;
    /// let mask = device.tensor(&[0.0, 0.0, f32::NEG_INFINITY], [1, 3])?;
    /// let y = Rowwise::new(Activation::Softmax)?.additive_mask(&mask).forward(&z)?;
    /// assert_eq!(y.to_vec()?[3..], [0.5, 0.5, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub fn additive_mask(mut self, mask: &Tensor) -> Self {
        self.additive = Some(mask.clone());
        self
    }

    /// Keeps, in each row i of the last two axes [T, S], only the elements 0 to i: what comes later is excluded. As
    /// PyTorch's `is_causal`.
    #[must_use]
    pub const fn causal(mut self, causal: bool) -> Self {
        self.causal = causal;
        self
    }

    /// What a row is in which the masks exclude everything; [`EmptyRows::Nan`] by default.
    #[must_use]
    pub const fn empty_rows(mut self, result: EmptyRows) -> Self {
        self.empty_rows = result;
        self
    }

    /// The same with one mask, which the kernels take, in place of those that they do not.
    pub(super) fn resolved(&self, op: &'static str, z: &Tensor) -> Result<Cow<'_, Self>> {
        let shape = z.dimensions();
        let fits = |mask: &Tensor| z.shape().ends_with(mask.shape());
        if self.additive.is_none() && !self.causal && self.mask.as_ref().is_none_or(fits) {
            return Ok(Cow::Borrowed(self));
        }
        let given = self.mask.iter().chain(&self.additive);
        check_devices(op, std::iter::once(z).chain(given).map(Tensor::device))?;
        let rank = shape.len();
        if self.causal && (rank < 2 || shape.axis(self.axis)? + 1 != rank) {
            return Err(Error::Unsupported {
                what: format!(
                    "{op} of the shape {shape} along axis {} with a causal mask",
                    self.axis
                ),
                reason: "it is for rows along the last of at least two axes".to_owned(),
            });
        }
        let kept = self.mask.as_ref().map(Tensor::wide).transpose()?;
        let added = self.additive.as_ref().map(Tensor::wide).transpose()?;
        let kept = kept.as_deref().map(|it| Laid::new(op, "a mask", it, shape)).transpose()?;
        let added =
            added.as_deref().map(|it| Laid::new(op, "an additive mask", it, shape)).transpose()?;
        let causal = self.causal.then(|| rank - 2);
        let firsts = [&kept, &added].into_iter().flatten().map(Laid::first_axis).chain(causal);
        let first = firsts.min().unwrap_or(rank).min(rank.saturating_sub(1));
        let mask = z.device().workspace(Shape::from(&shape[first..]))?;
        if !mask.is_empty() {
            let [kept, added] = [&kept, &added].map(|it| it.as_ref().map(|it| it.repeated(first)));
            z.device().run(OpOf::ExpandMask {
                lengths: lengths_of(op, shape, first)?,
                kept,
                added,
                causal: self.causal,
                output: mask.storage(),
            })?;
        }
        Ok(Cow::Owned(Self { mask: Some(mask), additive: None, causal: false, ..self.clone() }))
    }

    /// `z / T + mask` in the workspace, for z of f32; `None` if nothing is added.
    pub(super) fn biased(&self, op: &'static str, z: &Tensor) -> Result<Option<Tensor>> {
        let Some(mask) = &self.additive else { return Ok(None) };
        let mask = mask.wide()?;
        let biased = z.device().workspace(z.dimensions().clone())?;
        if !biased.is_empty() {
            let laid = Laid::new(op, "an additive mask", &mask, z.dimensions())?;
            z.device().run(OpOf::AddRepeated {
                lengths: lengths_of(op, z.dimensions(), 0)?,
                input: z.storage(),
                scale: 1.0 / self.temperature,
                added: laid.repeated(0),
                output: biased.storage(),
            })?;
        }
        Ok(Some(biased))
    }

    /// Fills the rows of y, of f32, in which nothing is kept, if they are not NaN. The mask is a
    /// [resolved](Self::resolved) one.
    pub(super) fn fill_empty(&self, y: &Tensor) -> Result<()> {
        let Some(mask) = self.mask.as_ref().filter(|_| self.empty_rows == EmptyRows::Zeros) else {
            return Ok(());
        };
        if y.is_empty() {
            return Ok(());
        }
        let fill = match self.function {
            RowFunction::LogSoftmax => f32::NEG_INFINITY,
            RowFunction::Softmax | RowFunction::Softmin | RowFunction::Sparsemax => 0.0,
        };
        let lines = y.dimensions().lines(self.axis)?;
        let mask = Mask { storage: mask.storage(), elements: mask.len() };
        let output = y.storage();
        y.device().run(OpOf::FillEmptyRows(EmptyRowsOf { mask, lines, fill, output }))
    }

    /// Checks that an additive mask has no +∞ or NaN, as far as the host knows it; in a plan, at each run.
    pub(super) fn check_additive(&self) -> Result<()> {
        let Some(mask) = &self.additive else { return Ok(()) };
        if mask.device().is_recording() {
            let (of, known) = (mask.storage().clone(), mask.clone());
            let run = Arc::new(move || check_additive(&known));
            mask.device().keep_check(Check { of, run });
        }
        check_additive(mask)
    }
}

fn check_additive(mask: &Tensor) -> Result<()> {
    let Some(bounds) = mask.bounds()? else { return Ok(()) };
    let greatest = bounds.greatest;
    if greatest.value < f32::INFINITY {
        return Ok(());
    }
    let reason =
        format!("element {} of the additive mask must be less than infinity", greatest.index);
    Err(Error::parameter("additive_mask", greatest.value, reason))
}
