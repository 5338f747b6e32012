//! Every kernel that can be assembled is valid WGSL and has a translation for each graphics interface.

use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::kernel::{Kernel, TargetKind, Template};
use crate::activation::Activation;
use crate::backend::{Binary, RowProduct, Unary};
use crate::loss::Loss;

/// The templates and catalogues in every combination that the backend makes.
fn kernels(activations: &[Activation], losses: &[Loss]) -> Vec<(String, String)> {
    let mut kernels: Vec<Kernel<'_>> = vec![
        Kernel::new(Template::Sum),
        Kernel::new(Template::ColumnSum),
        Kernel::new(Template::Sgd),
        Kernel::new(Template::PreluForward),
        Kernel::new(Template::PreluBackward),
        Kernel::new(Template::RowSum),
    ];
    for activation in activations {
        let from_output = activation.has_derivative_from_output();
        let templates = if activation.is_rowwise() {
            vec![
                Template::RowForward,
                Template::RowProduct(RowProduct::Backward),
                Template::RowProduct(RowProduct::Jvp),
                Template::RowJacobian,
            ]
        } else {
            let mut templates = vec![
                Template::Unary(Unary::Forward),
                Template::Unary(Unary::Derivative),
                Template::Unary(Unary::SecondDerivative),
                Template::Binary(Binary::Backward),
                Template::MatMul,
                Template::GatedForward,
                Template::GatedBackward,
            ];
            if from_output {
                templates.push(Template::Unary(Unary::DerivativeFromOutput));
                templates.push(Template::Binary(Binary::BackwardFromOutput));
            }
            templates
        };
        let kernel = |template| Kernel::new(template).activation(activation);
        kernels.extend(templates.into_iter().map(kernel));
    }
    for loss in losses {
        kernels.push(Kernel::new(Template::LossElements).loss(loss));
        for targets in [TargetKind::Dense, TargetKind::Labels] {
            kernels.push(Kernel::new(Template::LossRows(targets)).loss(loss));
            kernels.push(Kernel::new(Template::LossGradient(targets)).loss(loss));
        }
    }
    for targets in [TargetKind::Dense, TargetKind::Labels] {
        let kernel = Kernel::new(Template::SoftmaxCrossEntropy(targets));
        kernels.push(kernel.activation(&Activation::Softmax));
    }
    kernels.iter().map(|kernel| (kernel.label(), kernel.source())).collect()
}

#[test]
fn every_kernel_is_valid_and_translates_to_spirv_msl_and_hlsl() {
    let activations: Vec<Activation> = Activation::all().collect();
    let losses: Vec<Loss> = Loss::all().collect();
    let kernels = kernels(&activations, &losses);
    assert!(kernels.len() > 50, "{} kernels", kernels.len());
    for (label, source) in kernels {
        let explain = |error: &dyn std::fmt::Debug| format!("{label}: {error:?}\n{source}");
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{label}:\n{}", error.emit_to_string(&source)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
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
