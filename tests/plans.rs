//! Plans: work that is recorded once and repeated.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::normal;
use wgrad::{
    Activation, Device, Error, Labels, Loss, OutputGradients, OutputLayer, Outputs, Reduction, Sgd,
    Tensor,
};

const BATCH: usize = 5;
const INPUTS: usize = 7;
const CLASSES: usize = 3;

fn tensor(device: &Device, values: &[f32]) -> Tensor {
    device.tensor(values, [values.len()]).unwrap()
}

fn inputs(seed: u64) -> Vec<f32> {
    normal(BATCH * INPUTS, 1.0, seed)
}

struct Operands {
    x: Tensor,
    w: Tensor,
    labels: Labels,
}

fn operands(device: &Device) -> Operands {
    Operands {
        x: device.tensor(&inputs(1), [BATCH, INPUTS]).unwrap(),
        w: device.tensor(&normal(INPUTS * CLASSES, 1.0, 2), [INPUTS, CLASSES]).unwrap(),
        labels: device.labels(&[0, 1, 2, 0, 1]).unwrap(),
    }
}

fn classifier() -> OutputLayer {
    OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
}

fn values(gradients: &OutputGradients) -> [Vec<f32>; 6] {
    let OutputGradients { loss, y, dz, dw, db, dx, .. } = gradients;
    [loss, y, dz, dw, db, dx].map(|tensor| tensor.to_vec().unwrap())
}

on_every_device! {
    fn a_run_gives_what_the_work_itself_would_give(device) {
        let Operands { x, w, labels } = operands(device);
        for layer in [
            classifier(),
            classifier().outputs(Outputs::LOSS | Outputs::DW),
            OutputLayer::new(Activation::LogSoftmax, Loss::nll()),
        ] {
            let plan = device.record(|| layer.gradients(&x, &w, None, &labels)).unwrap();
            for seed in 1..4 {
                x.write(&inputs(seed)).unwrap();
                labels.write(&[2, 1, (seed % 3) as i32, 0, 1]).unwrap();
                plan.run().unwrap();
                let direct = layer.gradients(&x, &w, None, &labels).unwrap();
                assert_eq!(values(plan.outputs()), values(&direct), "{layer:?} on {device:?}");
            }
        }
    }

    fn the_work_is_done_once_when_recorded_and_once_at_each_run(device) {
        let sum = tensor(device, &[1.0, 2.0, 3.0]);
        let double = Activation::LeakyRelu { slope: 2.0 };
        sum.write(&[-1.0, -2.0, -3.0]).unwrap();
        let plan = device.record(|| {
            double.forward_into(&sum, &sum)
        }).unwrap();
        assert_eq!(sum.to_vec().unwrap(), [-2.0, -4.0, -6.0]);
        plan.run().unwrap();
        plan.run().unwrap();
        assert_eq!(sum.to_vec().unwrap(), [-8.0, -16.0, -24.0]);
    }

    fn uploads_and_zeros_are_done_again(device) {
        let into = tensor(device, &[0.0; 5]);
        let large = tensor(device, &vec![0.0; 40_000]);
        let plan = device.record(|| {
            let z = tensor(device, &[1.0, -2.0, 3.0, 4.0, -5.0]);
            large.write(&vec![2.0; 40_000])?;
            Activation::Relu.forward_into(&z, &into)?;
            Ok((device.zeros([3])?, z))
        }).unwrap();
        let (zeros, z) = plan.outputs();
        zeros.write(&[1.0, 2.0, 3.0]).unwrap();
        z.write(&[9.0; 5]).unwrap();
        into.write(&[7.0; 5]).unwrap();
        large.write(&vec![1.0; 40_000]).unwrap();
        plan.run().unwrap();
        assert_eq!(zeros.to_vec().unwrap(), [0.0; 3]);
        assert_eq!(z.to_vec().unwrap(), [1.0, -2.0, 3.0, 4.0, -5.0]);
        assert_eq!(into.to_vec().unwrap(), [1.0, 0.0, 3.0, 4.0, 0.0]);
        assert_eq!(large.to_vec().unwrap(), vec![2.0; 40_000]);
    }

    fn a_run_touches_no_tensor_that_was_made_since(device) {
        let Operands { x, w, labels } = operands(device);
        let layer = classifier();
        let plan = device.record(move || layer.gradients(&x, &w, None, &labels)).unwrap();
        let expected = values(plan.outputs());
        // Of every size of the step's buffers, so that the pool would reuse these for them.
        let sizes = [1, BATCH, CLASSES, BATCH * CLASSES, BATCH * INPUTS, INPUTS * CLASSES];
        let others: Vec<Tensor> =
            sizes.iter().cycle().take(60).map(|&n| tensor(device, &vec![0.5; n])).collect();
        plan.run().unwrap();
        for other in &others {
            assert_eq!(other.to_vec().unwrap(), vec![0.5; other.len()]);
        }
        assert_eq!(values(plan.outputs()), expected);
    }

    fn one_plan_takes_what_another_makes(device) {
        let x = tensor(device, &[1.0, -1.0]);
        let relu = device.record(|| Activation::Relu.forward(&x)).unwrap();
        let hidden = relu.outputs();
        let tanh = device.record(|| Activation::Tanh.forward(hidden)).unwrap();
        let both = device.record(|| {
            relu.run()?;
            tanh.run()
        }).unwrap();
        x.write(&[-3.0, 2.0]).unwrap();
        both.run().unwrap();
        let found = tanh.outputs().to_vec().unwrap();
        assert_eq!(found[0], 0.0);
        assert!((found[1] - 2f32.tanh()).abs() < 1e-6);
    }

    fn labels_and_targets_are_checked_at_each_run(device) {
        let Operands { x, w, labels } = operands(device);
        let layer = classifier();
        let plan = device.record(|| layer.gradients(&x, &w, None, &labels)).unwrap();
        let before = values(plan.outputs());
        x.write(&inputs(9)).unwrap();
        labels.write(&[0, 1, 3, 0, 1]).unwrap();
        let error = plan.run().unwrap_err();
        assert!(matches!(error, Error::InvalidLabel { row: 2, label: 3, classes: 3 }), "{error}");
        assert_eq!(values(plan.outputs()), before);

        let (y, t) = (tensor(device, &[0.5, 0.5]), tensor(device, &[0.0, 1.0]));
        let plan = device.record(|| Loss::Bce.forward(&y, &t, Reduction::Sum)).unwrap();
        t.write(&[0.0, 2.0]).unwrap();
        let error = plan.run().unwrap_err();
        assert!(matches!(error, Error::InvalidTarget { column: 1, .. }), "{error}");
        t.write(&[1.0, 1.0]).unwrap();
        plan.run().unwrap();
    }

    fn other_rows_may_be_ignored_at_each_run(device) {
        let Operands { x, w, labels } = operands(device);
        let wide = device.tensor(&normal(INPUTS * 70, 1.0, 4), [INPUTS, 70]).unwrap();
        let class_weights = tensor(device, &[0.5, 2.0, 1.0]);
        let loss: Loss = "cross_entropy(label_smoothing=0.1, ignore_index=-100)".parse().unwrap();
        let layer = OutputLayer::new(Activation::Softmax, loss);
        let tiled = layer.outputs(Outputs::LOSS | Outputs::DW | Outputs::DB).tile_bytes(40);
        let batches = [
            [0, 1, 2, 0, 1],
            [-100, 1, 2, -100, 1],
            [-100; BATCH],
            [2, -100, -100, -100, -100],
        ];
        let same = |found: &[f32], exact: &[f32], what: &str| {
            let near = |(a, b): (&f32, &f32)| {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * b.abs()
            };
            let is = found.len() == exact.len() && found.iter().zip(exact).all(near);
            assert!(is, "{what} is {found:?}, not {exact:?}, on {device:?}");
        };
        for recorded in batches {
            for reduction in [Reduction::Mean, Reduction::Sum, Reduction::BatchMean] {
                labels.write(&recorded).unwrap();
                let targets = [
                    wgrad::Targets::from(&labels),
                    wgrad::Targets::from(&labels).class_weights(&class_weights),
                ];
                for targets in &targets {
                    for layer in [layer, tiled].map(|layer| layer.reduction(reduction)) {
                        let step = || layer.gradients(&x, &w, None, targets);
                        let plan = device.record(step).unwrap();
                        for batch in batches {
                            labels.write(&batch).unwrap();
                            plan.run().unwrap();
                            let (found, exact) = (values(plan.outputs()), values(&step().unwrap()));
                            for (found, exact) in found.iter().zip(&exact) {
                                let what = format!("{layer:?} for {batch:?} after {recorded:?}");
                                same(found, exact, &what);
                            }
                        }
                    }
                }
                // More classes than one pass handles, and the loss alone.
                labels.write(&recorded).unwrap();
                let step = || {
                    let step = layer.reduction(reduction).gradients(&x, &wide, None, &labels)?;
                    Ok((loss.forward(&step.y, &labels, reduction)?, loss.gradient(&step.y, &labels, reduction)?, step.loss))
                };
                let plan = device.record(step).unwrap();
                for batch in batches {
                    labels.write(&batch).unwrap();
                    plan.run().unwrap();
                    let exact = step().unwrap();
                    let found = plan.outputs();
                    for (found, exact) in [(&found.0, &exact.0), (&found.1, &exact.1), (&found.2, &exact.2)] {
                        let what = format!("{reduction} for {batch:?} after {recorded:?}");
                        same(&found.to_vec().unwrap(), &exact.to_vec().unwrap(), &what);
                    }
                }
            }
        }
        let mean = device.record(|| layer.gradients(&x, &w, None, &labels)).unwrap();
        labels.write(&[-100; BATCH]).unwrap();
        mean.run().unwrap();
        assert!(mean.outputs().loss.item().unwrap().is_nan());
        labels.write(&[0, 1, 2, 0, 1]).unwrap();
        mean.run().unwrap();
        assert!(mean.outputs().loss.item().unwrap().is_finite());
    }

    fn a_plan_may_run_others(device) {
        let z = tensor(device, &[-1.0, 2.0]);
        let relu = device.record(|| Activation::Relu.forward(&z)).unwrap();
        let sigmoid = device.record(|| {
            relu.run()?;
            Activation::Sigmoid.forward(relu.outputs())
        }).unwrap();
        // Plans within another plan, each run twice.
        let double = Activation::LeakyRelu { slope: 2.0 };
        let sum = tensor(device, &[-1.0, -1.0]);
        let grow = device.record(|| double.forward_into(&sum, &sum)).unwrap();
        let all = device.record(|| {
            grow.run()?;
            sigmoid.run()?;
            let before = Activation::Identity.forward(sigmoid.outputs())?;
            grow.run()?;
            sigmoid.run()?;
            Ok((before, Activation::Tanh.forward(sigmoid.outputs())?))
        }).unwrap();
        sum.write(&[-1.0, -3.0]).unwrap();
        for values in [[3.0, -4.0], [0.5, 0.25], [-2.0, 1.0]] {
            z.write(&values).unwrap();
            sigmoid.run().unwrap();
            let exact = Activation::Sigmoid.forward(&Activation::Relu.forward(&z).unwrap()).unwrap();
            let exact = exact.to_vec().unwrap();
            assert_eq!(sigmoid.outputs().to_vec().unwrap(), exact, "{device:?}");
            z.write(&[values[1], values[0]]).unwrap();
            all.run().unwrap();
            let swapped = [exact[1], exact[0]];
            let (before, tanh) = all.outputs();
            assert_eq!(before.to_vec().unwrap(), swapped, "{device:?}");
            let exact = Activation::Tanh.forward(&tensor(device, &swapped)).unwrap();
            assert_eq!(tanh.to_vec().unwrap(), exact.to_vec().unwrap(), "{device:?}");
        }
        assert_eq!(sum.to_vec().unwrap(), [-64.0, -192.0]);
        // A failure inside leaves the enclosing plan unchanged.
        let labels = device.labels(&[0, 1]).unwrap();
        let logits = device.tensor(&[0.0, 1.0, 2.0, 3.0], [2, 2]).unwrap();
        let loss = Loss::cross_entropy_with_logits();
        let inner = device.record(|| loss.forward(&logits, &labels, Reduction::Sum)).unwrap();
        let outer = device.record(|| {
            inner.run()?;
            Activation::Relu.forward(inner.outputs())
        }).unwrap();
        labels.write(&[0, 7]).unwrap();
        assert!(matches!(outer.run(), Err(Error::InvalidLabel { row: 1, label: 7, .. })));
        labels.write(&[1, 1]).unwrap();
        outer.run().unwrap();
        let exact = loss.forward(&logits, &labels, Reduction::Sum).unwrap();
        assert_eq!(outer.outputs().item().unwrap(), exact.item().unwrap());
    }

    fn what_a_plan_ran_may_be_dropped(device) {
        let z = tensor(device, &[-1.0, 2.0]);
        let outer = {
            let shared = z.clone();
            let inner = device.record(move || Activation::Relu.forward(&shared)).unwrap();
            let inner = std::sync::Arc::new(inner);
            let kept = std::sync::Arc::clone(&inner);
            let outer = device.record(move || {
                kept.run()?;
                Activation::Sigmoid.forward(kept.outputs())
            }).unwrap();
            drop(inner);
            outer
        };
        z.write(&[1.0, -3.0]).unwrap();
        outer.run().unwrap();
        let exact = Activation::Sigmoid.forward(&tensor(device, &[1.0, 0.0])).unwrap();
        assert_eq!(outer.outputs().to_vec().unwrap(), exact.to_vec().unwrap());
    }

    fn a_run_uploads_what_was_uploaded_at_first(device) {
        let calls = AtomicUsize::new(0);
        let into = tensor(device, &[0.0; 3]);
        let halves = device.zeros_of(wgrad::DType::F16, [3]).unwrap();
        let written = device.labels(&[0, 0]).unwrap();
        let logits = device.tensor(&[0.0, 1.0, 2.0, 3.0], [2, 2]).unwrap();
        let loss = Loss::cross_entropy_with_logits();
        let plan = device.record(|| {
            let value = calls.fetch_add(1, Ordering::Relaxed) as f32;
            let made = tensor(device, &[value; 3]);
            into.write(&[value, 1.0, 2.0])?;
            halves.write(&[value, 1.0, 2.0])?;
            written.write(&[1, value as i32])?;
            let labels = device.labels(&[value as i32, 1])?;
            let losses = [&written, &labels].map(|labels| loss.forward(&logits, labels, Reduction::Sum));
            Ok((made, labels, losses))
        }).unwrap();
        let (made, labels, [first, second]) = plan.outputs();
        let losses = [first, second].map(|loss| loss.as_ref().unwrap().item().unwrap());
        for _ in 0..2 {
            made.write(&[9.0; 3]).unwrap();
            into.write(&[9.0; 3]).unwrap();
            halves.write(&[9.0; 3]).unwrap();
            // Not even labels, because values that the work writes are not checked beforehand.
            labels.write(&[5, 6]).unwrap();
            written.write(&[7, 8]).unwrap();
            plan.run().unwrap();
            assert_eq!(made.to_vec().unwrap(), [0.0; 3], "{device:?}");
            assert_eq!(into.to_vec().unwrap(), [0.0, 1.0, 2.0], "{device:?}");
            assert_eq!(halves.to_vec().unwrap(), [0.0, 1.0, 2.0], "{device:?}");
            assert_eq!((labels.to_vec(), written.to_vec()), (vec![0, 1], vec![1, 0]));
            let found = [first, second].map(|loss| loss.as_ref().unwrap().item().unwrap());
            assert_eq!(found, losses, "{device:?}");
            let after = loss.forward(&logits, labels, Reduction::Sum).unwrap();
            assert_eq!(after.item().unwrap(), losses[1]);
        }
        // Targets too.
        let (y, t) = (tensor(device, &[0.5, 0.5]), tensor(device, &[0.0, 1.0]));
        let plan = device.record(|| {
            t.write(&[0.25, 0.75])?;
            Loss::Bce.forward(&y, &t, Reduction::Sum)
        }).unwrap();
        t.write(&[3.0, 4.0]).unwrap();
        plan.run().unwrap();
        assert_eq!(t.to_vec().unwrap(), [0.25, 0.75]);
    }

    fn what_a_run_cannot_repeat_is_an_error_while_recording(device) {
        let Operands { x, w, labels } = operands(device);
        let refused = |what: &str, result: Result<(), Error>| {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        };
        refused("a read", device.record(|| x.to_vec()).map(drop));
        refused("a read", device.record(|| x.to_vec_f16()).map(drop));
        refused("a read", device.record(|| pollster::block_on(x.read())).map(drop));
        refused("a read", device.record(|| device.zeros([])?.item()).map(drop));
        refused("labels read", device.record(|| Ok(labels.to_vec())).map(drop));
        // Even if the work ignores the error.
        refused("a read", device.record(|| {
            let _ = x.to_vec();
            Activation::Relu.forward(&x)
        }).map(drop));
        let others = [Device::cpu(), device.clone()];
        let others = others.iter().filter(|other| *other != device);
        for other in others.chain(common::adapters()).filter(|other| *other != device) {
            let z = tensor(other, &[1.0]);
            let plan = other.record(|| Activation::Relu.forward(&z)).unwrap();
            refused("another device", device.record(|| Activation::Relu.forward(&z)).map(drop));
            refused("another device", device.record(|| z.write(&[2.0])).map(drop));
            refused("another device", device.record(|| other.zeros([2])).map(drop));
            refused("another device", device.record(|| plan.run()).map(drop));
            refused("another device", device.record(|| other.record(|| Ok(())).map(drop)).map(drop));
            assert_eq!(z.to_vec().unwrap(), [1.0]);
        }
        let labels_in_text = device.record(|| Ok(format!("{labels:?}"))).unwrap();
        assert!(labels_in_text.outputs().contains('2'));
        // None of this leaves a trace.
        let plan = device.record(|| classifier().gradients(&x, &w, None, &labels)).unwrap();
        plan.run().unwrap();
        assert!(plan.outputs().loss.item().unwrap().is_finite());
    }

    fn only_this_threads_work_is_recorded(device) {
        let mine = tensor(device, &[-1.0]);
        let others = tensor(device, &[-1.0]);
        let double = Activation::LeakyRelu { slope: 2.0 };
        let plan = device.record(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| double.forward_into(&others, &others).unwrap());
            });
            double.forward_into(&mine, &mine)
        }).unwrap();
        assert_eq!(others.to_vec().unwrap(), [-2.0]);
        plan.run().unwrap();
        assert_eq!(others.to_vec().unwrap(), [-2.0]);
        assert_eq!(mine.to_vec().unwrap(), [-4.0]);
    }

    fn a_run_does_not_call_the_work(device) {
        let calls = AtomicUsize::new(0);
        let z = tensor(device, &[-1.0, 2.0]);
        let plan = device.record(|| {
            // Another tensor each time, if it were called.
            let made = device.zeros([1 + calls.fetch_add(1, Ordering::Relaxed)])?;
            Ok((made, Activation::Relu.forward(&z)?))
        }).unwrap();
        let (made, y) = plan.outputs();
        made.write(&[5.0]).unwrap();
        z.write(&[3.0, -4.0]).unwrap();
        plan.run().unwrap();
        assert_eq!(made.to_vec().unwrap(), [0.0]);
        assert_eq!(y.to_vec().unwrap(), [3.0, 0.0]);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    fn what_cannot_be_recorded_is_an_error_and_leaves_nothing_behind(device) {
        let Operands { x, w, labels } = operands(device);
        let unsupported = |result: Result<(), Error>| {
            assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
        };
        unsupported(device.record(|| w.to_vec()).map(drop));
        unsupported(device.record(|| device.record(|| device.zeros([1])).map(drop)).map(drop));
        let invalid = device.record(|| Activation::Relu.forward_into(&x, &w));
        assert!(matches!(invalid, Err(Error::ShapeMismatch { .. })));
        // Recording has ended.
        Sgd::new(0.1).step(&[(&w, &w)]).unwrap();
        device.record(|| classifier().gradients(&x, &w, None, &labels)).unwrap().run().unwrap();
    }

    fn work_that_panics_leaves_nothing_behind(device) {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ = device.record(|| -> Result<(), Error> { panic!("on purpose") });
        }));
        assert!(panicked.is_err());
        let z = tensor(device, &[1.0]);
        let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
        z.write(&[2.0]).unwrap();
        plan.run().unwrap();
        assert_eq!(plan.outputs().item().unwrap(), 2.0);
    }
}

#[test]
fn on_a_gpu_a_run_allocates_and_compiles_nothing() {
    for device in common::adapters().iter().map(|device| Device::open(device.info()).unwrap()) {
        let Operands { x, w, labels } = operands(&device);
        let step = || classifier().gradients(&x, &w, None, &labels);
        let dispatches = {
            let before = device.counters().dispatches;
            step().unwrap();
            device.counters().dispatches - before
        };
        let plan = device.record(step).unwrap();
        let (counters, memory) = (device.counters(), common::held(&device));
        for _ in 0..300 {
            plan.run().unwrap();
        }
        device.synchronize().unwrap();
        assert_eq!(device.counters().dispatches - counters.dispatches, 300 * dispatches);
        assert_eq!(device.counters().pipelines, counters.pipelines);
        assert_eq!(common::held(&device), memory);
        // All of it is released when the plan is dropped.
        drop(plan);
        assert_eq!(device.memory().workspace.current_bytes, 0);
    }
}

#[test]
fn on_the_cpu_a_plan_is_not_mixed_up_with_the_work_of_rayons_threads() {
    let device = Device::cpu();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let z = tensor(&device, &[1.0]);
    let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
    pool.install(|| {
        assert!(matches!(plan.run(), Err(Error::Unsupported { .. })));
        let recorded = device.record(|| Activation::Relu.forward(&z));
        assert!(matches!(recorded, Err(Error::Unsupported { .. })));
    });
    plan.run().unwrap();
}
