//! Outputs that are one of the inputs: the operation uses the earlier values, or the alias is an error.

mod common;

use common::{normal, random_labels};
use wgrad::{
    Activation, Adam, AdamW, DType, Dense, Device, Error, Gated, Loss, OutputLayer, Outputs, Prelu,
    Rowwise, Sgd, Targets, Tensor, clip_gradient_norm, wgpu,
};

/// The same values in a separate tensor.
fn copy(tensor: &Tensor) -> Tensor {
    let copy = tensor.device().tensor(&tensor.to_vec().unwrap(), tensor.shape()).unwrap();
    copy.to_dtype(tensor.dtype()).unwrap()
}

/// A tensor of random values of this type.
fn made(device: &Device, dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let values = normal(shape.iter().product(), 1.0, seed);
    device.tensor(&values, shape).unwrap().to_dtype(dtype).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec().unwrap().iter().map(|value| value.to_bits()).collect()
}

/// Runs an operation whose output is input number i, for each i, and compares it with one whose output is a
/// separate tensor.
fn check(
    what: &str,
    inputs: &[&Tensor],
    outputs: &[usize],
    run: impl Fn(&[Tensor], &Tensor) -> Result<(), Error>,
) {
    for &place in outputs {
        let all: Vec<Tensor> = inputs.iter().map(|input| copy(input)).collect();
        let exact = copy(&all[place]);
        run(&all, &exact).unwrap();
        let what = format!("{what} to input {place} of {} on {:?}", all[0].dtype(), exact.device());
        // Through another shape too.
        let flat = all[place].reshape([all[place].len()]).unwrap();
        let output = flat.reshape(all[place].shape()).unwrap();
        run(&all, &output).unwrap();
        assert_eq!(bits(&all[place]), bits(&exact), "{what}");
        for (i, (input, before)) in all.iter().zip(inputs).enumerate() {
            assert!(i == place || bits(input) == bits(before), "{what} changes {i}");
        }
    }
}

on_every_device! {
    fn an_output_may_be_an_input(device) {
        for dtype in [DType::F32, DType::F16] {
            for shape in [[3, 4], [5, 7], [1, 1]] {
                let (z, v) = (made(device, dtype, &shape, 1), made(device, dtype, &shape, 2));
                let mask: Vec<f32> = (0..z.len()).map(|i| (i % 3 / 2) as f32).collect();
                let mask = device.tensor(&mask, shape).unwrap().to_dtype(dtype).unwrap();
                for g in [Activation::Tanh, Activation::Relu, Activation::Silu, Activation::Softmax, Activation::LogSoftmax, Activation::Sparsemax] {
                    check("forward", &[&z], &[0], |x, y| g.forward_into(&x[0], y));
                    check("backward", &[&z, &v], &[0, 1], |x, y| g.backward_into(&x[0], &x[1], y));
                    if g.has_derivative_from_output() {
                        check("from output", &[&z, &v], &[0, 1], |x, y| g.backward_from_output_into(&x[0], &x[1], y));
                    }
                    if g.is_rowwise() {
                        let rows = Rowwise::new(g).unwrap();
                        check("jvp", &[&z, &v], &[0, 1], |x, y| rows.jvp_into(&x[0], &x[1], y));
                        check("masked", &[&z, &mask], &[0, 1], |x, y| rows.clone().mask(&x[1]).forward_into(&x[0], y));
                        check("masked backward", &[&z, &v, &mask], &[0, 1, 2], |x, y| {
                            rows.clone().mask(&x[2]).backward_into(&x[0], &x[1], y)
                        });
                        check("across", &[&z, &v], &[0, 1], |x, y| rows.clone().axis(0).backward_into(&x[0], &x[1], y));
                        continue;
                    }
                    check("derivative", &[&z], &[0], |x, y| g.derivative_into(&x[0], y));
                    check("second", &[&z], &[0], |x, y| g.second_derivative_into(&x[0], y));
                }
                // The Jacobian of a row of one number has as many elements as the row.
                let column = z.reshape([z.len(), 1]).unwrap();
                check("jacobian", &[&column], &[0], |x, y| {
                    Activation::LogSoftmax.jacobian_into(&x[0], &y.reshape([z.len(), 1, 1])?)
                });
                let prelu = Prelu::new().axis(0);
                let flat = [z.reshape([z.len()]).unwrap(), v.reshape([z.len()]).unwrap()];
                check("prelu", &[&flat[0], &flat[1]], &[0, 1], |x, y| prelu.forward_into(&x[0], &x[1], y));
                for place in 0..3 {
                    check("prelu backward", &[&flat[0], &flat[1], &flat[0]], &[place], |x, y| {
                        let mut gradients = prelu.backward(&x[0], &x[1], &x[2])?;
                        gradients.dz = y.clone();
                        prelu.backward_into(&x[0], &x[1], &x[2], &gradients)
                    });
                    check("prelu's weight", &[&flat[0], &flat[1], &flat[0]], &[place], |x, y| {
                        let mut gradients = prelu.backward(&x[0], &x[1], &x[2])?;
                        gradients.dweight = y.clone();
                        prelu.backward_into(&x[0], &x[1], &x[2], &gradients)
                    });
                }
            }
            let z = made(device, dtype, &[4], 1);
            let mut gradients = Prelu::new().axis(0).backward(&z, &z, &z).unwrap();
            gradients.dweight = gradients.dz.clone();
            let error = Prelu::new().axis(0).backward_into(&z, &z, &z, &gradients).unwrap_err();
            assert!(error.to_string().starts_with("a dweight that is dz itself"), "{error}");
            let (x, dy) = (made(device, dtype, &[3, 8], 1), made(device, dtype, &[3, 4], 2));
            check("gated", &[&x, &dy], &[0], |x, y| Gated::swiglu().backward_into(&x[0], &x[1], y));
            check("gated forward", &[&x, &dy], &[1], |x, y| Gated::swiglu().forward_into(&x[0], y));

            // Weights that are also the gradient.
            let w = made(device, dtype, &[7], 3);
            check("sgd", &[&w], &[0], |w, output| {
                Sgd::new(0.1).momentum(0.9).weight_decay(0.5).step(&[(output, &w[0])])
            });
            check("adam", &[&w], &[0], |w, output| Adam::new(0.1).weight_decay(0.5).step(&[(output, &w[0])]));
            check("adamw", &[&w], &[0], |w, output| AdamW::new(0.1).step(&[(output, &w[0])]));
            check("clip", &[&w], &[0], |_, output| clip_gradient_norm(&[output], 0.5).map(drop));
        }
    }

    fn sums_that_are_operands_are_an_error(device) {
        let n = 4;
        let labels = device.labels(&random_labels(n, n, 1)).unwrap();
        for dtype in [DType::F32, DType::F16] {
            let square = |seed| made(device, dtype, &[n, n], seed);
            let vector = |seed| made(device, dtype, &[n], seed);
            let softmax = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
            let tiled = softmax.outputs(Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX).tile_bytes(16);
            let squared = OutputLayer::new(Activation::Tanh, Loss::Mse);
            for layer in [softmax, tiled, squared, tiled.transposed_weights(true)] {
                let (x, w, b, t) = (square(1), square(2), vector(3), square(4));
                let (weights, columns) = (vector(5), square(6));
                let targets = if layer == squared {
                    Targets::from(&t).weights(&weights)
                } else {
                    Targets::from(&labels).weights(&weights).class_weights(&b)
                };
                let before = layer.gradients(&x, &w, Some(&b), &targets).unwrap();
                let all = [&x, &w, &b, &t, &weights, &columns, &before.dw, &before.db];
                let kept: Vec<_> = all.iter().map(|tensor| bits(tensor)).collect();
                let refused = |what: &str, dw: &Tensor, db: &Tensor| {
                    let mut sums = before.clone();
                    (sums.dw, sums.db) = (dw.clone(), db.clone());
                    let error = layer.accumulate_gradients(&x, &w, Some(&b), &targets, &sums).unwrap_err();
                    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
                    assert!(error.to_string().starts_with(what), "{error} for {what}");
                    let now: Vec<_> = all.iter().map(|tensor| bits(tensor)).collect();
                    assert_eq!(now, kept, "{what}");
                };
                let reshaped = |tensor: &Tensor| tensor.reshape([n * n]).unwrap().reshape([n, n]).unwrap();
                refused("a dw to add to that is w itself", &w, &before.db);
                refused("a dw to add to that is w itself", &reshaped(&w), &before.db);
                refused("a dw to add to that is x itself", &reshaped(&x), &before.db);
                refused("a db to add to that is b itself", &before.dw, &b);
                refused("a db to add to that is weights itself", &before.dw, &weights);
                if layer == squared {
                    refused("a dw to add to that is the targets itself", &t, &before.db);
                }
                // Nothing is added to outputs that are not requested.
                let step = layer.outputs(Outputs::LOSS | Outputs::DB);
                let mut sums = before.clone();
                sums.dw = w.clone();
                step.accumulate_gradients(&x, &w, Some(&b), &targets, &sums).unwrap();
                assert_eq!(bits(&w), kept[1]);
            }

            let (x, w, dy) = (square(1), square(2), square(3));
            for activation in [Activation::Tanh, Activation::Relu, Activation::Identity] {
                let layer = Dense::new(activation);
                let forward = layer.forward(&x, &w, None).unwrap();
                let before = layer.backward(&x, &w, &forward, &dy).unwrap();
                let refused = |what: &str, dw: &Tensor, db: &Tensor| {
                    let mut sums = before.clone();
                    (sums.dw, sums.db) = (dw.clone(), db.clone());
                    let error = layer.accumulate_backward(&x, &w, &forward, &dy, &sums).unwrap_err();
                    assert!(error.to_string().starts_with(what), "{error} for {what}");
                };
                refused("a dw to add to that is x itself", &x, &before.db);
                refused("a dw to add to that is w itself", &w, &before.db);
                refused("a dw to add to that is dy itself", &dy, &before.db);
                refused("a dw to add to that is y itself", &forward.y, &before.db);
            }
            // Both operands are the same tensor.
            let (x, w) = (made(device, dtype, &[n, 1], 1), made(device, dtype, &[1, n], 2));
            let layer = Dense::new(Activation::Tanh);
            let forward = layer.forward(&x, &w, None).unwrap();
            let mut sums = layer.backward(&x, &w, &forward, &dy).unwrap();
            sums.db = sums.dw.reshape([n]).unwrap();
            let error = layer.accumulate_backward(&x, &w, &forward, &dy, &sums).unwrap_err();
            assert!(error.to_string().starts_with("a db to add to that is dw itself"), "{error}");
            let mut sums = softmax.gradients(&x, &w, None, &labels).unwrap();
            sums.db = sums.dw.reshape([n]).unwrap();
            let error = softmax.accumulate_gradients(&x, &w, None, &labels, &sums).unwrap_err();
            assert!(error.to_string().starts_with("a db to add to that is dw itself"), "{error}");
        }
    }
}

#[test]
fn tensors_in_one_buffer_of_the_callers_are_one() {
    for device in common::adapters() {
        let buffer = |bytes: u64| {
            device.wgpu().unwrap().0.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        // An odd length: such buffers may extend past the tensor.
        let host = buffer(4 * 15);
        let adopt = || device.tensor_from_buffer(host.clone(), [5, 3]).unwrap();
        let z = adopt();
        z.write(&normal(15, 1.0, 1)).unwrap();
        let exact = Activation::Softmax.forward(&copy(&z)).unwrap();
        Activation::Softmax.forward_into(&z, &adopt()).unwrap();
        assert_eq!(bits(&z), bits(&exact), "{device:?}");

        // The output of a gated unit is half as long, at the start of its input.
        let host = buffer(4 * 24);
        let x = device.tensor_from_buffer(host.clone(), [3, 8]).unwrap();
        let y = device.tensor_from_buffer(host, [3, 4]).unwrap();
        x.write(&normal(24, 1.0, 2)).unwrap();
        let exact = Gated::swiglu().forward(&copy(&x)).unwrap();
        Gated::swiglu().forward_into(&x, &y).unwrap();
        assert_eq!(bits(&y), bits(&exact), "{device:?}");

        // A buffer that belongs to a tensor.
        let (x, labels) =
            (made(device, DType::F32, &[4, 4], 1), device.labels(&[0, 1, 2, 3]).unwrap());
        let w = made(device, DType::F32, &[4, 4], 2);
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let mut sums = layer.gradients(&x, &w, None, &labels).unwrap();
        sums.dw = device.tensor_from_buffer(w.buffer().unwrap().clone(), [4, 4]).unwrap();
        let error = layer.accumulate_gradients(&x, &w, None, &labels, &sums).unwrap_err();
        assert!(error.to_string().starts_with("a dw to add to that is w itself"), "{error}");
    }
}
