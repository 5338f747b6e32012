//! Predictions and their counts, on every device.

mod common;

use std::cmp::Ordering;

use common::{EXTREMES, normal, random_labels};
use wgrad::{Activation, DType, Device, Error, Metrics, Scores, Tensor, half::f16};

/// The classes of a row, the preferred one first.
fn ranking(row: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..row.len()).collect();
    // Stable: of equal ones the first comes first.
    classes.sort_by(|&a, &b| match (row[a].is_nan(), row[b].is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => row[b].partial_cmp(&row[a]).unwrap(),
    });
    classes
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Rows of random numbers, of few different numbers, and of extreme ones.
fn rows(count: usize, width: usize) -> Vec<f32> {
    let mut values = normal(count * width, 3.0, (count + width) as u64);
    for (i, value) in values.iter_mut().enumerate() {
        let row = i / width;
        match row % 3 {
            1 => *value = value.round().clamp(-2.0, 2.0),
            2 => *value = EXTREMES[(i * 7 + row) % (EXTREMES.len() - row % 2)],
            _ => {}
        }
    }
    values
}

const SIZES: [(usize, usize); 9] =
    [(1, 1), (5, 1), (3, 2), (700, 3), (257, 10), (64, 33), (9, 300), (6, 1000), (3, 70_001)];

/// What metrics that count everything should find.
#[track_caller]
fn check_scores(scores: &Scores, z: &[f32], labels: &[i32], width: usize, k: usize) {
    let mut matrix = vec![0; width * width];
    let (mut correct, mut in_top_k, mut ignored) = (0, 0, 0);
    for (row, &label) in z.chunks(width).zip(labels) {
        if label == -100 {
            ignored += 1;
            continue;
        }
        let ranking = ranking(row);
        let rank = ranking.iter().position(|&class| class == label as usize).unwrap();
        correct += u64::from(rank == 0);
        in_top_k += u64::from(rank < k);
        matrix[label as usize * width + ranking[0]] += 1;
    }
    let count = labels.len() as u64 - ignored;
    assert_eq!((scores.rows(), scores.ignored(), scores.invalid()), (count, ignored, 0));
    assert_eq!(scores.correct(), correct);
    assert!(count == 0 || scores.accuracy() == correct as f64 / count as f64);
    assert!(count == 0 || scores.top_k_accuracy() == in_top_k as f64 / count as f64);
    for (cell, &expected) in matrix.iter().enumerate() {
        assert_eq!(scores.confusion(cell / width, cell % width), Some(expected), "cell {cell}");
    }
}

on_every_device! {
    fn argmax_is_the_first_of_the_greatest(device) {
        for (count, width) in SIZES {
            let values = rows(count, width);
            for dtype in [DType::F32, DType::F16] {
                let z = device.tensor(&values, [count, width]).unwrap().to_dtype(dtype).unwrap();
                let exact: Vec<i32> =
                    z.to_vec().unwrap().chunks(width).map(|row| ranking(row)[0] as i32).collect();
                assert_eq!(z.argmax().unwrap().to_vec(), exact, "{count} x {width} of {dtype} on {device:?}");
            }
        }
        // Subnormal numbers are not equal, and 0 and -0 are.
        for (row, exact) in [([1e-45, 1e-44], 1), ([-1e-45, -1e-44], 0), ([-0.0, 0.0], 0), ([0.0, -0.0], 0), ([-1e-45, -0.0], 1)] {
            let z = device.tensor(&row, [2]).unwrap();
            assert_eq!(z.argmax().unwrap().to_vec(), [exact], "{row:?} on {device:?}");
        }
        let z = device.tensor(&normal(24, 1.0, 1), [2, 3, 4]).unwrap();
        assert_eq!(z.argmax().unwrap().len(), 6);
        assert!(device.zeros([0, 4]).unwrap().argmax().unwrap().to_vec().is_empty());
        for shape in [&[][..], &[3, 0]] {
            let error = device.zeros(shape).unwrap().argmax().unwrap_err();
            assert!(error.to_string().contains("rows of at least one element"), "{error}");
        }
        // Predictions are labels: a loss of them checks them on the device.
        let loss = wgrad::Loss::cross_entropy_with_logits();
        let z = device.tensor(&normal(12, 1.0, 1), [4, 3]).unwrap();
        let own = loss.forward(&z, &z.argmax().unwrap(), wgrad::Reduction::Mean).unwrap();
        let labels = device.labels(&z.argmax().unwrap().to_vec()).unwrap();
        let exact = loss.forward(&z, &labels, wgrad::Reduction::Mean).unwrap();
        assert_eq!(bits(&own.to_vec().unwrap()), bits(&exact.to_vec().unwrap()));
    }

    fn batches_are_counted_together(device) {
        for (count, width) in SIZES.into_iter().filter(|&(_, width)| width <= 1000) {
            for k in [0, 1, 2, 5, width] {
                let metrics = Metrics::new(device, width).top_k(k).confusion_matrix(true).ignore_index(-100);
                let (mut z, mut labels) = (Vec::new(), Vec::new());
                for batch in 0..3 {
                    let values = rows(count, width);
                    let mut classes = random_labels(count, width, batch);
                    if batch == 1 {
                        classes[count / 2] = -100;
                    }
                    let outputs = device.tensor(&values, [count, 1, width]).unwrap();
                    metrics.add(&outputs, &device.labels(&classes).unwrap()).unwrap();
                    z.extend(values);
                    labels.extend(classes);
                }
                check_scores(&metrics.scores().unwrap(), &z, &labels, width, k);
                let read = pollster::block_on(metrics.clone().read()).unwrap();
                assert_eq!(read, metrics.scores().unwrap());
                metrics.reset().unwrap();
                check_scores(&metrics.scores().unwrap(), &[], &[], width, k);
            }
        }
    }

    fn ratios_of_a_matrix_are_those_of_its_counts(device) {
        // Labels and predictions: 0 for 0 three times, 0 for 1, 1 for 1, 2 for 0; none for 3.
        let (labels, predicted) = ([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 1, 0]);
        let mut z = vec![0.0; 24];
        predicted.iter().enumerate().for_each(|(row, class)| z[4 * row + class] = 1.0);
        let metrics = Metrics::new(device, 4).confusion_matrix(true);
        metrics.add(&device.tensor(&z, [6, 4]).unwrap(), &device.labels(&labels).unwrap()).unwrap();
        let scores = metrics.scores().unwrap();
        assert_eq!((scores.precision(0), scores.recall(0), scores.f1(0)), (Some(0.75), Some(0.75), Some(0.75)));
        assert_eq!((scores.precision(1), scores.recall(1), scores.f1(1)), (Some(0.5), Some(1.0), Some(2.0 / 3.0)));
        assert_eq!((scores.recall(2), scores.f1(2)), (Some(0.0), Some(0.0)));
        assert!(scores.precision(2).unwrap().is_nan() && scores.recall(3).unwrap().is_nan() && scores.f1(3).unwrap().is_nan());
        assert_eq!((scores.precision(4), scores.recall(4), scores.confusion(0, 4)), (None, None, None));
        assert_eq!(scores.accuracy(), 4.0 / 6.0);
        let without = Metrics::new(device, 4).scores().unwrap();
        assert!(without.accuracy().is_nan() && without.top_k_accuracy().is_nan());
        assert_eq!((without.confusion(0, 0), without.f1(0)), (None, None));
    }

    fn a_plan_counts_at_each_run(device) {
        let metrics = Metrics::new(device, 3);
        let (x, labels) = (device.zeros([4, 3]).unwrap(), device.labels(&[0; 4]).unwrap());
        let plan = device.record(|| {
            let y = Activation::Softmax.forward(&x)?;
            metrics.add(&y, &labels)?;
            y.argmax()
        }).unwrap();
        metrics.reset().unwrap();
        let (mut z, mut classes) = (Vec::new(), Vec::new());
        for run in 0..5 {
            let (values, batch) = (normal(12, 1.0, run), random_labels(4, 3, run));
            x.write(&values).unwrap();
            labels.write(&batch).unwrap();
            plan.run().unwrap();
            let exact: Vec<i32> = values.chunks(3).map(|row| ranking(row)[0] as i32).collect();
            assert_eq!(plan.outputs().to_vec(), exact);
            z.extend(values);
            classes.extend(batch);
        }
        let correct = z.chunks(3).zip(&classes).filter(|(row, label)| ranking(row)[0] == **label as usize);
        assert_eq!(metrics.scores().unwrap().correct(), correct.count() as u64);
        assert_eq!(metrics.scores().unwrap().rows(), 20);
        labels.write(&[0, 1, 3, 0]).unwrap();
        assert!(matches!(plan.run().unwrap_err(), Error::InvalidLabel { row: 2, label: 3, .. }));
        let error = device.record(|| metrics.scores()).unwrap_err();
        assert!(error.to_string().contains("a read of metrics in a plan"), "{error}");
    }

    fn labels_of_the_device_may_be_invalid(device) {
        let metrics = Metrics::new(device, 3).top_k(3).confusion_matrix(true).ignore_index(-1);
        let (source, labels) = (device.labels(&[0, 3, -1, 2, -7]).unwrap(), device.labels(&[0; 5]).unwrap());
        device.record(|| labels.copy_from(&source)).unwrap();
        let z = device.tensor(&normal(15, 1.0, 1), [5, 3]).unwrap();
        metrics.add(&z, &labels).unwrap();
        let scores = metrics.scores().unwrap();
        assert_eq!((scores.rows(), scores.ignored(), scores.invalid()), (2, 1, 2));
        assert_eq!(scores.top_k_accuracy(), 1.0);
        let cells: u64 = (0..9).filter_map(|cell| scores.confusion(cell / 3, cell % 3)).sum();
        assert_eq!(cells, 2);
    }

    fn what_does_not_fit_is_an_error(device) {
        let metrics = Metrics::new(device, 3);
        let (z, labels) = (device.zeros([2, 3]).unwrap(), device.labels(&[0, 1]).unwrap());
        let text = |z: &Tensor, labels: &[i32]| {
            metrics.add(z, &device.labels(labels).unwrap()).unwrap_err().to_string()
        };
        let found = text(&device.zeros([2, 4]).unwrap(), &[0, 1]);
        assert!(found.contains("a last axis of 3 classes"), "{found}");
        let found = text(&z, &[0, 1, 2]);
        assert!(found.contains("2 labels for outputs [2, 3]"), "{found}");
        let found = text(&z, &[0, 5]);
        assert!(found.contains("label 5 in row 1 is not one of the 3 classes"), "{found}");
        let none = Metrics::new(device, 0).add(&device.zeros([2, 0]).unwrap(), &labels).unwrap_err();
        assert!(none.to_string().contains("at least one class"), "{none}");
        let huge = Metrics::new(device, usize::MAX / 2).confusion_matrix(true);
        assert!(matches!(huge.scores().unwrap_err(), Error::TooLarge { .. }));
        let other = if device == common::cpu() { &common::adapters()[0] } else { common::cpu() };
        let error = metrics.add(&z, &other.labels(&[0, 1]).unwrap()).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { .. }), "{error}");
        assert_eq!(metrics.scores().unwrap().rows(), 0);
        metrics.add(&z, &labels).unwrap();
        assert_eq!(metrics.scores().unwrap().rows(), 2);
        metrics.add(&device.zeros([0, 3]).unwrap(), &device.labels(&[]).unwrap()).unwrap();
        assert_eq!(metrics.scores().unwrap().rows(), 2);
    }
}

#[test]
fn halves_are_compared_as_they_are() {
    for device in [common::cpu()].into_iter().chain(common::adapters()) {
        let row = [f16::from_f32(1.0), f16::MAX, f16::INFINITY, f16::NAN, f16::NEG_INFINITY];
        let z = device.tensor_f16(&row, [5]).unwrap();
        assert_eq!(z.argmax().unwrap().to_vec(), [3]);
    }
}

#[test]
fn rows_larger_than_a_binding_are_counted() {
    let device: Device = common::narrow();
    // A megabyte is bound at once.
    let (count, width) = (700, 1000);
    let values = rows(count, width);
    let z = device.tensor(&values, [count, width]).unwrap();
    let exact: Vec<i32> = values.chunks(width).map(|row| ranking(row)[0] as i32).collect();
    assert_eq!(z.argmax().unwrap().to_vec(), exact);
    let metrics = Metrics::new(&device, width).top_k(3);
    let labels = random_labels(count, width, 1);
    metrics.add(&z, &device.labels(&labels).unwrap()).unwrap();
    let correct = labels.iter().zip(&exact).filter(|(label, best)| label == best).count();
    assert_eq!(metrics.scores().unwrap().correct(), correct as u64);
    let error = Metrics::new(&device, width)
        .confusion_matrix(true)
        .add(&z, &device.labels(&labels).unwrap());
    let error = error.unwrap_err();
    assert!(error.to_string().contains("a confusion matrix of 1000 classes"), "{error}");
}
