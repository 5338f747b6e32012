//! Finding and opening adapters.

use std::sync::Arc;

use super::GpuBackend;
use super::disk_cache::DiskCache;
use super::faults::{Faults, reason_of, translate};
use super::recorder::{ALIGNMENT, PARAMETERS};
use super::variant::Patch;
use crate::backend::{DeviceInfo, DeviceKind, DeviceOptions, Preference};
use crate::error::{Error, Result, excerpt};

/// The lowest limits with which the kernels run.
const STORAGE_BUFFERS: u32 = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16_384;
const BINDING_BYTES: u64 = 1 << 20;
const WORKGROUPS: u32 = 65_535;

/// An adapter that can compute.
struct Candidate {
    adapter: wgpu::Adapter,
    info: DeviceInfo,
}

/// The interfaces to search: all but those that WGPU_BACKEND leaves out.
fn allowed_backends() -> wgpu::Backends {
    wgpu::Backends::all().with_env()
}

async fn candidates(backends: wgpu::Backends) -> Vec<Candidate> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut candidates: Vec<Candidate> = Vec::new();
    for adapter in instance.enumerate_adapters(backends).await {
        if !can_compute(&adapter.limits(), &adapter.get_downlevel_capabilities()) {
            continue;
        }
        let mut info = describe(&adapter, &adapter.limits());
        info.ordinal =
            candidates.iter().filter(|other| same_but_ordinal(&other.info, &info)).count();
        candidates.push(Candidate { adapter, info });
    }
    candidates
}

fn same_but_ordinal(a: &DeviceInfo, b: &DeviceInfo) -> bool {
    *a == DeviceInfo { ordinal: a.ordinal, ..b.clone() }
}

fn can_compute(limits: &wgpu::Limits, capabilities: &wgpu::DownlevelCapabilities) -> bool {
    capabilities.flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        && limits.max_storage_buffers_per_shader_stage >= STORAGE_BUFFERS
        && limits.max_compute_invocations_per_workgroup >= INVOCATIONS
        && limits.max_compute_workgroup_size_x >= INVOCATIONS
        && limits.max_compute_workgroup_storage_size >= WORKGROUP_BYTES
        && limits.max_storage_buffer_binding_size >= BINDING_BYTES
        && limits.max_buffer_size >= BINDING_BYTES
        && limits.max_uniform_buffer_binding_size >= PARAMETERS as u64
        && limits.max_compute_workgroups_per_dimension >= WORKGROUPS
}

fn describe(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> DeviceInfo {
    let info = adapter.get_info();
    DeviceInfo {
        name: info.name,
        kind: info.device_type.into(),
        backend: Some(info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        // Whole vectors, at any place where a binding may begin: what lies beyond them cannot be bound.
        max_tensor_bytes: limits.max_buffer_size & !(ALIGNMENT as u64 - 1),
        max_binding_bytes: limits.max_storage_buffer_binding_size & !(ALIGNMENT as u64 - 1),
        threads: None,
        features: adapter.features(),
        ordinal: 0,
    }
}

/// The rank of an adapter, by its kind and then by its interface. A smaller rank is better.
fn rank(info: &DeviceInfo, power: wgpu::PowerPreference) -> (u8, u8) {
    let thrifty = power == wgpu::PowerPreference::LowPower;
    let kind = match info.kind {
        DeviceKind::DiscreteGpu => u8::from(thrifty),
        DeviceKind::IntegratedGpu => u8::from(!thrifty),
        DeviceKind::VirtualGpu => 2,
        DeviceKind::OtherGpu => 3,
        DeviceKind::Software | DeviceKind::Cpu => 4,
    };
    let backend = match info.backend {
        Some(wgpu::Backend::Vulkan | wgpu::Backend::Metal | wgpu::Backend::BrowserWebGpu) => 0,
        Some(wgpu::Backend::Dx12) => 1,
        _ => 2,
    };
    (kind, backend)
}

/// Every adapter that can compute, best first.
pub(crate) async fn enumerate() -> Vec<DeviceInfo> {
    let mut infos: Vec<DeviceInfo> =
        candidates(allowed_backends()).await.into_iter().map(|candidate| candidate.info).collect();
    let power = DeviceOptions::default().resolved_power_preference();
    infos.sort_by_key(|info| rank(info, power));
    infos
}

/// Opens the best adapter that fits the options.
pub(crate) async fn open(
    options: &DeviceOptions,
    preference: Preference,
    cooperative_matrices: bool,
) -> Result<GpuBackend> {
    let name = options.resolved_adapter_name().filter(|_| options.exactly.is_none());
    let software_counts = options.software || preference == Preference::Gpu || name.is_some();
    let fits = |info: &DeviceInfo| match (&options.exactly, &name) {
        (Some(exactly), _) => info == exactly,
        (None, Some(name)) => info.name.to_lowercase().contains(&name.to_lowercase()),
        (None, None) => software_counts || info.kind != DeviceKind::Software,
    };
    let backends = options.backends.unwrap_or_else(allowed_backends);
    let power = options.resolved_power_preference();
    let mut seen = Vec::new();
    let mut failure = None;
    // OpenGL is used only if there is nothing better, or if an adapter of it is named: otherwise it
    // would show the same hardware once more.
    let modern = wgpu::Backends::PRIMARY;
    let named = options.exactly.is_some() || name.is_some();
    for backends in [backends & modern, backends - modern] {
        if !seen.is_empty() && !named {
            break;
        }
        let found = candidates(backends).await;
        seen.extend(found.iter().map(|candidate| candidate.info.to_string()));
        let fitting = found.into_iter().filter(|candidate| fits(&candidate.info));
        let mut fitting: Vec<Candidate> = fitting.collect();
        fitting.sort_by_key(|candidate| rank(&candidate.info, power));
        for candidate in fitting {
            match open_adapter(candidate, options, cooperative_matrices).await {
                Ok(backend) => return Ok(backend),
                Err(error) => {
                    log::warn!("{error}");
                    failure.get_or_insert(error);
                }
            }
        }
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    let others = candidates(wgpu::Backends::all() - backends).await;
    let others: Vec<String> = others.iter().map(|other| other.info.to_string()).collect();
    let restriction = restriction(options, backends);
    Err(Error::NoAdapter {
        reason: explain(&seen, &others, restriction.as_deref(), options, name.as_deref()),
    })
}

/// Names what restricts the search to these interfaces, if anything does.
fn restriction(options: &DeviceOptions, backends: wgpu::Backends) -> Option<String> {
    if options.exactly.is_some() || backends == wgpu::Backends::all() {
        return None;
    }
    let names = |backends: wgpu::Backends| {
        let names: Vec<String> =
            backends.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        if names.is_empty() { "no interface".to_owned() } else { names.join(", ") }
    };
    if options.backends.is_some() {
        return Some(format!("DeviceOptions::backends allows {}", names(backends)));
    }
    let value = std::env::var("WGPU_BACKEND").unwrap_or_default();
    Some(format!(
        "WGPU_BACKEND={} allows {}; it takes vulkan, dx12, metal and gl, with commas between",
        excerpt(&value),
        names(backends),
    ))
}

/// Explains why no adapter among those `seen` fits; the `others` are of interfaces that were left out.
fn explain(
    seen: &[String],
    others: &[String],
    restriction: Option<&str>,
    options: &DeviceOptions,
    name: Option<&str>,
) -> String {
    let list = |adapters: &[String]| match adapters {
        [] => "none".to_owned(),
        adapters => adapters.join(", "),
    };
    let wanted = match (&options.exactly, name) {
        (Some(exactly), _) => format!("{exactly} is not there any more"),
        (None, Some(name)) => format!("no adapter's name contains {:?}", excerpt(name)),
        (None, None) if seen.is_empty() && others.is_empty() => {
            let reason = "there is no Vulkan, Metal, DX12 or OpenGL driver that can compute; on Debian \
                          and Ubuntu the package mesa-vulkan-drivers brings one that runs on the \
                          processor";
            return match restriction {
                Some(restriction) => format!("{reason} ({restriction})"),
                None => reason.to_owned(),
            };
        }
        (None, None) if seen.is_empty() => {
            "there is no adapter of the interfaces that may be used".to_owned()
        }
        (None, None) => "there are only software adapters, which count when Device::gpu or \
                         WGRAD_DEVICE=gpu asks for them"
            .to_owned(),
    };
    let found = format!("{wanted}; found: {}", list(seen));
    match restriction {
        None => found,
        Some(restriction) => {
            format!("{found}; {restriction}; adapters of other interfaces: {}", list(others))
        }
    }
}

async fn open_adapter(
    candidate: Candidate,
    options: &DeviceOptions,
    cooperative_matrices: bool,
) -> Result<GpuBackend> {
    let Candidate { adapter, info } = candidate;
    let directory = options.kernel_cache.as_ref();
    let cached = directory.map_or(wgpu::Features::empty(), |_| wgpu::Features::PIPELINE_CACHE);
    let cooperative = match cooperative_matrices {
        true => COOPERATIVE,
        false => wgpu::Features::empty(),
    };
    let used = wgpu::Features::SUBGROUP | cached | cooperative;
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgrad"),
        required_features: adapter.features() & used,
        required_limits: adapter.limits(),
        experimental_features: experimental(cooperative_matrices),
        ..Default::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| {
        Error::NoAdapter { reason: format!("{info} cannot be opened: {error}") }
    })?;
    let faults = Arc::new(Faults::default());
    let lost = Arc::clone(&faults);
    device.set_device_lost_callback(move |reason, message| {
        lost.lose(reason_of(reason, &message));
    });
    let uncaptured = Arc::clone(&faults);
    device.on_uncaptured_error(Arc::new(move |error| uncaptured.report(translate(error, 0))));
    let cooperates = cooperates(&adapter, &device);
    let adapter = adapter.get_info();
    let disk = directory.and_then(|directory| DiskCache::open(&device, &adapter, directory));
    Ok(GpuBackend::new(device, queue, info, faults, disk, cooperates))
}

/// What shaders/kernels/matmul_cooperative.wgsl needs.
const COOPERATIVE: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::SUBGROUP);

/// The token for features that wgpu calls experimental.
#[allow(unsafe_code)]
const fn experimental(wanted: bool) -> wgpu::ExperimentalFeatures {
    match wanted {
        // SAFETY: the caller has asked for the features, and has been told what wgpu says about them.
        // With them products of halves take a fifth of the time.
        true => unsafe { wgpu::ExperimentalFeatures::enabled() },
        false => wgpu::ExperimentalFeatures::disabled(),
    }
}

/// Whether the device multiplies blocks of 16 x 16 halves, with sums in f32, by subgroups of 32 invocations.
fn cooperates(adapter: &wgpu::Adapter, device: &wgpu::Device) -> bool {
    use wgpu::CooperativeScalarType::{F16, F32};
    let (info, limits) = (adapter.get_info(), device.limits());
    let fits = |it: &wgpu::CooperativeMatrixProperties| {
        (it.m_size, it.n_size, it.k_size) == (16, 16, 16) && (it.ab_type, it.cr_type) == (F16, F32)
    };
    device.features().contains(COOPERATIVE)
        && (info.subgroup_min_size, info.subgroup_max_size) == (32, 32)
        && limits.max_compute_workgroup_storage_size >= Patch::BYTES
        && adapter.cooperative_matrix_properties().iter().any(fits)
}

impl GpuBackend {
    /// Creates a backend on top of an application's device, whose handlers are left alone.
    pub(crate) fn adopt(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
    ) -> Result<Self> {
        if !can_compute(&device.limits(), &adapter.get_downlevel_capabilities()) {
            return Err(Error::Unsupported {
                what: "this wgpu device".to_owned(),
                reason: format!(
                    "compute shaders with {STORAGE_BUFFERS} storage buffers, {INVOCATIONS} \
                     invocations a workgroup, {WORKGROUPS} workgroups a dimension and buffers of \
                     {BINDING_BYTES} bytes are needed; request the adapter's own limits"
                ),
            });
        }
        let info = describe(adapter, &device.limits());
        let cooperates = cooperates(adapter, &device);
        let backend = Self::new(device, queue, info, Arc::default(), None, cooperates);
        backend.context.expose();
        // The device may be gone already.
        backend.context.check()?;
        Ok(backend)
    }
}
