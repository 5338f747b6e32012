//! Pointwise activations and their derivatives against the f64 reference.

mod common;

use common::{EXTREMES, Within, assert_all, normal, wide};
use wgrad::{Activation, Device, Tensor, reference};

/// Every pointwise activation, with default and other parameters.
fn pointwise() -> Vec<Activation> {
    let others = [
        Activation::LeakyRelu { slope: 0.25 },
        Activation::LeakyRelu { slope: -0.5 },
        Activation::LeakyRelu { slope: 0.0 },
        Activation::LeakyRelu { slope: 1.5 },
        Activation::Prelu { weight: -1.0 },
        Activation::Rrelu { lower: 0.0, upper: 0.5 },
        Activation::HardTanh { min: -3.0, max: 0.0 },
        Activation::HardTanh { min: 0.25, max: 0.25 },
        Activation::HardSigmoid { slope: 0.2, offset: 0.5 },
        Activation::HardSigmoid { slope: -0.3, offset: 0.1 },
        Activation::HardSigmoid { slope: 0.0, offset: 0.7 },
        Activation::Softshrink { lambda: 0.0 },
        Activation::Hardshrink { lambda: 3.0 },
        Activation::Hardshrink { lambda: 0.0 },
        Activation::Shrink { lambda: 1.0, bias: 1.5 },
        Activation::Threshold { threshold: 0.5, value: -20.0 },
        Activation::Threshold { threshold: -3.0, value: 8.0 },
        Activation::ThresholdedRelu { alpha: -0.5 },
        Activation::Elu { alpha: 0.3 },
        Activation::Elu { alpha: -2.0 },
        Activation::Celu { alpha: 0.3 },
        Activation::Celu { alpha: -2.0 },
        Activation::Softplus { beta: 2.5, threshold: 20.0 },
        Activation::Softplus { beta: -0.3, threshold: 20.0 },
        Activation::Softplus { beta: 3.0, threshold: 1.0 },
        Activation::ScaledTanh { a: -1.0, b: 0.3 },
        Activation::Swish { beta: 0.1 },
        Activation::Swish { beta: -3.0 },
        Activation::Swish { beta: 0.0 },
        Activation::Squareplus { b: 0.0 },
        Activation::Squareplus { b: 0.01 },
        Activation::Squareplus { b: 1e32 },
        Activation::Sine { omega: 30.0 },
        Activation::Sine { omega: -0.1 },
        Activation::Snake { a: 0.3 },
        Activation::Snake { a: -5.0 },
        Activation::Snake { a: 0.0 },
    ];
    Activation::all().filter(|activation| !activation.is_rowwise()).chain(others).collect()
}

/// The oracle's value; NaN if it is a function of an angle that overflows f32.
fn exact(name: &str, oracle: Oracle, activation: &Activation, z: f32) -> f64 {
    let angle = match *activation {
        Activation::Sine { omega } => omega * z,
        Activation::Snake { a } if name != "forward" => a * z,
        _ => 0.0,
    };
    let overflows = angle.is_infinite() && z.is_finite();
    if overflows { f64::NAN } else { oracle(activation, z.into()) }
}

/// The bits, so that comparing them distinguishes 0 from −0 and treats NaN as equal to itself.
fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec().unwrap().iter().map(|value| value.to_bits()).collect()
}

/// Ordinary numbers of several sizes, and the extremes.
fn arguments() -> Vec<f32> {
    let mut values = EXTREMES.to_vec();
    for (seed, deviation) in [(1, 0.01), (2, 1.0), (3, 5.0), (4, 40.0), (5, 1e4)] {
        values.extend(normal(401, deviation, seed));
    }
    values
}

fn upload(device: &Device, values: &[f32]) -> Tensor {
    device.tensor(values, [values.len()]).unwrap()
}

type Function = fn(&Activation, &Tensor) -> wgrad::Result<Tensor>;
type Oracle = fn(&Activation, f64) -> f64;

/// The forward function and the derivatives by order, with their oracles.
fn functions() -> [(&'static str, Function, Oracle); 3] {
    [
        ("forward", Activation::forward, |g, z| reference::forward(g, &[z], 1)[0]),
        ("derivative", Activation::derivative, reference::derivative),
        ("second_derivative", Activation::second_derivative, reference::second_derivative),
    ]
}

/// Drivers may flush subnormal arguments: a result of zero is accepted for them.
fn allow_flushed(arguments: &[f32], found: &[f32], exact: &mut [f64]) {
    for ((argument, &found), exact) in arguments.iter().zip(found).zip(exact) {
        if argument.is_subnormal() && found == 0.0 {
            *exact = 0.0;
        }
    }
}

/// The published bound for default parameters, and one that holds for others.
fn bound(activation: &Activation, order: usize) -> Within {
    let is_default = Activation::all().any(|default| default == *activation);
    let others = [4.0, 4.0, 8.0][order];
    Within::Ulps(if is_default { activation.ulp_bound(order).unwrap().into() } else { others })
}

on_every_device! {
    fn values_are_the_reference_to_a_few_units_in_the_last_place(device) {
        let values = arguments();
        let z = upload(device, &values);
        for activation in pointwise() {
            for (order, (name, function, oracle)) in functions().into_iter().enumerate() {
                let found = function(&activation, &z).unwrap().to_vec().unwrap();
                let mut exact: Vec<f64> =
                    values.iter().map(|&z| exact(name, oracle, &activation, z)).collect();
                allow_flushed(&values, &found, &mut exact);
                let what = format!("{activation} {name} on {device:?}");
                assert_all(what, &found, &exact, bound(&activation, order));
            }
        }
    }

    fn every_length_and_shape_is_covered_to_its_last_element(device) {
        for length in [0, 1, 2, 3, 4, 5, 63, 64, 65, 255, 257, 1021, 4096, 40_003] {
            let values = normal(length, 2.0, length as u64);
            let z = upload(device, &values);
            let found = Activation::Sigmoid.forward(&z).unwrap().to_vec().unwrap();
            let exact = reference::forward(&Activation::Sigmoid, &wide(&values), 1);
            assert_all(format!("{length} elements"), &found, &exact, Within::Ulps(2.0));
        }
        for shape in [vec![], vec![1, 1], vec![7, 13, 5], vec![257, 130], vec![3, 0, 2]] {
            let values = normal(shape.iter().product(), 1.0, 9);
            let z = device.tensor(&values, &shape).unwrap();
            let y = Activation::Tanh.forward(&z).unwrap();
            assert_eq!(y.shape().to_vec(), shape);
            let exact = reference::forward(&Activation::Tanh, &wide(&values), 1);
            assert_all("tanh", &y.to_vec().unwrap(), &exact, Within::Ulps(3.0));
        }
        // So that something is dispatched, which every test here must do.
        Activation::Relu.forward(&upload(device, &[1.0])).unwrap();
    }

    fn derivatives_from_the_output_are_those_of_the_output(device) {
        for activation in pointwise() {
            let values = reference::forward(&activation, &wide(&arguments()), 1);
            let values: Vec<f32> = values.iter().map(|&y| y as f32).collect();
            let y = upload(device, &values);
            let found = activation.derivative_from_output(&y);
            if !activation.has_derivative_from_output() {
                let error = found.unwrap_err();
                assert!(matches!(error, wgrad::Error::NotAFunctionOfOutput { .. }), "{error}");
                continue;
            }
            let exact = |y: &f64| reference::derivative_from_output(&activation, *y).unwrap();
            let mut exact: Vec<f64> = wide(&values).iter().map(exact).collect();
            let found = found.unwrap().to_vec().unwrap();
            allow_flushed(&values, &found, &mut exact);
            assert_all(format!("{activation} on {device:?}"), &found, &exact, Within::Ulps(2.0));
        }
        Activation::Relu.forward(&upload(device, &[1.0])).unwrap();
    }

    fn backward_multiplies_with_the_derivative(device) {
        let values = arguments();
        let upstream = normal(values.len(), 3.0, 77);
        let (z, dy) = (upload(device, &values), upload(device, &upstream));
        for activation in pointwise() {
            let slope = |(&z, &dy): (&f32, &f32)| {
                f64::from(dy) * exact("derivative", reference::derivative, &activation, z)
            };
            let mut exact: Vec<f64> = values.iter().zip(&upstream).map(slope).collect();
            let found = activation.backward(&z, &dy).unwrap().to_vec().unwrap();
            allow_flushed(&values, &found, &mut exact);
            // A subnormal derivative has few digits, or none if the driver flushes it; one that
            // overflows cannot be scaled back.
            for (i, exact) in exact.iter_mut().enumerate() {
                let slope = reference::derivative(&activation, values[i].into()) as f32;
                let lost = f64::from(upstream[i]).abs() * f64::from(f32::from_bits(2));
                let near = (f64::from(found[i]) - *exact).abs() <= lost;
                let flushed = slope.is_subnormal() && (near || found[i] == 0.0);
                if flushed || (slope.is_infinite() && found[i].is_infinite()) {
                    *exact = f64::from(found[i]);
                }
            }
            let what = format!("{activation} backward on {device:?}");
            assert_all(what, &found, &exact, Within::Ulps(4.0));

            if !activation.has_derivative_from_output() {
                assert!(activation.backward_from_output(&z, &dy).is_err());
                continue;
            }
            let y = activation.forward(&z).unwrap();
            let outputs = wide(&y.to_vec().unwrap());
            let slope = |(y, dy): (&f64, &f64)| {
                dy * reference::derivative_from_output(&activation, *y).unwrap()
            };
            let exact: Vec<f64> = outputs.iter().zip(&wide(&upstream)).map(slope).collect();
            let found = activation.backward_from_output(&y, &dy).unwrap().to_vec().unwrap();
            let what = format!("{activation} backward_from_output on {device:?}");
            assert_all(what, &found, &exact, Within::Ulps(3.0));
        }
    }

    fn an_extreme_upstream_gradient_follows_ieee(device) {
        let pairs: Vec<(f32, f32)> = EXTREMES
            .iter()
            .flat_map(|&z| [0.0, -0.0, 1e-40, f32::INFINITY, f32::NEG_INFINITY, f32::NAN].map(|dy| (z, dy)))
            .collect();
        let (values, upstream): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let (z, dy) = (upload(device, &values), upload(device, &upstream));
        for activation in [Activation::Relu, Activation::Identity, Activation::leaky_relu()] {
            let exact = reference::backward(&activation, &wide(&values), &wide(&upstream), 1);
            let found = activation.backward(&z, &dy).unwrap().to_vec().unwrap();
            assert_all(format!("{activation} on {device:?}"), &found, &exact, Within::Ulps(1.0));
        }
    }

    fn nan_in_is_nan_out(device) {
        let z = upload(device, &[f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), 1.0]);
        let one = upload(device, &[1.0; 4]);
        for activation in pointwise() {
            let mut results: Vec<Tensor> = functions()
                .iter()
                .map(|(_, function, _)| function(&activation, &z).unwrap())
                .collect();
            results.push(activation.backward(&z, &one).unwrap());
            results.push(activation.backward(&one, &z).unwrap());
            if activation.has_derivative_from_output() {
                results.push(activation.derivative_from_output(&z).unwrap());
                results.push(activation.backward_from_output(&z, &one).unwrap());
            }
            for (i, result) in results.iter().enumerate() {
                let values = result.to_vec().unwrap();
                assert!(values[..3].iter().all(|v| v.is_nan()), "{activation} {i}: {values:?}");
                assert!(!values[3].is_nan(), "{activation} {i}: {values:?}");
            }
        }
    }

    fn hard_sigmoid_by_default_is_relu6_of_z_and_3_over_6(device) {
        let parsed: Activation = "hard_sigmoid(slope=0.16666667, offset=0.5)".parse().unwrap();
        assert_eq!(parsed, Activation::hard_sigmoid());
        let mut values = vec![-2.95, -3.0f32.next_down(), -3.0f32.next_up(), 3.0f32.next_down(), 3.0f32.next_up()];
        values.extend(EXTREMES);
        values.extend((-40_000..40_000).map(|i| i as f32 * 1e-4));
        values.extend((1..60).map(|e| 2f64.powi(-e) as f32).flat_map(|d| [d, -d, d - 3.0, 3.0 - d]));
        let exact = |z: f64| if z.is_nan() { z } else { (z + 3.0).clamp(0.0, 6.0) / 6.0 };
        let line: Vec<f64> = wide(&values).into_iter().map(exact).collect();
        let slopes: Vec<f64> =
            wide(&values).iter().map(|z| if z.is_nan() { *z } else if z.abs() < 3.0 { 1.0 / 6.0 } else { 0.0 }).collect();
        let z = upload(device, &values);
        let what = |part: &str| format!("{part} on {device:?}");
        let y = parsed.forward(&z).unwrap();
        assert_all(what("forward"), &y.to_vec().unwrap(), &line, Within::Ulps(0.51));
        let oracle = reference::forward(&parsed, &wide(&values), 1);
        assert!(oracle.iter().zip(&line).all(|(a, b)| (a - b).abs() <= 1e-15 * b.abs() || b.is_nan()));
        let found = parsed.derivative(&z).unwrap().to_vec().unwrap();
        assert_all(what("derivative"), &found, &slopes, Within::Ulps(0.5));
        let found = Activation::HardSwish.forward(&z).unwrap().to_vec().unwrap();
        let finite: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_finite()).collect();
        let pick = |all: &[f32]| finite.iter().map(|&i| all[i]).collect::<Vec<_>>();
        let products: Vec<f64> = finite.iter().map(|&i| f64::from(values[i]) * line[i]).collect();
        assert_all(what("hard_swish"), &pick(&found), &products, Within::Ulps(3.0));
    }

    fn kinks_are_pytorchs(device) {
        let kinks: [(Activation, &[f32], &[f32]); 17] = [
            (Activation::Relu, &[0.0, -0.0], &[0.0, 0.0]),
            (Activation::leaky_relu(), &[0.0, -0.0], &[0.01, 0.01]),
            (Activation::prelu(), &[0.0], &[0.25]),
            (Activation::rrelu(), &[0.0], &[0.229_166_67]),
            (Activation::Relu6, &[0.0, 6.0], &[0.0, 0.0]),
            (Activation::hard_tanh(), &[-1.0, 1.0], &[0.0, 0.0]),
            (Activation::hard_sigmoid(), &[-3.0, 3.0], &[0.0, 0.0]),
            (Activation::HardSwish, &[-3.0, 0.0, 3.0], &[0.0, 0.5, 1.0]),
            (Activation::softshrink(), &[-0.5, 0.5], &[0.0, 0.0]),
            (Activation::hardshrink(), &[-0.5, 0.5], &[0.0, 0.0]),
            (Activation::threshold(), &[0.0], &[0.0]),
            (Activation::Elu { alpha: 2.0 }, &[0.0], &[2.0]),
            (Activation::Selu, &[0.0], &[1.758_099_3]),
            (Activation::thresholded_relu(), &[1.0], &[0.0]),
            (Activation::SquaredRelu, &[0.0], &[0.0]),
            (Activation::Celu { alpha: 2.0 }, &[0.0], &[1.0]),
            (Activation::Squareplus { b: 0.0 }, &[0.0], &[0.5]),
        ];
        for (activation, z, expected) in kinks {
            let found = activation.derivative(&upload(device, z)).unwrap().to_vec().unwrap();
            assert_eq!(found, expected, "{activation} at {z:?} on {device:?}");
        }
    }

    fn every_number_around_a_kink_is_on_its_side(device) {
        for activation in pointwise() {
            for kink in [-3.0f32, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, 6.0] {
                let near: Vec<f32> = (-50..=50)
                    .map(|i| f32::from_bits(kink.to_bits().wrapping_add_signed(i)))
                    .filter(|z| z.is_finite())
                    .collect();
                let z = upload(device, &near);
                for (order, (name, function, oracle)) in functions().into_iter().enumerate() {
                    let found = function(&activation, &z).unwrap().to_vec().unwrap();
                    let exact: Vec<f64> =
                        wide(&near).iter().map(|&z| oracle(&activation, z)).collect();
                    let what = format!("{activation} {name} at {kink} on {device:?}");
                    assert_all(what, &found, &exact, bound(&activation, order));
                }
            }
        }
    }

    fn zero_keeps_its_sign_through_odd_functions(device) {
        let zeros = upload(device, &[0.0, -0.0]);
        let odd = [
            Activation::Identity,
            Activation::Tanh,
            Activation::scaled_tanh(),
            Activation::Tanhshrink,
            Activation::Softsign,
            Activation::Arctan,
            Activation::sine(),
        ];
        for activation in odd {
            let y = activation.forward(&zeros).unwrap().to_vec().unwrap();
            assert_eq!([y[0].to_bits(), y[1].to_bits()], [0, 0x8000_0000], "{activation}");
        }
    }

    fn into_forms_write_where_they_are_told_also_in_place(device) {
        let values = normal(1021, 2.0, 5);
        let upstream = normal(1021, 1.0, 6);
        for activation in pointwise().into_iter().filter(Activation::has_derivative_from_output) {
            let (z, dy) = (upload(device, &values), upload(device, &upstream));
            let y = activation.forward(&z).unwrap();
            let expected = [
                activation.forward(&z).unwrap(),
                activation.derivative(&z).unwrap(),
                activation.second_derivative(&z).unwrap(),
                activation.derivative_from_output(&y).unwrap(),
                activation.backward(&z, &dy).unwrap(),
                activation.backward_from_output(&y, &dy).unwrap(),
            ]
            .map(|tensor| bits(&tensor));

            let out = device.zeros([1021]).unwrap();
            activation.forward_into(&z, &out).unwrap();
            assert_eq!(bits(&out), expected[0]);
            activation.derivative_into(&z, &out).unwrap();
            assert_eq!(bits(&out), expected[1]);
            activation.second_derivative_into(&z, &out).unwrap();
            assert_eq!(bits(&out), expected[2]);
            activation.derivative_from_output_into(&y, &out).unwrap();
            assert_eq!(bits(&out), expected[3]);
            activation.backward_into(&z, &dy, &out).unwrap();
            assert_eq!(bits(&out), expected[4]);
            activation.backward_from_output_into(&y, &dy, &out).unwrap();
            assert_eq!(bits(&out), expected[5]);

            let upstream_in_place = upload(device, &upstream);
            activation.backward_into(&z, &upstream_in_place, &upstream_in_place).unwrap();
            assert_eq!(bits(&upstream_in_place), expected[4]);
            activation.forward_into(&z, &z).unwrap();
            assert_eq!(bits(&z), expected[0]);
        }
    }
}

#[test]
fn derivatives_are_the_slopes_of_the_functions() {
    for activation in pointwise() {
        for z in [-7.3, -2.1, -0.61, -0.01, 0.02, 0.55, 1.7, 4.4, 11.0] {
            let h = f64::min(1e-5, 1e-4 * f64::abs(z));
            let g = |z: f64| reference::forward(&activation, &[z], 1)[0];
            // Outside the domain of logit.
            if g(z).is_nan() {
                continue;
            }
            // The difference of two such values has too few digits.
            if g(z).abs() > 1e7 {
                continue;
            }
            let slope = (g(z + h) - g(z - h)) / (2.0 * h);
            let derivative = reference::derivative(&activation, z);
            approx::assert_relative_eq!(slope, derivative, epsilon = 1e-9, max_relative = 1e-7);

            let d = |z: f64| reference::derivative(&activation, z);
            let curvature = (d(z + h) - d(z - h)) / (2.0 * h);
            let second = reference::second_derivative(&activation, z);
            approx::assert_relative_eq!(curvature, second, epsilon = 1e-9, max_relative = 1e-7);

            if let Some(from_output) = reference::derivative_from_output(&activation, g(z)) {
                approx::assert_relative_eq!(
                    from_output,
                    derivative,
                    epsilon = 1e-15,
                    max_relative = 1e-6
                );
            }
        }
    }
}

#[test]
fn sigmoid_is_the_inverse_of_the_logit_and_a_softmax_of_two() {
    for z in [-30.0, -2.0, -0.1, 0.0, 0.7, 5.0] {
        let p = reference::forward(&Activation::Sigmoid, &[z], 1)[0];
        approx::assert_relative_eq!((p / (1.0 - p)).ln(), z, epsilon = 1e-12, max_relative = 1e-9);
        let pair = reference::forward(&Activation::Softmax, &[0.0, z], 2);
        approx::assert_relative_eq!(pair[1], p, max_relative = 1e-14);
    }
}
