//! Activations of host slices.

mod common;

use common::normal;
use wgrad::{Activation, Error};

on_every_device! {
    fn slices_have_the_values_of_tensors(device) {
        // More than two chunks of a GPU, more than one of the CPU, and less.
        let longest = if device.info().kind.is_gpu() { (2 << 22) + 77 } else { (3 << 16) + 5 };
        for length in [0, 1, 1000, (1 << 16) + 1, longest] {
            let (z, dy) = (normal(length.min(4096), 2.0, 1), normal(length.min(4096), 1.0, 2));
            let repeated = |values: &[f32]| -> Vec<f32> {
                values.iter().copied().cycle().take(length).collect()
            };
            let (z, dy) = (repeated(&z), repeated(&dy));
            let activation = Activation::Silu;
            let tensor = |values: &[f32]| device.tensor(values, [length]).unwrap();
            let mut output = vec![9.0; length];
            let mut steps = vec![0];
            activation.forward_slice_with(device, &z, &mut output, |done| steps.push(done)).unwrap();
            assert!(output == activation.forward(&tensor(&z)).unwrap().to_vec().unwrap(), "{length}");
            assert!(steps.is_sorted() && *steps.last().unwrap() == length, "{steps:?}");
            activation.derivative_slice(device, &z, &mut output).unwrap();
            assert!(output == activation.derivative(&tensor(&z)).unwrap().to_vec().unwrap(), "{length}");
            activation.backward_slice(device, &z, &dy, &mut output).unwrap();
            let expected = activation.backward(&tensor(&z), &tensor(&dy)).unwrap().to_vec().unwrap();
            assert!(output == expected, "{length}");
        }
    }

    fn what_does_not_fit_is_an_error(device) {
        let mut output = [7.0; 3];
        let relu = Activation::Relu;
        for error in [
            relu.forward_slice(device, &[1.0; 2], &mut output),
            relu.backward_slice(device, &[1.0; 3], &[1.0; 4], &mut output),
        ] {
            assert!(matches!(error, Err(Error::ShapeMismatch { .. })), "{error:?}");
        }
        let rows = Activation::Softmax.forward_slice(device, &[1.0; 3], &mut output);
        assert!(matches!(rows, Err(Error::Unsupported { .. })), "{rows:?}");
        let broken = Activation::LeakyRelu { slope: f32::NAN };
        assert!(broken.forward_slice(device, &[1.0; 3], &mut output).is_err());
        let recorded = device.record(|| {
            let mut output = [0.0; 3];
            relu.forward_slice(device, &[1.0; 3], &mut output)
        });
        assert!(matches!(recorded, Err(Error::Unsupported { .. })));
        assert_eq!(output, [7.0; 3]);
        relu.forward_slice(device, &[-1.0, 2.0, f32::NAN], &mut output).unwrap();
        assert!(output[..2] == [0.0, 2.0] && output[2].is_nan());
    }
}
