//! Labels that only the device knows: in a buffer of the application's, or copied by a plan.

mod common;

use common::{Within, assert_all, normal, random_labels, wide};
use wgrad::{
    Activation, Device, DeviceOptions, Error, Labels, Logits, Loss, OutputLayer, Outputs,
    Reduction, Targets, Tensor, wgpu,
};

const ROWS: usize = 9;
const CLASSES: usize = 5;

/// Labels in a buffer, and the buffer. They begin at an offset that kernels cannot bind.
fn in_buffer(device: &Device, labels: &[i32]) -> (Labels, wgpu::Buffer) {
    let (wgpu, _) = device.wgpu().unwrap();
    let buffer = wgpu.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 1024,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    write(device, &buffer, labels);
    (device.labels_from_buffer(buffer.clone(), OFFSET, labels.len()).unwrap(), buffer)
}

const OFFSET: u64 = 20;

/// Writes as the application does, behind the library's back.
fn write(device: &Device, buffer: &wgpu::Buffer, labels: &[i32]) {
    device.flush().unwrap();
    let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    device.wgpu().unwrap().1.write_buffer(buffer, OFFSET, &bytes);
}

/// Labels on any device that the host does not know: a plan has copied them.
fn by_plan(device: &Device, labels: &[i32]) -> Labels {
    let (source, target) = (device.labels(labels).unwrap(), device.labels(labels).unwrap());
    device.record(|| target.copy_from(&source)).unwrap();
    target
}

/// The losses that take labels, each with the activation whose outputs it takes.
fn losses() -> Vec<(Activation, Loss)> {
    let texts = [
        (Activation::Softmax, "cross_entropy"),
        (Activation::Softmax, "cross_entropy(ignore_index=-100, label_smoothing=0.1)"),
        (Activation::Identity, "cross_entropy_with_logits"),
        (Activation::Identity, "cross_entropy_with_logits(ignore_index=-100)"),
        (Activation::Identity, "cross_entropy_with_logits(label_smoothing=0.1)"),
        (Activation::LogSoftmax, "nll"),
        (Activation::LogSoftmax, "nll(ignore_index=-100)"),
        (Activation::Identity, "multi_margin"),
        (Activation::Identity, "multi_margin(p=2, margin=0.5)"),
    ];
    texts.map(|(activation, loss)| (activation, loss.parse().unwrap())).to_vec()
}

/// The losses of the rows, then everything that a layer computes.
fn results(
    device: &Device,
    (activation, loss): (Activation, Loss),
    labels: &Labels,
    weighted: bool,
    logits: Logits,
) -> Vec<(&'static str, Tensor)> {
    let x = device.tensor(&normal(ROWS * 7, 1.0, 1), [ROWS, 7]).unwrap();
    let w = device.tensor(&normal(7 * CLASSES, 1.0, 2), [7, CLASSES]).unwrap();
    let mut targets = Targets::from(labels);
    if weighted {
        let rows: Vec<f32> = (1..=ROWS).map(|i| i as f32 / 4.0).collect();
        let classes: Vec<f32> = (1..=CLASSES).map(|i| 1.0 + i as f32 / 8.0).collect();
        targets = targets
            .weights(&device.tensor(&rows, [ROWS]).unwrap())
            .class_weights(&device.tensor(&classes, [CLASSES]).unwrap());
    }
    let mut found = Vec::new();
    for reduction in [Reduction::Sum, Reduction::Mean] {
        let layer = OutputLayer::new(activation, loss).reduction(reduction).logits(logits);
        let layer = match logits {
            Logits::Auto => layer,
            _ => layer.outputs(Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX),
        };
        let g = layer.gradients(&x, &w, None, targets.clone()).unwrap();
        found.extend([("loss", g.loss), ("dx", g.dx), ("dz", g.dz), ("dw", g.dw), ("db", g.db)]);
    }
    let z = device.tensor(&normal(ROWS * CLASSES, 1.0, 3), [ROWS, CLASSES]).unwrap();
    let y = activation.forward(&z).unwrap();
    found.push(("losses", loss.forward(&y, targets.clone(), Reduction::None).unwrap()));
    found.push(("dy", loss.gradient(&y, targets, Reduction::Sum).unwrap()));
    found
}

/// That labels which the device alone knows give what labels of the host give, and that invalid ones give NaN.
fn check(device: &Device, make: impl Fn(&[i32]) -> Labels) {
    for (activation, loss) in losses() {
        let mut labels = random_labels(ROWS, CLASSES, 4);
        if loss.to_string().contains("ignore_index=-100") {
            labels[3] = -100;
        }
        for weighted in [false, true] {
            let tiled = loss.to_string().starts_with("cross_entropy_with_logits");
            let ways: &[Logits] =
                if tiled { &[Logits::Auto, Logits::Tiled] } else { &[Logits::Auto] };
            for &way in ways {
                let what = format!("{activation}, {loss}, {weighted}, {way:?} on {device:?}");
                let known = device.labels(&labels).unwrap();
                let exact = results(device, (activation, loss), &known, weighted, way);
                let unknown = make(&labels);
                assert_eq!(unknown.to_vec(), labels, "{what}");
                let found = results(device, (activation, loss), &unknown, weighted, way);
                for ((name, found), (_, exact)) in found.iter().zip(&exact) {
                    let exact = wide(&exact.to_vec().unwrap());
                    let within = Within::Approx { relative: 1e-6, absolute: 1e-7 };
                    assert_all(
                        format!("{name} of {what}"),
                        &found.to_vec().unwrap(),
                        &exact,
                        within,
                    );
                }
                assert_eq!(unknown.invalid().unwrap(), 0, "{what}");

                for wrong in [-1, CLASSES as i32, i32::MAX, i32::MIN] {
                    let mut wrong_labels = labels.clone();
                    wrong_labels[6] = wrong;
                    let unknown = make(&wrong_labels);
                    let found = results(device, (activation, loss), &unknown, weighted, way);
                    let uses = 4;
                    assert_eq!(unknown.invalid().unwrap(), uses, "{what}");
                    for ((name, found), (_, exact)) in found.iter().zip(&exact) {
                        let (found, exact) = (found.to_vec().unwrap(), exact.to_vec().unwrap());
                        let what = format!("{name} of {what} with the label {wrong}");
                        match *name {
                            "loss" => assert!(found[0].is_nan(), "{what}: {found:?}"),
                            "losses" => {
                                assert!(found[6].is_nan(), "{what}: {found:?}");
                                for row in (0..ROWS).filter(|&row| row != 6) {
                                    assert!(
                                        (found[row] - exact[row]).abs() < 1e-6,
                                        "{what}: {found:?}"
                                    );
                                }
                            }
                            "dy" => {
                                let row = |row: usize| row * CLASSES..(row + 1) * CLASSES;
                                assert!(
                                    found[row(6)].iter().any(|it| it.is_nan()),
                                    "{what}: {found:?}"
                                );
                                for i in (0..ROWS).filter(|&i| i != 6) {
                                    for (found, exact) in found[row(i)].iter().zip(&exact[row(i)]) {
                                        assert!((found - exact).abs() < 1e-6, "{what}: row {i}");
                                    }
                                }
                            }
                            _ => assert!(
                                found.is_empty() || found.iter().any(|it| it.is_nan()),
                                "{what}: {found:?}"
                            ),
                        }
                    }
                }
            }
        }
    }
}

on_every_device! {
    fn labels_that_a_plan_copies_are_checked_on_the_device(device) {
        check(device, |labels| by_plan(device, labels));
    }

    fn a_plan_checks_what_it_copies(device) {
        let source = device.labels(&[0, 1, 2, 3]).unwrap();
        let (z, batch) = (device.zeros([2, 4]).unwrap(), device.labels(&[0; 2]).unwrap());
        let loss = Loss::cross_entropy_with_logits();
        let plan = device.record(|| {
            batch.copy_from(&source.rows(2..)?)?;
            loss.forward(&z, &batch, Reduction::Mean)
        }).unwrap();
        let exact = 4f32.ln();
        for (labels, counted) in [([0, 1, 2, 3], 0), ([0, 1, 7, -1], 2), ([9, 9, 3, 3], 2), ([1, 1, 4, 0], 3)] {
            source.write(&labels).unwrap();
            plan.run().unwrap();
            let found = plan.outputs().item().unwrap();
            let valid = labels[2..].iter().all(|label| (0..4).contains(label));
            assert!(if valid { (found - exact).abs() < 1e-6 } else { found.is_nan() }, "{labels:?}: {found}");
            assert_eq!((batch.to_vec(), batch.invalid().unwrap()), (labels[2..].to_vec(), counted));
        }
        // What the host writes it knows.
        batch.write(&[1, 9]).unwrap();
        let error = loss.forward(&z, &batch, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::InvalidLabel { row: 1, label: 9, .. }), "{error}");
        // So it does what it copies outside of plans.
        batch.copy_from(&source.rows(..2).unwrap()).unwrap();
        assert_eq!(batch.to_vec(), [1, 1]);
        source.copy_from(&source).unwrap();
        loss.forward(&z, &batch, Reduction::Mean).unwrap();
        // A plan that was recorded with labels of the host does not check others.
        let plan = device.record(|| loss.forward(&z, &batch, Reduction::Mean)).unwrap();
        let copy = device.record(|| batch.copy_from(&source.rows(..2)?)).unwrap();
        copy.run().unwrap();
        let error = plan.run().unwrap_err();
        assert!(error.to_string().contains("record the plan with such labels"), "{error}");
    }
}

#[test]
fn labels_in_a_buffer_are_checked_on_the_device() {
    for device in common::adapters() {
        check(device, |labels| in_buffer(device, labels).0);
    }
}

#[test]
fn a_checked_device_reads_labels_of_a_buffer() {
    for info in Device::enumerate().into_iter().filter(|info| info.kind.is_gpu()) {
        let options = DeviceOptions::from(&info).checked(true);
        let device = pollster::block_on(Device::request(options)).unwrap();
        let (labels, buffer) = in_buffer(&device, &[0, 4, 3]);
        let z = device.zeros([3, 5]).unwrap();
        let loss = || Loss::cross_entropy_with_logits().forward(&z, &labels, Reduction::Mean);
        loss().unwrap();
        let plan = device.record(loss).unwrap();
        write(&device, &buffer, &[0, 5, 3]);
        for error in [loss().map(drop), plan.run()].map(Result::unwrap_err) {
            assert!(
                matches!(error, Error::InvalidLabel { row: 1, label: 5, classes: 5 }),
                "{error}"
            );
        }
        write(&device, &buffer, &[1, 1, 1]);
        plan.run().unwrap();
        assert!((plan.outputs().item().unwrap() - 5f32.ln()).abs() < 1e-6);
        assert_eq!(labels.rows(1..).unwrap().to_vec(), [1, 1]);
        // What is written through the labels arrives in the buffer, and the buffer may change again.
        labels.write(&[2, 2, 2]).unwrap();
        write(&device, &buffer, &[2, 2, -3]);
        assert!(matches!(loss().unwrap_err(), Error::InvalidLabel { row: 2, label: -3, .. }));
    }
}

on_every_device! {
    fn an_invalid_label_has_no_loss_of_0(device) {
        // Rows that a loss of the class 0 has nothing to say about.
        let z = device.tensor(&[90.0, 0.0, 0.0, 90.0, 0.0, 0.0], [2, 3]).unwrap();
        for (_, loss) in losses() {
            if matches!(loss, Loss::CrossEntropy { .. } | Loss::Nll { .. }) {
                continue;
            }
            for labels in [[3, 0], [-7, 0]] {
                let labels = by_plan(device, &labels);
                let found = loss.forward(&z, &labels, Reduction::None).unwrap().to_vec().unwrap();
                assert!(found[0].is_nan() && !found[1].is_nan(), "{loss} on {device:?}: {found:?}");
                let found = loss.gradient(&z, &labels, Reduction::Sum).unwrap().to_vec().unwrap();
                let has_nan = |row: &[f32]| row.iter().any(|it| it.is_nan());
                assert!(has_nan(&found[..3]) && !has_nan(&found[3..]), "{loss}: {found:?}");
            }
        }
    }
}
