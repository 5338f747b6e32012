//! Row-wise activations along any axis, with temperatures and masks, against the f64 reference.

mod common;

use common::{EXTREMES, Within, assert_all, narrow, normal, wide};
use wgrad::reference::Row;
use wgrad::{Activation, Device, Error, Rowwise, Tensor};

const ROWWISE: [Activation; 4] =
    [Activation::Softmax, Activation::LogSoftmax, Activation::Softmin, Activation::Sparsemax];

/// A function and its arguments.
struct Case {
    activation: Activation,
    shape: Vec<usize>,
    axis: isize,
    temperature: f32,
    /// The shape, which is the last axes of the tensor's, and the values.
    mask: Option<(Vec<usize>, Vec<f32>)>,
    z: Vec<f32>,
}

impl Case {
    fn new(activation: Activation, shape: &[usize], axis: isize) -> Self {
        let elements: usize = shape.iter().product();
        let z = normal(elements, 2.0, elements as u64 + 5);
        Self { activation, shape: shape.to_vec(), axis, temperature: 1.0, mask: None, z }
    }

    /// Excludes about a third of the elements.
    fn masked(self, axes: usize) -> Self {
        let shape = self.shape[self.shape.len() - axes..].to_vec();
        let values = normal(shape.iter().product(), 1.0, 99);
        let mask = values.into_iter().map(|v| f32::from(u8::from(v >= -0.4))).collect();
        Self { mask: Some((shape, mask)), ..self }
    }

    fn what(&self, device: &Device) -> String {
        let Self { activation, shape, axis, temperature, mask, .. } = self;
        let mask = mask.as_ref().map(|(shape, _)| shape);
        format!("{activation} {shape:?} axis {axis} T {temperature} mask {mask:?} on {device:?}")
    }

    fn rowwise(&self, device: &Device) -> Rowwise {
        let rowwise = Rowwise::new(self.activation).unwrap().axis(self.axis);
        let rowwise = rowwise.temperature(self.temperature);
        match &self.mask {
            Some((shape, mask)) => rowwise.mask(&device.tensor(mask, shape).unwrap()),
            None => rowwise,
        }
    }

    /// The indices of each row's elements.
    fn rows(&self) -> Vec<Vec<usize>> {
        let axis = self.axis.rem_euclid(self.shape.len() as isize) as usize;
        let width = self.shape[axis];
        let inner: usize = self.shape[axis + 1..].iter().product();
        let outer: usize = self.shape[..axis].iter().product();
        let row = |o, n| (0..width).map(|i| (o * width + i) * inner + n).collect();
        (0..outer).flat_map(|o| (0..inner).map(move |n| (o, n))).map(|(o, n)| row(o, n)).collect()
    }

    /// The reference's result for a row, given the mask of its elements.
    fn oracle(&self, row: &[usize], run: impl FnOnce(&Row<'_>, &[f64]) -> Vec<f64>) -> Vec<f64> {
        let keeps = |&i: &usize| match &self.mask {
            Some((_, mask)) => mask[i % mask.len()] != 0.0,
            None => true,
        };
        let mask: Vec<bool> = row.iter().map(keeps).collect();
        let reference = Row::new(self.activation).temperature(self.temperature.into()).mask(&mask);
        run(&reference, &pick(&self.z, row))
    }

    /// The oracle's rows, combined into a tensor of z's shape.
    fn exact(&self, run: impl Fn(&Row<'_>, &[f64], &[usize]) -> Vec<f64>) -> Vec<f64> {
        let mut exact = vec![f64::NAN; self.z.len()];
        for row in self.rows() {
            let values = self.oracle(&row, |reference, z| run(reference, z, &row));
            row.iter().zip(values).for_each(|(&i, value)| exact[i] = value);
        }
        exact
    }

    /// The error that y may have.
    fn within(&self) -> Within {
        match self.activation {
            // In units in the last place of 1: near the kink, there is no bound on the relative error.
            Activation::Sparsemax => {
                Within::Approx { relative: 0.0, absolute: 2.0 / f64::from(1 << 24) }
            }
            _ => Within::Ulps(4.0),
        }
    }

    /// Checks the values and the products.
    fn check_values(&self, device: &Device) {
        let what = self.what(device);
        let rowwise = self.rowwise(device);
        let z = device.tensor(&self.z, &self.shape).unwrap();
        let y = rowwise.forward(&z).unwrap();
        let exact = self.exact(|row, z, _| row.forward(z));
        assert_eq!(y.shape().to_vec(), self.shape);
        assert_all(&what, &y.to_vec().unwrap(), &exact, self.within());

        let vector = normal(self.z.len(), 1.0, 17);
        let v = device.tensor(&vector, &self.shape).unwrap();
        // The products cancel: the error is relative to their operands.
        let longest = self.rows().iter().map(Vec::len).max().unwrap_or(0) as f64;
        let sum = if self.activation == Activation::LogSoftmax { longest.max(4.0) } else { 4.0 };
        let absolute = 5e-7 * sum / f64::from(self.temperature);
        let cancelling = Within::Approx { relative: 1e-5, absolute };
        let exact = self.exact(|row, z, i| row.backward(z, &pick(&vector, i)));
        let found = [
            ("backward", rowwise.backward(&z, &v)),
            ("vjp", rowwise.vjp(&z, &v)),
            ("backward_from_output", rowwise.backward_from_output(&y, &v)),
        ];
        for (name, dz) in found {
            let dz = dz.unwrap().to_vec().unwrap();
            assert_all(format!("{name} of {what}"), &dz, &exact, cancelling);
        }
        let exact = self.exact(|row, z, i| row.jvp(z, &pick(&vector, i)));
        let dy = rowwise.jvp(&z, &v).unwrap().to_vec().unwrap();
        assert_all(format!("jvp of {what}"), &dy, &exact, cancelling);
    }

    /// Checks everything.
    fn check(&self, device: &Device) {
        self.check_values(device);
        let what = self.what(device);
        let z = device.tensor(&self.z, &self.shape).unwrap();
        let jacobian = self.rowwise(device).jacobian(&z).unwrap();
        let axis = self.axis.rem_euclid(self.shape.len() as isize) as usize;
        let mut shape = self.shape.clone();
        let width = shape.remove(axis);
        shape.extend([width, width]);
        assert_eq!(jacobian.shape().to_vec(), shape);
        let exact: Vec<f64> = self
            .rows()
            .iter()
            .flat_map(|row| self.oracle(row, |reference, z| reference.jacobian(z)))
            .collect();
        let absolute = 2e-7 / f64::from(self.temperature);
        let within = Within::Approx { relative: 2e-5, absolute };
        assert_all(format!("jacobian of {what}"), &jacobian.to_vec().unwrap(), &exact, within);
    }
}

fn pick(values: &[f32], row: &[usize]) -> Vec<f64> {
    row.iter().map(|&i| values[i].into()).collect()
}

on_every_device! {
    fn every_axis_of_every_shape(device) {
        let shapes: [&[usize]; 9] = [
            &[1], &[7], &[3, 5], &[4, 1], &[2, 3, 4], &[3, 17, 2], &[1, 9, 65], &[33, 4, 3], &[2, 2, 3, 5],
        ];
        for activation in ROWWISE {
            for shape in shapes {
                for axis in -(shape.len() as isize)..shape.len() as isize {
                    Case::new(activation, shape, axis).check(device);
                }
            }
        }
    }

    fn long_rows_along_an_outer_axis(device) {
        for activation in ROWWISE {
            for (shape, axis) in [([1, 300, 70], 1), ([2, 257, 33], -2), ([600, 3, 1], 0), ([40, 5, 31], 0)] {
                Case::new(activation, &shape, axis).check(device);
            }
        }
    }

    fn temperatures(device) {
        for activation in ROWWISE {
            for temperature in [0.5, 0.1, 0.07, 1.000_000_1, 3.0, 1e3] {
                for (shape, axis) in [([3, 20, 4], 1), ([5, 2, 33], 2), ([2, 1, 200], -1)] {
                    Case { temperature, ..Case::new(activation, &shape, axis) }.check(device);
                }
            }
        }
    }

    fn masks_of_the_whole_shape_and_of_its_last_axes(device) {
        for activation in ROWWISE {
            for axis in 0..3 {
                for axes in 0..=3 {
                    Case::new(activation, &[4, 6, 9], axis).masked(axes).check(device);
                }
            }
            let case = Case::new(activation, &[3, 130], 1).masked(1);
            Case { temperature: 0.3, ..case }.check(device);
        }
    }

    fn results_are_the_reference_to_four_units_in_the_last_place(device) {
        for activation in ROWWISE {
            for temperature in [1.0, 0.3, 1.7, 20.0, 1e-3, 1e6] {
                for (width, deviation) in [(2, 1.0), (10, 8.0), (31, 20.0), (100, 3.0), (128, 8.0), (257, 0.1), (1000, 5.0), (1024, 1.0), (1024, 20.0)] {
                    // The differences divided by T are about as large as the deviation.
                    let z = normal(40 * width, deviation * temperature, width as u64);
                    let case = Case::new(activation, &[40, width], 1);
                    let case = Case { temperature, z, ..case };
                    let z = device.tensor(&case.z, &case.shape).unwrap();
                    let y = case.rowwise(device).forward(&z).unwrap().to_vec().unwrap();
                    let exact = case.exact(|row, z, _| row.forward(z));
                    assert_all(case.what(device), &y, &exact, case.within());
                    if activation == Activation::LogSoftmax {
                        continue;
                    }
                    for row in y.chunks(width) {
                        let sum: f64 = wide(row).iter().sum();
                        assert!((sum - 1.0).abs() < 1e-6, "{}: {sum}", case.what(device));
                    }
                }
            }
        }
    }

    fn any_finite_input_is_stable_at_any_temperature(device) {
        for width in [EXTREMES.len(), 45, 300] {
            let finite = || EXTREMES.iter().copied().filter(|z| z.is_finite()).cycle().take(width);
            let z = [
                finite().collect(),
                finite().map(|z| z.clamp(-1e4, 1e4)).collect(),
                finite().map(|z| z.clamp(-1.0, 1.0)).collect(),
                vec![1e4; width],
                vec![f32::MIN; width],
                vec![f32::MAX; width],
            ]
            .concat();
            for activation in ROWWISE {
                for temperature in [1e-30, 1e-10, 0.9, 1.0, 1.5, 7e4, 1e30] {
                    let case = Case::new(activation, &[6, width], 1);
                    let case = Case { temperature, z: z.clone(), ..case };
                    let z = device.tensor(&case.z, &case.shape).unwrap();
                    let y = case.rowwise(device).forward(&z).unwrap().to_vec().unwrap();
                    let exact = case.exact(|row, z, _| row.forward(z));
                    assert_all(case.what(device), &y, &exact, case.within());
                }
            }
        }
    }

    fn excluded_elements_count_for_nothing_whatever_they_are(device) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let values = [1.0, nan, 2.0, inf, 0.5, -inf];
        // Not known to the host, because the buffer may be written to by others.
        let mask = device.tensor(&[1.0, 0.0, -1e-45, -0.0, nan, 0.0], [6]).unwrap();
        let mask = match mask.buffer() {
            Some(_) => mask,
            None => Activation::Identity.forward(&mask).unwrap(),
        };
        let z = device.tensor(&values, [6]).unwrap();
        let dy = device.tensor(&[1.0, nan, -2.0, inf, 0.5, -inf], [6]).unwrap();
        for activation in ROWWISE {
            let masked = Rowwise::new(activation).unwrap().mask(&mask);
            // The same for the three elements that are left.
            let alone = Rowwise::new(activation).unwrap();
            let three = device.tensor(&[1.0, 2.0, 0.5], [3]).unwrap();
            let upstream = device.tensor(&[1.0, -2.0, 0.5], [3]).unwrap();
            let outside = if activation == Activation::LogSoftmax { -inf } else { 0.0 };
            let pairs: [(Tensor, Tensor, f32); 3] = [
                (masked.forward(&z).unwrap(), alone.forward(&three).unwrap(), outside),
                (masked.backward(&z, &dy).unwrap(), alone.backward(&three, &upstream).unwrap(), 0.0),
                (masked.jvp(&z, &dy).unwrap(), alone.jvp(&three, &upstream).unwrap(), 0.0),
            ];
            for (found, kept, outside) in pairs {
                let (found, kept) = (found.to_vec().unwrap(), kept.to_vec().unwrap());
                let what = format!("{activation} on {device:?}");
                let within = Within::Approx { relative: 1e-6, absolute: 1e-7 };
                assert_all(&what, &[found[0], found[2], found[4]], &wide(&kept), within);
                assert_eq!([found[1], found[3], found[5]], [outside; 3], "{what}");
            }
            let jacobian = masked.jacobian(&z).unwrap().to_vec().unwrap();
            let counts = |i: usize| i.is_multiple_of(2);
            for (at, value) in jacobian.iter().enumerate() {
                let zero = !(counts(at / 6) && counts(at % 6));
                assert!(if zero { *value == 0.0 } else { value.is_finite() }, "{at}: {value}");
            }
        }
    }

    fn rows_without_a_value_are_nan_and_leave_the_others_alone(device) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        // Rows that begin with these, or end with them.
        let rows = [[1.0, nan, 2.0], [inf, 0.0, 1.0], [-inf, -inf, -inf], [-inf, 0.5, 0.25]];
        let fillers = [0.125, 0.125, -inf, 0.125];
        for (activation, width) in ROWWISE.into_iter().flat_map(|a| [(a, 3), (a, 45), (a, 300)]) {
            let sign = if activation == Activation::Softmin { -1.0 } else { 1.0 };
            for at in [0, width - 3] {
                let mut values = fillers.map(|filler| vec![sign * filler; width]);
                for (values, row) in values.iter_mut().zip(rows) {
                    values[at..at + 3].copy_from_slice(&row.map(|z| sign * z));
                }
                let z = device.tensor(&values.concat(), [4, width]).unwrap();
                let rowwise = Rowwise::new(activation).unwrap();
                let y = rowwise.forward(&z).unwrap().to_vec().unwrap();
                let (undefined, defined) = y.split_at(3 * width);
                assert!(undefined.iter().all(|y| y.is_nan()), "{activation}, {width}: {y:?}");
                assert!(!defined.iter().any(|y| y.is_nan()), "{activation}, {width}: {y:?}");
                let dz = rowwise.backward(&z, &z).unwrap().to_vec().unwrap();
                let undefined = &dz[..3 * width];
                assert!(undefined.iter().all(|dz| dz.is_nan()), "{activation}, {width}: {dz:?}");
            }

            // A NaN in dE/dy or dz makes its whole row NaN.
            let finite = device.tensor(&normal(4 * width, 1.0, 3), [4, width]).unwrap();
            let mut broken = vec![0.5; 4 * width];
            broken[2 * width - 1] = nan;
            let broken = device.tensor(&broken, [4, width]).unwrap();
            let rowwise = Rowwise::new(activation).unwrap();
            for product in [rowwise.backward(&finite, &broken), rowwise.jvp(&finite, &broken)] {
                let product = product.unwrap().to_vec().unwrap();
                for (i, value) in product.iter().enumerate() {
                    assert_eq!(value.is_nan(), i / width == 1, "{activation}: {product:?}");
                }
            }

            // With everything excluded, y is NaN, but still a constant.
            let none = device.zeros([width]).unwrap();
            let masked = rowwise.mask(&none);
            assert!(masked.forward(&finite).unwrap().to_vec().unwrap().iter().all(|y| y.is_nan()));
            let mut derivatives = masked.backward(&finite, &finite).unwrap().to_vec().unwrap();
            derivatives.extend(masked.jacobian(&finite).unwrap().to_vec().unwrap());
            assert!(derivatives.iter().all(|&value| value == 0.0), "{activation}");
        }
    }

    fn sparsemax_of_known_rows(device) {
        let rows: [([f32; 4], [f32; 4]); 6] = [
            ([0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]),
            ([1.0, 0.0, -1.0, -9.0], [1.0, 0.0, 0.0, 0.0]),
            ([0.5, 0.0, -0.25, 0.5], [0.5, 0.0, 0.0, 0.5]),
            ([0.75, 0.5, 0.25, -0.75], [7.0 / 12.0, 4.0 / 12.0, 1.0 / 12.0, 0.0]),
            ([1e4, 1e4, -1e4, 9999.5], [0.5, 0.5, 0.0, 0.0]),
            ([-3e38, 3e38, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]),
        ];
        let z: Vec<f32> = rows.iter().flat_map(|(z, _)| *z).collect();
        let exact: Vec<f32> = rows.iter().flat_map(|(_, y)| *y).collect();
        let z = device.tensor(&z, [6, 4]).unwrap();
        let y = Activation::Sparsemax.forward(&z).unwrap().to_vec().unwrap();
        assert_all("sparsemax", &y, &wide(&exact), Within::Approx { relative: 0.0, absolute: 6e-8 });
    }

    fn sparsemax_settles_whatever_the_row(device) {
        let within = Within::Approx { relative: 0.0, absolute: 2.0 / f64::from(1 << 24) };
        // Finer and finer steps below the greatest: each round of the iteration drops few elements.
        let mut rows: Vec<Vec<f32>> = Vec::new();
        for ratio in [1.02f32, 1.3, 2.0, 3.0, 5.0] {
            let finer: Vec<f32> = (0..5000).map(|i| -0.99 * ratio.powi(-i)).collect();
            rows.push(finer.iter().rev().copied().collect());
            rows.push(finer);
        }
        // Each element just below the threshold of those before it.
        let (mut row, mut sum) = (vec![0.0f64, -0.9], -0.9);
        for k in 2..5000 {
            let next = (sum - 1.0) / f64::from(k) - 1e-9 * 1.5f64.powi(k);
            row.push(next.max(-0.999));
            sum += row[row.len() - 1];
        }
        rows.push(row.iter().map(|&z| z as f32).collect());
        rows.push(vec![0.25; 5000]);
        rows.push((0..5000).map(|i| -(i as f32) * 1e-7).collect());
        rows.push(normal(5000, 1e-4, 8));
        for width in [5000, 4999, 700, 33] {
            let values: Vec<f32> = rows.iter().flat_map(|row| row[..width].to_vec()).collect();
            let case = Case::new(Activation::Sparsemax, &[rows.len(), width], 1);
            let case = Case { z: values, ..case };
            let z = device.tensor(&case.z, &case.shape).unwrap();
            let y = Activation::Sparsemax.forward(&z).unwrap().to_vec().unwrap();
            assert_all(case.what(device), &y, &case.exact(|row, z, _| row.forward(z)), within);
        }
    }

    fn sparsemax_of_a_long_row(device) {
        for deviation in [1e-6, 1.0] {
            let case = Case::new(Activation::Sparsemax, &[1, 240_000], 1);
            let case = Case { z: normal(240_000, deviation, 4), ..case };
            let z = device.tensor(&case.z, &case.shape).unwrap();
            let y = Activation::Sparsemax.forward(&z).unwrap().to_vec().unwrap();
            assert_all(case.what(device), &y, &case.exact(|row, z, _| row.forward(z)), case.within());
        }
    }

    fn into_forms_are_the_same_also_in_place(device) {
        let shape = [4, 6, 5];
        let (values, vector) = (normal(120, 2.0, 5), normal(120, 1.0, 6));
        let upload = |values: &[f32]| device.tensor(values, shape).unwrap();
        let kept = |v: &f32| f32::from(u8::from(*v > 0.0));
        let mask = upload(&normal(120, 1.0, 7).iter().map(kept).collect::<Vec<_>>());
        type Into = fn(&Rowwise, &Tensor, &Tensor, &Tensor) -> wgrad::Result<()>;
        let products: [Into; 3] =
            [Rowwise::backward_into, Rowwise::backward_from_output_into, Rowwise::jvp_into];
        for activation in ROWWISE {
            let rowwise = Rowwise::new(activation).unwrap().axis(1).temperature(0.7).mask(&mask);
            let y = rowwise.forward(&upload(&values)).unwrap().to_vec().unwrap();
            let z = upload(&values);
            rowwise.forward_into(&z, &z).unwrap();
            assert_all("forward in place", &z.to_vec().unwrap(), &wide(&y), Within::Ulps(0.0));
            for product in products {
                let (z, v, out) = (upload(&values), upload(&vector), device.zeros(shape).unwrap());
                product(&rowwise, &z, &v, &out).unwrap();
                let expected = out.to_vec().unwrap();
                product(&rowwise, &z, &v, &v).unwrap();
                assert_eq!(v.to_vec().unwrap(), expected, "{activation} over the vector");
                product(&rowwise, &z, &upload(&vector), &z).unwrap();
                assert_eq!(z.to_vec().unwrap(), expected, "{activation} over z");
            }
            let z = upload(&values);
            let out = device.zeros([4, 5, 6, 6]).unwrap();
            rowwise.jacobian_into(&z, &out).unwrap();
            assert_eq!(out.to_vec().unwrap(), rowwise.jacobian(&z).unwrap().to_vec().unwrap());
            // Into the mask itself.
            let copy = upload(&mask.to_vec().unwrap());
            let rowwise = Rowwise::new(activation).unwrap().axis(1).temperature(0.7).mask(&copy);
            rowwise.forward_into(&z, &copy).unwrap();
            assert_all("forward over the mask", &copy.to_vec().unwrap(), &wide(&y), Within::Ulps(0.0));
        }
    }

    fn the_same_input_gives_the_same_bits(device) {
        let z = device.tensor(&normal(60_000, 0.01, 5), [3, 400, 50]).unwrap();
        for activation in ROWWISE {
            let rowwise = Rowwise::new(activation).unwrap().axis(1).temperature(0.4);
            let first = rowwise.forward(&z).unwrap().to_vec().unwrap();
            let product = rowwise.backward(&z, &z).unwrap().to_vec().unwrap();
            for _ in 0..3 {
                assert_eq!(rowwise.forward(&z).unwrap().to_vec().unwrap(), first);
                assert_eq!(rowwise.backward(&z, &z).unwrap().to_vec().unwrap(), product);
            }
        }
    }

    fn empty_tensors_stay_empty_and_scalars_are_rows_of_one(device) {
        for shape in [vec![0, 4], vec![3, 0], vec![0], vec![2, 0, 3], vec![0, 1 << 40, 1 << 40]] {
            let z = device.tensor(&[], &shape).unwrap();
            for activation in ROWWISE {
                for axis in 0..shape.len() as isize {
                    let rowwise = Rowwise::new(activation).unwrap().axis(axis).mask(&z);
                    assert!(rowwise.forward(&z).unwrap().to_vec().unwrap().is_empty());
                    assert!(rowwise.backward(&z, &z).unwrap().to_vec().unwrap().is_empty());
                    assert!(rowwise.jvp(&z, &z).unwrap().to_vec().unwrap().is_empty());
                }
            }
        }
        let jacobian = Rowwise::new(Activation::Softmax).unwrap().axis(1);
        let empty = jacobian.jacobian(&device.zeros([2, 0, 3]).unwrap()).unwrap();
        assert_eq!((empty.shape(), empty.to_vec().unwrap()), (&[2, 3, 0, 0][..], vec![]));
        let scalar = device.tensor(&[3.0], []).unwrap();
        for axis in [-1, 0] {
            let softmax = Rowwise::new(Activation::Softmax).unwrap().axis(axis);
            assert_eq!(softmax.forward(&scalar).unwrap().to_vec().unwrap(), [1.0]);
            assert_eq!(softmax.jacobian(&scalar).unwrap().shape(), [1, 1]);
        }
    }

    fn a_mask_has_nothing_but_0_and_1(device) {
        let z = device.tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]).unwrap();
        let options = wgrad::DeviceOptions::from(device.info()).checked(true);
        let checked = pollster::block_on(Device::request(options)).unwrap();
        for (bad, place) in [(f32::NEG_INFINITY, 4), (-1e9, 0), (0.5, 2), (2.0, 5), (f32::NAN, 3), (1e-45, 1)] {
            let mut values = [1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
            values[place] = bad;
            let mask = device.tensor(&values, [2, 3]).unwrap();
            let rowwise = |mask: &Tensor| Rowwise::new(Activation::Softmax).unwrap().mask(mask);
            let masked = rowwise(&mask);
            let results = [
                masked.forward(&z),
                masked.backward(&z, &z),
                masked.backward_from_output(&z, &z),
                masked.jvp(&z, &z),
                masked.jacobian(&z),
            ];
            for result in results {
                let error = result.unwrap_err();
                assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
                let text = format!("mask = {bad}: element {place} of the mask must be 1");
                assert!(error.to_string().starts_with(&text), "{error}");
            }
            // If the host does not know the mask, any value other than 0 keeps its element, except on a checked
            // device.
            let made = Activation::Identity.forward(&mask).unwrap();
            rowwise(&made).forward(&z).unwrap();
            let made = Activation::Identity.forward(&checked.tensor(&values, [2, 3]).unwrap()).unwrap();
            let z = checked.tensor(&[1.0; 6], [2, 3]).unwrap();
            assert!(rowwise(&made).forward(&z).is_err());
        }
        let mask = device.tensor(&[1.0, 0.0, 1.0], [3]).unwrap();
        let masked = Rowwise::new(Activation::Softmax).unwrap().mask(&mask);
        let plan = device.record(|| masked.forward(&z)).unwrap();
        mask.write(&[0.0, 1.0, -0.0]).unwrap();
        plan.run().unwrap();
        assert_eq!(plan.outputs().to_vec().unwrap(), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
        mask.write(&[0.0, -1e9, 0.0]).unwrap();
        assert!(plan.run().is_err());
    }

    fn errors_say_what_does_not_fit(device) {
        let z = device.zeros([2, 3]).unwrap();
        let softmax = || Rowwise::new(Activation::Softmax).unwrap();
        let message = |result: wgrad::Result<Tensor>| result.unwrap_err().to_string();
        for (axis, text) in [(2, "axis = 2: must be from -2 to 1 for the shape [2, 3]"), (-3, "axis = -3: must be from -2 to 1 for the shape [2, 3]")] {
            assert_eq!(message(softmax().axis(axis).forward(&z)), text);
            assert_eq!(message(softmax().axis(axis).jacobian(&z)), text);
        }
        assert!(softmax().axis(isize::MIN).forward(&z).is_err());
        assert!(softmax().axis(isize::MAX).jvp(&z, &z).is_err());
        for broken in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-31, 1e31] {
            let text = message(softmax().temperature(broken).backward(&z, &z));
            assert_eq!(text, format!("temperature = {broken}: must be from 1e-30 to 1e30"));
        }
        for shape in [vec![2], vec![3, 2], vec![2, 2], vec![1, 2, 3]] {
            let mask = device.zeros(&shape).unwrap();
            let text = message(softmax().mask(&mask).forward(&z));
            assert_eq!(text, format!("forward: expected a mask of the shape [2, 3] or of its last axes, of which any may be 1, found {shape:?}"));
        }
        let other = Device::cpu().zeros([3]).unwrap();
        let error = softmax().mask(&other).forward(&z).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { op: "forward", .. }), "{error}");
        let narrow = device.zeros([2, 2]).unwrap();
        for result in [softmax().backward(&z, &narrow), softmax().jvp(&z, &narrow), softmax().backward_from_output(&z, &narrow)] {
            assert!(matches!(result.unwrap_err(), Error::ShapeMismatch { .. }));
        }
        assert!(softmax().jacobian_into(&z, &z).is_err());
        let error = Rowwise::new(Activation::Relu).unwrap_err();
        assert!(error.to_string().starts_with("rows of relu is not supported"), "{error}");
        // The device still works afterwards.
        softmax().forward(&z).unwrap();
    }
}

#[test]
fn a_gpu_works_on_tensors_larger_than_a_binding_in_windows() {
    let device = narrow();
    assert_eq!(device.info().max_binding_bytes, 1 << 20);
    for activation in ROWWISE {
        // Several windows of the tensor; several of the Jacobian for one of the tensor.
        for (shape, axis) in
            [([9, 1500, 30], 1), ([5, 25_000, 3], 2), ([95_000, 3, 1], 1), ([40, 33, 11], 1)]
        {
            let case = Case::new(activation, &shape, axis);
            if shape[1] > 1000 {
                case.check_values(&device);
                case.masked(3).check_values(&device);
                Case::new(activation, &shape, axis).masked(2).check_values(&device);
            } else {
                case.check(&device);
                case.masked(3).check(&device);
            }
        }
    }
    // A block that does not fit into a window, and a mask.
    let softmax = Rowwise::new(Activation::Softmax).unwrap();
    let z = device.zeros([2, 1000, 300]).unwrap();
    let mask = device.zeros([1000, 300]).unwrap();
    for (rowwise, what) in [
        (softmax.clone().axis(1), "a row of a tensor needs 1200000 bytes"),
        (softmax.axis(2).mask(&mask), "a mask smaller than its tensor needs 1200000 bytes"),
    ] {
        let error = rowwise.forward(&z).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        assert!(error.to_string().starts_with(what), "{error}");
    }
}

#[test]
fn the_references_derivatives_are_slopes_of_its_values() {
    let z = [0.3, -0.2, 0.9, 0.0, 0.7, 0.65];
    let vector = [1.0, -0.5, 0.25, 2.0, -1.0, 0.75];
    let mask = [true, true, false, true, true, true];
    for activation in ROWWISE {
        for temperature in [0.4, 1.0, 2.5] {
            let row = Row::new(activation).temperature(temperature);
            for row in [row.clone(), row.mask(&mask)] {
                let n = z.len();
                let jacobian = row.jacobian(&z);
                let excluded = |i: usize| row.forward(&z)[i].is_infinite();
                for j in 0..n {
                    let moved = |h: f64| {
                        let mut z = z;
                        z[j] += h;
                        row.forward(&z)
                    };
                    let (up, down) = (moved(1e-6), moved(-1e-6));
                    for i in (0..n).filter(|&i| !excluded(i)) {
                        let slope = (up[i] - down[i]) / 2e-6;
                        approx::assert_relative_eq!(jacobian[i * n + j], slope, epsilon = 1e-8);
                    }
                }
                let (backward, jvp) = (row.backward(&z, &vector), row.jvp(&z, &vector));
                for k in 0..n {
                    let column: f64 = (0..n).map(|i| vector[i] * jacobian[i * n + k]).sum();
                    approx::assert_relative_eq!(backward[k], column, epsilon = 1e-14);
                    let line: f64 = (0..n).map(|j| jacobian[k * n + j] * vector[j]).sum();
                    approx::assert_relative_eq!(jvp[k], line, epsilon = 1e-14);
                }
            }
        }
    }
}

#[test]
fn the_references_sparsemax_is_the_nearest_point_of_the_simplex() {
    let mut random = fastrand::Rng::with_seed(4);
    for size in 1..20 {
        let z: Vec<f64> = (0..size).map(|_| 2.0 * random.f64() - 1.0).collect();
        let y = Row::new(Activation::Sparsemax).forward(&z);
        approx::assert_relative_eq!(y.iter().sum::<f64>(), 1.0, epsilon = 1e-12);
        // What characterises a projection: z − y is τ on the support and at most τ elsewhere.
        let threshold = z.iter().zip(&y).map(|(z, y)| z - y).fold(f64::NEG_INFINITY, f64::max);
        for (z, &y) in z.iter().zip(&y) {
            assert!(y >= 0.0 && z - y <= threshold + 1e-12);
            assert!(y == 0.0 || (z - y - threshold).abs() < 1e-12);
        }
    }
}
