//! The softmax family along the last axis against the f64 reference.

mod common;

use common::{EXTREMES, Within, assert_all, normal, wide};
use wgrad::{Activation, Device, reference};

const ROWWISE: [Activation; 3] = [Activation::Softmax, Activation::LogSoftmax, Activation::Softmin];

/// Checks the forward and backward passes of rows of this width.
fn check(device: &Device, rows: usize, width: usize, deviation: f32, within: Within) {
    let values = normal(rows * width, deviation, (rows * 31 + width) as u64);
    let upstream = normal(rows * width, 1.0, 8);
    let z = device.tensor(&values, [rows, width]).unwrap();
    let dy = device.tensor(&upstream, [rows, width]).unwrap();
    for activation in ROWWISE {
        let what = format!("{activation} [{rows}, {width}] ±{deviation} on {device:?}");
        let exact = reference::forward(&activation, &wide(&values), width);
        let y = activation.forward(&z).unwrap();
        assert_all(&what, &y.to_vec().unwrap(), &exact, within);

        // The subtraction in the Jacobian product cancels: the error is relative to its operands.
        let exact = reference::backward(&activation, &wide(&values), &wide(&upstream), width);
        let absolute = 2e-6 * if activation == Activation::LogSoftmax { width as f64 } else { 1.0 };
        let cancelling = Within::Approx { relative: 1e-5, absolute };
        let dz = activation.backward(&z, &dy).unwrap().to_vec().unwrap();
        assert_all(format!("{what}, backward"), &dz, &exact, cancelling);
        let dz = activation.backward_from_output(&y, &dy).unwrap().to_vec().unwrap();
        assert_all(format!("{what}, backward_from_output"), &dz, &exact, cancelling);
    }
}

on_every_device! {
    fn short_and_odd_rows(device) {
        for width in [1, 2, 3, 5, 7, 8, 9, 10, 16, 17, 31, 64, 65, 127, 130, 255, 256, 257, 1000] {
            check(device, 5, width, 3.0, Within::Ulps(4.0));
        }
        check(device, 257, 67, 20.0, Within::Ulps(4.0));
        check(device, 1, 1024, 1.0, Within::Ulps(4.0));
        check(device, 4099, 3, 1.0, Within::Ulps(4.0));
    }

    fn a_row_of_a_million(device) {
        check(device, 1, 1_000_000, 4.0, Within::Ulps(8.0));
        check(device, 3, 100_003, 4.0, Within::Ulps(8.0));
    }

    fn any_finite_input_is_stable(device) {
        let finite: Vec<f32> = EXTREMES.iter().copied().filter(|z| z.is_finite()).collect();
        let n = finite.len();
        let mut rows: Vec<Vec<f32>> = vec![
            finite.clone(),
            finite.iter().map(|z| z.clamp(-1e4, 1e4)).collect(),
            finite.iter().map(|z| z.clamp(-90.0, 90.0)).collect(),
            vec![1e4; n],
            vec![-1e4; n],
            vec![f32::MIN; n],
            vec![f32::MAX; n],
        ];
        let mut dominated = vec![-30.0; n];
        dominated[3] = 10.0;
        rows.push(dominated);
        let values = rows.concat();
        let z = device.tensor(&values, [rows.len(), n]).unwrap();
        for activation in ROWWISE {
            let exact = reference::forward(&activation, &wide(&values), n);
            let found = activation.forward(&z).unwrap().to_vec().unwrap();
            assert_all(format!("{activation} on {device:?}"), &found, &exact, Within::Ulps(4.0));
        }
    }

    fn rows_without_a_limit_are_nan_and_leave_the_others_alone(device) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let rows = [
            [1.0, nan, 2.0],
            [inf, 0.0, 1.0],
            [-inf, -inf, -inf],
            [inf, -inf, nan],
            [-inf, 0.5, 0.5],
            [0.0, 0.0, 0.0],
        ];
        let values = rows.concat();
        let z = device.tensor(&values, [rows.len(), 3]).unwrap();
        let softmax = Activation::Softmax.forward(&z).unwrap().to_vec().unwrap();
        let log_softmax = Activation::LogSoftmax.forward(&z).unwrap().to_vec().unwrap();
        assert!(softmax[..12].iter().chain(&log_softmax[..12]).all(|y| y.is_nan()));
        assert_eq!(softmax[12..15], [0.0, 0.5, 0.5]);
        let half = -std::f32::consts::LN_2;
        assert_eq!(log_softmax[12..15], [-inf, half, half]);
        assert_all("a third", &softmax[15..], &[1.0 / 3.0; 3], Within::Ulps(1.0));
    }

    fn probabilities_add_up_to_one(device) {
        for width in [2, 10, 1000, 50_000] {
            let z = device.tensor(&normal(2 * width, 5.0, 3), [2, width]).unwrap();
            let p = Activation::Softmax.forward(&z).unwrap().to_vec().unwrap();
            for row in p.chunks(width) {
                let sum: f64 = row.iter().map(|&p| f64::from(p)).sum();
                assert!((sum - 1.0).abs() < 1e-6, "{width}: {sum}");
            }
        }
    }

    fn ties_share_and_order_does_not_matter(device) {
        let z = device.tensor(&[2.0, 2.0, 2.0, 2.0], [4]).unwrap();
        assert_eq!(Activation::Softmax.forward(&z).unwrap().to_vec().unwrap(), [0.25; 4]);
        let z = device.tensor(&[7.0, -1.0, 7.0, -1.0, 7.0], [5]).unwrap();
        let p = Activation::Softmax.forward(&z).unwrap().to_vec().unwrap();
        assert!(p[0] == p[2] && p[2] == p[4] && p[1] == p[3]);
    }

    fn the_jacobian_is_that_of_each_row(device) {
        for (rows, width) in [(1, 1), (3, 4), (2, 17), (5, 100)] {
            let values = normal(rows * width, 2.0, 4);
            let z = device.tensor(&values, [rows, width]).unwrap();
            for activation in ROWWISE {
                let jacobian = activation.jacobian(&z).unwrap();
                assert_eq!(jacobian.shape().to_vec(), [rows, width, width]);
                let exact: Vec<f64> = wide(&values)
                    .chunks(width)
                    .flat_map(|row| reference::jacobian(&activation, row))
                    .collect();
                let what = format!("{activation} on {device:?}");
                let within = Within::Approx { relative: 2e-6, absolute: 1e-7 };
                assert_all(what, &jacobian.to_vec().unwrap(), &exact, within);

                let into = device.zeros(jacobian.shape()).unwrap();
                activation.jacobian_into(&z, &into).unwrap();
                assert_eq!(into.to_vec().unwrap(), jacobian.to_vec().unwrap());
            }
        }
    }

    fn in_place_is_the_same(device) {
        let values = normal(300, 2.0, 5);
        let z = device.tensor(&values, [3, 100]).unwrap();
        let dy = device.tensor(&normal(300, 1.0, 6), [3, 100]).unwrap();
        for activation in ROWWISE {
            let expected = activation.backward(&z, &dy).unwrap().to_vec().unwrap();
            let copy = device.tensor(&values, [3, 100]).unwrap();
            activation.backward_into(&copy, &dy, &copy).unwrap();
            assert_eq!(copy.to_vec().unwrap(), expected);
            let y = activation.forward(&z).unwrap().to_vec().unwrap();
            let copy = device.tensor(&values, [3, 100]).unwrap();
            activation.forward_into(&copy, &copy).unwrap();
            assert_eq!(copy.to_vec().unwrap(), y);
        }
    }

    fn the_same_input_gives_the_same_bits(device) {
        let z = device.tensor(&normal(70_000, 3.0, 5), [7, 10_000]).unwrap();
        let first = Activation::Softmax.forward(&z).unwrap().to_vec().unwrap();
        for _ in 0..3 {
            assert_eq!(Activation::Softmax.forward(&z).unwrap().to_vec().unwrap(), first);
        }
    }

    fn empty_tensors_stay_empty(device) {
        for shape in [vec![0, 4], vec![3, 0], vec![0]] {
            let z = device.tensor(&[], &shape).unwrap();
            for activation in ROWWISE {
                assert!(activation.forward(&z).unwrap().to_vec().unwrap().is_empty());
                assert!(activation.backward(&z, &z).unwrap().to_vec().unwrap().is_empty());
                assert!(activation.jacobian(&z).unwrap().to_vec().unwrap().is_empty());
            }
        }
        Activation::Relu.forward(&device.zeros([1]).unwrap()).unwrap();
    }
}

#[test]
fn backward_is_the_product_with_the_jacobian_and_that_is_the_slope() {
    let z = [0.3, -1.2, 2.0, 0.0, 0.7];
    let dy = [1.0, -0.5, 0.25, 2.0, -1.0];
    for activation in ROWWISE {
        let jacobian = reference::jacobian(&activation, &z);
        let dz = reference::backward(&activation, &z, &dy, z.len());
        for j in 0..z.len() {
            let product: f64 = (0..z.len()).map(|i| dy[i] * jacobian[i * z.len() + j]).sum();
            approx::assert_relative_eq!(dz[j], product, epsilon = 1e-14);
            let moved = |h: f64| {
                let mut z = z;
                z[j] += h;
                reference::forward(&activation, &z, z.len())
            };
            let (up, down) = (moved(1e-5), moved(-1e-5));
            for i in 0..z.len() {
                let slope = (up[i] - down[i]) / 2e-5;
                approx::assert_relative_eq!(jacobian[i * z.len() + j], slope, epsilon = 1e-9);
            }
        }
    }
}
