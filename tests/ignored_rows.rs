//! Rows whose label is ignored have no effect, whatever x, w and the weights hold there.

mod common;

use common::{Within, assert_all, normal, wide};
use wgrad::half::f16;
use wgrad::reference;
use wgrad::{
    Activation, DType, Device, Logits, Loss, OutputGradients, OutputLayer, Outputs, Reduction,
    Targets, Tensor,
};

const INF: f32 = f32::INFINITY;

/// Values of ignored rows of x. The last is finite, but its logits are not.
const BROKEN: [f32; 4] = [f32::NAN, INF, -INF, 3e38];

fn loss(text: &str) -> Loss {
    text.parse().unwrap()
}

/// Layers whose losses ignore −100: fused with the activation, in one pass or not, and composed.
fn layers() -> Vec<OutputLayer> {
    let logits = loss("cross_entropy_with_logits(ignore_index=-100)");
    let smoothed = loss("cross_entropy_with_logits(label_smoothing=0.1, ignore_index=-100)");
    let (output, nll) = (loss("cross_entropy(ignore_index=-100)"), loss("nll(ignore_index=-100)"));
    vec![
        OutputLayer::new(Activation::Softmax, output),
        OutputLayer::new(Activation::LogSoftmax, nll),
        OutputLayer::new(Activation::Identity, logits).z_loss(0.01),
        OutputLayer::new(Activation::Identity, smoothed),
        OutputLayer::new(Activation::Sigmoid, output),
        OutputLayer::new(Activation::Softmin, output),
        OutputLayer::new(Activation::LogSigmoid, nll),
        OutputLayer::new(Activation::Tanh, nll),
        OutputLayer::new(Activation::softplus(), logits),
    ]
}

/// A batch with some ignored rows.
struct Batch {
    inputs: usize,
    classes: usize,
    labels: Vec<i32>,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
}

impl Batch {
    fn new(rows: usize, inputs: usize, classes: usize) -> Self {
        let ignored = |row: usize| row % 3 == 1 || (rows / 2..rows / 2 + 5).contains(&row);
        let label = |row: usize| if ignored(row) { -100 } else { (row * 7 % classes) as i32 };
        Self {
            inputs,
            classes,
            labels: (0..rows).map(label).collect(),
            x: normal(rows * inputs, 1.0, 1),
            w: normal(inputs * classes, 0.3, 2),
            b: normal(classes, 0.5, 3),
        }
    }

    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn is_ignored(&self, row: usize) -> bool {
        self.labels[row] == -100
    }

    /// x with these numbers in the ignored rows.
    fn x_with(&self, values: &[f32]) -> Vec<f32> {
        let value = |(i, &x): (usize, &f32)| match self.is_ignored(i / self.inputs) {
            true => values[(i / self.inputs + i) % values.len()],
            false => x,
        };
        self.x.iter().enumerate().map(value).collect()
    }

    fn shape_of_w(&self, transposed: bool) -> [usize; 2] {
        if transposed { [self.classes, self.inputs] } else { [self.inputs, self.classes] }
    }

    fn upload(&self, device: &Device, x: &[f32], dtype: DType, transposed: bool) -> [Tensor; 3] {
        let of = |values: &[f32], shape: &[usize]| {
            device.tensor(values, shape).unwrap().to_dtype(dtype).unwrap()
        };
        [
            of(x, &[self.rows(), self.inputs]),
            of(&self.w, &self.shape_of_w(transposed)),
            of(&self.b, &[self.classes]),
        ]
    }
}

fn values(gradients: &OutputGradients) -> [Vec<f32>; 5] {
    let OutputGradients { loss, dz, dw, db, dx, .. } = gradients;
    [loss, dz, dw, db, dx].map(|tensor| tensor.to_dtype(DType::F32).unwrap().to_vec().unwrap())
}

/// Checks that broken ignored rows give the same results as zeros, and that their own gradients are 0.
fn check(batch: &Batch, what: &str, run: impl Fn(&[f32]) -> OutputGradients) {
    let clean = values(&run(&batch.x_with(&[0.0])));
    for broken in BROKEN {
        let found = values(&run(&batch.x_with(&[broken, 1.0])));
        for (name, (found, clean)) in
            ["loss", "dz", "dw", "db", "dx"].iter().zip(found.iter().zip(&clean))
        {
            assert!(clean.iter().all(|value| value.is_finite()), "{name} of {what}: {clean:?}");
            assert!(found == clean, "{name} of {what} with {broken}: {found:?}, {clean:?}");
        }
        for (rows, width) in [(&found[1], batch.classes), (&found[4], batch.inputs)] {
            for (row, values) in rows.chunks(width).enumerate() {
                let zeros = values.iter().all(|value| *value == 0.0);
                assert_eq!(zeros, batch.is_ignored(row), "row {row} of {what}: {values:?}");
            }
        }
    }
}

/// The results of the rows that count, without the others.
fn kept_alone(batch: &Batch, device: &Device, layer: &OutputLayer) -> [Vec<f32>; 3] {
    let kept: Vec<usize> = (0..batch.rows()).filter(|&row| !batch.is_ignored(row)).collect();
    let of_row = |row: usize| &batch.x[row * batch.inputs..(row + 1) * batch.inputs];
    let x: Vec<f32> = kept.iter().flat_map(|&row| of_row(row).to_vec()).collect();
    let labels: Vec<i32> = kept.iter().map(|&row| batch.labels[row]).collect();
    let [_, w, b] = batch.upload(device, &batch.x, DType::F32, false);
    let x = device.tensor(&x, [kept.len(), batch.inputs]).unwrap();
    let labels = device.labels(&labels).unwrap();
    let [loss, _, dw, db, _] = values(&layer.gradients(&x, &w, Some(&b), &labels).unwrap());
    [loss, dw, db]
}

const SIZES: [(usize, usize, usize); 4] = [(2, 2, 2), (71, 40, 10), (30, 7, 100), (1, 3, 5)];

on_every_device! {
    fn whatever_x_holds(device) {
        for (rows, inputs, classes) in SIZES {
            let batch = Batch::new(rows, inputs, classes);
            let labels = device.labels(&batch.labels).unwrap();
            for layer in layers() {
                for (transposed, reduction) in [(false, Reduction::Mean), (true, Reduction::Sum)] {
                    let layer = layer.transposed_weights(transposed).reduction(reduction);
                    if batch.labels.iter().all(|&label| label == -100) && reduction == Reduction::Mean {
                        continue;
                    }
                    let what = format!("{layer:?} of {rows} x {inputs} x {classes} on {device:?}");
                    check(&batch, &what, |x| {
                        let [x, w, b] = batch.upload(device, x, DType::F32, transposed);
                        layer.gradients(&x, &w, Some(&b), &labels).unwrap()
                    });
                }
            }
        }
    }

    fn the_others_give_what_they_give_alone(device) {
        let batch = Batch::new(71, 40, 10);
        let labels = device.labels(&batch.labels).unwrap();
        for layer in layers() {
            let [x, w, b] = batch.upload(device, &batch.x_with(&BROKEN), DType::F32, false);
            let [loss, _, dw, db, _] = values(&layer.gradients(&x, &w, Some(&b), &labels).unwrap());
            for (found, exact) in [loss, dw, db].iter().zip(kept_alone(&batch, device, &layer)) {
                let within = Within::Approx { relative: 1e-5, absolute: 1e-6 };
                assert_all(format!("{layer:?} on {device:?}"), found, &wide(&exact), within);
            }
        }
    }

    fn in_tiles(device) {
        let batch = Batch::new(71, 9, 300);
        let labels = device.labels(&batch.labels).unwrap();
        // Tiles of whole rows, and of columns.
        for bytes in [64 * 300 * 4, 71 * 120 * 4, 4000] {
            for layer in &layers()[..4] {
                for transposed in [false, true] {
                    let layer = layer.logits(Logits::Tiled).tile_bytes(bytes).transposed_weights(transposed);
                    let outputs = Outputs::all() - Outputs::Y - Outputs::DZ;
                    let layer = layer.outputs(outputs);
                    let run = |x: &[f32]| {
                        let [x, w, b] = batch.upload(device, x, DType::F32, transposed);
                        values(&layer.gradients(&x, &w, Some(&b), &labels).unwrap())
                    };
                    let clean = run(&batch.x_with(&[0.0]));
                    assert!(clean.iter().flatten().all(|value| value.is_finite()));
                    for broken in BROKEN {
                        let found = run(&batch.x_with(&[broken, 2.0]));
                        assert!(found == clean, "{layer:?} with {broken} on {device:?}: {found:?}");
                    }
                }
            }
        }
    }

    fn of_halves(device) {
        // Odd lengths: two rows share a 32-bit word.
        for (rows, inputs, classes) in [(71, 41, 10), (31, 7, 100)] {
            let batch = Batch::new(rows, inputs, classes);
            let labels = device.labels(&batch.labels).unwrap();
            for layer in layers() {
                check(&batch, &format!("{layer:?} of f16 on {device:?}"), |x| {
                    let [x, w, b] = batch.upload(device, x, DType::F16, false);
                    assert!(x.to_vec_f16().unwrap().iter().any(|&x| x != f16::ZERO));
                    layer.gradients(&x, &w, Some(&b), &labels).unwrap()
                });
            }
        }
    }

    fn accumulated(device) {
        for (rows, inputs, classes) in [(71, 40, 10), (30, 7, 100)] {
            let batch = Batch::new(rows, inputs, classes);
            let labels = device.labels(&batch.labels).unwrap();
            for layer in layers() {
                check(&batch, &format!("accumulated {layer:?} on {device:?}"), |x| {
                    let [x, w, b] = batch.upload(device, x, DType::F32, false);
                    let first = layer.gradients(&x, &w, Some(&b), &labels).unwrap();
                    layer.accumulate_gradients(&x, &w, Some(&b), &labels, &first).unwrap()
                });
            }
        }
    }

    fn with_weights_of_rows_and_classes(device) {
        let batch = Batch::new(71, 40, 10);
        let labels = device.labels(&batch.labels).unwrap();
        let weight = |row: usize| if batch.is_ignored(row) { f32::NAN } else { 0.5 + row as f32 / 71.0 };
        let weights: Vec<f32> = (0..71).map(weight).collect();
        let weights = device.tensor(&weights, [71]).unwrap();
        let of_classes = device.tensor(&normal(10, 0.2, 5).iter().map(|v| 1.0 + v).collect::<Vec<_>>(), [10]).unwrap();
        for layer in layers() {
            let targets = Targets::from(&labels).weights(&weights).class_weights(&of_classes);
            check(&batch, &format!("weighted {layer:?} on {device:?}"), |x| {
                let [x, w, b] = batch.upload(device, x, DType::F32, false);
                layer.gradients(&x, &w, Some(&b), &targets).unwrap()
            });
        }
    }

    fn dx_is_zero_where_w_is_infinite(device) {
        for (rows, inputs, classes) in [(71, 40, 10), (30, 7, 100)] {
            let batch = Batch::new(rows, inputs, classes);
            let labels = device.labels(&batch.labels).unwrap();
            for broken in [f32::NAN, INF] {
                let mut w = batch.w.clone();
                w[3] = broken;
                for layer in layers() {
                    let [x, _, b] = batch.upload(device, &batch.x, DType::F32, false);
                    let w = device.tensor(&w, [inputs, classes]).unwrap();
                    let found = layer.gradients(&x, &w, Some(&b), &labels).unwrap();
                    for (rows, width) in [(found.dx, inputs), (found.dz, classes)] {
                        for (row, values) in rows.to_vec().unwrap().chunks(width).enumerate() {
                            let zeros = values.iter().all(|value| *value == 0.0);
                            assert!(zeros || !batch.is_ignored(row), "{layer:?} on {device:?}: {values:?}");
                        }
                    }
                }
            }
        }
    }

    fn in_plans_that_ignore_other_rows(device) {
        for (rows, inputs, classes) in [(71, 40, 10), (30, 7, 100)] {
            let batch = Batch::new(rows, inputs, classes);
            let all: Vec<i32> = (0..rows).map(|row| (row % classes) as i32).collect();
            for layer in layers() {
                let layer = layer.reduction(Reduction::Sum);
                let labels = device.labels(&all).unwrap();
                let [x, w, b] = batch.upload(device, &batch.x, DType::F32, false);
                let plan = device.record(|| layer.gradients(&x, &w, Some(&b), &labels)).unwrap();
                labels.write(&batch.labels).unwrap();
                for broken in BROKEN {
                    x.write(&batch.x_with(&[broken, 1.0])).unwrap();
                    plan.run().unwrap();
                    let found = values(plan.outputs());
                    let direct = values(&layer.gradients(&x, &w, Some(&b), &labels).unwrap());
                    assert!(direct.iter().flatten().all(|value| value.is_finite()));
                    assert!(found == direct, "{layer:?} with {broken} on {device:?}");
                }
            }
        }
    }

    fn losses_by_themselves(device) {
        for text in ["cross_entropy(ignore_index=-100)", "nll(ignore_index=-100)", "cross_entropy_with_logits(ignore_index=-100)", "cross_entropy_with_logits(ignore_index=-100, label_smoothing=0.1)"] {
            let loss = loss(text);
            for classes in [3, 100] {
                let labels = device.labels(&[1, -100, 2, -100, -100, -100]).unwrap();
                let counted: Vec<f32> = normal(6 * classes, 1.0, 4).iter().map(|v| 1.0 / (1.0 + v.abs())).collect();
                let with = |values: [f32; 4]| {
                    let mut y = counted.clone();
                    for (row, value) in [1, 3, 4, 5].into_iter().zip(values) {
                        y[row * classes..(row + 1) * classes].fill(value);
                    }
                    device.tensor(&y, [6, classes]).unwrap()
                };
                let (clean, broken) = (with([1.0; 4]), with(BROKEN));
                for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean, Reduction::BatchMean] {
                    let run = |y: &Tensor| [
                        loss.forward(y, &labels, reduction).unwrap().to_vec().unwrap(),
                        loss.gradient(y, &labels, reduction).unwrap().to_vec().unwrap(),
                    ];
                    let (found, exact) = (run(&broken), run(&clean));
                    assert!(exact.iter().flatten().all(|value| value.is_finite()), "{text}: {exact:?}");
                    assert_eq!(found, exact, "{text} on {device:?}");
                }
            }
        }
    }

    fn a_batch_of_nothing_else(device) {
        let labels = device.labels(&[-100; 70]).unwrap();
        for (inputs, classes) in [(40, 10), (3, 100)] {
            for layer in layers() {
                let layer = layer.reduction(Reduction::Sum);
                let x = device.tensor(&vec![f32::NAN; 70 * inputs], [70, inputs]).unwrap();
                let w = device.tensor(&normal(inputs * classes, 1.0, 2), [inputs, classes]).unwrap();
                let found = values(&layer.gradients(&x, &w, None, &labels).unwrap());
                assert!(found.iter().flatten().all(|&value| value == 0.0), "{layer:?} on {device:?}");
            }
        }
    }
}

#[test]
fn the_reference_leaves_them_out_too() {
    let batch = Batch::new(12, 3, 4);
    let (w, b) = (wide(&batch.w), wide(&batch.b));
    for (activation, loss) in [
        (Activation::Softmax, loss("cross_entropy(ignore_index=-100)")),
        (Activation::LogSigmoid, loss("nll(ignore_index=-100)")),
    ] {
        let run = |x: &[f32]| {
            let targets = reference::Targets::labels(&batch.labels);
            let found = reference::output_layer(&reference::Problem {
                activation: &activation,
                loss: &loss,
                reduction: Reduction::Mean,
                x: &wide(x),
                w: &w,
                b: &b,
                targets,
                inputs: 3,
                z_loss: 0.0,
            });
            let reference::Gradients { loss, dz, dw, db, dx, .. } = found.unwrap();
            [vec![loss], dz, dw, db, dx]
        };
        let clean = run(&batch.x_with(&[0.0]));
        assert!(clean.iter().flatten().all(|value| value.is_finite()));
        for broken in BROKEN {
            assert_eq!(run(&batch.x_with(&[broken])), clean, "{activation} with {broken}");
        }
    }
}
