//! Floor 5: the CPU backend. It computes the formulas in f32, vectorised and on all cores.

mod cell;
mod clip;
mod gated;
mod halves;
mod ignored;
mod layer;
mod lines;
mod loss;
mod masks;
mod matrix;
mod optimizer;
mod piecewise;
mod plan;
mod pointwise;
mod predictions;
mod prelu;
mod product;
mod region;
mod rest;
mod row_product;
mod rowwise;
mod run;
mod short_forward;
mod short_rows;
mod steps;
mod transpose;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use cell::{Cell, OnCpu};
use region::Region;

use crate::backend::{
    Backend, Counters, DeviceInfo, DeviceKind, Memory, Op, OpOf, Pool, Preparation, Purpose,
    Reading, Replay, Step, Storage, Update, Wgpu, Written, copied, parallel, room, with_memory,
};
use crate::error::{Error, Result};
use wgrad_formula::formulas::PointwiseFunction;

/// The number of elements of a tensor for which every machine has the memory.
const SMALL: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct CpuBackend(Arc<Shared>);

/// State that a backend shares with its plans.
struct Shared {
    info: LazyLock<DeviceInfo>,
    pool: Arc<Pool<Region>>,
    executed: AtomicU64,
}

impl CpuBackend {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            info: LazyLock::new(describe),
            pool: Arc::new(Pool::new()),
            executed: AtomicU64::new(0),
        }))
    }

    fn pool(&self) -> &Arc<Pool<Region>> {
        &self.0.pool
    }

    /// Zeros, for sums.
    fn zeros(&self, elements: usize) -> Result<Vec<f32>> {
        let mut zeros = with_memory(|| self.trim(), || room(elements))?;
        zeros.resize(elements, 0.0);
        Ok(zeros)
    }
}

/// Asks the system, and starts the threads, which takes longer than small work.
fn describe() -> DeviceInfo {
    let memory = physical_memory();
    DeviceInfo {
        name: processor_name(),
        kind: DeviceKind::Cpu,
        backend: None,
        driver: format!("wgrad {}", env!("CARGO_PKG_VERSION")),
        max_tensor_bytes: memory,
        max_binding_bytes: memory,
        threads: Some(rayon::current_num_threads()),
        features: wgpu::Features::empty(),
        ordinal: 0,
    }
}

fn processor_name() -> String {
    let described = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    described.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The number of bytes of memory that the machine has, if the system tells.
fn physical_memory() -> u64 {
    let described = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    described.map_or(isize::MAX as u64, |kibibytes| kibibytes << 10)
}

/// Writes the host's data.
fn write(bytes: &[u8], contents: Written, output: &Cell) -> Result<()> {
    let copy = |words: &mut [f32]| {
        bytemuck::cast_slice_mut(words)[..bytes.len()].copy_from_slice(bytes);
    };
    match contents {
        Written::Numbers => output.upload(copy),
        Written::Labels => output.store(copy),
    }
}

impl Backend for CpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    fn memory(&self) -> Memory {
        self.pool().memory()
    }

    fn reset_peak_memory(&self) {
        self.pool().reset_peak();
    }

    fn counters(&self) -> Counters {
        Counters { dispatches: self.0.executed.load(Ordering::Relaxed), ..Counters::default() }
    }

    fn trim(&self) {
        self.pool().trim();
    }

    fn allocate(&self, words: usize, purpose: Purpose) -> Result<Storage> {
        if words > SMALL {
            self.0.info.tensor_bytes(words)?;
        }
        Ok(Storage::new(Arc::new(Cell::new(self.pool(), purpose, words)), words))
    }

    fn write(&self, bytes: &[u8], contents: Written, output: &Storage) -> Result<()> {
        write(bytes, contents, output.cpu_words()?)
    }

    fn read(&self, input: &Storage, words: usize) -> Result<Reading> {
        let values = input.cpu_words()?.snapshot()?;
        with_memory(|| self.trim(), || copied(&values[..words])).map(Reading::Ready)
    }

    fn read_into(&self, input: &Storage, output: &mut [f32]) -> Result<()> {
        let values = input.cpu_words()?.snapshot()?;
        output.copy_from_slice(&values[..output.len()]);
        Ok(())
    }

    fn supports(&self, op: &Op<'_>) -> bool {
        run::supports(op)
    }

    fn run(&self, op: &Op<'_>) -> Result<()> {
        if let Some(PointwiseFunction::Custom(custom)) = op.function()
            && custom.is_wgsl()
        {
            return Err(Error::Unsupported {
                what: format!("the activation {custom} on the CPU"),
                reason: "WGSL runs on GPUs; Activation::from_formula runs on both".to_owned(),
            });
        }
        if !matches!(op, OpOf::Zero { .. }) {
            self.0.executed.fetch_add(1, Ordering::Relaxed);
        }
        run::run(self, op)
    }

    fn reserve(&self, updates: &[Update<'_>]) -> Result<()> {
        optimizer::reserve(self.pool(), updates.iter().map(|update| update.elements))
    }

    fn plan(&self, steps: &[Step]) -> Result<Box<dyn Replay>> {
        Ok(Box::new(plan::CpuPlan::new(self, steps)?))
    }

    fn prepare(&self) -> Preparation {
        Box::pin(std::future::ready(Ok(())))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn wgpu(&self) -> Option<&dyn Wgpu> {
        None
    }
}
