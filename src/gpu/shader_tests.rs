//! Tests that every kernel that can be assembled is valid WGSL and can be translated for each graphics
//! interface.

use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::assembled::{
    AssembledKernel, assembled, assembled_kernels, cooperative_kernels, kernels,
    kernels_of_any_numbers,
};
use super::kernel::{Access, Template, Uses};
use super::parameters::{Field, Scalar};
use super::recorder::PARAMETERS;

#[test]
fn every_kernel_is_valid_and_translates_to_spirv_msl_and_hlsl() {
    translate(assembled_kernels());
}

#[test]
fn so_is_every_kernel_of_devices_without_subgroups() {
    translate(assembled(Uses::default()));
}

#[test]
fn so_is_every_kernel_of_any_numbers() {
    let kernels = kernels_of_any_numbers();
    for AssembledKernel { label, source, constants, .. } in &kernels {
        // A parameter that is a choice among few values stays a constant.
        let is_parameter = |name: &str| name.starts_with("g_") || name.starts_with("l_");
        let module = naga::front::wgsl::parse_str(source).unwrap();
        for (_, constant) in module.overrides.iter() {
            let name = constant.name.as_deref().unwrap();
            let is_choice = constants.iter().any(|it| it.0 == name);
            assert!(!is_parameter(name) || is_choice, "{name} is a constant of {label}");
        }
        let (_, parameters) =
            module.types.iter().find(|it| it.1.name.as_deref() == Some("Parameters")).unwrap();
        let naga::TypeInner::Struct { members, span } = &parameters.inner else {
            panic!("{label}")
        };
        assert!(*span as usize <= PARAMETERS, "{label} has {span} bytes of parameters");
        // The numbers come last, close together: the host adds them to the other parameters.
        let last = members.last().unwrap();
        assert!(is_parameter(last.name.as_deref().unwrap()), "{label}");
        assert_eq!(last.offset as usize, size_of::<u32>() * (members.len() - 1), "{label}");
    }
    translate(kernels);
}

/// The fields of `struct Parameters`: name, offset and type.
fn fields(module: &naga::Module) -> Vec<(&str, u32, naga::Scalar)> {
    let mut types = module.types.iter();
    let (_, parameters) = types.find(|it| it.1.name.as_deref() == Some("Parameters")).unwrap();
    let naga::TypeInner::Struct { members, .. } = &parameters.inner else { panic!() };
    let mut fields = Vec::new();
    for member in members {
        let naga::TypeInner::Scalar(scalar) = module.types[member.ty].inner else { panic!() };
        fields.push((member.name.as_deref().unwrap(), member.offset, scalar));
    }
    fields
}

/// The storage bindings in order, each with whether the kernel writes to it.
fn storage(module: &naga::Module) -> Vec<(u32, bool)> {
    let bindings = module.global_variables.iter().filter_map(|(_, variable)| {
        let naga::AddressSpace::Storage { access } = variable.space else { return None };
        let writes = access.contains(naga::StorageAccess::STORE);
        Some((variable.binding.unwrap().binding, writes))
    });
    let mut bindings: Vec<_> = bindings.collect();
    bindings.sort_unstable();
    bindings
}

#[test]
fn parameters_and_bindings_of_the_table_are_those_of_the_wgsl() {
    let mut kernels = kernels(Uses::default());
    kernels.extend(cooperative_kernels());
    let mut seen: Vec<Template> = Vec::new();
    for kernel in kernels {
        if seen.contains(&kernel.template) {
            continue;
        }
        seen.push(kernel.template);
        let (label, row) = (kernel.label(), kernel.template.row());
        let module = naga::front::wgsl::parse_str(&kernel.source()).unwrap();
        let declared = row.parameters.iter().map(|&Field { name, offset, scalar }| {
            let scalar = match scalar {
                Scalar::U32 => naga::Scalar::U32,
                Scalar::I32 => naga::Scalar::I32,
                Scalar::F32 => naga::Scalar::F32,
            };
            (name, offset as u32, scalar)
        });
        assert_eq!(declared.collect::<Vec<_>>(), fields(&module), "{label}");
        let declared = (1..).zip(row.bindings).map(|(i, access)| (i, *access != Access::Read));
        assert_eq!(declared.collect::<Vec<_>>(), storage(&module), "{label}");
    }
    assert!(seen.len() > 90, "{} templates", seen.len());
}

#[test]
fn products_by_cooperative_matrices_are_valid_and_translate_to_spirv() {
    for kernel in cooperative_kernels() {
        let source = kernel.source();
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
        let capabilities = Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16;
        let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
        let info = info.unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
        for transposed in [0.0, 1.0] {
            let constants =
                ["A_TRANSPOSED", "B_TRANSPOSED"].map(|name| (name.to_owned(), transposed));
            let entry = (naga::ShaderStage::Compute, "main");
            let (module, info) =
                process_overrides(&module, &info, Some(entry), &constants.into()).unwrap();
            let options = spv::Options { lang_version: (1, 6), ..Default::default() };
            assert!(spv::write_vec(&module, &info, &options, None).unwrap().len() > 5);
        }
    }
}

fn translate(kernels: Vec<AssembledKernel>) {
    assert!(kernels.len() > 50, "{} kernels", kernels.len());
    for AssembledKernel { label, source, .. } in kernels {
        let explain = |error: &dyn std::fmt::Debug| format!("{label}: {error:?}\n{source}");
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{label}:\n{}", error.emit_to_string(&source)));
        // The capabilities that not every device has.
        let mut needed = Capabilities::empty();
        needed.set(Capabilities::SHADER_FLOAT16_IN_FLOAT32, source.contains("pack2x16float"));
        needed.set(Capabilities::SUBGROUP, source.contains("subgroupShuffleXor"));
        let info = Validator::new(ValidationFlags::all(), needed)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{}", explain(&error)));
        let entry = (naga::ShaderStage::Compute, "main");
        let (module, info) = process_overrides(&module, &info, Some(entry), &Default::default())
            .unwrap_or_else(|error| panic!("{}", explain(&error)));

        let words = spv::write_vec(&module, &info, &spv::Options::default(), None);
        assert!(words.unwrap_or_else(|error| panic!("{}", explain(&error))).len() > 5);

        let options = msl::Options { lang_version: (2, 4), ..Default::default() };
        let (text, _) = msl::write_string(&module, &info, &options, &Default::default())
            .unwrap_or_else(|error| panic!("{}", explain(&error)));
        assert!(text.contains("kernel void"), "{label}");

        let mut text = String::new();
        let (options, pipeline) = (hlsl::Options::default(), hlsl::PipelineOptions::default());
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|error| panic!("{}", explain(&error)));
        assert!(text.contains("numthreads"), "{label}");
    }
}
