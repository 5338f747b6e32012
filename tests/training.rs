//! Hidden layers and whole training steps.

mod common;

use common::{Within, assert_all, normal, random_labels, wide};
use wgrad::{Activation, DType, Dense, Device, Error, Loss, OutputLayer, Sgd, Tensor, reference};

fn transposed(matrix: &[f64], columns: usize) -> Vec<f64> {
    (0..columns)
        .flat_map(|k| matrix.iter().skip(k).step_by(columns).copied().collect::<Vec<_>>())
        .collect()
}

/// A two-layer network and its data.
struct Network {
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    hidden: Dense,
    output: OutputLayer,
    sgd: Sgd,
}

impl Network {
    fn new(device: &Device, inputs: usize, hidden: usize, classes: usize) -> Self {
        let tensor = |values: &[f32], shape: &[usize]| device.tensor(values, shape).unwrap();
        Self {
            w1: tensor(&normal(inputs * hidden, 0.3, 1), &[inputs, hidden]),
            b1: tensor(&vec![0.0; hidden], &[hidden]),
            w2: tensor(&normal(hidden * classes, 0.3, 2), &[hidden, classes]),
            b2: tensor(&vec![0.0; classes], &[classes]),
            hidden: Dense::new(Activation::Tanh),
            output: OutputLayer::new(Activation::Softmax, Loss::cross_entropy()),
            sgd: Sgd::new(0.1).momentum(0.9).weight_decay(1e-4),
        }
    }

    /// Forward, all gradients, update.
    fn step(&mut self, x: &Tensor, labels: &wgrad::Labels) -> Tensor {
        let h = self.hidden.forward(x, &self.w1, Some(&self.b1)).unwrap();
        let top = self.output.gradients(&h.y, &self.w2, Some(&self.b2), labels).unwrap();
        let bottom = self.hidden.backward(x, &self.w1, &h, &top.dx).unwrap();
        let pairs = [
            (&self.w1, &bottom.dw),
            (&self.b1, &bottom.db),
            (&self.w2, &top.dw),
            (&self.b2, &top.db),
        ];
        self.sgd.step(&pairs).unwrap();
        top.loss
    }
}

on_every_device! {
    fn dense_layers_match_the_reference(device) {
        let (batch, inputs, outputs) = (19, 11, 7);
        let (x, w, b) = (normal(batch * inputs, 1.0, 1), normal(inputs * outputs, 0.4, 2), normal(outputs, 0.5, 3));
        let dy = normal(batch * outputs, 1.0, 4);
        let xd = device.tensor(&x, [batch, inputs]).unwrap();
        let wd = device.tensor(&w, [inputs, outputs]).unwrap();
        let bd = device.tensor(&b, [outputs]).unwrap();
        let dyd = device.tensor(&dy, [batch, outputs]).unwrap();
        let others = [Activation::LeakyRelu { slope: -0.5 }];
        for activation in Activation::all().chain(others) {
            let mut z = reference::matmul(&wide(&x), &wide(&w), batch, inputs, outputs);
            z.iter_mut().enumerate().for_each(|(i, z)| *z += f64::from(b[i % outputs]));
            let y = reference::forward(&activation, &z, outputs);
            let dz = reference::backward(&activation, &z, &wide(&dy), outputs);
            let dw = reference::matmul(&transposed(&wide(&x), inputs), &dz, inputs, batch, outputs);
            let dx = reference::matmul(&dz, &transposed(&wide(&w), outputs), batch, outputs, inputs);
            let db: Vec<f64> = (0..outputs).map(|k| dz.iter().skip(k).step_by(outputs).sum()).collect();

            let layer = Dense::new(activation);
            let forward = layer.forward(&xd, &wd, Some(&bd)).unwrap();
            let found = layer.backward(&xd, &wd, &forward, &dyd).unwrap();
            let within = Within::Approx { relative: 2e-5, absolute: 2e-5 };
            for (part, found, exact) in [
                ("y", &forward.y, &y),
                ("dw", &found.dw, &dw),
                ("db", &found.db, &db),
                ("dx", &found.dx, &dx),
            ] {
                let what = format!("{part} of dense {activation} on {device:?}");
                assert_all(what, &found.to_vec().unwrap(), exact, within);
            }
        }
    }

    fn the_backward_pass_has_every_digit_of_the_derivative(device) {
        let finite: Vec<f32> = (-400..=400).map(|i| i as f32 / 8.0).collect();
        let sizes = [1e-4, 1e-7, 2e-8, 1e-9, 1e-30, 88.0, 104.0, 1e4, 7e4, 1e30, f32::INFINITY];
        let sizes = sizes.iter().flat_map(|&z| [z, -z]).chain([0.0, -0.0, 16.75, f32::NAN]);
        let all: Vec<f32> = finite.iter().copied().chain(sizes).collect();
        let one = device.tensor(&[1.0], [1, 1]).unwrap();
        let bits = |tensor: &Tensor| -> Vec<u32> {
            let bits = |value: f32| if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
            // -0 and 0 count as equal, because the product adds 0 to z.
            tensor.to_vec().unwrap().into_iter().map(|value| bits(value + 0.0)).collect()
        };
        for activation in Activation::all() {
            // A row with NaN or infinity has no finite derivatives.
            let values = if activation.is_rowwise() { &finite } else { &all };
            let z = device.tensor(values, [1, values.len()]).unwrap();
            let weights = Activation::Identity.forward(&z).unwrap();
            let dy = device.tensor(&normal(values.len(), 1.0, 5), z.shape()).unwrap();
            let exact = activation.backward(&z, &dy).unwrap();
            let layer = Dense::new(activation);
            // If x is of f16, so is y.
            for dtype in [DType::F32, DType::F16] {
                let x = one.to_dtype(dtype).unwrap();
                let forward = layer.forward(&x, &weights, None).unwrap();
                let found = layer.backward(&x, &weights, &forward, &dy).unwrap();
                assert_eq!(bits(&found.db), bits(&exact), "{activation}, x of {dtype} on {device:?}");
            }
        }

        // y is 1 or −α, or rounds to it in f16, or z overflows f16.
        for (activation, z, exact) in [
            (Activation::Sigmoid, 30.0, 9.357_623e-14),
            (Activation::Sigmoid, 16.75, 5.315_785e-8),
            (Activation::Tanh, 8.0, 4.501_406e-7),
            (Activation::elu(), -20.0, 2.061_153_6e-9),
            (Activation::selu(), -20.0, 3.623_712_8e-9),
            (Activation::celu(), -20.0, 2.061_153_6e-9),
            (Activation::sine(), 70_016.0, reference::derivative(&Activation::sine(), 70_016.0)),
        ] {
            let x = device.tensor(&[z], [1, 1]).unwrap();
            for x in [x.clone(), device.tensor(&[z / 2.0], [1, 1]).unwrap().to_dtype(DType::F16).unwrap()] {
                let scale = if x.dtype() == DType::F16 { 2.0 } else { 1.0 };
                let w = device.tensor(&[scale], [1, 1]).unwrap();
                let forward = Dense::new(activation).forward(&x, &w, None).unwrap();
                let found = Dense::new(activation).backward(&x, &w, &forward, &one).unwrap();
                let db = found.db.to_vec().unwrap();
                assert_all(format!("{activation} at {z}"), &db, &[exact], Within::Approx { relative: 1e-6, absolute: 0.0 });
            }
        }
    }

    fn weights_may_be_stored_as_their_transpose(device) {
        let (batch, inputs, outputs) = (19, 11, 7);
        let tensor = |values: &[f32], shape: [usize; 2]| device.tensor(values, shape).unwrap();
        let x = tensor(&normal(batch * inputs, 1.0, 1), [batch, inputs]);
        let w = normal(inputs * outputs, 0.4, 2);
        let swapped: Vec<f32> = transposed(&wide(&w), outputs).iter().map(|&w| w as f32).collect();
        let (w, swapped) = (tensor(&w, [inputs, outputs]), tensor(&swapped, [outputs, inputs]));
        let b = device.tensor(&normal(outputs, 0.5, 3), [outputs]).unwrap();
        let dy = tensor(&normal(batch * outputs, 1.0, 4), [batch, outputs]);
        for activation in [Activation::Tanh, Activation::Silu, Activation::Softmax] {
            let layer = Dense::new(activation);
            let forward = layer.forward(&x, &w, Some(&b)).unwrap();
            let exact = layer.backward(&x, &w, &forward, &dy).unwrap();
            let layer = layer.transposed_weights(true);
            let found_forward = layer.forward(&x, &swapped, Some(&b)).unwrap();
            let found = layer.backward(&x, &swapped, &found_forward, &dy).unwrap();
            assert_eq!(found.dw.shape(), [outputs, inputs]);
            let values = |tensor: &Tensor| wide(&tensor.to_vec().unwrap());
            let dw = transposed(&values(&exact.dw), outputs);
            let within = Within::Approx { relative: 1e-6, absolute: 1e-6 };
            for (part, found, exact) in [
                ("y", &found_forward.y, &values(&forward.y)),
                ("dw", &found.dw, &dw),
                ("db", &found.db, &values(&exact.db)),
                ("dx", &found.dx, &values(&exact.dx)),
            ] {
                let what = format!("{part} of dense {activation} on {device:?}");
                assert_all(what, &found.to_vec().unwrap(), exact, within);
            }
        }
        let layer = Dense::new(Activation::Tanh).transposed_weights(true);
        let error = layer.forward(&x, &w, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "dense forward: expected w of shape [outputs, 11] for x of shape [19, 11], found [11, 7]; \
             weights that are stored as [inputs, outputs] need no transposed_weights"
        );
        let error = layer.forward(&x, &b, None).unwrap_err().to_string();
        assert_eq!(error, "dense forward: expected w of shape [outputs, inputs], found [7]");
    }

    fn gradients_of_parts_of_a_batch_add_up(device) {
        let (batch, inputs, outputs) = (40, 70, 33);
        let (x, dy) = (normal(batch * inputs, 1.0, 1), normal(batch * outputs, 1.0, 2));
        let w = normal(inputs * outputs, 0.1, 3);
        for transposed in [false, true] {
            let shape = if transposed { [outputs, inputs] } else { [inputs, outputs] };
            let w = device.tensor(&w, shape).unwrap();
            let layer = Dense::new(Activation::Tanh).transposed_weights(transposed);
            let rows = |first: usize, end: usize| {
                let x = &x[first * inputs..end * inputs];
                let dy = &dy[first * outputs..end * outputs];
                let x = device.tensor(x, [end - first, inputs]).unwrap();
                let dy = device.tensor(dy, [end - first, outputs]).unwrap();
                let forward = layer.forward(&x, &w, None).unwrap();
                (x, dy, forward)
            };
            let (all, dy, forward) = rows(0, batch);
            let exact = layer.backward(&all, &w, &forward, &dy).unwrap();

            let (first, dy, forward) = rows(0, 17);
            let sums = layer.backward(&first, &w, &forward, &dy).unwrap();
            let (second, dy, forward) = rows(17, batch);
            let found = layer.accumulate_backward(&second, &w, &forward, &dy, &sums).unwrap();
            let values = |tensor: &Tensor| tensor.to_vec().unwrap();
            assert_eq!((values(&found.dw), values(&found.db)), (values(&sums.dw), values(&sums.db)));
            let within = Within::Approx { relative: 1e-6, absolute: 1e-5 };
            let what = |part: &str| format!("{part}, {transposed}, on {device:?}");
            assert_all(what("dw"), &values(&found.dw), &wide(&values(&exact.dw)), within);
            assert_all(what("db"), &values(&found.db), &wide(&values(&exact.db)), within);
            let dx = [values(&sums.dx), values(&found.dx)].concat();
            assert_all(what("dx"), &dx, &wide(&values(&exact.dx)), within);

            // If the shapes do not match, nothing is added.
            let mut wrong = sums.clone();
            wrong.db = device.zeros([1]).unwrap();
            let before = values(&sums.dw);
            let error = layer.accumulate_backward(&second, &w, &forward, &dy, &wrong).unwrap_err();
            assert_eq!(error.to_string(), "dense backward: expected db of shape [33], found [1]");
            wrong.dw = device.zeros([1, inputs * outputs]).unwrap();
            let error = layer.accumulate_backward(&second, &w, &forward, &dy, &wrong).unwrap_err();
            assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
            wrong.dw = Device::cpu().zeros(shape).unwrap();
            let error = layer.accumulate_backward(&second, &w, &forward, &dy, &wrong).unwrap_err();
            assert!(matches!(error, Error::DeviceMismatch { .. }), "{error}");
            assert_eq!(values(&sums.dw), before);
        }
    }

    fn a_network_learns_the_xor(device) {
        let mut network = Network::new(device, 2, 8, 2);
        let x = device.tensor(&[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [4, 2]).unwrap();
        let labels = device.labels(&[0, 1, 1, 0]).unwrap();
        let first = network.step(&x, &labels).item().unwrap();
        for _ in 0..300 {
            network.step(&x, &labels);
        }
        let last = network.step(&x, &labels).item().unwrap();
        assert!(first > 0.5 && last < 0.05, "{first} {last}");
    }
}

#[test]
fn a_training_step_is_one_submission() {
    for shared in common::adapters() {
        // A separate device, because other tests submit too.
        let device = Device::open(shared.info()).unwrap();
        let mut network = Network::new(&device, 64, 64, 10);
        let labels = random_labels(32, 10, 9);
        let batch = normal(32 * 64, 1.0, 8);
        device.synchronize().unwrap();
        for _ in 0..20 {
            let before = device.counters();
            let x = device.tensor(&batch, [32, 64]).unwrap();
            network.step(&x, &device.labels(&labels).unwrap());
            device.flush().unwrap();
            let after = device.counters();
            assert_eq!(after.submissions - before.submissions, 1, "{device:?}");
            assert!(after.dispatches - before.dispatches > 5);
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_steps() {
    let devices = common::adapters().iter().chain([common::cpu()]);
    for shared in devices {
        let device = Device::open(shared.info()).unwrap();
        let mut network = Network::new(&device, 8, 8, 4);
        let mut after_100 = None;
        for step in 0..10_000 {
            // Batches of two sizes, as the last batch of an epoch is smaller.
            let batch = if step % 7 == 6 { 3 } else { 16 };
            {
                let x = device.tensor(&normal(batch * 8, 1.0, step), [batch, 8]).unwrap();
                let labels = device.labels(&random_labels(batch, 4, step)).unwrap();
                network.step(&x, &labels);
            }
            if step == 99 {
                after_100 = Some(common::held(&device));
            }
        }
        assert_eq!(Some(common::held(&device)), after_100, "{device:?}");
    }
}
