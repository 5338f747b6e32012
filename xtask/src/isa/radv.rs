//! Asks Mesa's Vulkan driver for AMD cards for the statistics of what it compiles.
//!
//! With RADV_FORCE_FAMILY in the environment the driver offers a card that is not there: nothing can run on
//! it, but the driver compiles for it. wgpu does not open such a device, so this module uses Vulkan directly.
#![expect(unsafe_code, reason = "every call of Vulkan is unsafe in Rust")]

use std::ffi::CStr;
use std::fmt::Display;

use ash::{ext, khr, vk};
use serde::{Deserialize, Serialize};

use super::assembly::{self, Loop};
use super::spirv::{Binding, Module};

/// What the compiler reports about a kernel.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Statistics {
    pub instructions: u64,
    pub vgprs: u64,
    pub sgprs: u64,
    pub spilled_vgprs: u64,
    pub spilled_sgprs: u64,
    /// The number of bytes of workgroup memory.
    pub shared: u64,
    /// The number of waves that a SIMD unit can hold at a time.
    pub waves: u64,
    /// The cycles of a single wave, and the cycles for each wave if there are many.
    pub latency: u64,
    pub inverse_throughput: u64,
}

/// A compiled kernel.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Compiled {
    pub statistics: Statistics,
    pub inner_loop: Option<Loop>,
}

/// A compiler for one card. What it creates lives until the process ends.
pub struct Compiler {
    // Keeps the Vulkan library loaded.
    _entry: ash::Entry,
    device: ash::Device,
    executables: khr::pipeline_executable_properties::Device,
    /// The name that the driver gives the card.
    pub card: String,
    pub driver: String,
}

fn failed(what: &str) -> impl Fn(vk::Result) -> String {
    move |error| format!("{what}: {error}")
}

fn text(name: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> =
        name.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Compiler {
    pub fn open() -> Result<Self, String> {
        let missing = |error: &dyn Display| format!("the Vulkan loader cannot be used: {error}");
        // SAFETY: the library with the usual name of the loader is assumed to be the loader.
        let entry = unsafe { ash::Entry::load() }.map_err(|error| missing(&error))?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: everything that the structures here and below point to outlives the calls.
        let instance = unsafe { entry.create_instance(&create, None) }
            .map_err(failed("no Vulkan driver answers"))?;
        // SAFETY: the instance is alive; it is never destroyed.
        let cards = unsafe { instance.enumerate_physical_devices() }
            .map_err(failed("the cards cannot be listed"))?;
        let mut seen = Vec::new();
        for card in cards {
            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            // SAFETY: the card belongs to the instance.
            unsafe { instance.get_physical_device_properties2(card, &mut properties) };
            let name = text(&properties.properties.device_name);
            if driver.driver_id == vk::DriverId::MESA_RADV {
                let driver = text(&driver.driver_info);
                return Self::on_card(entry, &instance, card, name, driver);
            }
            seen.push(name);
        }
        Err(format!("Mesa's RADV does not answer, only: {}", seen.join(", ")))
    }

    fn on_card(
        entry: ash::Entry,
        instance: &ash::Instance,
        card: vk::PhysicalDevice,
        name: String,
        driver: String,
    ) -> Result<Self, String> {
        let queues =
            [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let extensions = [khr::pipeline_executable_properties::NAME, ext::robustness2::NAME];
        let extensions = extensions.map(CStr::as_ptr);
        // As in a device that wgpu opens, the hardware checks buffer accesses.
        let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
        let mut robust =
            vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
        let mut statistics = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        // The features that some kernels need.
        let mut halves =
            vk::PhysicalDeviceShaderFloat16Int8Features::default().shader_float16(true);
        let mut half_storage =
            vk::PhysicalDevice16BitStorageFeatures::default().storage_buffer16_bit_access(true);
        let mut memory_model =
            vk::PhysicalDeviceVulkanMemoryModelFeatures::default().vulkan_memory_model(true);
        let create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .enabled_features(&core)
            .push_next(&mut robust)
            .push_next(&mut statistics)
            .push_next(&mut halves)
            .push_next(&mut half_storage)
            .push_next(&mut memory_model);
        // SAFETY: the card belongs to the instance, and the pointers outlive the call.
        let device = unsafe { instance.create_device(card, &create, None) }
            .map_err(failed("the card cannot be opened"))?;
        let executables = khr::pipeline_executable_properties::Device::new(instance, &device);
        Ok(Self { _entry: entry, device, executables, card: name, driver })
    }

    /// Compiles the entry point `main` of a SPIR-V module. With `with_loop`, also finds its inner loop.
    pub fn compile(&self, module: &Module, with_loop: bool) -> Result<Compiled, String> {
        let layout = self.layout(&module.bindings).map_err(failed("no pipeline layout"))?;
        let create = vk::ShaderModuleCreateInfo::default().code(&module.words);
        // SAFETY: naga has produced the words from a module that it has validated.
        let module = unsafe { self.device.create_shader_module(&create, None) }
            .map_err(failed("the module is not accepted"))?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let mut flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR;
        if with_loop {
            flags |= vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        let create =
            vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(flags);
        let cache = vk::PipelineCache::null();
        // SAFETY: the module and the layout belong to the device.
        let pipelines = unsafe { self.device.create_compute_pipelines(cache, &[create], None) }
            .map_err(|(_, error)| failed("the kernel does not compile")(error))?;
        let mut compiled = Compiled::default();
        for &pipeline in &pipelines {
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            // SAFETY: the pipeline was created with statistics, and is alive.
            let found = unsafe { self.executables.get_pipeline_executable_statistics(&executable) }
                .map_err(failed("no statistics"))?;
            for statistic in found {
                compiled.statistics.read(&statistic);
            }
            if with_loop {
                compiled.inner_loop = assembly::inner_loop(&self.assembly(&executable)?);
            }
            // SAFETY: nothing uses the pipeline any more.
            unsafe { self.device.destroy_pipeline(pipeline, None) };
        }
        // SAFETY: nothing uses the module any more.
        unsafe { self.device.destroy_shader_module(module, None) };
        Ok(compiled)
    }

    /// The listing of the machine's instructions.
    fn assembly(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String, String> {
        // SAFETY: the pipeline was created with its representations, and is alive.
        let mut texts = unsafe {
            self.executables.get_pipeline_executable_internal_representations(executable)
        }
        .map_err(failed("no assembly"))?;
        // The first call returns their sizes; the second one fills buffers of these sizes.
        let mut contents: Vec<Vec<u8>> = texts.iter().map(|text| vec![0; text.data_size]).collect();
        for (text, content) in texts.iter_mut().zip(&mut contents) {
            text.p_data = content.as_mut_ptr().cast();
        }
        let get = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let mut count = texts.len() as u32;
        // SAFETY: as above. There are as many texts as the count says, each with room for its size.
        unsafe { get(self.executables.device(), executable, &mut count, texts.as_mut_ptr()) }
            .result()
            .map_err(failed("no assembly"))?;
        let assembly = texts.iter().position(|described| text(&described.name) == "Assembly");
        let content = assembly.map(|place| &contents[place]).ok_or("there is no listing")?;
        Ok(String::from_utf8_lossy(content).into_owned())
    }

    fn layout(&self, bindings: &[Binding]) -> Result<vk::PipelineLayout, vk::Result> {
        let bindings: Vec<_> = bindings
            .iter()
            .map(|binding| {
                let kind = match binding.uniform {
                    true => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                    false => vk::DescriptorType::STORAGE_BUFFER,
                };
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding.index)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the device is alive, and everything that the structure points to outlives the call.
        let sets = [unsafe { self.device.create_descriptor_set_layout(&create, None) }?];
        let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: the same.
        unsafe { self.device.create_pipeline_layout(&create, None) }
    }
}

impl Statistics {
    fn read(&mut self, statistic: &vk::PipelineExecutableStatisticKHR<'_>) {
        if statistic.format != vk::PipelineExecutableStatisticFormatKHR::UINT64 {
            return;
        }
        // SAFETY: the format says that this is the field in use.
        let value = unsafe { statistic.value.u64 };
        let field = match &*text(&statistic.name) {
            "Instructions" => &mut self.instructions,
            "VGPRs" => &mut self.vgprs,
            "SGPRs" => &mut self.sgprs,
            "Spilled VGPRs" => &mut self.spilled_vgprs,
            "Spilled SGPRs" => &mut self.spilled_sgprs,
            "LDS size" => &mut self.shared,
            "Subgroups per SIMD" => &mut self.waves,
            "Latency" => &mut self.latency,
            "Inverse Throughput" => &mut self.inverse_throughput,
            _ => return,
        };
        *field = value;
    }
}
