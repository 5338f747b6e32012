//! A kernel of wgrad in SPIR-V, as wgpu would hand it to a Vulkan driver.

use naga::back::pipeline_constants::process_overrides;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::selection::Function;

pub fn compile(function: &Function) -> Result<Vec<u32>, String> {
    let Function { activation, order } = function;
    let source = activation.kernel_source(*order).ok_or("it has no kernel of its own")?;
    let module =
        naga::front::wgsl::parse_str(&source).map_err(|error| error.emit_to_string(&source))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| error.to_string())?;
    let mut constants = naga::back::PipelineConstants::default();
    for (name, value) in activation.parameters() {
        let value: f64 = value.parse().map_err(|error| format!("{name}={value}: {error}"))?;
        constants.insert(format!("g_{name}"), value);
    }
    let entry = (naga::ShaderStage::Compute, "main");
    let (module, info) = process_overrides(&module, &info, Some(entry), &constants)
        .map_err(|error| error.to_string())?;
    // wgpu's options for Vulkan 1.3 with robust buffer access, and wgrad's own.
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        capabilities: Some([spv::Capability::Shader].into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Unchecked,
            ..BoundsCheckPolicies::default()
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..spv::Options::default()
    };
    let stage = spv::PipelineOptions { shader_stage: entry.0, entry_point: entry.1.to_owned() };
    spv::write_vec(&module, &info, &options, Some(&stage)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Selection;

    #[test]
    fn every_pointwise_function_becomes_spirv_with_its_parameters() {
        for function in Selection::default().functions() {
            if function.activation.is_rowwise() {
                assert!(compile(&function).is_err());
                continue;
            }
            let words = compile(&function).unwrap();
            assert_eq!(words[0], 0x0723_0203, "{function:?}");
        }
        let of = |text: &str| {
            let activation = text.parse().unwrap();
            compile(&Function { activation, order: 0 }).unwrap()
        };
        let has = |words: &[u32], value: f32| words.contains(&value.to_bits());
        assert!(has(&of("leaky_relu(slope=0.375)"), 0.375));
        assert!(!has(&of("leaky_relu"), 0.375));
    }
}
