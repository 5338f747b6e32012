//! Adam, and its form with decoupled weight decay.

use std::collections::BTreeMap;
use std::fmt;

use super::kept::{Corrections, Kept, KeptSettings, set, stored};
use super::state::parts;
use super::{States, check_not_negative, devices};
use crate::backend::{AdamStep, AdvanceOf, FactorsOf, OpOf, Storage};
use crate::device::Device;
use crate::device::tensor::Tensor;
use crate::error::{Error, Result};

/// Adam (Kingma & Ba, [Adam: a method for stochastic optimization](https://arxiv.org/abs/1412.6980),
/// 2015), as PyTorch defines it:
///
/// `g = dE/dw + weight_decay·w; m = β1·m + (1 − β1)·g; v = β2·v + (1 − β2)·g²`\
/// `w = w − learning_rate / (1 − β1^t) · m / (√v / √(1 − β2^t) + eps)`
///
/// The moments m and v and the number of steps t start at 0 and are kept for each weight tensor that has
/// been stepped, for the lifetime of that tensor. A weight does not move if its gradient has always been 0,
/// even with an eps of 0; nor once v has overflowed f32, beyond |g| = 5.8·10²⁰ with the default β2.
///
/// A factor of 0 removes its term even if that is infinite: a learning rate of 0 leaves the weights unchanged, a
/// weight decay of 0 the gradient, and with a β of 0 the moment is that of the current step only. A weight
/// tensor that is listed twice takes two steps, one after the other.
///
/// ```
/// use wgrad::{Adam, Device};
///
/// let device = Device::cpu();
/// let w = device.tensor(&[1.0, 2.0], [2])?;
/// let dw = device.tensor(&[0.5, -0.01], [2])?;
/// let mut adam = Adam::new(0.1).betas(0.9, 0.99).weight_decay(0.0);
/// adam.step(&[(&w, &dw)])?;
/// // The first step of each weight is the learning rate, whatever the magnitude of its gradient.
/// let found = w.to_vec()?;
/// assert!((found[0] - 0.9).abs() < 1e-6 && (found[1] - 2.1).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Adam {
    pub(super) learning_rate: f32,
    pub(super) betas: [f32; 2],
    pub(super) epsilon: f32,
    pub(super) weight_decay: f32,
    /// Whether the decay bypasses the moments and applies to the weights directly.
    decoupled: bool,
    states: States<Moments>,
    kept: KeptSettings,
}

struct Moments {
    /// The number of steps, until the device counts them.
    steps: u64,
    /// The number of steps and what depends on it, on the device: from the first step in a plan on.
    progress: Option<Progress>,
    first: Tensor,
    second: Tensor,
}

impl Moments {
    fn start(weights: &Tensor) -> Result<Self> {
        let zeros = || weights.device().zeros(weights.shape());
        Ok(Self { steps: 0, progress: None, first: zeros()?, second: zeros()? })
    }

    /// The number of steps so far.
    fn count(&self, device: &Device) -> Result<u64> {
        let Some(progress) = &self.progress else { return Ok(self.steps) };
        let words = device.backend.read(&progress.of_weight, AdamStep::PROGRESS)?.wait()?;
        Ok(words.first().map_or(0, |steps| steps.to_bits().into()))
    }
}

/// What the device has counted for a weight: a slot among those of all weights that took part in their first plan together,
/// so that it can count for all of them at once.
struct Progress {
    all: Storage,
    slot: usize,
    of_weight: Storage,
}

impl Progress {
    /// Lets the device count from now on.
    fn start(device: &Device, moments: &mut [&mut Moments]) -> Result<()> {
        let mut new: Vec<_> = moments.iter_mut().filter(|it| it.progress.is_none()).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut words = vec![0; new.len() * AdamStep::SLOT];
        for (slot, moments) in words.chunks_mut(AdamStep::SLOT).zip(&new) {
            slot[0] = u32::try_from(moments.steps).unwrap_or(u32::MAX);
        }
        let all = stored(device, &words)?;
        for (slot, moments) in new.iter_mut().enumerate() {
            let of_weight = slots(&all, slot, 1);
            moments.progress = Some(Progress { all: all.clone(), slot, of_weight });
        }
        Ok(())
    }

    /// Counts a step of each of these weights.
    fn advance(device: &Device, kept: &Kept, moments: &[&mut Moments]) -> Result<()> {
        let Some(Corrections { storage: corrections, entries, .. }) = &kept.corrections else {
            return Ok(());
        };
        let known: Vec<&Self> = moments.iter().filter_map(|it| it.progress.as_ref()).collect();
        let follows = |a: &&Self, b: &&Self| a.all.is_same(&b.all) && a.slot + 1 == b.slot;
        for run in known.chunk_by(follows) {
            let (first, weights) = (run[0], run.len());
            let progress = slots(&first.all, first.slot, weights);
            device.run(OpOf::Advance(AdvanceOf {
                settings: &kept.settings,
                corrections,
                entries: *entries,
                progress: &progress,
                weights,
            }))?;
        }
        Ok(())
    }
}

/// Some of the slots.
fn slots(all: &Storage, first: usize, count: usize) -> Storage {
    let words = count * AdamStep::SLOT;
    let part = (words < all.elements()).then(|| all.part(first * AdamStep::SLOT, words)).flatten();
    part.unwrap_or_else(|| all.clone())
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut moments = f.debug_struct("Moments");
        moments.field("first", &self.first).field("second", &self.second).finish_non_exhaustive()
    }
}

impl Adam {
    /// An optimizer with this learning rate, β1 = 0.9, β2 = 0.999, eps = 10⁻⁸ and no weight decay.
    pub const fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            states: States::new(),
            kept: KeptSettings::new(),
        }
    }

    /// The fractions of the moments that are kept from step to step, in [0, 1); 0.9 and 0.999 by default.
    #[must_use]
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.betas = [beta1, beta2];
        self
    }

    /// The number added to the denominator; 10⁻⁸ by default. With 0, a gradient whose square underflows f32
    /// makes its weight infinite.
    #[must_use]
    pub fn eps(mut self, eps: f32) -> Self {
        self.epsilon = eps;
        self
    }

    /// The decay of each weight towards 0, which is added to its gradient; 0 by default.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Whether weights of f16 and bf16 are stepped as f32 numbers, which are kept beside the tensor and rounded into it
    /// after each step; true by default. Without them, a step that is smaller than half the distance to the next f16 is
    /// lost: a weight of 1 does not move by 10⁻⁴. Weights that are written meanwhile begin anew with what was written.
    /// They take four bytes for each weight.
    ///
    /// ```
    /// use wgrad::{Adam, DType, Device};
    ///
    /// let device = Device::cpu();
    /// let w = device.tensor(&[1.0], [1])?.to_dtype(DType::F16)?;
    /// let dw = device.tensor(&[1.0], [1])?;
    /// let mut optimizer = Adam::new(1e-4);
    /// for _ in 0..100 {
    ///     optimizer.step(&[(&w, &dw)])?;
    /// }
    /// assert!((w.item()? - 0.99).abs() < 3e-4);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub const fn master_weights(mut self, kept: bool) -> Self {
        self.states.masters = kept;
        self
    }

    /// Changes the learning rate, for a schedule, also that of [plans](crate::Plan) with steps of this optimizer. The
    /// moments stay.
    pub fn set_learning_rate(&mut self, learning_rate: f32) {
        self.learning_rate = learning_rate;
        self.kept.set(self.settings());
    }

    /// Changes the weight decay, also that of [plans](crate::Plan) with steps of this optimizer.
    pub fn set_weight_decay(&mut self, weight_decay: f32) {
        self.weight_decay = weight_decay;
        self.kept.set(self.settings());
    }

    /// What is wrong with the settings.
    pub(super) fn check(&self) -> Result<()> {
        check_not_negative("learning_rate", self.learning_rate)?;
        check_beta("beta1", self.betas[0])?;
        check_beta("beta2", self.betas[1])?;
        check_not_negative("eps", self.epsilon)?;
        check_not_negative("weight_decay", self.weight_decay)
    }

    /// A step without bias corrections.
    fn uncorrected(&self) -> AdamStep {
        let Self { learning_rate, betas, epsilon, weight_decay, decoupled, .. } = *self;
        let (weight_decay, decoupled_decay) =
            if decoupled { (0.0, weight_decay) } else { (weight_decay, 0.0) };
        AdamStep {
            weight_decay,
            decoupled_decay: learning_rate * decoupled_decay,
            kept: kept(learning_rate, decoupled_decay),
            betas,
            one_minus_betas: betas.map(|beta| 1.0 - beta),
            step_size: learning_rate,
            root_scale: 1.0,
            epsilon,
        }
    }

    /// The settings as a device keeps them.
    fn settings(&self) -> Result<Vec<f32>> {
        self.check()?;
        Ok(self.uncorrected().settings(self.learning_rate).to_vec())
    }

    /// One step: pairs of weights, changed in place, and their gradients. In the work of a [`Plan`](crate::Plan) it is
    /// repeated by each run, with the learning rate and the weight decay that the optimizer has by then; the device
    /// counts the steps.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if the learning rate, eps or the weight decay is negative or not
    /// finite, or a β is not in [0, 1); [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if a pair
    /// does not match; [`Error::OutOfMemory`]; [`Error::Unsupported`] in a plan if a β is so close to 1 that its
    /// correction lasts longer than a million steps. No weight is changed then.
    pub fn step(&mut self, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
        let settings = self.settings()?;
        for device in devices(pairs) {
            self.kept.prepare(device, &settings, Some((self.betas, corrections)))?;
        }
        let op = if self.decoupled { "adamw step" } else { "adam step" };
        let (uncorrected, kept) = (self.uncorrected(), &self.kept);
        let begin = |device: &Device, moments: &mut [&mut Moments]| {
            if device.is_recording() {
                Progress::start(device, moments)?;
            }
            kept.on(device).map_or(Ok(()), |kept| Progress::advance(device, kept, moments))
        };
        self.states.step(op, pairs, Moments::start, Some(&begin), |device, update, moments| {
            let moments_of = [moments.first.storage(), moments.second.storage()];
            if let Some((progress, kept)) = moments.progress.as_ref().zip(kept.on(device)) {
                let factors = FactorsOf::Kept([&kept.settings, &progress.of_weight]);
                return device.run(OpOf::Adam { factors, update, moments: moments_of });
            }
            let steps = moments.steps + 1;
            let [step_size, root_scale] = correction(uncorrected.betas, steps);
            let step_size = uncorrected.step_size * step_size;
            let factors = FactorsOf::Given(AdamStep { step_size, root_scale, ..uncorrected });
            device.run(OpOf::Adam { factors, update, moments: moments_of })?;
            moments.steps = steps;
            Ok(())
        })
    }
}

impl Adam {
    /// The moments and numbers of steps of these weights, which have been stepped, as named tensors: `w.exp_avg`,
    /// `w.exp_avg_sq` and `w.step` for a weight of the name `w`, as PyTorch has them. Reads the number of steps if a
    /// plan has counted it. With the weights themselves, that is all that training needs to go on with the same bits.
    ///
    /// ```
    /// use wgrad::{Adam, Device};
    ///
    /// let device = Device::cpu();
    /// let (w, dw) = (device.tensor(&[1.0, 2.0], [2])?, device.tensor(&[0.5, -0.5], [2])?);
    /// let mut adam = Adam::new(0.1);
    /// adam.step(&[(&w, &dw)])?;
    /// let state = adam.state(&[("w", &w)])?;
    ///
    /// let mut later = Adam::new(0.1);
    /// later.set_state(&[("w", &w)], &state)?;
    /// let copy = device.tensor(&w.to_vec()?, [2])?;
    /// adam.step(&[(&w, &dw)])?;
    /// let after = w.to_vec()?;
    /// w.write(&copy.to_vec()?)?;
    /// later.step(&[(&w, &dw)])?;
    /// assert_eq!(w.to_vec()?, after);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] after more than 2²⁴ steps, which f32 does not count; those of [`Tensor::to_vec`].
    pub fn state(&self, weights: &[(&str, &Tensor)]) -> Result<BTreeMap<String, Tensor>> {
        let mut named = BTreeMap::new();
        for &(name, weights) in weights {
            let Some(moments) = self.states.of(weights) else { continue };
            let device = weights.device();
            let steps = moments.count(device)?;
            if steps == 0 {
                continue;
            }
            if steps > MOST_STEPS {
                return Err(Error::Unsupported {
                    what: format!("the state of {name:?} after {steps} steps"),
                    reason: format!("it counts up to {MOST_STEPS} steps"),
                });
            }
            let parts = [
                moments.first.clone(),
                moments.second.clone(),
                device.tensor(&[steps as f32], [])?,
            ];
            named.extend(PARTS.iter().zip(parts).map(|(part, it)| (format!("{name}.{part}"), it)));
        }
        named.extend(self.states.masters_of(weights));
        Ok(named)
    }

    /// Sets the moments and numbers of steps of these weights to those of a [`state`](Self::state), which may be on
    /// another device. Weights that it does not have begin anew. Plans with steps of this optimizer go on from there.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::Unsupported`] if the state of a weight is not complete,
    /// [`Error::InvalidParameter`] for a number of steps that is none, and then nothing is changed; the errors of
    /// [`Tensor::to_vec`] and [`Tensor::write`].
    pub fn set_state(
        &mut self,
        weights: &[(&str, &Tensor)],
        state: &BTreeMap<String, Tensor>,
    ) -> Result<()> {
        const OP: &str = "adam state";
        let read = |name: &str, weights: &Tensor| {
            let shapes: [&[usize]; 3] = [weights.shape(), weights.shape(), &[]];
            let named = [(PARTS[0], shapes[0]), (PARTS[1], shapes[1]), (PARTS[2], shapes[2])];
            let Some([first, second, steps]) = parts(OP, state, name, named)? else {
                return Ok(None);
            };
            let steps = steps.first().copied().unwrap_or(f32::NAN);
            if !(0.0..=MOST_STEPS as f32).contains(&steps) || steps.fract() != 0.0 {
                let reason = format!("must be a whole number from 0 to {MOST_STEPS}");
                return Err(Error::parameter(format!("{name}.{}", PARTS[2]), steps, reason));
            }
            Ok(Some((first, second, steps as u32)))
        };
        self.states.restore(OP, weights, state, read, Moments::start, |moments, new| {
            let steps = match new {
                Some((first, second, steps)) => {
                    moments.first.write(&first)?;
                    moments.second.write(&second)?;
                    steps
                }
                None => {
                    moments.first.clear()?;
                    moments.second.clear()?;
                    0
                }
            };
            moments.steps = steps.into();
            match &moments.progress {
                Some(progress) => set(moments.first.device(), &progress.of_weight, &[steps, 0, 0]),
                None => Ok(()),
            }
        })
    }
}

/// What the parts of a state are called, as in PyTorch.
const PARTS: [&str; 3] = ["exp_avg", "exp_avg_sq", "step"];

/// The number of steps up to which f32 counts.
const MOST_STEPS: u64 = 1 << 24;

/// The factors of the step size and of √v that correct moments which start at 0: 1 / (1 − β1^t) and 1 / √(1 − β2^t). In
/// f64, because the differences are small at first.
fn correction(betas: [f32; 2], steps: u64) -> [f32; 2] {
    let [first, second] = betas.map(|beta| 1.0 - f64::from(beta).powf(steps as f64));
    [first.recip() as f32, second.sqrt().recip() as f32]
}

/// The table of the corrections on a device, up to the step from which on both are 1.
fn corrections(device: &Device, betas: [f32; 2]) -> Result<Corrections> {
    const MOST: usize = 1 << 20;
    let mut columns = [Vec::new(), Vec::new()];
    for steps in 1.. {
        let factors = correction(betas, steps);
        columns.iter_mut().zip(factors).for_each(|(column, it)| column.push(it.to_bits()));
        if factors == [1.0, 1.0] {
            break;
        }
        if columns[0].len() == MOST {
            return Err(Error::Unsupported {
                what: format!(
                    "a step of Adam with β1 = {} and β2 = {} in a plan",
                    betas[0], betas[1]
                ),
                reason: format!("a β so close to 1 needs corrections for more than {MOST} steps"),
            });
        }
    }
    let entries = columns[0].len();
    Ok(Corrections { of: betas, storage: stored(device, &columns.concat())?, entries })
}

/// 1 − learning_rate·decay, the factor of a weight. In f64, as PyTorch computes it.
fn kept(learning_rate: f32, decay: f32) -> f32 {
    (1.0 - f64::from(learning_rate) * f64::from(decay)) as f32
}

fn check_beta(name: &str, beta: f32) -> Result<()> {
    if (0.0..1.0).contains(&beta) {
        return Ok(());
    }
    Err(Error::parameter(name, beta, "must be at least 0 and less than 1"))
}

/// Adam with decoupled weight decay (Loshchilov & Hutter,
/// [Decoupled weight decay regularization](https://arxiv.org/abs/1711.05101), 2019), as PyTorch defines
/// it: [`Adam`]'s step with g = dE/dw, starting from the weights
///
/// `w = (1 − learning_rate·weight_decay)·w`
///
/// so that all weights decay at the same rate, however large their gradients are. An infinite weight stays
/// infinite, except if learning_rate·weight_decay is 1: then it becomes NaN, as in PyTorch.
///
/// ```
/// use wgrad::{AdamW, Device};
///
/// let device = Device::cpu();
/// let w = device.tensor(&[1.0, 2.0], [2])?;
/// let dw = device.tensor(&[0.5, 0.0], [2])?;
/// let mut adamw = AdamW::new(0.1).weight_decay(0.5);
/// adamw.step(&[(&w, &dw)])?;
/// let found = w.to_vec()?;
/// assert!((found[0] - 0.85).abs() < 1e-6 && (found[1] - 1.9).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct AdamW(pub(super) Adam);

impl AdamW {
    /// An optimizer with this learning rate, β1 = 0.9, β2 = 0.999, eps = 10⁻⁸ and a weight decay of 0.01.
    pub const fn new(learning_rate: f32) -> Self {
        let mut adam = Adam::new(learning_rate);
        adam.weight_decay = 0.01;
        adam.decoupled = true;
        Self(adam)
    }

    /// The fractions of the moments that are kept from step to step, in [0, 1); 0.9 and 0.999 by default.
    #[must_use]
    pub fn betas(self, beta1: f32, beta2: f32) -> Self {
        Self(self.0.betas(beta1, beta2))
    }

    /// The number added to the denominator; 10⁻⁸ by default. With 0, a gradient whose square underflows f32
    /// makes its weight infinite.
    #[must_use]
    pub fn eps(self, eps: f32) -> Self {
        Self(self.0.eps(eps))
    }

    /// The decay of each weight towards 0, multiplied by the learning rate; 0.01 by default.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f32) -> Self {
        Self(self.0.weight_decay(weight_decay))
    }

    /// Whether weights of f16 and bf16 are stepped as f32 numbers; true by default: see [`Adam::master_weights`].
    #[must_use]
    pub fn master_weights(self, kept: bool) -> Self {
        Self(self.0.master_weights(kept))
    }

    /// Changes the learning rate, for a schedule, also that of [plans](crate::Plan) with steps of this optimizer. The
    /// moments stay.
    pub fn set_learning_rate(&mut self, learning_rate: f32) {
        self.0.set_learning_rate(learning_rate);
    }

    /// Changes the weight decay, also that of [plans](crate::Plan) with steps of this optimizer.
    pub fn set_weight_decay(&mut self, weight_decay: f32) {
        self.0.set_weight_decay(weight_decay);
    }

    /// One step: pairs of weights, changed in place, and their gradients.
    ///
    /// # Errors
    /// As [`Adam::step`]. No weight is changed then.
    pub fn step(&mut self, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
        self.0.step(pairs)
    }

    /// The moments and numbers of steps of these weights as named tensors: see [`Adam::state`].
    ///
    /// # Errors
    /// As [`Adam::state`].
    pub fn state(&self, weights: &[(&str, &Tensor)]) -> Result<BTreeMap<String, Tensor>> {
        self.0.state(weights)
    }

    /// Sets the moments and numbers of steps of these weights: see [`Adam::set_state`].
    ///
    /// # Errors
    /// As [`Adam::set_state`].
    pub fn set_state(
        &mut self,
        weights: &[(&str, &Tensor)],
        state: &BTreeMap<String, Tensor>,
    ) -> Result<()> {
        self.0.set_state(weights, state)
    }
}
