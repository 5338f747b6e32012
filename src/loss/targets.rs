//! The targets of a loss.

use std::borrow::Cow;

use crate::device::Device;
use crate::device::labels::Labels;
use crate::device::tensor::Tensor;
use crate::error::Result;

/// The targets of a loss: numbers of the output's shape, or a class index for each row, with optional
/// weights and variances. References to a [`Tensor`] and to [`Labels`] convert to targets.
///
/// ```
/// use wgrad::{Device, Loss, Reduction, Targets};
///
/// let device = Device::cpu();
/// let logits = device.tensor(&[2.0, 0.0, 0.0, 1.0], [2, 2])?;
/// let labels = device.labels(&[0, 1])?;
/// let weights = device.tensor(&[1.0, 3.0], [2])?;
///
/// let targets = Targets::from(&labels).class_weights(&weights);
/// let loss = Loss::cross_entropy_with_logits().forward(&logits, targets, Reduction::Mean)?;
/// assert!((loss.item()? - 0.266_678).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Targets {
    pub(crate) values: TargetValues,
    pub(crate) class_weights: Option<Tensor>,
    pub(crate) weights: Option<Tensor>,
    pub(crate) pos_weight: Option<Tensor>,
    pub(crate) variance: Option<Tensor>,
    pub(crate) divisor: Option<Tensor>,
    pub(crate) loss_gradient: Option<Tensor>,
}

#[derive(Clone, Debug)]
pub(crate) enum TargetValues {
    /// A number for each output, of the output's shape.
    Dense(Tensor),
    /// The index of a class for each row.
    Labels(Labels),
}

impl Targets {
    fn new(values: TargetValues) -> Self {
        Self {
            values,
            class_weights: None,
            weights: None,
            pos_weight: None,
            variance: None,
            divisor: None,
            loss_gradient: None,
        }
    }

    /// The weight of each class, `[K]`, for cross_entropy, cross_entropy_with_logits, nll and multi_margin.
    /// The mean of the first three then divides by the weights of the labels.
    #[must_use]
    pub fn class_weights(mut self, weights: &Tensor) -> Self {
        self.class_weights = Some(weights.clone());
        self
    }

    /// The weight of each term of the loss: of y's shape, or one number for each row, `[B]` or [B, 1];
    /// for losses on elements also [1, K]. A vector always has one number for each row: if it should be
    /// broadcast over the columns as in PyTorch, reshape it to [1, K]. Losses on rows take one number for each
    /// row; the mean of cross_entropy, cross_entropy_with_logits and nll divides by these.
    ///
    /// A weight of 0 multiplies, as PyTorch's does: NaN and infinity in such a row remain. To give rows no
    /// effect at all, whatever they hold, give them a label that the loss ignores.
    #[must_use]
    pub fn weights(mut self, weights: &Tensor) -> Self {
        self.weights = Some(weights.clone());
        self
    }

    /// The weight of a positive target, for bce_with_logits: `[K]`, of y's shape, or one number.
    #[must_use]
    pub fn pos_weight(mut self, weight: &Tensor) -> Self {
        self.pos_weight = Some(weight.clone());
        self
    }

    /// The variances of gaussian_nll: of y's shape, `[B]`, [B, 1], or one number.
    #[must_use]
    pub fn variance(mut self, variance: &Tensor) -> Self {
        self.variance = Some(variance.clone());
        self
    }

    /// The number by which [`Reduction::Mean`](crate::Reduction::Mean) divides the sum, a tensor of one element, instead
    /// of the number of elements, rows or weights: such as the number of tokens of a whole batch that is computed in
    /// parts, whose gradients then add up to those of the mean. It must be positive, which is checked if the host knows
    /// it; on the device, 0 makes the loss and the gradients NaN.
    ///
    /// ```
    /// use wgrad::{Device, Loss, Reduction, Targets};
    ///
    /// let device = Device::cpu();
    /// let (logits, labels) = (device.tensor(&[2.0, 0.0], [1, 2])?, device.labels(&[0])?);
    /// let tokens = device.tensor(&[4.0], [1])?;
    /// let targets = Targets::from(&labels).divisor(&tokens);
    /// let loss = Loss::cross_entropy_with_logits().forward(&logits, targets, Reduction::Mean)?;
    /// assert!((loss.item()? - 0.126_928 / 4.0).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub fn divisor(mut self, divisor: &Tensor) -> Self {
        self.divisor = Some(divisor.clone());
        self
    }

    /// dE/dloss of an unreduced loss, of its shape, for the gradients with
    /// [`Reduction::None`](crate::Reduction::None): the loss itself is as without it. Without it, it is 1 everywhere.
    #[must_use]
    pub fn loss_gradient(mut self, gradient: &Tensor) -> Self {
        self.loss_gradient = Some(gradient.clone());
        self
    }

    /// The targets as f32.
    pub(crate) fn wide(&self) -> Result<Self> {
        let wide = |tensor: &Option<Tensor>| -> Result<_> {
            let wide = tensor.as_ref().map(Tensor::wide).transpose()?;
            Ok(wide.map(Cow::into_owned))
        };
        Ok(Self {
            values: match &self.values {
                TargetValues::Dense(tensor) => TargetValues::Dense(tensor.wide()?.into_owned()),
                TargetValues::Labels(labels) => TargetValues::Labels(labels.clone()),
            },
            class_weights: wide(&self.class_weights)?,
            weights: wide(&self.weights)?,
            pos_weight: wide(&self.pos_weight)?,
            variance: wide(&self.variance)?,
            divisor: wide(&self.divisor)?,
            loss_gradient: wide(&self.loss_gradient)?,
        })
    }

    /// The device that the targets live on.
    pub fn device(&self) -> &Device {
        match &self.values {
            TargetValues::Dense(tensor) => tensor.device(),
            TargetValues::Labels(labels) => labels.device(),
        }
    }

    /// The devices of the targets and of all weights.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        let tensors = self.tensors().map(|(_, tensor)| tensor.device());
        std::iter::once(self.device()).chain(tensors)
    }

    /// All tensors, with their names.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        let dense = match &self.values {
            TargetValues::Dense(tensor) => Some(tensor),
            TargetValues::Labels(_) => None,
        };
        [
            ("the targets", dense),
            ("class_weights", self.class_weights.as_ref()),
            ("weights", self.weights.as_ref()),
            ("pos_weight", self.pos_weight.as_ref()),
            ("variance", self.variance.as_ref()),
            ("divisor", self.divisor.as_ref()),
            ("loss_gradient", self.loss_gradient.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, tensor)| tensor.map(|tensor| (name, tensor)))
    }
}

impl From<&Tensor> for Targets {
    fn from(tensor: &Tensor) -> Self {
        Self::new(TargetValues::Dense(tensor.clone()))
    }
}

impl From<&Labels> for Targets {
    fn from(labels: &Labels) -> Self {
        Self::new(TargetValues::Labels(labels.clone()))
    }
}

impl From<&Targets> for Targets {
    fn from(targets: &Targets) -> Self {
        targets.clone()
    }
}
