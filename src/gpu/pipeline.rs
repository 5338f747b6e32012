//! Compiled kernels, and the cache of them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use super::context::Context;
use super::conversions::Conversions;
use super::disk_cache::DiskCache;
use super::faults::guarded;
use super::kernel::{Access, Kernel, Key, Uses};
use super::parameters::Layout;
use super::recorder::PARAMETERS;
use super::table::Row;
use crate::error::{Error, Result};

/// A kernel that has been compiled or will be: by another thread while more work is recorded, or by the thread
/// that needs it first.
pub(super) struct Pipeline {
    device: wgpu::Device,
    disk: Option<Arc<DiskCache>>,
    kernel: Kernel,
    accesses: &'static [Access],
    parameters: Layout,
    is_of_product: bool,
    pub(super) layout: wgpu::BindGroupLayout,
    pipeline_layout: wgpu::PipelineLayout,
    compiled: OnceLock<Result<wgpu::ComputePipeline>>,
}

impl Pipeline {
    fn new(device: &wgpu::Device, disk: Option<Arc<DiskCache>>, kernel: Kernel) -> Self {
        let label = kernel.label();
        let Row { bindings: accesses, parameters: fields, is_of_product, .. } =
            kernel.template.row();
        let size = wgpu::BufferSize::new(PARAMETERS as u64);
        let parameters = layout_entry(0, wgpu::BufferBindingType::Uniform, size);
        let storage = (1..).zip(accesses).map(|(binding, access)| {
            let read_only = *access == Access::Read;
            layout_entry(binding, wgpu::BufferBindingType::Storage { read_only }, None)
        });
        let entries: Vec<_> = std::iter::once(parameters).chain(storage).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        Self {
            device: device.clone(),
            disk,
            kernel,
            accesses,
            parameters: fields,
            is_of_product,
            layout,
            pipeline_layout,
            compiled: OnceLock::new(),
        }
    }

    /// What the kernel does with each storage binding.
    pub(super) const fn accesses(&self) -> &'static [Access] {
        self.accesses
    }

    /// The fields of the parameters, without the numbers of functions that follow them.
    pub(super) const fn parameters(&self) -> Layout {
        self.parameters
    }

    pub(super) const fn is_of_product(&self) -> bool {
        self.is_of_product
    }

    /// Returns the pipeline. Compiles it unless another thread already does, which this waits for.
    pub(super) fn compiled(&self) -> Result<&wgpu::ComputePipeline> {
        let compile = || {
            let compiled = guarded(&self.device, 0, || self.compile());
            compiled.map_err(|error| match error {
                Error::Gpu { description } => {
                    let kernel = self.kernel.label();
                    let description =
                        format!("the kernel {kernel} does not compile: {description}");
                    Error::Gpu { description }
                }
                other => other,
            })
        };
        self.compiled.get_or_init(compile).as_ref().map_err(Clone::clone)
    }

    /// Compiles the kernel's WGSL with all checks but the one that ends every loop after 2^64 iterations: it counts
    /// in each iteration, which takes up to a third of a kernel's time on a GPU.
    #[allow(unsafe_code)]
    fn module(&self, label: &str) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(self.kernel.source().into()),
        };
        let checks = wgpu::ShaderRuntimeChecks {
            force_loop_bounding: self.kernel.has_code_of_the_caller(),
            ..wgpu::ShaderRuntimeChecks::checked()
        };
        // SAFETY: every loop of the kernels in shaders/ counts up or down to a bound, and formulas have none.
        unsafe { self.device.create_shader_module_trusted(descriptor, checks) }
    }

    fn compile(&self) -> wgpu::ComputePipeline {
        let label = self.kernel.label();
        let module = self.module(&label);
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&self.pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &self.kernel.constants,
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: self.disk.as_ref().map(|disk| disk.cache()),
        })
    }
}

/// The cache of compiled kernels, which never drops any. There are not many, whatever the parameters of functions
/// are: see [`Kernel::activation`].
pub(super) struct Pipelines {
    known: Mutex<HashMap<Key, Arc<Pipeline>>>,
    count: AtomicU64,
    disk: Option<Arc<DiskCache>>,
    /// The wakers of tasks that wait until kernels are compiled.
    waiting: Arc<Mutex<Vec<Waker>>>,
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        if let Some(disk) = self.disk.as_ref().filter(|_| self.count() > 0) {
            disk.store();
        }
    }
}

impl Pipelines {
    pub(super) fn new(disk: Option<DiskCache>) -> Self {
        let (known, waiting) = (Mutex::default(), Arc::default());
        Self { known, count: AtomicU64::new(0), disk: disk.map(Arc::new), waiting }
    }

    /// The number of kernels that have been compiled.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Arc<Pipeline>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the pipeline of a kernel, from the cache or new.
    pub(super) fn get(&self, context: &Context, kernel: &Kernel) -> Result<Arc<Pipeline>> {
        let key = kernel.key();
        if let Some(pipeline) = self.known().get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        // Finding out what the device can do may poll it, and no lock may be held meanwhile.
        let reduces_rows = kernel.template.row().reduces_rows;
        let uses = Uses {
            conversions: match kernel.has_halves() {
                true => context.conversions(),
                false => Conversions::default(),
            },
            subgroups: if reduces_rows { context.subgroups() } else { None },
        };
        let mut known = self.known();
        if let Some(pipeline) = known.get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        let create = || {
            let kernel = kernel.clone().using(uses);
            Pipeline::new(&context.device, self.disk.clone(), kernel)
        };
        let pipeline = guarded(&context.device, 0, create);
        let pipeline = Arc::new(pipeline.map_err(|error| context.explain(error))?);
        self.count.fetch_add(1, Ordering::Relaxed);
        known.insert(key, Arc::clone(&pipeline));
        #[cfg(not(target_arch = "wasm32"))]
        {
            let (pipeline, waiting) = (Arc::clone(&pipeline), Arc::clone(&self.waiting));
            // An error is reported to the thread that needs the pipeline: it calls `compiled` again.
            rayon::spawn(move || {
                drop(pipeline.compiled());
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let woken = std::mem::take(&mut *waiting);
                drop(waiting);
                woken.into_iter().for_each(Waker::wake);
            });
        }
        Ok(pipeline)
    }

    /// Resolves when all kernels that are known by now have been compiled.
    pub(super) fn all_compiled(&self) -> impl Future<Output = Result<()>> + use<> {
        let known = self.known();
        let is_open = |pipeline: &&Arc<Pipeline>| pipeline.compiled.get().is_none();
        let open: Vec<Arc<Pipeline>> = known.values().filter(is_open).cloned().collect();
        let waiting = Arc::clone(&self.waiting);
        poll_fn(move |task| {
            let is_open = || open.iter().any(|pipeline| pipeline.compiled.get().is_none());
            if !cfg!(target_arch = "wasm32") && is_open() {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.iter().any(|waker| waker.will_wake(task.waker())) {
                    waiting.push(task.waker().clone());
                }
                drop(waiting);
                // The last may have been compiled meanwhile.
                if is_open() {
                    return Poll::Pending;
                }
            }
            // In a browser this only hands the kernels over.
            Poll::Ready(open.iter().try_for_each(|pipeline| pipeline.compiled().map(drop)))
        })
    }
}

/// The layout of a buffer binding of a compute shader. If `size` is given, the binding has a dynamic offset.
pub(super) fn layout_entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    size: Option<wgpu::BufferSize>,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: size.is_some(),
            min_binding_size: size,
        },
        count: None,
    }
}
