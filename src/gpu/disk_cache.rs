//! A cache of compiled kernels on the disk, kept from one process to the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the driver has compiled, if it supports storing that: only on Vulkan.
pub(super) struct DiskCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
}

impl DiskCache {
    /// Opens this adapter's file in the directory; `None` if the device has no such cache.
    pub(super) fn open(
        device: &wgpu::Device,
        adapter: &wgpu::AdapterInfo,
        directory: &Path,
    ) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = directory.join(wgpu::util::pipeline_cache_key(adapter)?);
        let data = match fs::read(&path) {
            Ok(data) => Some(data),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("the kernels in {} cannot be read: {error}", path.display());
                None
            }
        };
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("wgrad"),
            data: data.as_deref(),
            // Data that does not fit the driver is ignored.
            fallback: true,
        };
        // Drivers trust the data. The caller, who chooses the directory, is told that nothing untrusted
        // may write there; wgpu checks that the file is from this driver.
        #[allow(unsafe_code)]
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self { cache, path })
    }

    pub(super) fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Replaces the file as a whole, as another process may be reading it.
    pub(super) fn store(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let part = self.path.with_extension(format!("{}.part", std::process::id()));
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let stored = fs::create_dir_all(directory)
            .and_then(|()| fs::write(&part, data))
            .and_then(|()| fs::rename(&part, &self.path));
        if let Err(error) = stored {
            log::warn!("the kernels cannot be stored in {}: {error}", self.path.display());
        }
    }
}
