//! The choice of a device to open.

use std::path::PathBuf;

use crate::error::Result;
use wgrad_formula::data::names::{same_name, unknown_name};

use super::facts::DeviceInfo;

/// Whether to open a GPU or the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The best hardware GPU, else the CPU.
    #[default]
    Auto,
    /// A GPU, or a software one if there is no other; an error if there is none.
    Gpu,
    /// wgrad's own CPU backend.
    Cpu,
}

/// The options of [`Device::request`](crate::Device::request).
///
/// Options that are not set are taken from the environment: `WGRAD_DEVICE` (`cpu`, `gpu` or `auto`),
/// `WGRAD_CHECKED` and `WGRAD_COOPERATIVE_MATRICES` (`1` or `0`), and wgpu's own `WGPU_BACKEND`,
/// `WGPU_ADAPTER_NAME` and `WGPU_POWER_PREF`.
///
/// ```
/// use wgrad::{Device, DeviceOptions, Preference};
///
/// let options = DeviceOptions::default().preference(Preference::Cpu);
/// let device = pollster::block_on(Device::request(options))?;
/// assert!(device.info().to_string().starts_with("CPU"));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    pub(crate) preference: Option<Preference>,
    pub(crate) adapter_name: Option<String>,
    pub(crate) backends: Option<wgpu::Backends>,
    pub(crate) power_preference: Option<wgpu::PowerPreference>,
    pub(crate) software: bool,
    pub(crate) exactly: Option<DeviceInfo>,
    pub(crate) checked: Option<bool>,
    pub(crate) kernel_cache: Option<PathBuf>,
    pub(crate) cooperative_matrices: Option<bool>,
}

impl DeviceOptions {
    /// A GPU, the CPU, or the best that is available.
    #[must_use]
    pub fn preference(mut self, preference: Preference) -> Self {
        self.preference = Some(preference);
        self
    }

    /// Only adapters whose name contains this text, in upper or lower case; software adapters too.
    #[must_use]
    pub fn adapter_name(mut self, name: impl Into<String>) -> Self {
        self.adapter_name = Some(name.into());
        self
    }

    /// Only these graphics interfaces.
    #[must_use]
    pub fn backends(mut self, backends: wgpu::Backends) -> Self {
        self.backends = Some(backends);
        self
    }

    /// `LowPower` prefers integrated GPUs to discrete ones.
    #[must_use]
    pub fn power_preference(mut self, preference: wgpu::PowerPreference) -> Self {
        self.power_preference = Some(preference);
        self
    }

    /// Allows software adapters with [`Preference::Auto`] too.
    #[must_use]
    pub fn allow_software(mut self, allow: bool) -> Self {
        self.software = allow;
        self
    }

    /// For debugging: losses check all targets and outputs that they are given, and masks are checked too.
    ///
    /// On any device, a loss rejects targets and outputs that it is not defined for, with
    /// [`Error::InvalidTarget`](crate::Error::InvalidTarget) and
    /// [`Error::InvalidOutput`](crate::Error::InvalidOutput), and [`Rowwise`](crate::Rowwise) rejects a mask
    /// with numbers other than 0 and 1, if the host has uploaded them. Values that were computed on the device,
    /// or whose wgpu buffer the caller has, are not checked, because reading them would have to wait for the
    /// device. A checked device reads them back and checks them, as well as the outputs of an
    /// [`OutputLayer`](crate::OutputLayer), which also rejects more pairs that make no sense. In a browser,
    /// which cannot wait, that is an error.
    #[must_use]
    pub fn checked(mut self, checked: bool) -> Self {
        self.checked = Some(checked);
        self
    }

    /// Keeps compiled kernels in this directory, so that the next process need not compile them again, if the
    /// driver supports it, which means Vulkan. They are stored when the device is dropped.
    ///
    /// Most drivers have their own cache and do not need this. A driver may trust the contents of the
    /// directory: nobody else should be able to write to it.
    #[must_use]
    pub fn kernel_cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.kernel_cache = Some(directory.into());
        self
    }

    /// Lets the GPU's matrix units, such as NVIDIA's tensor cores, multiply factors that are both of f16, which
    /// is several times as fast, if the adapter has such units for blocks of 16 x 16. Otherwise it has no effect.
    ///
    /// The products of elements are exact, as without the units, and are summed in f32, but the rounding of the
    /// sums depends on the device: on an H200 their errors are about twice as large as without.
    ///
    /// wgpu calls this experimental: its own checks are not complete, and a driver may fail in unknown ways.
    /// wgrad uses only what the adapter reports as supported.
    /// [`Device::from_wgpu`](crate::Device::from_wgpu) uses the units if the host application's device was
    /// opened with `EXPERIMENTAL_COOPERATIVE_MATRIX`, `SHADER_F16` and `SUBGROUP`.
    #[must_use]
    pub fn cooperative_matrices(mut self, allow: bool) -> Self {
        self.cooperative_matrices = Some(allow);
        self
    }

    /// The preference, from the environment if it is not set.
    pub(crate) fn resolved_preference(&self) -> Result<Preference> {
        if let Some(preference) = self.preference {
            return Ok(preference);
        }
        let Some(text) = environment("WGRAD_DEVICE") else { return Ok(Preference::Auto) };
        let choices =
            [("auto", Preference::Auto), ("gpu", Preference::Gpu), ("cpu", Preference::Cpu)];
        choose("value of WGRAD_DEVICE", &text, choices)
    }

    /// Whether the device is checked, from the environment if it is not set.
    pub(crate) fn resolved_checked(&self) -> Result<bool> {
        resolved_flag(self.checked, "WGRAD_CHECKED", "value of WGRAD_CHECKED")
    }

    /// Whether cooperative matrices are allowed, from the environment if it is not set.
    pub(crate) fn resolved_cooperative_matrices(&self) -> Result<bool> {
        let name = "WGRAD_COOPERATIVE_MATRICES";
        resolved_flag(self.cooperative_matrices, name, "value of WGRAD_COOPERATIVE_MATRICES")
    }

    pub(crate) fn resolved_adapter_name(&self) -> Option<String> {
        self.adapter_name.clone().or_else(|| environment("WGPU_ADAPTER_NAME"))
    }

    pub(crate) fn resolved_power_preference(&self) -> wgpu::PowerPreference {
        self.power_preference.or_else(wgpu::PowerPreference::from_env).unwrap_or_default()
    }
}

/// The options that open exactly this device again.
impl From<&DeviceInfo> for DeviceOptions {
    fn from(info: &DeviceInfo) -> Self {
        let preference = if info.kind.is_gpu() { Preference::Gpu } else { Preference::Cpu };
        let options = Self { exactly: Some(info.clone()), ..Self::default() };
        options.preference(preference)
    }
}

/// A flag, from this environment variable if it is not set; false if both are missing.
fn resolved_flag(set: Option<bool>, name: &str, kind: &'static str) -> Result<bool> {
    if let Some(set) = set {
        return Ok(set);
    }
    let Some(text) = environment(name) else { return Ok(false) };
    choose(kind, &text, [("1", true), ("0", false)])
}

/// The choice with this name.
fn choose<T: Copy, const N: usize>(
    kind: &'static str,
    text: &str,
    choices: [(&'static str, T); N],
) -> Result<T> {
    let found = choices.iter().find(|(name, _)| same_name(name, text.trim()));
    let chosen = found.map(|&(_, choice)| choice);
    chosen.ok_or_else(|| unknown_name(kind, text, &choices.map(|(name, _)| name)))
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}
