//! Activation functions, their derivatives and output-layer gradients on any GPU that
//! [wgpu](https://wgpu.rs) reaches (Vulkan, Metal, DX12, WebGPU), and on the CPU if there is none.
//!
//! ```
//! use wgrad::{Activation, Device, Loss, OutputLayer, Reduction};
//!
//! let device = Device::new()?; // the best GPU, else the CPU
//! let x = device.tensor(&[0.5, -1.0, 2.0, 0.0, 1.0, -0.5], [2, 3])?;
//! let w = device.tensor(&[0.1, -0.2, 0.3, 0.4, -0.5, 0.6], [3, 2])?;
//! let b = device.tensor(&[0.0, 0.1], [2])?;
//! let targets = device.labels(&[1, 0])?;
//!
//! // y = softmax(x·w + b), the mean cross-entropy, and dz, dw, db, dx.
//! let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
//!     .reduction(Reduction::Mean);
//! let step = layer.gradients(&x, &w, Some(&b), &targets)?;
//! println!("loss {} on {}", step.loss.item()?, device.info());
//! let dw: Vec<f32> = step.dw.to_vec()?;
//!
//! // Without a layer: g, g' and g'·dy of an array.
//! let y = Activation::Tanh.forward(&x)?;
//! let d = Activation::Tanh.derivative_from_output(&y)?; // 1 − y²: no second exponential
//! let dx = Activation::Tanh.backward(&x, &y)?;
//! # assert_eq!(dw.len(), w.len());
//! # assert_eq!((d.shape(), dx.shape()), (x.shape(), x.shape()));
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! The mathematics: for z = x·w + b, y = g(z) and a loss E,
//! dz = dE/dy ⊙ g'(z) (the product with the Jacobian for softmax), dw = xᵀ·dz, db = Σ dz and
//! dx = dz·wᵀ. For the half squared error of one sample, dE/dw_jk = (g(z_k) − t_k)·g'(z_k)·x_j.
//!
//! PyTorch's cross_entropy is `cross_entropy_with_logits`, or `OutputLayer(Softmax, cross_entropy)`;
//! [`Loss::CrossEntropy`] itself takes probabilities.
//!
//! # Overview
//!
//! * [`Device`]: where to compute. [`Tensor`], [`Labels`]: the data.
//! * [`Activation`]: the catalogue of activations, with their derivatives. [`Rowwise`]: row-wise
//!   activations along any axis, with a temperature and a mask.
//! * [`Gated`]: gated units (glu and its relatives), with any pointwise activation.
//! * [`Prelu`]: the leaky rectified linear unit with learned slopes.
//! * [`Loss`], [`OutputLayer`]: losses, and all gradients of an output layer.
//! * [`Dense`], [`Sgd`], [`Adam`], [`AdamW`]: hidden layers and optimizers, to train whole networks;
//!   [`clip_gradient_norm`], [`clip_gradient_value`].
//! * [`reference`](mod@reference): the formulas in plain `f64`, to check any result.
//!
//! # How to
//!
//! * Compute arrays that are larger than the device: [`Activation::forward_slice`].
//! * Repeat a step with little overhead: [`Device::record`] keeps it as a [`Plan`].
//! * Put a step into a host application's frame: [`Plan::encode`], [`Device::encode`].
//! * Compute on a host application's device and in its buffers: [`Device::from_wgpu`],
//!   [`Device::tensor_from_buffer`], [`Tensor::buffer`], [`Device::wgpu`]. [`wgrad::wgpu`](wgpu) is the
//!   matching version of wgpu.
//! * Halve the memory: [`Device::tensor_f16`], [`Device::tensor_bf16`], [`Tensor::to_dtype`]. All operations take f16,
//!   bf16, f32 and mixtures of them, and compute in f32; [`DeviceOptions::cooperative_matrices`] multiplies f16 by a GPU's matrix units.
//! * Never block, as in browsers: [`Device::request`] and [`Tensor::read`] are async; operations only record.
//! * Large vocabularies: an [`OutputLayer`] works in tiles if the logits are large, in a workspace of 64 MiB
//!   ([`Logits`], [`OutputLayer::tile_bytes`]); [`Device::memory`] returns the memory in use.
//! * Batches in parts: [`OutputLayer::accumulate_gradients`], [`Dense::accumulate_backward`].
//! * Find mistakes: on a [checked](DeviceOptions::checked) device, losses and masks also check values that
//!   were computed on the device.
//!
//! # Features
//!
//! None is on by default.
//!
//! * `safetensors`: `save`, `load` and `load_into` for named tensors in files that PyTorch, candle and burn read and write;
//!   with [`Adam::state`] a run that was stopped goes on with the same bits.
//! * `ndarray`: `Device::tensor_from_array`, `Tensor::to_array`.
//! * `serde`: [`Activation`], [`Loss`], [`Gated`], [`Reduction`] and [`Outputs`] are serialized as their text, also with
//!   formulas of your own; [`Dense`], [`OutputLayer`], [`Prelu`], and the settings of [`Sgd`], [`Adam`] and [`AdamW`] as
//!   records, of which settings that have a default may be left out:
//!
//! ```
//! # #[cfg(feature = "serde")] {
//! use wgrad::{Activation, Loss, OutputLayer};
//!
//! let text = r#"{"activation": "formula(\"z^3\")", "loss": "mse"}"#;
//! let layer: OutputLayer = serde_json::from_str(text).unwrap();
//! let cube = Activation::from_formula("z^3", &[]).unwrap();
//! assert_eq!(layer, OutputLayer::new(cube, Loss::Mse));
//! # }
//! ```
//!
//! # Environment variables
//!
//! [`DeviceOptions`] takes precedence over them.
//!
//! | variable | values |
//! |---|---|
//! | `WGRAD_DEVICE` | `cpu`, `gpu` or `auto` |
//! | `WGRAD_CHECKED` | `1`: every device is [checked](DeviceOptions::checked) |
//! | `WGRAD_COOPERATIVE_MATRICES` | `1`: as [`DeviceOptions::cooperative_matrices`] |
//! | `WGPU_BACKEND` | `vulkan`, `dx12`, `metal`, `gl`, or a comma-separated list of these |
//! | `WGPU_ADAPTER_NAME` | a part of the adapter's name, in upper or lower case |
//! | `WGPU_POWER_PREF` | `low` prefers integrated GPUs, `high` discrete ones |

#![warn(missing_docs)]
// No input of a caller may cause a panic.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

// The helpers of tests/, for the unit tests.
#[cfg(test)]
extern crate self as wgrad;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;

use data::{dtype, lines, shape};
use wgrad_formula::data::{error, reduction};

mod activation;
mod backend;
mod catalogue;
mod cpu;
mod data;
mod dense;
mod device;
#[cfg(feature = "safetensors")]
mod files;
mod gated;
mod gpu;
#[cfg(test)]
mod gpu_kernel_tests;
mod linear;
mod loss;
#[cfg(test)]
mod matrix_tests;
mod metrics;
mod names;
mod optimizer;
mod output_layer;
mod prelu;
pub mod reference;

pub use activation::{Activation, EmptyRows, Rowwise};
pub use backend::{Counters, DeviceInfo, DeviceKind, DeviceOptions, Memory, MemoryUse, Preference};
pub use dense::{Dense, DenseForward, DenseGradients};
pub use device::{Device, Labels, Plan, Tensor};
pub use dtype::DType;
pub use error::{Error, Result};
#[cfg(feature = "safetensors")]
pub use files::{load, load_into, save};
pub use gated::Gated;
#[doc(hidden)]
pub use gpu::{AssembledKernel, KernelKind, assembled_kernels};
pub use loss::{Loss, Targets};
pub use metrics::{Metrics, Scores};
#[doc(hidden)]
pub use names::{OtherNames, other_names};
pub use optimizer::{Adam, AdamW, Sgd, clip_gradient_norm, clip_gradient_value};
pub use output_layer::{Logits, OutputGradients, OutputLayer, Outputs};
pub use prelu::{Prelu, PreluGradients};
pub use reduction::Reduction;
pub use shape::Shape;
pub use wgrad_formula::expression::{Custom, Expression};

/// 16-bit floating-point numbers, for tensors of [`f16`](half::f16) and [`bf16`](half::bf16).
pub use half;
/// The graphics library underneath, for interoperation.
pub use wgpu;

// The code of the README and of the pages runs as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/language_models.md")]
struct LanguageModels;
