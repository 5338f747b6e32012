//! Gated units against the f64 reference.

mod common;

use common::{EXTREMES, Within, assert_all, narrow, normal, wide};
use wgrad::{Activation, Device, Error, Gated, Tensor, reference};

/// The named units, and one for every pointwise activation, each with the gate in either half.
fn units() -> Vec<Gated> {
    let pointwise = Activation::all().filter(|activation| !activation.is_rowwise());
    let others = pointwise.map(|activation| Gated::new(activation).unwrap());
    Gated::all().chain(others).flat_map(|unit| [unit, unit.gate_first()]).collect()
}

/// The values and the gate of each output, for rows of 2·width.
fn halves(unit: Gated, x: &[f32], width: usize) -> Vec<(f64, f64)> {
    let gate_first = unit == unit.gate_first();
    let pair = |row: &[f32], i: usize| {
        let (first, second) = (row[i].into(), row[width + i].into());
        if gate_first { (second, first) } else { (first, second) }
    };
    x.chunks(2 * width).flat_map(|row| (0..width).map(move |i| pair(row, i))).collect()
}

/// x with the values and gates in the halves where the unit expects them.
fn join(unit: Gated, pairs: &[(f32, f32)], width: usize) -> Vec<f32> {
    let gate_first = unit == unit.gate_first();
    let half = |row: &[(f32, f32)], gate: bool| -> Vec<f32> {
        row.iter().map(|pair| if gate { pair.1 } else { pair.0 }).collect()
    };
    pairs
        .chunks(width)
        .flat_map(|row| [half(row, gate_first), half(row, !gate_first)].concat())
        .collect()
}

/// The bound of the activation plus 1 ULP for the products, as a relative error: an ULP is at most
/// 2^-23 of the number.
fn within(unit: Gated, order: usize) -> Within {
    let ulps = f64::from(unit.activation().ulp_bound(order).unwrap()) + 1.0;
    Within::Approx { relative: ulps * f64::from(f32::EPSILON), absolute: f32::MIN_POSITIVE.into() }
}

/// Checks both passes.
fn check(device: &Device, unit: Gated, shape: &[usize], x: &[f32], upstream: &[f32]) {
    let what = format!("{unit} {shape:?} on {device:?}");
    let width = shape.last().unwrap() / 2;
    let mut output_shape = shape.to_vec();
    *output_shape.last_mut().unwrap() = width;
    let (x_tensor, dy) =
        (device.tensor(x, shape).unwrap(), device.tensor(upstream, &output_shape).unwrap());
    let pairs = halves(unit, x, width);
    let activation = unit.activation();

    let y = unit.forward(&x_tensor).unwrap();
    assert_eq!(y.shape().to_vec(), output_shape);
    let found = y.to_vec().unwrap();
    let exact: Vec<f64> = pairs
        .iter()
        .zip(&found)
        .map(|(&(value, gate), &found)| {
            let exact = reference::gated(&activation, value, gate);
            let g = reference::forward(&activation, &[gate], 1)[0];
            forgive(found, exact, [g, value])
        })
        .collect();
    assert_all(&what, &found, &exact, within(unit, 0));

    let dx = unit.backward(&x_tensor, &dy).unwrap();
    assert_eq!(dx.shape().to_vec(), shape);
    let found = halves(unit, &dx.to_vec().unwrap(), width);
    let (mut dvalues, mut dgates) = (Vec::new(), Vec::new());
    for ((&(value, gate), &dy), &found) in pairs.iter().zip(&wide(upstream)).zip(&found) {
        let (dvalue, dgate) = reference::gated_backward(&activation, value, gate, dy);
        let g = reference::forward(&activation, &[gate], 1)[0];
        let slope = reference::derivative(&activation, gate);
        dvalues.push(forgive(found.0 as f32, dvalue, [g, dy]));
        dgates.push(forgive(found.1 as f32, dgate, [slope, dy * value]));
    }
    let narrow = |pick: fn(&(f64, f64)) -> f64| -> Vec<f32> {
        found.iter().map(|pair| pick(pair) as f32).collect()
    };
    assert_all(format!("{what}, dE/dvalue"), &narrow(|pair| pair.0), &dvalues, within(unit, 0));
    assert_all(format!("{what}, dE/dgate"), &narrow(|pair| pair.1), &dgates, within(unit, 1));
}

/// The result found, if a factor is subnormal in f32 and so keeps few digits or none; else the exact product.
fn forgive(found: f32, exact: f64, factors: [f64; 2]) -> f64 {
    let underflows =
        factors.iter().any(|&factor| factor != 0.0 && (factor as f32).abs() < f32::MIN_POSITIVE);
    let largest = factors.iter().map(|factor| factor.abs()).fold(1.0, f64::max);
    let lost = largest * f64::from(f32::from_bits(2));
    let near = (f64::from(found) - exact).abs() <= lost || found == 0.0;
    // 0 times infinity.
    let undefined = found.is_nan() && largest.is_infinite();
    if underflows && (near || undefined) { found.into() } else { exact }
}

on_every_device! {
    fn every_gate_and_order(device) {
        for unit in units() {
            for (shape, seed) in [(vec![2], 1), (vec![5, 6], 2), (vec![3, 4, 34], 3), (vec![700, 2], 4)] {
                let elements: usize = shape.iter().product();
                let x = normal(elements, 3.0, seed);
                check(device, unit, &shape, &x, &normal(elements / 2, 1.0, seed + 10));
            }
        }
    }

    fn long_rows_and_many(device) {
        for unit in [Gated::glu(), Gated::reglu().gate_first()] {
            for shape in [vec![3, 40_006], vec![20_001, 10]] {
                let elements: usize = shape.iter().product();
                let x = normal(elements, 2.0, 8);
                check(device, unit, &shape, &x, &normal(elements / 2, 1.0, 9));
            }
        }
    }

    fn extremes_on_both_sides(device) {
        let mut pairs: Vec<(f32, f32)> = Vec::new();
        for gate in EXTREMES {
            for value in [1.0, -2.5, 0.0, -0.0, 1e-40, 1e4, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                pairs.push((value, gate));
            }
        }
        for value in EXTREMES {
            pairs.push((value, 0.75));
        }
        // Rows whose halves have an odd length.
        let width = 11;
        pairs.truncate(pairs.len() / width * width);
        let upstream = vec![1.5; pairs.len()];
        for unit in units() {
            let x = join(unit, &pairs, width);
            check(device, unit, &[pairs.len() / width, 2 * width], &x, &upstream);
        }
        for unit in [Gated::bilinear(), Gated::glu(), Gated::reglu()] {
            let pairs: Vec<(f32, f32)> = EXTREMES.iter().map(|&dy| (dy.signum() * 0.5, 0.75)).collect();
            let x = join(unit, &pairs, 4);
            check(device, unit, &[EXTREMES.len() / 4, 8], &x, &EXTREMES);
        }
    }

    fn nan_in_is_nan_out(device) {
        let nan = f32::NAN;
        for unit in units() {
            let x = join(unit, &[(nan, 1.0), (1.0, nan), (1.0, 1.0), (1.0, 1.0)], 4);
            let (x, dy) = (device.tensor(&x, [8]).unwrap(), device.tensor(&[1.0, 1.0, nan, 1.0], [4]).unwrap());
            let y = unit.forward(&x).unwrap().to_vec().unwrap();
            assert_eq!(y.iter().map(|y| y.is_nan()).collect::<Vec<_>>(), [true, true, false, false], "{unit}");
            let dx = unit.backward(&x, &dy).unwrap().to_vec().unwrap();
            let found: Vec<_> = halves(unit, &dx, 4).iter().map(|(a, b)| (a.is_nan(), b.is_nan())).collect();
            // dE/dvalue does not depend on the value.
            assert_eq!(found, [(false, true), (true, true), (true, true), (false, false)], "{unit}");
        }
    }

    fn into_forms_are_the_same_also_in_place(device) {
        let (values, upstream) = (normal(6 * 14, 2.0, 3), normal(6 * 7, 1.0, 4));
        let dy = device.tensor(&upstream, [6, 7]).unwrap();
        for unit in units() {
            let x = device.tensor(&values, [6, 14]).unwrap();
            let y = device.zeros([6, 7]).unwrap();
            unit.forward_into(&x, &y).unwrap();
            let same = Within::Ulps(0.0);
            let expected = unit.forward(&x).unwrap().to_vec().unwrap();
            assert_all(unit, &y.to_vec().unwrap(), &wide(&expected), same);
            let expected = unit.backward(&x, &dy).unwrap().to_vec().unwrap();
            unit.backward_into(&x, &dy, &x).unwrap();
            assert_all(unit, &x.to_vec().unwrap(), &wide(&expected), same);
        }
    }

    fn empty_inputs_have_empty_outputs(device) {
        for (shape, output) in [(vec![0, 4], vec![0, 2]), (vec![3, 0], vec![3, 0]), (vec![0], vec![0])] {
            let x = device.tensor(&[], &shape).unwrap();
            let y = Gated::glu().forward(&x).unwrap();
            assert_eq!((y.shape().to_vec(), y.to_vec().unwrap()), (output, vec![]));
            assert!(Gated::glu().backward(&x, &y).unwrap().to_vec().unwrap().is_empty());
        }
        // So that something is dispatched, which every test here must do.
        Gated::glu().forward(&device.zeros([2]).unwrap()).unwrap();
    }

    fn errors_say_what_does_not_fit(device) {
        let odd = device.zeros([2, 3]).unwrap();
        let message = |result: wgrad::Result<Tensor>| result.unwrap_err().to_string();
        let text = "gated forward: expected x with an even last axis, found [2, 3]";
        assert_eq!(message(Gated::glu().forward(&odd)), text);
        assert!(Gated::glu().forward(&device.zeros([]).unwrap()).is_err());
        let x = device.zeros([2, 4]).unwrap();
        let text = "gated backward: expected dy of shape [2, 2], found [2, 4]";
        assert_eq!(message(Gated::glu().backward(&x, &x)), text);
        let y = device.zeros([2, 2]).unwrap();
        assert!(Gated::glu().forward_into(&x, &x).is_err());
        assert!(Gated::glu().backward_into(&x, &y, &y).is_err());
        let other = Device::cpu().zeros([2, 2]).unwrap();
        let error = Gated::glu().backward(&x, &other).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { op: "gated backward", .. }), "{error}");
        let broken = Gated::new(Activation::LeakyRelu { slope: f32::NAN }).unwrap();
        assert_eq!(message(broken.forward(&x)), "slope = NaN: must be finite");
        // The device still works afterwards.
        assert_eq!(Gated::glu().forward(&x).unwrap().to_vec().unwrap(), [0.0; 4]);
    }
}

#[test]
fn inputs_larger_than_a_binding_are_worked_in_windows() {
    let device = narrow();
    for unit in [Gated::glu(), Gated::bilinear().gate_first()] {
        for shape in [vec![3, 200_002], vec![45_001, 14]] {
            let elements: usize = shape.iter().product();
            let x = normal(elements, 2.0, 8);
            check(&device, unit, &shape, &x, &normal(elements / 2, 1.0, 9));
        }
        let error = unit.forward(&device.zeros([2, 300_000]).unwrap()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}

#[test]
fn the_references_gradients_are_slopes() {
    for unit in units() {
        let activation = unit.activation();
        for (value, gate) in [(0.7, -1.3), (-2.0, 0.4), (1.5, 2.2)] {
            // The logit is defined only from 0 to 1.
            if activation == Activation::Logit && gate != 0.4 {
                continue;
            }
            let h = 1e-6;
            let y = |value, gate| reference::gated(&activation, value, gate);
            let (dvalue, dgate) = reference::gated_backward(&activation, value, gate, 3.0);
            let slope = 3.0 * (y(value + h, gate) - y(value - h, gate)) / (2.0 * h);
            approx::assert_relative_eq!(dvalue, slope, epsilon = 1e-8);
            let slope = 3.0 * (y(value, gate + h) - y(value, gate - h)) / (2.0 * h);
            approx::assert_relative_eq!(dgate, slope, epsilon = 1e-8);
        }
    }
}

#[test]
fn names_are_read_as_they_are_printed() {
    let printed: Vec<String> = Gated::all().map(|unit| unit.to_string()).collect();
    assert_eq!(printed, ["glu", "reglu", "geglu", "swiglu", "bilinear"]);
    assert_eq!(Gated::glu().gate_first().to_string(), "glu(gate=first)");
    let tanh = Gated::new(Activation::Tanh).unwrap();
    assert_eq!(tanh.gate_first().to_string(), "gated(tanh, gate=first)");
    for unit in units() {
        assert_eq!(unit.to_string().parse::<Gated>().unwrap(), unit, "{unit}");
    }
    for (text, unit) in [
        ("GLU", Gated::glu()),
        ("Swi-GLU(gate=first)", Gated::swiglu().gate_first()),
        ("gated(gelu)", Gated::geglu()),
        (" Re-GLU( Gate = First ) ", Gated::reglu().gate_first()),
        ("glu(gate=last)", Gated::glu()),
        ("gated(sigmoid)", Gated::glu()),
        ("Gated(Tanh, gate=last)", tanh),
        (
            "gated(hard_tanh(min=-2, max=3), gate=first)",
            Gated::new(Activation::HardTanh { min: -2.0, max: 3.0 }).unwrap().gate_first(),
        ),
    ] {
        assert_eq!(text.parse::<Gated>().unwrap(), unit, "{text:?}");
    }
    for text in [
        "",
        "gated",
        "gated()",
        "gated(softmax)",
        "gated(tanh",
        "glu(",
        "glu(gate)",
        "glu(gate=middle)",
        "glu(side=first)",
        "gated(tanh, gate=left)",
        "gated(tanh, side=first)",
        "gated(hard_tanh(min=1, max=-1))",
    ] {
        assert!(text.parse::<Gated>().is_err(), "{text:?}");
    }
    let error = "regul".parse::<Gated>().unwrap_err().to_string();
    assert!(error.starts_with("unknown gated unit \"regul\"; the nearest are: reglu"), "{error}");
    let error = Gated::new(Activation::Softmax).unwrap_err().to_string();
    assert!(error.starts_with("a unit gated by softmax is not supported"), "{error}");
}
