//! The output layer in tiles: the same results as with stored logits, in bounded memory.

mod common;

use common::{Within, assert_all, normal, random_labels, wide};
use wgrad::reference::{self, Problem};
use wgrad::{
    Activation, DType, Device, Error, Logits, Loss, OutputGradients, OutputLayer, Outputs,
    Reduction, Targets, Tensor,
};

const INPUTS: usize = 7;

/// All outputs except those that would require the logits.
fn outputs() -> Outputs {
    Outputs::LOSS | Outputs::DW | Outputs::DB | Outputs::DX
}

/// One layer, and the size of its tiles.
#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    classes: usize,
    /// The number of elements of a tile.
    tile: usize,
    pair: (Activation, Loss),
    reduction: Reduction,
    weighted: bool,
    transposed: bool,
    z_loss: f32,
}

impl Case {
    fn new(batch: usize, classes: usize, tile: usize) -> Self {
        Self {
            batch,
            classes,
            tile,
            pair: (Activation::Softmax, Loss::cross_entropy()),
            reduction: Reduction::Mean,
            weighted: false,
            transposed: false,
            z_loss: 0.0,
        }
    }

    fn layer(&self, logits: Logits) -> OutputLayer {
        OutputLayer::new(self.pair.0, self.pair.1)
            .reduction(self.reduction)
            .outputs(outputs())
            .transposed_weights(self.transposed)
            .z_loss(self.z_loss)
            .logits(logits)
            .tile_bytes(4 * self.tile)
    }

    fn labels(&self) -> Vec<i32> {
        let mut labels = random_labels(self.batch, self.classes, 5);
        let ignores = self.pair.1.to_string().contains("-100");
        labels.iter_mut().step_by(4).for_each(|label| *label = if ignores { -100 } else { *label });
        labels
    }

    /// Checks both paths against the reference, with logits of this size.
    fn check(&self, device: &Device, size: f32) {
        let &Self { batch, classes, .. } = self;
        let x = normal(batch * INPUTS, 1.0, 1);
        let w = normal(INPUTS * classes, size / (INPUTS as f32).sqrt(), 2);
        let b = normal(classes, 0.5, 3);
        let labels = self.labels();
        let class_weights: Vec<f32> =
            normal(classes, 0.3, 6).iter().map(|w| w.abs() + 0.1).collect();
        let row_weights: Vec<f32> = normal(batch, 0.3, 7).iter().map(|w| w.abs() + 0.1).collect();
        let (wide_classes, wide_rows) = (wide(&class_weights), wide(&row_weights));
        let mut exact_targets = reference::Targets::labels(&labels);
        if self.weighted {
            exact_targets.class_weights = Some(&wide_classes);
            exact_targets.weights = Some(&wide_rows);
        }
        let exact = reference::output_layer(&Problem {
            activation: &self.pair.0,
            loss: &self.pair.1,
            reduction: self.reduction,
            x: &wide(&x),
            w: &wide(&w),
            b: &wide(&b),
            targets: exact_targets,
            inputs: INPUTS,
            z_loss: self.z_loss.into(),
        })
        .unwrap();

        let tensor = |values: &[f32], shape: &[usize]| device.tensor(values, shape).unwrap();
        let x = tensor(&x, &[batch, INPUTS]);
        let w = if self.transposed {
            tensor(&transpose(&w, classes), &[classes, INPUTS])
        } else {
            tensor(&w, &[INPUTS, classes])
        };
        let b = tensor(&b, &[classes]);
        let mut targets = Targets::from(&device.labels(&labels).unwrap());
        if self.weighted {
            targets = targets.class_weights(&tensor(&class_weights, &[classes]));
            targets = targets.weights(&tensor(&row_weights, &[batch]));
        }
        for logits in [Logits::Full, Logits::Tiled] {
            let layer = self.layer(logits);
            let step = layer.gradients(&x, &w, Some(&b), &targets).unwrap();
            let what =
                |part: &str| format!("{part} of {self:?} {logits:?}, size {size}, on {device:?}");
            let close = |part: &str, found: &Tensor, exact: &[f64]| {
                let size = exact.iter().fold(0.0, |size: f64, value| size.max(value.abs()));
                let within = Within::Approx { relative: 1e-5, absolute: 1e-5 * size };
                assert_all(what(part), &found.to_vec().unwrap(), exact, within);
            };
            let dw =
                if self.transposed { transpose64(&exact.dw, classes) } else { exact.dw.clone() };
            close("loss", &step.loss, &[exact.loss]);
            close("dw", &step.dw, &dw);
            close("db", &step.db, &exact.db);
            close("dx", &step.dx, &exact.dx);
            assert_eq!((step.dw.shape(), step.y.shape()), (w.shape(), &[0][..]));
            let again = layer.gradients(&x, &w, Some(&b), &targets).unwrap();
            assert_eq!(bits(&again), bits(&step), "{}", what("the same bits"));

            // Each output by itself is the same.
            for output in outputs().iter() {
                let one = layer.outputs(output).gradients(&x, &w, Some(&b), &targets).unwrap();
                let all = bits(&step);
                for (found, all) in bits(&one).iter().zip(&all) {
                    assert!(found.is_empty() || found == all, "{}", what("one output"));
                }
            }

            // Added to the results of the first call.
            let sums = layer.accumulate_gradients(&x, &w, Some(&b), &targets, &step).unwrap();
            let twice = |values: &[f64]| values.iter().map(|value| 2.0 * value).collect::<Vec<_>>();
            close("sum of dw", &sums.dw, &twice(&dw));
            close("sum of db", &sums.db, &twice(&exact.db));
            close("dx beside sums", &sums.dx, &exact.dx);
            assert_eq!(
                bits(&sums)[1],
                step.dw.to_vec().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            );
        }
    }
}

fn bits(step: &OutputGradients) -> [Vec<u32>; 4] {
    [&step.loss, &step.dw, &step.db, &step.dx]
        .map(|tensor| tensor.to_vec().unwrap().iter().map(|value| value.to_bits()).collect())
}

fn transpose(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|k| matrix.iter().skip(k).step_by(columns).copied()).collect()
}

fn transpose64(matrix: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|k| matrix.iter().skip(k).step_by(columns).copied()).collect()
}

/// Blocks of whole rows; tiles of columns; tiles of one column; one tile for all.
fn cuts() -> [Case; 5] {
    [
        Case::new(113, 203, 203 * 50),
        Case::new(65, 203, 65 * 20),
        Case::new(50, 11, 50),
        Case::new(1, 1000, 300),
        Case::new(9, 30, 9 * 30),
    ]
}

on_every_device! {
    fn tiles_give_what_stored_logits_give(device) {
        for case in cuts() {
            case.check(device, 1.0);
            Case { transposed: true, reduction: Reduction::Sum, ..case }.check(device, 1.0);
        }
    }

    fn with_every_option(device) {
        let smoothed: Loss = "cross_entropy(label_smoothing=0.2, ignore_index=-100)".parse().unwrap();
        let of_logits: Loss = "cross_entropy_with_logits(label_smoothing=0.1)".parse().unwrap();
        let nll: Loss = "nll(ignore_index=-100)".parse().unwrap();
        for pair in [(Activation::Softmax, smoothed), (Activation::Identity, of_logits), (Activation::LogSoftmax, nll)] {
            for case in &cuts()[..3] {
                for weighted in [false, true] {
                    let reduction = if weighted { Reduction::Mean } else { Reduction::BatchMean };
                    Case { pair, weighted, reduction, z_loss: 0.01, ..*case }.check(device, 1.0);
                }
            }
        }
    }

    fn logits_far_apart(device) {
        let smoothed: Loss = "cross_entropy(label_smoothing=0.2)".parse().unwrap();
        for case in &cuts()[..3] {
            for size in [30.0, 1e4] {
                case.check(device, size);
            }
            Case { pair: (Activation::Softmax, smoothed), ..*case }.check(device, 1e3);
        }
    }

    fn infinite_logits_and_nan(device) {
        // x is 1: the logits are the weights.
        let rows = [
            // A class that is masked out; all of the first tile; a row without a value; NaN in the last.
            [f32::NEG_INFINITY, 1.0, 2.0, 0.5, -1.0, 0.0],
            [f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.5, -1.0, 0.0],
            [f32::NEG_INFINITY; 6],
            [0.0, 1.0, 2.0, 0.5, -1.0, f32::NAN],
            [0.0, 1.0, f32::INFINITY, 0.5, -1.0, 0.0],
            [1e4, -1e4, 0.0, 1e4, -1e4, 0.0],
        ];
        for row in rows {
            for label in [0, 4] {
                let x = device.tensor(&[1.0], [1, 1]).unwrap();
                let w = device.tensor(&row, [1, 6]).unwrap();
                let labels = device.labels(&[label]).unwrap();
                let run = |logits, tile: usize| {
                    let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
                    let layer = layer.outputs(outputs()).logits(logits).tile_bytes(4 * tile);
                    let step = layer.gradients(&x, &w, None, &labels).unwrap();
                    [step.loss, step.db, step.dx].map(|tensor| tensor.to_vec().unwrap())
                };
                let full = run(Logits::Full, 6);
                for tile in [1, 2, 3, 4, 6] {
                    let tiled = run(Logits::Tiled, tile);
                    for (part, (full, tiled)) in ["loss", "db", "dx"].iter().zip(full.iter().zip(&tiled)) {
                        let what = format!("{part} of {row:?}, label {label}, tiles of {tile}, on {device:?}");
                        let within = Within::Approx { relative: 1e-6, absolute: 1e-7 };
                        assert_all(what, tiled, &wide(full), within);
                    }
                }
            }
        }
    }

    fn rows_of_ten_million_classes(device) {
        // All logits are 0. The row is longer than a kernel's loops may be on a software adapter.
        let (batch, classes) = (2, 10_000_000);
        let x = device.zeros([batch, 1]).unwrap();
        let w = device.zeros([1, classes]).unwrap();
        let labels = device.labels(&[0, classes as i32 - 1]).unwrap();
        let smoothed: Loss = "cross_entropy(label_smoothing=0.5)".parse().unwrap();
        let layer = OutputLayer::new(Activation::Softmax, smoothed);
        let step = layer.outputs(Outputs::LOSS | Outputs::DB).gradients(&x, &w, None, &labels).unwrap();
        let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
        assert_all("loss", &[step.loss.item().unwrap()], &[(classes as f64).ln()], within);
        let db = step.db.to_vec().unwrap();
        let p = 1.0 / classes as f64;
        let label = 0.5 * p - 0.25;
        assert_all("db", &[db[0], db[1], db[classes - 1]], &[label, 0.5 * p, label], within);
    }

    fn the_workspace_is_bounded(device) {
        // The logits would take 300 MB, which is 75 tiles of this size.
        let (batch, inputs, classes) = (640, 4, 120_000);
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy()).outputs(Outputs::LOSS);
        let loss = |device: &Device, layer: OutputLayer| {
            let x = device.tensor(&normal(batch * inputs, 1.0, 1), [batch, inputs]).unwrap();
            let w = device.tensor(&normal(inputs * classes, 0.5, 2), [inputs, classes]).unwrap();
            let labels = device.labels(&random_labels(batch, classes, 3)).unwrap();
            layer.gradients(&x, &w, None, &labels).unwrap().loss.item().unwrap()
        };
        let small = layer.tile_bytes(4 << 20);
        let mut losses = vec![loss(device, small)];
        // On a separate device, because other tests use memory of this one at the same time.
        let own = Device::open(device.info()).unwrap();
        for (layer, bound) in [(small, 5 << 20), (layer, 64 << 20)] {
            own.trim();
            own.reset_peak_memory();
            let before = own.memory().workspace.current_bytes;
            losses.push(loss(&own, layer));
            let peak = own.memory().workspace.peak_bytes - before;
            assert!(peak <= bound, "{peak} bytes on {own:?}");
        }
        assert!(losses.iter().all(|loss| (loss - losses[0]).abs() < 1e-4), "{losses:?}");
    }

    fn the_workspace_is_bounded_for_all_types(device) {
        // As f32, w would take 9.6 MB in addition to a tile of 4 MiB. By default a tile may take 56 of 64 MiB.
        let (batch, inputs, classes, tile) = (54, 120, 20_000, 4 << 20);
        let most = tile as u64 + (8 << 20);
        let (x, w) = (normal(batch * inputs, 1.0, 1), normal(inputs * classes, 0.1, 2));
        let (b, labels) = (normal(classes, 0.5, 4), random_labels(batch, classes, 3));
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy()).outputs(outputs());
        let run = |device: &Device, layer: OutputLayer, shape: [usize; 2], [x_type, w_type, b_type]: [DType; 3]| {
            // Always rounded to f16, so that all types give the same results.
            let tensor = |values: &[f32], shape: &[usize], dtype| {
                let tensor = device.tensor(values, shape).unwrap().to_dtype(DType::F16).unwrap();
                tensor.to_dtype(dtype).unwrap()
            };
            let x = tensor(&x, &[batch, inputs], x_type);
            let (w, b) = (tensor(&w, &shape, w_type), tensor(&b, &[classes], b_type));
            let labels = device.labels(&labels).unwrap();
            let mut before: Option<OutputGradients> = None;
            [false, true].map(|accumulates| {
                device.synchronize().unwrap();
                device.trim();
                device.reset_peak_memory();
                let start = device.memory().workspace.current_bytes;
                let step = match &before {
                    Some(before) => layer.accumulate_gradients(&x, &w, Some(&b), &labels, before),
                    None => layer.gradients(&x, &w, Some(&b), &labels),
                };
                let step = step.unwrap();
                let loss = step.loss.item().unwrap();
                before = Some(step);
                let peak = device.memory().workspace.peak_bytes - start;
                (loss, peak, format!("x {x_type}, w {w_type} {shape:?}, adds {accumulates}, on {device:?}"))
            })
        };
        let all_halves = [DType::F16; 3];
        let [(exact, ..), _] = run(device, layer.logits(Logits::Full), [inputs, classes], all_halves);
        // On a separate device, because other tests use memory of this one at the same time.
        let own = Device::open(device.info()).unwrap();
        let layer = layer.tile_bytes(tile);
        for (shape, types) in [
            ([inputs, classes], all_halves),
            ([classes, inputs], all_halves),
            ([inputs, classes], [DType::F32, DType::F16, DType::F32]),
            ([inputs, classes], [DType::F16, DType::F32, DType::F16]),
        ] {
            let transposed = shape[0] == classes;
            for (loss, peak, what) in run(&own, layer.transposed_weights(transposed), shape, types) {
                assert!(peak <= most, "{peak} bytes for {what}");
                // Transposed, the same numbers are different weights.
                assert!(transposed || (loss - exact).abs() < 1e-4, "{loss}, not {exact}, for {what}");
            }
        }
    }

    fn what_cannot_be_cut_is_an_error(device) {
        let x = device.tensor(&[1.0; 4], [2, 2]).unwrap();
        let w = device.tensor(&[0.1; 6], [2, 3]).unwrap();
        let dense = device.tensor(&[0.1; 6], [2, 3]).unwrap();
        let labels = device.labels(&[0, 1]).unwrap();
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy()).logits(Logits::Tiled);
        let squared = OutputLayer::new(Activation::Tanh, Loss::Mse).logits(Logits::Tiled);
        let errors = [
            layer.gradients(&x, &w, None, &labels),
            layer.outputs(outputs()).gradients(&x, &w, None, &dense),
            squared.outputs(outputs()).gradients(&x, &w, None, &dense),
        ];
        for result in errors {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        }
        let layer = layer.outputs(outputs());
        let step = layer.gradients(&x, &w, None, &labels).unwrap();
        let other = device.tensor(&[0.1; 8], [2, 4]).unwrap();
        let error = layer.accumulate_gradients(&x, &other, None, &labels, &step).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let empty = device.tensor(&[], [0, 2]).unwrap();
        let step = layer.gradients(&empty, &w, None, &device.labels(&[]).unwrap()).unwrap();
        assert_eq!(step.dw.to_vec().unwrap(), [0.0; 6]);
        for (pair, z_loss) in [((Activation::Tanh, Loss::Mse), 0.1), ((Activation::Softmax, Loss::cross_entropy()), -1.0)] {
            let layer = OutputLayer::new(pair.0, pair.1).z_loss(z_loss);
            let targets: Targets = if pair.1 == Loss::Mse { (&dense).into() } else { (&labels).into() };
            let error = layer.gradients(&x, &w, None, &targets).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. } | Error::InvalidParameter { .. }), "{error}");
        }
    }
}
