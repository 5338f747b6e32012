//! Views of the rows of tensors, buffers that begin at an offset, and copies between tensors.

mod common;

use common::{distributions, normal, random_labels};
use wgrad::{
    Activation, Adam, AdamW, DType, Dense, Device, Error, Gated, Loss, OutputLayer, Prelu,
    Reduction, Result, Rowwise, Sgd, Targets, Tensor, clip_gradient_norm, clip_gradient_value,
    wgpu,
};

/// What lies between the views: nothing may change it.
const BETWEEN: f32 = 77.0;

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec().unwrap().iter().map(|value| value.to_bits()).collect()
}

/// A separate tensor of these values.
fn alone(device: &Device, dtype: DType, values: &[f32], shape: &[usize]) -> Tensor {
    device.tensor(values, shape).unwrap().to_dtype(dtype).unwrap()
}

/// Tensors in one, each `gap` elements behind the last one.
struct House {
    all: Tensor,
    views: Vec<Tensor>,
    /// Whether an element belongs to no view.
    is_between: Vec<bool>,
}

impl House {
    fn new(device: &Device, dtype: DType, tenants: &[(Vec<f32>, Vec<usize>)], gap: usize) -> Self {
        let mut values = vec![BETWEEN; gap];
        let mut starts = Vec::new();
        for (of, _) in tenants {
            starts.push(values.len());
            values.extend(of);
            values.resize((values.len() + gap).next_multiple_of(gap), BETWEEN);
        }
        let all = alone(device, dtype, &values, &[values.len()]);
        let mut is_between = vec![true; values.len()];
        let mut views = Vec::new();
        for (start, (of, shape)) in starts.iter().zip(tenants) {
            let rows = *start..start + of.len();
            is_between[rows.clone()].fill(false);
            views.push(all.rows(rows).unwrap().reshape(shape.clone()).unwrap());
        }
        Self { all, views, is_between }
    }
}

/// Runs work on tensors of these shapes, which it may change, and compares what it leaves with work on tensors of
/// their own.
fn check(
    device: &Device,
    what: &str,
    shapes: &[&[usize]],
    run: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>,
) {
    let made = |(seed, shape): (usize, &&[usize])| {
        (distributions(1, shape.iter().product(), seed as u64 + 1), shape.to_vec())
    };
    let tenants: Vec<_> = shapes.iter().enumerate().map(made).collect();
    for dtype in [DType::F32, DType::F16] {
        let own: Vec<Tensor> =
            tenants.iter().map(|(values, shape)| alone(device, dtype, values, shape)).collect();
        let made = run(&own).unwrap();
        // At multiples of 256 bytes, of four bytes and of sixteen.
        for gap in [128, 2, 8] {
            let what = format!("{what} of {dtype} at multiples of {gap} on {device:?}");
            let house = House::new(device, dtype, &tenants, gap);
            let results = run(&house.views).unwrap_or_else(|error| panic!("{what}: {error}"));
            for (i, (view, own)) in house.views.iter().zip(&own).enumerate() {
                close(&format!("{what}, operand {i}"), view, own);
            }
            for (i, (result, exact)) in results.iter().zip(&made).enumerate() {
                close(&format!("{what}, result {i}"), result, exact);
            }
            let all = house.all.to_vec().unwrap();
            let mut between = all.iter().zip(&house.is_between).filter(|(_, is)| **is);
            assert!(between.all(|(&value, _)| value == BETWEEN), "{what} wrote beside its views");
        }
    }
}

/// Kernels for vec4s and for numbers add up in different orders.
#[track_caller]
fn close(what: &str, found: &Tensor, exact: &Tensor) {
    let exact = common::wide(&exact.to_vec().unwrap());
    let largest = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let unit = if found.dtype() == DType::F16 { 1e-3 } else { 1e-6 };
    let within = common::Within::Approx { relative: 2.0 * unit, absolute: unit * largest };
    common::assert_all(what, &found.to_vec().unwrap(), &exact, within);
}

on_every_device! {
    fn operations_on_views_are_those_on_tensors(device) {
        let wide: &[usize] = &[5, 7];
        for g in [Activation::Tanh, Activation::Relu, Activation::Softmax, Activation::Sparsemax] {
            check(device, &format!("{g} forward"), &[wide; 2], |t| {
                g.forward_into(&t[0], &t[1])?;
                Ok(vec![g.forward(&t[0])?])
            });
            check(device, &format!("{g} backward"), &[wide; 3], |t| {
                g.backward_into(&t[0], &t[1], &t[2])?;
                Ok(vec![g.backward(&t[0], &t[1])?])
            });
            check(device, &format!("{g} in place"), &[wide; 2], |t| {
                g.backward_into(&t[0], &t[1], &t[1])?;
                g.forward_into(&t[0], &t[0])?;
                Ok(vec![])
            });
        }
        let rowwise = Rowwise::new(Activation::Softmax).unwrap().axis(0);
        check(device, "jvp along axis 0", &[wide; 3], |t| {
            rowwise.jvp_into(&t[0], &t[1], &t[2])?;
            Ok(vec![])
        });
        check(device, "jacobian", &[&[3, 4], &[3, 4, 4]], |t| {
            Rowwise::new(Activation::Softmax)?.jacobian_into(&t[0], &t[1])?;
            Ok(vec![])
        });
        check(device, "gated", &[&[3, 6], &[3, 3], &[3, 3], &[3, 6]], |t| {
            Gated::swiglu().forward_into(&t[0], &t[1])?;
            Gated::swiglu().backward_into(&t[0], &t[2], &t[3])?;
            Ok(vec![])
        });
        check(device, "prelu", &[wide, &[7], wide, wide, &[7], wide], |t| {
            let prelu = Prelu::new();
            prelu.forward_into(&t[0], &t[1], &t[5])?;
            let mut gradients = prelu.backward(&t[0], &t[1], &t[2])?;
            (gradients.dz, gradients.dweight) = (t[3].clone(), t[4].clone());
            prelu.backward_into(&t[0], &t[1], &t[2], &gradients)?;
            Ok(vec![])
        });
    }

    fn layers_and_losses_take_views(device) {
        let labels = device.labels(&random_labels(9, 5, 3)).unwrap().rows(2..8).unwrap();
        for (m, k, b) in [(7, 5, 6), (64, 5, 6), (8, 8, 6)] {
            let shapes: [&[usize]; 5] = [&[b, m], &[m, k], &[k], &[b], &[b, k]];
            check(device, "softmax layer", &shapes, |t| {
                let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
                let targets = Targets::from(&labels).weights(&t[3]);
                let first = layer.gradients(&t[0], &t[1], Some(&t[2]), targets.clone())?;
                let sum = layer.accumulate_gradients(&t[0], &t[1], Some(&t[2]), targets, &first)?;
                let loss = &sum.loss;
                Ok(vec![loss.clone(), sum.y, sum.dz, sum.dw, sum.db, sum.dx])
            });
            check(device, "tanh layer", &shapes, |t| {
                let layer = OutputLayer::new(Activation::Tanh, Loss::Mse);
                let g = layer.gradients(&t[0], &t[1], Some(&t[2]), &t[4])?;
                Ok(vec![g.loss, g.y, g.dz, g.dw, g.db, g.dx])
            });
            let shapes: [&[usize]; 6] = [&[b, m], &[m, k], &[k], &[b, k], &[m, k], &[k]];
            check(device, "dense", &shapes, |t| {
                let layer = Dense::new(Activation::Silu);
                let forward = layer.forward(&t[0], &t[1], Some(&t[2]))?;
                let mut sums = layer.backward(&t[0], &t[1], &forward, &t[3])?;
                (sums.dw, sums.db) = (t[4].clone(), t[5].clone());
                let sums = layer.accumulate_backward(&t[0], &t[1], &forward, &t[3], &sums)?;
                Ok(vec![forward.y, sums.dx])
            });
            check(device, "losses", &[&[b, k], &[b, k], &[k], &[b]], |t| {
                let mut made = Vec::new();
                for reduction in [Reduction::None, Reduction::Mean] {
                    made.push(Loss::Mse.forward(&t[0], &t[1], reduction)?);
                    let targets = Targets::from(&labels).class_weights(&t[2]).weights(&t[3]);
                    let loss = Loss::cross_entropy_with_logits();
                    made.push(loss.forward(&t[0], targets.clone(), reduction)?);
                    made.push(loss.gradient(&t[0], targets, reduction)?);
                }
                Ok(made)
            });
        }
    }

    fn optimizers_know_a_view_again(device) {
        let shapes: [&[usize]; 4] = [&[5, 7], &[5, 7], &[9], &[9]];
        // A parameter is a new view at each step.
        let again = |t: &Tensor| t.reshape(t.shape()).unwrap();
        check(device, "sgd", &shapes, |t| {
            let mut sgd = Sgd::new(0.1).momentum(0.9).weight_decay(0.01);
            for _ in 0..3 {
                sgd.step(&[(&again(&t[0]), &t[1]), (&t[2], &t[3])])?;
            }
            Ok(vec![])
        });
        check(device, "adam, clipped", &shapes, |t| {
            let (mut adam, mut adamw) = (Adam::new(0.1), AdamW::new(0.1));
            for _ in 0..3 {
                clip_gradient_norm(&[&t[1], &t[3]], 0.5)?;
                clip_gradient_value(&[&t[1], &t[3]], 0.1)?;
                adam.step(&[(&again(&t[0]), &t[1]), (&t[2], &t[3])])?;
                adamw.step(&[(&t[0], &t[1]), (&again(&t[2]), &t[3])])?;
            }
            Ok(vec![])
        });
        // A view that is dropped between two steps.
        let parameters = device.tensor(&[1.0; 200], [200]).unwrap();
        let gradient = device.tensor(&[0.5; 72], [72]).unwrap();
        let (exact, mut sgd) = (device.tensor(&[1.0; 72], [72]).unwrap(), Sgd::new(0.1).momentum(0.9));
        for _ in 0..4 {
            sgd.step(&[(&parameters.rows(64..136).unwrap(), &gradient), (&exact, &gradient)]).unwrap();
        }
        let all = parameters.to_vec().unwrap();
        assert_eq!(all[64..136], exact.to_vec().unwrap()[..]);
        assert!(all[..64].iter().chain(&all[136..]).all(|&value| value == 1.0));
    }

    fn gradients_that_share_elements_are_not_clipped_twice(device) {
        let all = device.tensor(&normal(200, 1.0, 1), [200]).unwrap();
        let before = all.to_vec().unwrap();
        let (first, second) = (all.rows(..100).unwrap(), all.rows(64..).unwrap());
        for error in [clip_gradient_norm(&[&first, &second], 1.0).map(drop), clip_gradient_value(&[&all, &second], 0.1)] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("that share elements"), "{error}");
        }
        assert_eq!(all.to_vec().unwrap(), before);
        // Parts that share none, and the same one twice.
        let rest = all.rows(100..).unwrap();
        let norm = clip_gradient_norm(&[&first, &rest, &first], 1.0).unwrap().item().unwrap();
        let exact = before.iter().map(|&it| f64::from(it).powi(2)).sum::<f64>().sqrt();
        assert!((f64::from(norm) - exact).abs() < 1e-5 * exact);
        let after = all.to_vec().unwrap();
        assert!(after.iter().zip(&before).all(|(after, before)| (after * norm - before).abs() < 1e-5));
    }

    fn an_epoch_of_a_plan_needs_no_upload(device) {
        let (x, labels) = (normal(6 * 3 * 8, 1.0, 1), random_labels(18, 5, 2));
        let data = device.tensor(&x, [18, 8]).unwrap();
        let all_labels = device.labels(&labels).unwrap();
        let w = device.tensor(&normal(40, 0.5, 3), [8, 5]).unwrap();
        let exact = w.reshape([40]).unwrap().to_vec().unwrap();
        let exact = device.tensor(&exact, [8, 5]).unwrap();
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let (batch, batch_labels) = (device.zeros([3, 8]).unwrap(), device.labels(&[0; 3]).unwrap());
        let mut adam = [Adam::new(0.01), Adam::new(0.01)];
        let [one, two] = &mut adam;
        let step = device.record(|| {
            let gradients = layer.gradients(&batch, &w, None, &batch_labels)?;
            one.step(&[(&w, &gradients.dw)])?;
            Ok(gradients.loss)
        }).unwrap();
        w.copy_from(&exact).unwrap();
        one.set_state(&[("w", &w)], &Default::default()).unwrap();
        for epoch in 0..2 {
            for i in 0..6 {
                let rows = 3 * i..3 * i + 3;
                batch.copy_from(&data.rows(rows.clone()).unwrap()).unwrap();
                batch_labels.copy_from(&all_labels.rows(rows.clone()).unwrap()).unwrap();
                assert_eq!(batch_labels.to_vec(), labels[rows.clone()]);
                step.run().unwrap();

                let view = data.rows(rows.clone()).unwrap();
                let gradients = layer.gradients(&view, &exact, None, &all_labels.rows(rows).unwrap()).unwrap();
                two.step(&[(&exact, &gradients.dw)]).unwrap();
                close(&format!("loss {i} of epoch {epoch}"), step.outputs(), &gradients.loss);
            }
        }
        close("weights", &w, &exact);
    }

    fn a_plan_repeats_what_it_does_with_views(device) {
        for first in [0, 64, 3] {
            let all = device.tensor(&normal(300, 1.0, 1), [300]).unwrap();
            let part = all.rows(first..first + 50).unwrap();
            let plan = device.record(|| {
                Activation::Tanh.forward_into(&part, &part)?;
                all.rows(100 + first..150 + first)?.write(&[2.0; 50])?;
                all.rows(250..300)?.copy_from(&all.rows(first..first + 50)?)?;
                Ok(())
            }).unwrap();
            let values = normal(300, 1.0, 2);
            all.write(&values).unwrap();
            plan.run().unwrap();
            let mut exact = values.clone();
            let y = Activation::Tanh.forward(&device.tensor(&values[first..first + 50], [50]).unwrap());
            exact[first..first + 50].copy_from_slice(&y.unwrap().to_vec().unwrap());
            exact[100 + first..150 + first].fill(2.0);
            exact.copy_within(first..first + 50, 250);
            let found = all.to_vec().unwrap();
            common::assert_all(format!("from {first}"), &found, &common::wide(&exact), common::Within::Ulps(1.0));
        }
    }

    fn what_is_copied_is_what_was_there(device) {
        let values: Vec<f32> = (0..65 * 4).map(|i| i as f32 / 8.0 - 3.0).collect();
        for (from, to) in [(DType::F32, DType::F32), (DType::F16, DType::F16), (DType::F32, DType::F16), (DType::F16, DType::F32)] {
            // Rows of an odd number of elements: every second one begins within a word of f16.
            let source = alone(device, from, &values, &[4, 65]);
            let target = alone(device, to, &[BETWEEN; 65 * 4], &[4, 65]);
            for (i, k) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
                target.rows(k..=k).unwrap().copy_from(&source.rows(i..i + 1).unwrap()).unwrap();
                let found = target.to_vec().unwrap();
                assert_eq!(found[65 * k..65 * (k + 1)], values[65 * i..65 * (i + 1)], "{from} to {to}");
                let beside = |row: usize| found[65 * row..65 * (row + 1)].iter().all(|&it| it == BETWEEN);
                assert!(beside(1) && beside(3), "{from} to {to}, row {i} to row {k} on {device:?}");
            }
            let view = target.rows(2..).unwrap();
            view.write(&values[..130]).unwrap();
            assert_eq!(target.to_vec().unwrap()[130..], values[..130]);
            let mut read = vec![0.0; 130];
            view.read_into(&mut read).unwrap();
            assert_eq!(read, values[..130]);
            assert_eq!(view.to_vec_f16().unwrap().len(), 130);
        }
        // Within a tensor, also onto rows that overlap.
        for (i, k) in [(0, 128), (3, 60), (10, 40), (40, 10)] {
            let all = device.tensor(&values, [260]).unwrap();
            all.rows(k..k + 50).unwrap().copy_from(&all.rows(i..i + 50).unwrap()).unwrap();
            let mut exact = values.clone();
            exact.copy_within(i..i + 50, k);
            assert_eq!(all.to_vec().unwrap(), exact, "{i} to {k}");
            Activation::Relu.forward_into(&all.rows(i..i + 50).unwrap(), &all.rows(k..k + 50).unwrap()).unwrap();
            let relu: Vec<f32> = exact[i..i + 50].iter().map(|value| value.max(0.0)).collect();
            exact[k..k + 50].copy_from_slice(&relu);
            assert_eq!(all.to_vec().unwrap(), exact, "relu, {i} to {k}");
        }
        // To another device and back.
        let source = alone(device, DType::F16, &values, &[65, 4]);
        let other = if device == common::cpu() { &common::adapters()[0] } else { common::cpu() };
        let there = source.rows(2..40).unwrap().to_device(other).unwrap();
        assert_eq!((there.device(), there.dtype(), there.shape()), (other, DType::F16, &[38, 4][..]));
        source.rows(0..38).unwrap().copy_from(&there).unwrap();
        assert_eq!(source.to_vec().unwrap()[..152], values[8..160]);
        let labels = device.labels(&[1, 2, 3]).unwrap().to_device(other).unwrap();
        assert_eq!((labels.device(), labels.to_vec()), (other, vec![1, 2, 3]));
        assert_eq!(bits(&there.to_device(device).unwrap()), bits(&there));
    }

    fn rows_that_do_not_exist_are_an_error(device) {
        let data = device.tensor(&normal(6, 1.0, 1), [3, 2]).unwrap();
        let labels = device.labels(&[0, 1, 2]).unwrap();
        // A device that computed nothing would prove nothing.
        Activation::Relu.forward(&data.rows(..2).unwrap()).unwrap().to_vec().unwrap();
        let beyond = [data.rows(2..4).map(drop), data.rows(4..).map(drop), labels.rows(..=3).map(drop)];
        for error in beyond.map(Result::unwrap_err) {
            assert!(error.to_string().contains("a range of the 3 rows, 0..3"), "{error}");
        }
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = data.rows(2..1).unwrap_err();
        assert!(matches!(reversed, Error::ShapeMismatch { .. }), "{reversed}");
        let scalar = device.tensor(&[1.0], []).unwrap();
        assert!(matches!(scalar.rows(0..1).unwrap_err(), Error::ShapeMismatch { .. }));
        let halves = alone(device, DType::F16, &normal(9, 1.0, 1), &[3, 3]);
        let error = halves.rows(1..).unwrap_err();
        assert!(error.to_string().contains("begins with the odd element 3"), "{error}");
        assert_eq!(data.rows(1..1).unwrap().shape(), &[0, 2]);
        assert!(data.rows(1..1).unwrap().to_vec().unwrap().is_empty());
        assert!(labels.rows(3..).unwrap().is_empty());
        let error = data.copy_from(&halves).unwrap_err();
        assert!(error.to_string().contains("copy_from"), "{error}");
        labels.copy_from(&device.labels(&[1]).unwrap()).unwrap_err();
    }
}

fn host_buffer(device: &Device, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    device.wgpu().unwrap().0.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    })
}

const USAGES: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

#[test]
fn one_buffer_holds_several_tensors() {
    for device in common::adapters() {
        for step in [256, 4, 36] {
            let buffer = host_buffer(device, 8192, USAGES);
            let at = |place: u64, shape: &[usize]| {
                device.tensor_from_buffer_at(buffer.clone(), place * step, shape).unwrap()
            };
            // 35 elements take 140 bytes: with the small steps these are far enough apart, too.
            let [x, y, dy, dx] =
                [0, 7, 14, 21].map(|i| at(if step == 256 { i } else { 5 * i }, &[5, 7]));
            assert_eq!(y.buffer_offset(), step * if step == 256 { 7 } else { 35 });
            let everything = device.tensor_from_buffer(buffer.clone(), [2048]).unwrap();
            everything.write(&[BETWEEN; 2048]).unwrap();
            let (values, slopes) = (normal(35, 1.0, 1), normal(35, 1.0, 2));
            x.write(&values).unwrap();
            dy.write(&slopes).unwrap();
            Activation::Gelu.forward_into(&x, &y).unwrap();
            Activation::Gelu.backward_into(&x, &dy, &dx).unwrap();
            let (own, own_dy) = (device.tensor(&values, [5, 7]), device.tensor(&slopes, [5, 7]));
            let (own, own_dy) = (own.unwrap(), own_dy.unwrap());
            close("y", &y, &Activation::Gelu.forward(&own).unwrap());
            close("dx", &dx, &Activation::Gelu.backward(&own, &own_dy).unwrap());
            let all = everything.to_vec().unwrap();
            let touched = all.iter().filter(|&&value| value != BETWEEN).count();
            assert_eq!(touched, 4 * 35, "{device:?} with steps of {step}");
            assert_eq!(all[y.buffer_offset() as usize / 4], y.to_vec().unwrap()[0]);
        }
    }
}

#[test]
fn a_buffer_that_does_not_suit_is_an_error() {
    for device in common::adapters() {
        let buffer = host_buffer(device, 1024, USAGES);
        let at = |offset| device.tensor_from_buffer_at(buffer.clone(), offset, [64]);
        let text = |offset| at(offset).unwrap_err().to_string();
        assert!(
            text(2).contains("an offset of 2 bytes is not supported: it must be a multiple of 4"),
            "{}",
            text(2)
        );
        assert!(text(772).contains("a buffer of at least 1028 bytes"), "{}", text(772));
        text(u64::MAX - 3);
        at(768).unwrap();
        let error = device.labels_from_buffer(buffer.clone(), 1020, 2).unwrap_err();
        assert!(error.to_string().contains("labels_from_buffer"), "{error}");
        let without = host_buffer(device, 1024, wgpu::BufferUsages::STORAGE);
        let error = device.tensor_from_buffer_at(without, 0, [4]).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        // The device goes on, and a buffer that the host destroys is an error of its views, too.
        let (view, y) = (at(256).unwrap().rows(..32).unwrap(), device.zeros([32]).unwrap());
        Activation::Relu.forward_into(&view, &y).unwrap();
        device.synchronize().unwrap();
        buffer.destroy();
        let error = Activation::Relu.forward_into(&view, &y).unwrap_err();
        assert!(matches!(error, Error::Gpu { .. }), "{error}");
        assert_eq!(device.tensor(&[2.0], [1]).unwrap().item().unwrap(), 2.0);
    }
    let cpu = common::cpu();
    let (_, device, _) = common::narrow_wgpu();
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 1024,
        usage: USAGES,
        mapped_at_creation: false,
    });
    let error = cpu.tensor_from_buffer_at(buffer.clone(), 0, [4]).unwrap_err();
    assert!(error.to_string().contains("the CPU backend has no wgpu buffers"), "{error}");
    cpu.labels_from_buffer(buffer, 0, 4).unwrap_err();
}
