//! Masks in the forms that attention has them, against formulas in f64.

mod common;

use common::{Within, assert_all, normal};
use wgrad::{Activation, DType, Device, EmptyRows, Error, Rowwise, Tensor};

/// A mask as it is given, with its value for each element of the tensor.
struct Given {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Given {
    fn new(shape: &[usize], value: impl FnMut(usize) -> f32) -> Self {
        let values = (0..shape.iter().product()).map(value).collect();
        Self { shape: shape.to_vec(), values }
    }

    fn at(&self, of: &[usize], element: usize) -> f32 {
        let (mut rest, mut place, mut stride) = (element, 0, 1);
        for (back, &length) in of.iter().rev().enumerate() {
            let coordinate = rest % length;
            rest /= length;
            if let Some(&own) = self.shape.iter().rev().nth(back) {
                place += if own == 1 { 0 } else { coordinate * stride };
                stride *= own;
            }
        }
        self.values[place]
    }

    fn on(&self, device: &Device, dtype: DType) -> Tensor {
        device.tensor(&self.values, self.shape.clone()).unwrap().to_dtype(dtype).unwrap()
    }
}

#[derive(Default)]
struct Masks {
    kept: Option<Given>,
    added: Option<Given>,
    causal: bool,
    zeros: bool,
    temperature: Option<f32>,
}

impl Masks {
    fn rowwise(&self, device: &Device, activation: Activation, dtype: DType) -> Rowwise {
        let mut rowwise = Rowwise::new(activation).unwrap().causal(self.causal);
        if let Some(mask) = &self.kept {
            rowwise = rowwise.mask(&mask.on(device, dtype));
        }
        if let Some(mask) = &self.added {
            rowwise = rowwise.additive_mask(&mask.on(device, dtype));
        }
        if self.zeros {
            rowwise = rowwise.empty_rows(EmptyRows::Zeros);
        }
        self.temperature.map_or(rowwise.clone(), |temperature| rowwise.temperature(temperature))
    }

    fn keeps(&self, shape: &[usize], element: usize) -> bool {
        let [rows, width] = shape[shape.len() - 2..] else { unreachable!() };
        let (column, row) = (element % width, element / width % rows);
        self.kept.as_ref().is_none_or(|mask| mask.at(shape, element) != 0.0)
            && self.added.as_ref().is_none_or(|mask| mask.at(shape, element) != f32::NEG_INFINITY)
            && (!self.causal || column <= row)
    }

    /// y and dE/dz of softmax, or of its logarithm, along the last axis.
    fn exact(&self, shape: &[usize], z: &[f32], dy: &[f32], is_log: bool) -> [Vec<f64>; 2] {
        let width = *shape.last().unwrap();
        let temperature = f64::from(self.temperature.unwrap_or(1.0));
        let (mut y, mut dz) = (Vec::new(), Vec::new());
        for start in (0..z.len()).step_by(width) {
            let row = start..start + width;
            let logit = |i: usize| {
                let added = self.added.as_ref().map_or(0.0, |mask| f64::from(mask.at(shape, i)));
                if self.keeps(shape, i) {
                    (f64::from(z[i]) / temperature + added).exp()
                } else {
                    0.0
                }
            };
            let total: f64 = row.clone().map(logit).sum();
            if total == 0.0 {
                let empty = if self.zeros { 0.0 } else { f64::NAN };
                let forward = if is_log && self.zeros { f64::NEG_INFINITY } else { empty };
                y.extend(row.clone().map(|_| forward));
                dz.extend(row.map(|_| 0.0));
                continue;
            }
            let p = |i: usize| logit(i) / total;
            let slope = |i: usize| if self.keeps(shape, i) { f64::from(dy[i]) } else { 0.0 };
            let weighted: f64 = row.clone().map(|i| p(i) * slope(i)).sum();
            let all: f64 = row.clone().map(slope).sum();
            for i in row {
                y.push(if is_log { p(i).ln() } else { p(i) });
                let of_z =
                    if is_log { slope(i) - p(i) * all } else { p(i) * (slope(i) - weighted) };
                dz.push(if self.keeps(shape, i) { of_z / temperature } else { 0.0 });
            }
        }
        [y, dz]
    }
}

fn check(what: &str, device: &Device, shape: &[usize], masks: &Masks) {
    let count = shape.iter().product();
    let (mut z, dy) = (normal(count, 2.0, 1), normal(count, 1.0, 2));
    // What is excluded may be anything.
    for (i, z) in z.iter_mut().enumerate() {
        if !masks.keeps(shape, i) {
            *z = [f32::NAN, f32::INFINITY, 3.0][i % 3];
        }
    }
    for activation in [Activation::Softmax, Activation::LogSoftmax] {
        let is_log = activation == Activation::LogSoftmax;
        let exact = masks.exact(shape, &z, &dy, is_log);
        for dtype in [DType::F32, DType::F16] {
            let rowwise = masks.rowwise(device, activation, dtype);
            let what = format!("{activation} of {shape:?} with {what} of {dtype} on {device:?}");
            let [input, slopes] = [&z, &dy].map(|it| device.tensor(it, shape).unwrap());
            let y = rowwise.forward(&input).unwrap();
            let dz = rowwise.backward(&input, &slopes).unwrap();
            let from_output = rowwise.backward_from_output(&y, &slopes).unwrap();
            let within = Within::Approx { relative: 3e-6, absolute: 1e-6 };
            assert_all(format!("y of {what}"), &y.to_vec().unwrap(), &exact[0], within);
            assert_all(format!("dz of {what}"), &dz.to_vec().unwrap(), &exact[1], within);
            assert_all(
                format!("dz from y of {what}"),
                &from_output.to_vec().unwrap(),
                &exact[1],
                within,
            );
            if !is_log {
                // Softmax has a symmetric Jacobian.
                let jvp = rowwise.jvp(&input, &slopes).unwrap();
                assert_all(format!("jvp of {what}"), &jvp.to_vec().unwrap(), &exact[1], within);
            }
        }
        let halves = device.tensor(&z, shape).unwrap().to_dtype(DType::F16).unwrap();
        let rowwise = masks.rowwise(device, activation, DType::F32);
        let y = rowwise.forward(&halves).unwrap();
        let exact = rowwise.forward(&halves.to_dtype(DType::F32).unwrap()).unwrap();
        let bits = |tensor: &Tensor| -> Vec<u32> {
            tensor
                .to_vec()
                .unwrap()
                .iter()
                .map(|it| if it.is_nan() { 1 } else { it.to_bits() })
                .collect()
        };
        assert_eq!(bits(&y), bits(&exact.to_dtype(DType::F16).unwrap()), "halves, {what}");
    }
}

const ADDED: [f32; 5] = [0.0, f32::NEG_INFINITY, -1.5, 0.0, 2.0];

on_every_device! {
    fn masks_are_repeated_over_any_axes(device) {
        let shape = [2, 3, 4, 5];
        for of in [&[1, 1, 1, 1][..], &[2, 1, 1, 5], &[1, 5], &[5], &[3, 1, 5], &[2, 1, 4, 1], &[1, 1, 4, 5], &[2, 3, 4, 5], &[1, 3, 1, 1]] {
            let kept = || Some(Given::new(of, |i| f32::from(i == 0 || i % 3 != 1)));
            let added = || Some(Given::new(of, |i| ADDED[i % 5]));
            check("a mask", device, &shape, &Masks { kept: kept(), ..Masks::default() });
            check("an additive mask", device, &shape, &Masks { added: added(), ..Masks::default() });
            check("both", device, &shape, &Masks { kept: kept(), added: added(), temperature: Some(0.5), ..Masks::default() });
        }
        let shape = [3, 70];
        check("a row", device, &shape, &Masks { kept: Some(Given::new(&[1, 70], |i| (i % 2) as f32)), ..Masks::default() });
        check("a column", device, &shape, &Masks { added: Some(Given::new(&[3, 1], |i| ADDED[2 * i])), ..Masks::default() });
    }

    fn causal_masks_exclude_what_comes_later(device) {
        for shape in [&[4, 4][..], &[2, 3, 5], &[2, 5, 3], &[2, 2, 3, 3]] {
            check("a causal mask", device, shape, &Masks { causal: true, ..Masks::default() });
            let width = *shape.last().unwrap();
            let kept = Some(Given::new(&[width], |i| f32::from(i != 1)));
            let added = Some(Given::new(&[width], |i| ADDED[i % 5] / 2.0));
            check("three masks", device, shape, &Masks { causal: true, kept, added, zeros: true, temperature: Some(2.0) });
        }
    }

    fn empty_rows_are_nan_or_zeros(device) {
        for shape in [[3, 4], [5, 70]] {
            for zeros in [false, true] {
                let of = [shape[0], 1];
                let kept = || Some(Given::new(&of, |row| (row % 2) as f32));
                check("empty rows", device, &shape, &Masks { kept: kept(), zeros, ..Masks::default() });
                let added = Some(Given::new(&of, |row| if row == 0 { f32::NEG_INFINITY } else { 0.25 }));
                check("added empty rows", device, &shape, &Masks { added, zeros, ..Masks::default() });
                let kept = Some(Given::new(&shape, |i| ((i / shape[1]) % 2) as f32));
                check("a whole mask", device, &shape, &Masks { kept, zeros, ..Masks::default() });
            }
        }
        // Along another axis.
        let z = device.tensor(&normal(24, 1.0, 1), [2, 3, 4]).unwrap();
        let mask = device.tensor(&[1.0, 0.0, 1.0, 0.0], [1, 4]).unwrap();
        let rowwise = Rowwise::new(Activation::Softmax).unwrap().axis(1).mask(&mask).empty_rows(EmptyRows::Zeros);
        let y = rowwise.forward(&z).unwrap().to_vec().unwrap();
        for outer in 0..2 {
            for column in 0..4 {
                let sum: f32 = (0..3).map(|row| y[outer * 12 + row * 4 + column]).sum();
                let exact = if column % 2 == 0 { 1.0 } else { 0.0 };
                assert!((sum - exact).abs() < 1e-6, "{y:?} on {device:?}");
            }
        }
    }

    fn masks_in_plans_are_read_at_each_run(device) {
        let z = device.tensor(&normal(12, 1.0, 1), [3, 4]).unwrap();
        let mask = device.tensor(&[0.0; 4], [1, 4]).unwrap();
        let rowwise = Rowwise::new(Activation::Softmax).unwrap().additive_mask(&mask);
        let plan = device.record(|| rowwise.forward(&z)).unwrap();
        mask.write(&[0.0, f32::NEG_INFINITY, 1.0, 0.0]).unwrap();
        plan.run().unwrap();
        let exact = rowwise.forward(&z).unwrap().to_vec().unwrap();
        assert_eq!(plan.outputs().to_vec().unwrap(), exact);
        assert_eq!(exact[1], 0.0);
        mask.write(&[f32::INFINITY, 0.0, 0.0, 0.0]).unwrap();
        assert!(plan.run().unwrap_err().to_string().contains("additive_mask"));
    }

    fn masks_that_do_not_fit_are_errors(device) {
        let z = device.tensor(&[1.0; 12], [3, 4]).unwrap();
        let softmax = Rowwise::new(Activation::Softmax).unwrap();
        for shape in [&[3][..], &[2, 4], &[4, 3], &[1, 1, 3, 4], &[2, 1]] {
            let mask = device.tensor(&vec![1.0; shape.iter().product()], shape).unwrap();
            for rowwise in [softmax.clone().mask(&mask), softmax.clone().additive_mask(&mask)] {
                let error = rowwise.forward(&z).unwrap_err();
                assert!(matches!(error, Error::ShapeMismatch { .. }), "{shape:?}: {error}");
                rowwise.backward(&z, &z).unwrap_err();
            }
        }
        let infinite = device.tensor(&[0.0, 0.0, f32::INFINITY, 0.0], [4]).unwrap();
        let error = softmax.clone().additive_mask(&infinite).forward(&z).unwrap_err().to_string();
        assert!(error.contains("element 2 of the additive mask must be less than infinity"), "{error}");
        let error = softmax.clone().axis(0).causal(true).forward(&z).unwrap_err().to_string();
        assert!(error.contains("along the last of at least two axes"), "{error}");
        softmax.clone().causal(true).forward(&device.tensor(&[1.0; 4], [4]).unwrap()).unwrap_err();
        let empty = device.zeros([0, 4]).unwrap();
        assert!(softmax.clone().causal(true).forward(&empty).unwrap().is_empty());
        assert!(softmax.causal(true).forward(&z).unwrap().to_vec().unwrap()[1] == 0.0);
    }
}
