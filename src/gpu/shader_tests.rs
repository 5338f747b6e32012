//! Every kernel that can be assembled is valid WGSL and has a translation for each graphics interface.

use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::kernel::{Kernel, TargetKind, Template};
use crate::activation::Activation;
use crate::backend::{Argument, Binary, RowProduct, Unary};
use crate::loss::{Formula, Loss, Structure};

/// The templates and catalogues in every combination that the backend makes.
fn kernels(activations: &[Activation], losses: &[Loss]) -> Vec<(String, String)> {
    let mut kernels: Vec<Kernel<'_>> = vec![
        Kernel::new(Template::Sum),
        Kernel::new(Template::ColumnSum),
        Kernel::new(Template::Sgd),
        Kernel::new(Template::Adam),
        Kernel::new(Template::SquareSums),
        Kernel::new(Template::ClipFactor),
        Kernel::new(Template::ClipNorm),
        Kernel::new(Template::ClipValue),
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
    let target_kinds = [TargetKind::Dense, TargetKind::Labels];
    for targets in target_kinds {
        let terms = |argument| Kernel::new(Template::LossTerms(targets, argument));
        for &loss in losses.iter().filter(|loss| loss.structure() == Structure::Terms) {
            let kernel = terms(Argument::Output).activation(&Activation::Tanh);
            kernels.push(kernel.loss(Formula::Of(loss)));
        }
        let fused = losses.iter().filter_map(|l| Formula::of_logits(&Activation::Sigmoid, l));
        for formula in fused {
            kernels.push(terms(Argument::Logits).activation(&Activation::Sigmoid).loss(formula));
        }
        let logits = Loss::cross_entropy_with_logits();
        let softmax = Kernel::new(Template::SoftmaxCrossEntropy(targets));
        kernels.push(softmax.activation(&Activation::Softmax).loss(Formula::Of(logits)));
        kernels.push(Kernel::new(Template::RowWeights(targets)));
    }
    for activation in activations.iter().filter(|activation| !activation.is_rowwise()) {
        let kernel = Kernel::new(Template::LossTerms(TargetKind::Dense, Argument::Output));
        kernels.push(kernel.activation(activation).loss(Formula::Of(Loss::Mse)));
    }
    kernels.push(Kernel::new(Template::TileStatistics).activation(&Activation::Softmax));
    kernels.push(Kernel::new(Template::TileGradient));
    kernels.push(Kernel::new(Template::TileLosses));
    kernels.push(Kernel::new(Template::MultiMargin).loss(Formula::Of(Loss::multi_margin())));
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
