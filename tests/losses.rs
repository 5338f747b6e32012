//! Losses and their gradients against the f64 reference.

mod common;

use common::{EXTREMES, Within, assert_all, distributions, normal, random_labels, wide};
use wgrad::{Device, Error, Loss, Reduction, Targets, reference};

const ELEMENT_LOSSES: [Loss; 2] = [Loss::HalfSquaredError, Loss::Mse];
const REDUCTIONS: [Reduction; 3] = [Reduction::Sum, Reduction::Mean, Reduction::BatchMean];

fn cross_entropies() -> [Loss; 4] {
    [
        Loss::cross_entropy(),
        Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: None },
        Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(-100) },
        Loss::CrossEntropy { label_smoothing: 0.3, ignore_index: Some(2) },
    ]
}

/// The terms of a cross-entropy: nothing for ignored rows.
fn targets_of(loss: &Loss, labels: &[i32], classes: usize) -> Vec<Option<f64>> {
    let Loss::CrossEntropy { label_smoothing, ignore_index } = *loss else { unreachable!() };
    let smoothing = f64::from(label_smoothing);
    let row = |&label: &i32| {
        (0..classes as i32).map(move |class| {
            let hit = f64::from(label == class);
            let smoothed = (1.0 - smoothing) * hit + smoothing / classes as f64;
            (Some(label) != ignore_index).then_some(smoothed)
        })
    };
    labels.iter().flat_map(row).collect()
}

fn check_elements(device: &Device, shape: &[usize]) {
    let count: usize = shape.iter().product();
    let (y, t) = (normal(count, 2.0, 1), normal(count, 2.0, 2));
    let (yd, td) = (device.tensor(&y, shape).unwrap(), device.tensor(&t, shape).unwrap());
    for loss in ELEMENT_LOSSES {
        let pairs = || wide(&y).into_iter().zip(wide(&t));
        let terms: Vec<f64> = pairs().map(|(y, t)| reference::loss_term(&loss, y, t)).collect();
        let slopes: Vec<f64> =
            pairs().map(|(y, t)| reference::loss_term_gradient(&loss, y, t)).collect();
        let what = format!("{loss} {shape:?} on {device:?}");

        let unreduced = loss.forward(&yd, &td, Reduction::None).unwrap();
        assert_eq!(unreduced.shape(), shape);
        assert_all(&what, &unreduced.to_vec().unwrap(), &terms, Within::Ulps(3.0));
        for reduction in REDUCTIONS {
            let divisor = match reduction {
                Reduction::Mean => count as f64,
                Reduction::BatchMean => shape[0] as f64,
                _ => 1.0,
            };
            let total = loss.forward(&yd, &td, reduction).unwrap();
            assert!(total.shape().is_empty());
            let exact = terms.iter().sum::<f64>() / divisor;
            let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
            assert_all(format!("{what} {reduction}"), &[total.item().unwrap()], &[exact], within);

            let gradient = loss.gradient(&yd, &td, reduction).unwrap();
            let exact: Vec<f64> = slopes.iter().map(|slope| slope / divisor).collect();
            let what = format!("{what} gradient {reduction}");
            assert_all(what, &gradient.to_vec().unwrap(), &exact, Within::Ulps(3.0));
        }
    }
}

on_every_device! {
    fn losses_on_elements(device) {
        for shape in [&[1][..], &[1, 1], &[7, 13], &[7, 13, 5], &[257, 130], &[4096], &[4097], &[50_001]] {
            check_elements(device, shape);
        }
    }

    fn extremes_follow_ieee(device) {
        let (y, t): (Vec<f32>, Vec<f32>) =
            EXTREMES.iter().flat_map(|&y| [0.0, 1.0, -3.0, f32::INFINITY, f32::NAN].map(|t| (y, t))).unzip();
        let yd = device.tensor(&y, [y.len()]).unwrap();
        let td = device.tensor(&t, [t.len()]).unwrap();
        let all = ELEMENT_LOSSES.into_iter().chain([Loss::cross_entropy()]);
        for loss in all {
            let pairs = || wide(&y).into_iter().zip(wide(&t));
            let exact: Vec<f64> = pairs().map(|(y, t)| reference::loss_term_gradient(&loss, y, t)).collect();
            let found = loss.gradient(&yd, &td, Reduction::Sum).unwrap().to_vec().unwrap();
            // Subnormal arguments of a division may be flushed: then it is a division by zero.
            for (i, (&found, &exact)) in found.iter().zip(&exact).enumerate() {
                if y[i].is_subnormal() && found.is_infinite() {
                    continue;
                }
                let what = format!("{loss}'({}, {}) on {device:?}", y[i], t[i]);
                assert_all(what, &[found], &[exact], Within::Ulps(4.0));
            }
            let total = loss.forward(&yd, &td, Reduction::Sum).unwrap().item().unwrap();
            assert!(total.is_nan(), "{loss}: {total}");
        }
    }

    fn cross_entropy_of_labels(device) {
        for (rows, classes) in [(1, 1), (1, 2), (7, 13), (65, 3), (33, 1000), (1000, 10)] {
            let y = distributions(rows, classes, 3);
            let mut labels = random_labels(rows, classes, 4);
            labels[0] = 0;
            let yd = device.tensor(&y, [rows, classes]).unwrap();
            for loss in cross_entropies() {
                if loss == cross_entropies()[2] && rows > 1 {
                    labels[rows / 2] = -100;
                } else {
                    labels[rows / 2] = 0;
                }
                let targets = targets_of(&loss, &labels, classes);
                let counted = targets.chunks(classes).filter(|row| row[0].is_some()).count();
                let ld = device.labels(&labels).unwrap();
                let what = format!("{loss} [{rows}, {classes}] on {device:?}");

                let terms: Vec<f64> = wide(&y).iter().zip(&targets)
                    .map(|(y, t)| t.map_or(0.0, |t| reference::loss_term(&loss, *y, t))).collect();
                let per_row: Vec<f64> = terms.chunks(classes).map(|row| row.iter().sum()).collect();
                let unreduced = loss.forward(&yd, &ld, Reduction::None).unwrap();
                assert_eq!(unreduced.shape(), [rows]);
                let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
                assert_all(&what, &unreduced.to_vec().unwrap(), &per_row, within);

                for (reduction, divisor) in [
                    (Reduction::Sum, 1.0),
                    (Reduction::Mean, counted as f64),
                    (Reduction::BatchMean, rows as f64),
                ] {
                    let total = loss.forward(&yd, &ld, reduction).unwrap().item().unwrap();
                    let exact = per_row.iter().sum::<f64>() / divisor;
                    assert_all(format!("{what} {reduction}"), &[total], &[exact], within);

                    let exact: Vec<f64> = wide(&y).iter().zip(&targets)
                        .map(|(y, t)| t.map_or(0.0, |t| reference::loss_term_gradient(&loss, *y, t)) / divisor)
                        .map(|slope| if divisor == 0.0 { 0.0 } else { slope })
                        .collect();
                    let found = loss.gradient(&yd, &ld, reduction).unwrap().to_vec().unwrap();
                    assert_all(format!("{what} gradient {reduction}"), &found, &exact, Within::Ulps(5.0));
                }
            }
        }
    }

    fn cross_entropy_of_probabilities(device) {
        for (rows, classes) in [(1, 3), (65, 10), (3, 1003)] {
            let (y, t) = (distributions(rows, classes, 5), distributions(rows, classes, 6));
            let yd = device.tensor(&y, [rows, classes]).unwrap();
            let td = device.tensor(&t, [rows, classes]).unwrap();
            for smoothing in [0.0, 0.2] {
                let loss = Loss::CrossEntropy { label_smoothing: smoothing, ignore_index: None };
                let smooth = f64::from(smoothing);
                let targets: Vec<f64> =
                    wide(&t).iter().map(|t| (1.0 - smooth) * t + smooth / classes as f64).collect();
                let exact: f64 = wide(&y).iter().zip(&targets).map(|(y, t)| -t * y.ln()).sum();
                let total = loss.forward(&yd, &td, Reduction::Mean).unwrap().item().unwrap();
                let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
                assert_all("mean", &[total], &[exact / rows as f64], within);
                let exact: Vec<f64> =
                    wide(&y).iter().zip(&targets).map(|(y, t)| -t / y / rows as f64).collect();
                let found = loss.gradient(&yd, &td, Reduction::Mean).unwrap().to_vec().unwrap();
                assert_all("gradient", &found, &exact, Within::Ulps(5.0));
            }
        }
    }

    fn a_class_with_target_zero_adds_nothing(device) {
        let y = device.tensor(&[0.0, 1.0, 0.0, 1.0], [2, 2]).unwrap();
        let t = device.tensor(&[0.0, 1.0, 1.0, 0.0], [2, 2]).unwrap();
        let rows = Loss::cross_entropy().forward(&y, &t, Reduction::None).unwrap();
        assert_eq!(rows.to_vec().unwrap(), [0.0, f32::INFINITY]);
        let gradient = Loss::cross_entropy().gradient(&y, &t, Reduction::Sum).unwrap();
        assert_eq!(gradient.to_vec().unwrap(), [0.0, -1.0, f32::NEG_INFINITY, 0.0]);
    }

    fn ignored_rows_count_in_nothing_even_with_nan(device) {
        let loss = Loss::CrossEntropy { label_smoothing: 0.1, ignore_index: Some(-1) };
        let y = device.tensor(&[0.5, 0.5, f32::NAN, 0.5, 0.25, 0.75], [3, 2]).unwrap();
        let all = device.labels(&[0, -1, 1]).unwrap();
        let found = loss.forward(&y, &all, Reduction::Mean).unwrap().item().unwrap();
        let kept = device.tensor(&[0.5, 0.5, 0.25, 0.75], [2, 2]).unwrap();
        let expected = loss.forward(&kept, &device.labels(&[0, 1]).unwrap(), Reduction::Mean).unwrap();
        assert_eq!(found, expected.item().unwrap());
        let gradient = loss.gradient(&y, &all, Reduction::Mean).unwrap().to_vec().unwrap();
        assert_eq!(gradient[2..4], [0.0, 0.0]);
    }

    fn where_nothing_counts_the_mean_is_nan_the_sum_zero_and_the_gradient_zero(device) {
        let loss = Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(-100) };
        let y = device.tensor(&[0.5, 0.5, 0.5, 0.5], [2, 2]).unwrap();
        let labels = device.labels(&[-100, -100]).unwrap();
        assert!(loss.forward(&y, &labels, Reduction::Mean).unwrap().item().unwrap().is_nan());
        assert_eq!(loss.forward(&y, &labels, Reduction::Sum).unwrap().item().unwrap(), 0.0);
        assert_eq!(loss.gradient(&y, &labels, Reduction::Mean).unwrap().to_vec().unwrap(), [0.0; 4]);

        let empty = device.tensor(&[], [0, 2]).unwrap();
        for loss in [Loss::Mse, Loss::cross_entropy()] {
            assert!(loss.forward(&empty, &empty, Reduction::Mean).unwrap().item().unwrap().is_nan());
            assert_eq!(loss.forward(&empty, &empty, Reduction::Sum).unwrap().item().unwrap(), 0.0);
            assert!(loss.forward(&empty, &empty, Reduction::None).unwrap().is_empty());
            assert!(loss.gradient(&empty, &empty, Reduction::Mean).unwrap().is_empty());
        }
    }

    fn what_does_not_fit_is_an_error(device) {
        let y = device.tensor(&[0.5; 6], [2, 3]).unwrap();
        let other = device.tensor(&[0.5; 6], [3, 2]).unwrap();
        let error = Loss::Mse.forward(&y, &other, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let none = device.zeros([2, 0]).unwrap();
        let error = Loss::cross_entropy().forward(&none, &none, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let labels = device.labels(&[0, 1, 2]).unwrap();
        let error = Loss::cross_entropy().forward(&y, &labels, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let error = Loss::Mse.gradient(&y, &device.labels(&[0, 1]).unwrap(), Reduction::Sum).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        for (bad, row) in [([0, 3], 1), ([-1, 0], 0), ([1, i32::MIN], 1)] {
            let error = Loss::cross_entropy()
                .forward(&y, &device.labels(&bad).unwrap(), Reduction::Mean)
                .unwrap_err();
            assert_eq!(error, Error::InvalidLabel { row, label: bad[row], classes: 3 });
        }
        for smoothing in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let loss = Loss::CrossEntropy { label_smoothing: smoothing, ignore_index: None };
            let error = loss.forward(&y, &y, Reduction::Mean).unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
        }
        // Something that fits, and the targets as a value of their own.
        let targets = Targets::from(&y);
        assert_eq!(Loss::Mse.forward(&y, &targets, Reduction::Mean).unwrap().item().unwrap(), 0.0);
    }
}

#[test]
fn gradients_are_the_slopes_of_the_losses() {
    for loss in Loss::all() {
        for y in [0.1, 0.35, 0.8] {
            for t in [0.0, 0.2, 1.0] {
                let at = |y: f64| reference::loss_term(&loss, y, t);
                let slope = (at(y + 1e-6) - at(y - 1e-6)) / 2e-6;
                let gradient = reference::loss_term_gradient(&loss, y, t);
                approx::assert_relative_eq!(slope, gradient, epsilon = 1e-9, max_relative = 1e-8);
            }
        }
    }
}
