//! Tensors and the arrays of `ndarray`.

mod common;

use ndarray::{Array, Array2, ArrayD, Axis, Ix0, Ix1, Ix2, Ix3, IxDyn, s};
use wgrad::{Activation, DType, Error};

on_every_device! {
    fn any_layout_and_rank_is_taken(device) {
        let cube = Array::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32);
        let views = [
            cube.view().into_dyn(),
            cube.t().into_dyn(),
            cube.slice(s![.., 1..;2, ..;-1]).into_dyn(),
            cube.slice(s![1, .., 2]).into_dyn(),
            cube.index_axis(Axis(2), 3).into_dyn(),
            cube.slice(s![.., 0..0, ..]).into_dyn(),
            cube.slice(s![1, 2, 3]).into_dyn(),
            cube.broadcast((5, 2, 3, 4)).unwrap().into_dyn(),
        ];
        for view in views {
            let tensor = device.tensor_from_array(view.clone()).unwrap();
            assert_eq!(tensor.shape(), view.shape());
            let y = Activation::Identity.forward(&tensor).unwrap();
            assert_eq!(y.to_array::<IxDyn>().unwrap(), view);
        }
        // An array itself, by reference.
        let tensor = device.tensor_from_array(&cube).unwrap();
        assert_eq!(tensor.to_array::<Ix3>().unwrap(), cube);
        let half = tensor.to_dtype(DType::F16).unwrap();
        assert_eq!(half.to_array::<Ix3>().unwrap(), cube);
        let dynamic = ArrayD::try_from(&tensor).unwrap();
        assert_eq!(dynamic, cube.clone().into_dyn());
        let rows = Array2::try_from(&tensor.reshape([6, 4]).unwrap()).unwrap();
        assert_eq!(rows[[5, 3]], 123.0);
        assert_eq!(device.tensor(&[3.0], []).unwrap().to_array::<Ix0>().unwrap()[()], 3.0);
        let error = tensor.to_array::<Ix2>().unwrap_err();
        assert_eq!(error.to_string(), "to_array: expected a tensor of 2 axes, found [2, 3, 4]");
        assert!(matches!(tensor.to_array::<Ix1>(), Err(Error::ShapeMismatch { .. })));
    }
}
