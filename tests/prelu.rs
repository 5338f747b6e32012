//! Prelu with a learned weight against the f64 reference.

mod common;

use common::{EXTREMES, Within, assert_all, narrow, normal, wide};
use wgrad::{Activation, Device, Error, Prelu, Tensor, reference};

/// Slopes of both signs, small and large.
fn weights(count: usize) -> Vec<f32> {
    let weights = normal(count, 0.5, count as u64 + 3);
    weights.into_iter().enumerate().map(|(i, w)| if i % 7 == 3 { 0.0 } else { w }).collect()
}

/// The channel of an element.
fn channel(shape: &[usize], axis: usize, channels: usize, index: usize) -> usize {
    if channels == 1 {
        return 0;
    }
    let inner: usize = shape[axis + 1..].iter().product();
    index / inner % channels
}

/// Checks both passes, with the channels along the axis; a single weight is shared by all elements.
fn check(device: &Device, shape: &[usize], axis: usize, z: &[f32], weight: &[f32], dy: &[f32]) {
    let what = format!("prelu {shape:?} axis {axis}, {} weights on {device:?}", weight.len());
    let upload = |values| device.tensor(values, shape).unwrap();
    let (z_tensor, dy_tensor) = (upload(z), upload(dy));
    let weight_tensor = device.tensor(weight, [weight.len()]).unwrap();
    let prelu = Prelu::new().axis(axis as isize);
    let slope = |i: usize| f64::from(weight[channel(shape, axis, weight.len(), i)]);

    let y = prelu.forward(&z_tensor, &weight_tensor).unwrap();
    assert_eq!(y.shape().to_vec(), shape);
    let exact: Vec<f64> =
        wide(z).iter().enumerate().map(|(i, &z)| reference::prelu(z, slope(i))).collect();
    assert_all(&what, &y.to_vec().unwrap(), &exact, Within::Ulps(0.5));

    let gradients = prelu.backward(&z_tensor, &weight_tensor, &dy_tensor).unwrap();
    let terms: Vec<(f64, f64)> = wide(z)
        .iter()
        .zip(&wide(dy))
        .enumerate()
        .map(|(i, (&z, &dy))| reference::prelu_backward(z, slope(i), dy))
        .collect();
    let exact: Vec<f64> = terms.iter().map(|term| term.0).collect();
    assert_eq!(gradients.dz.shape().to_vec(), shape);
    assert_all(format!("{what}, dz"), &gradients.dz.to_vec().unwrap(), &exact, Within::Ulps(0.5));

    let mut sums = vec![0.0; weight.len()];
    let mut magnitudes = vec![0.0; weight.len()];
    for (i, term) in terms.iter().enumerate() {
        let channel = channel(shape, axis, weight.len(), i);
        sums[channel] += term.1;
        magnitudes[channel] += term.1.abs();
    }
    assert_eq!(gradients.dweight.shape(), [weight.len()]);
    let found = gradients.dweight.to_vec().unwrap();
    for (i, &found) in found.iter().enumerate() {
        // The terms cancel: the error is relative to their magnitudes.
        let within = Within::Approx { relative: 1e-6, absolute: 1e-6 * magnitudes[i] };
        assert_all(format!("{what}, dweight[{i}]"), &[found], &sums[i..=i], within);
    }
}

fn check_ordinary(device: &Device, shape: &[usize], axis: usize, shared: bool) {
    let elements: usize = shape.iter().product();
    let (z, dy) = (normal(elements, 1.0, 5), normal(elements, 1.0, 6));
    let count = if shared { 1 } else { shape[axis] };
    check(device, shape, axis, &z, &weights(count), &dy);
}

on_every_device! {
    fn a_shared_weight(device) {
        for shape in [vec![1], vec![5], vec![3, 7], vec![2, 3, 5], vec![4096], vec![4097], vec![3, 12_289], vec![300_001]] {
            check_ordinary(device, &shape, 0, true);
        }
    }

    fn a_weight_for_each_channel_of_any_axis(device) {
        let shapes: [&[usize]; 8] = [
            &[6], &[3, 5], &[1, 2], &[64, 33], &[2, 3, 5], &[4, 10, 3, 7], &[2, 2, 4096], &[3, 2, 4097],
        ];
        for shape in shapes {
            for axis in (0..shape.len()).filter(|&axis| shape[axis] > 1) {
                check_ordinary(device, shape, axis, false);
            }
        }
    }

    fn large_inputs_of_each_kind(device) {
        check_ordinary(device, &[20_001, 17], 1, false);
        check_ordinary(device, &[2, 3, 70_001], 1, false);
        check_ordinary(device, &[33, 16, 21, 23], 1, false);
    }

    fn kinks_and_extremes(device) {
        // dE/dweight is finite if z and dy are.
        let finite: Vec<f32> = EXTREMES.iter().copied().filter(|z| z.abs() < 1e5).collect();
        check(device, &[finite.len()], 0, &finite, &[0.25], &vec![1.0; finite.len()]);
        for weight in [0.25, 0.0, -1.0, 1.0] {
            let count = EXTREMES.len();
            let z = device.tensor(&EXTREMES, [count]).unwrap();
            let weight_tensor = device.tensor(&[weight], []).unwrap();
            let dy = device.tensor(&vec![-1.5; count], [count]).unwrap();
            let y = Prelu::new().forward(&z, &weight_tensor).unwrap().to_vec().unwrap();
            let exact: Vec<f64> =
                wide(&EXTREMES).iter().map(|&z| reference::prelu(z, weight.into())).collect();
            assert_all(format!("weight {weight} on {device:?}"), &y, &exact, Within::Ulps(0.5));
            // The same as the activation with this weight.
            let activation = Activation::Prelu { weight };
            let same = activation.forward(&z).unwrap().to_vec().unwrap();
            assert_all("the activation", &y, &wide(&same), Within::Ulps(0.0));
            let gradients = Prelu::new().backward(&z, &weight_tensor, &dy).unwrap();
            let dz = activation.backward(&z, &dy).unwrap().to_vec().unwrap();
            assert_all("its backward", &gradients.dz.to_vec().unwrap(), &wide(&dz), Within::Ulps(0.0));
            assert_eq!(gradients.dweight.shape(), [0usize; 0]);
            // EXTREMES contains a NaN.
            assert!(gradients.dweight.item().unwrap().is_nan());
        }
        let zeros = device.tensor(&[0.0, -0.0], [1, 2]).unwrap();
        let weight = device.tensor(&[0.5, -2.0], [2]).unwrap();
        let one = device.tensor(&[1.0, 1.0], [1, 2]).unwrap();
        let gradients = Prelu::new().backward(&zeros, &weight, &one).unwrap();
        assert_eq!(gradients.dz.to_vec().unwrap(), [0.5, -2.0]);
        assert_eq!(gradients.dweight.to_vec().unwrap(), [0.0, 0.0]);
    }

    fn nan_in_is_nan_out(device) {
        let nan = f32::NAN;
        // Channel 0 has a NaN in z, 1 in dy, 2 in the weight, 3 none.
        let z = device.tensor(&[nan, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0], [2, 4]).unwrap();
        let weight = device.tensor(&[0.5, 0.5, nan, 0.5], [4]).unwrap();
        let dy = device.tensor(&[1.0, nan, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [2, 4]).unwrap();
        let is_nan = |tensor: &Tensor| tensor.to_vec().unwrap().iter().map(|v| u8::from(v.is_nan())).collect::<Vec<_>>();
        let y = Prelu::new().forward(&z, &weight).unwrap();
        assert_eq!(is_nan(&y), [1, 0, 1, 0, 0, 0, 1, 0]);
        let gradients = Prelu::new().backward(&z, &weight, &dy).unwrap();
        assert_eq!(is_nan(&gradients.dz), [1, 1, 1, 0, 0, 0, 1, 0]);
        // dE/dweight does not depend on the weight.
        assert_eq!(is_nan(&gradients.dweight), [1, 1, 0, 0]);
    }

    fn into_forms_are_the_same_also_in_place(device) {
        let shape = [7, 5, 3];
        let upload = |seed| device.tensor(&normal(105, 1.0, seed), shape).unwrap();
        let weight = device.tensor(&weights(5), [5]).unwrap();
        let (z, dy) = (upload(1), upload(2));
        let y = Prelu::new().forward(&z, &weight).unwrap().to_vec().unwrap();
        let expected = Prelu::new().backward(&z, &weight, &dy).unwrap();
        let values = [expected.dz.to_vec().unwrap(), expected.dweight.to_vec().unwrap()];
        // Into the results of an earlier call, and into the inputs.
        let again = Prelu::new().backward(&dy, &weight, &z).unwrap();
        Prelu::new().backward_into(&z, &weight, &dy, &again).unwrap();
        assert_eq!([again.dz.to_vec().unwrap(), again.dweight.to_vec().unwrap()], values);
        let mut in_place = Prelu::new().backward(&z, &weight, &dy).unwrap();
        (in_place.dz, in_place.dweight) = (dy.clone(), weight.clone());
        Prelu::new().backward_into(&z, &weight, &dy, &in_place).unwrap();
        assert_eq!([dy.to_vec().unwrap(), weight.to_vec().unwrap()], values);
        let weight = device.tensor(&weights(5), [5]).unwrap();
        Prelu::new().forward_into(&z, &weight, &z).unwrap();
        assert_eq!(z.to_vec().unwrap(), y);
    }

    fn the_same_input_gives_the_same_bits(device) {
        let z = device.tensor(&normal(60_000, 1.0, 5), [30, 4, 500]).unwrap();
        let weight = device.tensor(&weights(4), [4]).unwrap();
        let gradient = || Prelu::new().backward(&z, &weight, &z).unwrap().dweight.to_vec().unwrap();
        let first = gradient();
        for _ in 0..3 {
            assert_eq!(gradient(), first);
        }
    }

    fn empty_inputs_have_no_gradient(device) {
        for (shape, axis, channels) in [(vec![0], 0, 1), (vec![0, 3], 1, 3), (vec![4, 0], 1, 0), (vec![2, 3, 0], 1, 3)] {
            let z = device.tensor(&[], &shape).unwrap();
            let weight = device.tensor(&weights(channels), [channels]).unwrap();
            let prelu = Prelu::new().axis(axis);
            assert!(prelu.forward(&z, &weight).unwrap().to_vec().unwrap().is_empty());
            let gradients = prelu.backward(&z, &weight, &z).unwrap();
            assert!(gradients.dz.to_vec().unwrap().is_empty());
            assert_eq!(gradients.dweight.to_vec().unwrap(), vec![0.0; channels]);
        }
        // So that something is dispatched, which every test here must do.
        Prelu::new().forward(&device.zeros([1]).unwrap(), &device.zeros([1]).unwrap()).unwrap();
    }

    fn errors_say_what_does_not_fit(device) {
        let z = device.zeros([2, 3, 4]).unwrap();
        let message = |result: wgrad::Result<Tensor>| result.unwrap_err().to_string();
        for shape in [vec![2], vec![4], vec![3, 1], vec![0]] {
            let text = message(Prelu::new().forward(&z, &device.zeros(&shape).unwrap()));
            let expected = "prelu forward: expected a weight of 1 element, or of shape [3] for axis 1 of z [2, 3, 4]";
            assert_eq!(text, format!("{expected}, found {shape:?}"));
        }
        let weight = device.zeros([3]).unwrap();
        let text = message(Prelu::new().axis(-4).forward(&z, &weight));
        assert_eq!(text, "axis = -4: must be from -3 to 2 for the shape [2, 3, 4]");
        // With a single axis, the channels can only lie along it.
        assert!(Prelu::new().forward(&device.zeros([3]).unwrap(), &weight).is_err());
        Prelu::new().axis(-1).forward(&device.zeros([3]).unwrap(), &weight).unwrap();
        let narrow = device.zeros([2, 3]).unwrap();
        assert!(Prelu::new().backward(&z, &weight, &narrow).is_err());
        assert!(Prelu::new().forward_into(&z, &weight, &narrow).is_err());
        let gradients = Prelu::new().backward(&narrow, &weight, &narrow).unwrap();
        let error = Prelu::new().backward_into(&z, &weight, &z, &gradients).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { op: "prelu backward", .. }), "{error}");
        let other = Device::cpu().zeros([3]).unwrap();
        let error = Prelu::new().forward(&z, &other).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { op: "prelu forward", .. }), "{error}");
    }
}

#[test]
fn inputs_larger_than_a_binding_are_worked_in_windows() {
    let device = narrow();
    check_ordinary(&device, &[300_001], 0, true);
    check_ordinary(&device, &[5, 11, 10_007], 1, false);
    check_ordinary(&device, &[100_001, 7], 1, false);
    let z = device.zeros([2, 2, 300_000]).unwrap();
    let error = Prelu::new().forward(&z, &device.zeros([2]).unwrap()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    Prelu::new().forward(&z, &device.zeros([1]).unwrap()).unwrap();
    let wide = device.zeros([1, 300_000]).unwrap();
    let error = Prelu::new().forward(&wide, &device.zeros([300_000]).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("a row of a weight needs 1200000 bytes"), "{error}");
}

#[test]
fn the_references_gradients_are_slopes() {
    for (z, weight) in [(-1.5, 0.3), (2.0, 0.3), (-0.2, -1.0), (0.7, 0.0)] {
        let h = 1e-6;
        let (dz, dweight) = reference::prelu_backward(z, weight, 2.0);
        let y = reference::prelu;
        let slope = 2.0 * (y(z + h, weight) - y(z - h, weight)) / (2.0 * h);
        approx::assert_relative_eq!(dz, slope, epsilon = 1e-8);
        let slope = 2.0 * (y(z, weight + h) - y(z, weight - h)) / (2.0 * h);
        approx::assert_relative_eq!(dweight, slope, epsilon = 1e-8);
    }
    assert_eq!(reference::prelu_backward(0.0, 0.25, 1.0), (0.25, 0.0));
}
