//! Translates a kernel of wgrad to SPIR-V, as wgpu would pass it to a Vulkan driver.

use naga::back::pipeline_constants::process_overrides;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgrad::AssembledKernel;

/// What a driver compiles, and how its buffers are bound.
pub struct Module {
    pub words: Vec<u32>,
    pub bindings: Vec<Binding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    pub index: u32,
    pub uniform: bool,
}

pub fn compile(kernel: &AssembledKernel) -> Result<Module, String> {
    let AssembledKernel { source, constants, .. } = kernel;
    let module =
        naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .map_err(|error| error.to_string())?;
    let constants = constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let entry = (naga::ShaderStage::Compute, "main");
    let (module, info) = process_overrides(&module, &info, Some(entry), &constants)
        .map_err(|error| error.to_string())?;
    let bindings = module.global_variables.iter().filter_map(|(_, variable)| {
        let uniform = variable.space == naga::AddressSpace::Uniform;
        variable.binding.map(|binding| Binding { index: binding.binding, uniform })
    });
    // wgpu's options for Vulkan 1.3 with robust buffer access, and those of wgrad.
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        capabilities: None,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Unchecked,
            ..BoundsCheckPolicies::default()
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..spv::Options::default()
    };
    let stage = spv::PipelineOptions { shader_stage: entry.0, entry_point: entry.1.to_owned() };
    let words = spv::write_vec(&module, &info, &options, Some(&stage));
    let words = words.map_err(|error| error.to_string())?;
    Ok(Module { words, bindings: bindings.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_becomes_spirv_with_its_constants_and_bindings() {
        for kernel in wgrad::assembled_kernels() {
            let module =
                compile(&kernel).unwrap_or_else(|error| panic!("{}: {error}", kernel.label));
            assert_eq!(module.words[0], 0x0723_0203, "{}", kernel.label);
            // The parameters. Probes have none, and have their result there instead.
            let is_probe = ["Conversions", "Subgroups"].contains(&&*kernel.label);
            let first = Binding { index: 0, uniform: !is_probe };
            assert!(module.bindings.contains(&first), "{}", kernel.label);
        }
        let mut kernel = wgrad::assembled_kernels()
            .into_iter()
            .find(|kernel| kernel.label == "Unary(Forward) leaky_relu")
            .unwrap();
        let has = |kernel: &AssembledKernel, value: f32| {
            compile(kernel).unwrap().words.contains(&value.to_bits())
        };
        assert!(!has(&kernel, 0.375));
        kernel.constants = vec![("g_slope", 0.375)];
        assert!(has(&kernel, 0.375));
    }
}
