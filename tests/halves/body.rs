// Tests of tensors of halves, H: the results are those of f32 on the widened values, rounded.

use common::{EXTREMES, normal, random_labels};
use wgrad::{
    Activation, Adam, DType, Dense, Device, DeviceOptions, Error, Gated, Loss, OutputLayer,
    Outputs, Prelu, Reduction, Rowwise, Sgd, Targets, Tensor, clip_gradient_norm,
    clip_gradient_value, wgpu,
};

fn rounded(values: &[f32]) -> Vec<H> {
    values.iter().map(|&value| H::from_f32(value)).collect()
}

/// The bits, with the same bits for every NaN.
fn bits(values: &[H]) -> Vec<u16> {
    values.iter().map(|value| if value.is_nan() { 0x7e00 } else { value.to_bits() }).collect()
}

fn upload(device: &Device, values: &[f32], shape: &[usize]) -> Tensor {
    device.tensor_of_halves(&rounded(values), shape).unwrap()
}

/// The same values as f32.
fn wide(tensor: &Tensor) -> Tensor {
    tensor.device().tensor(&tensor.to_vec().unwrap(), tensor.shape()).unwrap()
}

/// Asserts that a result is of halves and equals the f32 result, rounded.
#[track_caller]
fn assert_rounded(what: impl std::fmt::Display, found: &Tensor, exact: &Tensor) {
    assert_eq!((found.dtype(), exact.dtype()), (DTYPE, DType::F32), "{what}");
    assert_eq!(found.shape(), exact.shape(), "{what}");
    let (found, exact) = (found.to_halves().unwrap(), exact.to_halves().unwrap());
    assert_eq!(bits(&found), bits(&exact), "{what}: {found:?} instead of {exact:?}");
}

/// Numbers of several sizes, and the extremes.
fn arguments() -> Vec<f32> {
    let mut values = EXTREMES.to_vec();
    values.extend([6e-8, -6e-8, 3e-8, 6.1e-5, -6.0e-5, 65_504.0, -65_504.0, 0.1, -7.0]);
    for (seed, deviation) in [(1, 0.01), (2, 1.0), (3, 5.0), (4, 40.0)] {
        values.extend(normal(202, deviation, seed));
    }
    values
}

/// Every half.
fn all_halves() -> Vec<H> {
    (0..=u16::MAX).map(H::from_bits).collect()
}

/// Every half, every midpoint between two, their neighbours in f32, and numbers beyond halves.
fn awkward() -> Vec<f32> {
    let mut values = vec![65_519.996, 65_520.0, 65_536.0, 1e30, f32::MAX, f32::INFINITY, f32::NAN];
    values.extend([f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)]);
    values.extend([2.98e-8, 2.980_232_2e-8, 2.980_233e-8, 1e-9, 1e-38, 1e-40, 1e-45, 0.0]);
    for half in 0..INFINITE {
        let half = H::from_bits(half);
        let value = half.to_f32();
        let next = H::from_bits(half.to_bits() + 1);
        let next = if next.is_finite() { next.to_f32() } else { BEYOND };
        // Exact in f32: a midpoint has only one bit more.
        let midpoint = value + (next - value) / 2.0;
        if !midpoint.is_finite() {
            continue;
        }
        values.extend([value, value.next_up(), midpoint.next_down(), midpoint, midpoint.next_up()]);
    }
    values.iter().flat_map(|&value| [value, -value]).collect()
}

#[test]
fn products_of_halves_are_right_where_cooperative_matrices_are_allowed() {
    let [rows, inner, columns] = [70, 100, 66];
    for shared in common::adapters() {
        let options = DeviceOptions::from(shared.info()).cooperative_matrices(true);
        let device = pollster::block_on(Device::request(options)).unwrap();
        let x = upload(&device, &normal(rows * inner, 1.0, 1), &[rows, inner]);
        let w = upload(&device, &normal(inner * columns, 1.0, 2), &[inner, columns]);
        let forward = Dense::new(Activation::Identity).forward(&x, &w, None).unwrap();
        let [x, w, y] = [&x, &w, &forward.y].map(|tensor| tensor.to_vec().unwrap());
        for (i, &found) in y.iter().enumerate() {
            let (row, column) = (i / columns, i % columns);
            let terms = (0..inner)
                .map(|j| f64::from(x[row * inner + j]) * f64::from(w[j * columns + column]));
            let (exact, size) =
                terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            // The error of the sum, and of rounding it.
            let most = 5e-7 * size + exact.abs() * f64::from(H::EPSILON.to_f32()) / 2.0;
            let off = (f64::from(found) - exact).abs();
            assert!(off <= most, "{found} instead of {exact} on {device:?}");
        }
    }
}

on_every_device! {
    fn every_half_is_widened_exactly_and_narrowed_to_itself(device) {
        let halves = all_halves();
        let tensor = device.tensor_of_halves(&halves, [256, 256]).unwrap();
        let exact: Vec<u32> = halves.iter().map(|half| half.to_f32().to_bits()).collect();
        let widened = tensor.to_dtype(DType::F32).unwrap();
        let found = [widened.to_vec(), tensor.to_vec(), pollster::block_on(tensor.read())];
        for found in found {
            for ((half, exact), found) in halves.iter().zip(&exact).zip(found.unwrap()) {
                let same = found.to_bits() == *exact || (half.is_nan() && found.is_nan());
                assert!(same, "{:x} is {found} on {device:?}", half.to_bits());
            }
        }
        let again = widened.to_dtype(DTYPE).unwrap();
        assert_eq!(bits(&again.to_halves().unwrap()), bits(&halves));
        assert_eq!(bits(&tensor.to_halves().unwrap()), bits(&halves));
    }

    fn numbers_are_rounded_to_the_nearest_half_and_ties_to_even(device) {
        let values = awkward();
        let exact = rounded(&values);
        let tensor = device.tensor(&values, [values.len()]).unwrap();
        let narrowed = tensor.to_dtype(DTYPE).unwrap().to_halves().unwrap();
        for ((value, exact), found) in values.iter().zip(&exact).zip(&narrowed) {
            let found = bits(&[*found]);
            assert_eq!(found, bits(&[*exact]), "{value:e} becomes {found:x?} on {device:?}");
        }
        let written = device.zeros_of(DTYPE, [values.len()]).unwrap();
        written.write(&values).unwrap();
        assert_eq!(bits(&written.to_halves().unwrap()), bits(&exact));
        assert_eq!(bits(&tensor.to_halves().unwrap()), bits(&exact));
    }

    fn tensors_of_halves_are_made_read_and_written(device) {
        for length in [0, 1, 2, 3, 5, 8, 9, 40_001] {
            let values = rounded(&normal(length, 1.0, 1));
            let tensor = device.tensor_of_halves(&values, [length]).unwrap();
            assert_eq!((tensor.dtype(), tensor.len()), (DTYPE, length));
            assert_eq!(tensor.to_halves().unwrap(), values);
            let zeros = device.zeros_of(DTYPE, [length]).unwrap();
            assert_eq!(zeros.to_vec().unwrap(), vec![0.0; length]);
            zeros.write_halves(&values).unwrap();
            assert_eq!(zeros.to_halves().unwrap(), values);
            let wide = device.zeros([length]).unwrap();
            wide.write_halves(&values).unwrap();
            assert_eq!(wide.to_halves().unwrap(), values);
            assert_eq!(tensor.reshape([length, 1]).unwrap().dtype(), DTYPE);
            let error = tensor.write_halves(&vec![H::ONE; length + 1]).unwrap_err();
            assert!(matches!(error, Error::ShapeMismatch { op: WRITE, .. }));
            assert!(device.tensor_of_halves(&values, [length + 1]).is_err());
        }
        let one = device.tensor_of_halves(&[H::from_f32(0.1)], []).unwrap();
        assert_eq!(one.item().unwrap(), H::from_f32(0.1).to_f32());
        assert_eq!(one.to_dtype(DType::F32).unwrap().item().unwrap(), H::from_f32(0.1).to_f32());
        assert!(device.zeros_of(DTYPE, [1 << 40, 1 << 40]).is_err());
    }

    fn pointwise_functions_are_those_of_f32_rounded(device) {
        let z = upload(device, &arguments(), &[arguments().len()]);
        let dy = upload(device, &normal(z.len(), 1.0, 9), &[z.len()]);
        let (wide_z, wide_dy) = (wide(&z), wide(&dy));
        for g in Activation::all().filter(|activation| !activation.is_rowwise()) {
            let what = |name: &str| format!("{g} {name} on {device:?}");
            let y = g.forward(&z).unwrap();
            assert_rounded(what("forward"), &y, &g.forward(&wide_z).unwrap());
            let d = g.derivative(&z).unwrap();
            assert_rounded(what("derivative"), &d, &g.derivative(&wide_z).unwrap());
            let d = g.second_derivative(&z).unwrap();
            assert_rounded(what("second derivative"), &d, &g.second_derivative(&wide_z).unwrap());
            let dz = g.backward(&z, &dy).unwrap();
            assert_rounded(what("backward"), &dz, &g.backward(&wide_z, &wide_dy).unwrap());
            if g.has_derivative_from_output() {
                let wide_y = wide(&y);
                let d = g.derivative_from_output(&y).unwrap();
                let exact = g.derivative_from_output(&wide_y).unwrap();
                assert_rounded(what("derivative from output"), &d, &exact);
                let dz = g.backward_from_output(&y, &dy).unwrap();
                let exact = g.backward_from_output(&wide_y, &wide_dy).unwrap();
                assert_rounded(what("backward from output"), &dz, &exact);
            }
        }
    }

    fn every_length_is_covered_and_types_may_be_mixed(device) {
        for length in [0, 1, 2, 3, 4, 5, 7, 8, 1023, 1025, 16_385, 40_003] {
            let z = upload(device, &normal(length, 2.0, 5), &[length]);
            let dy = upload(device, &normal(length, 2.0, 6), &[length]);
            let (wide_z, wide_dy) = (wide(&z), wide(&dy));
            let g = Activation::Tanh;
            let (y, exact) = (g.forward(&z).unwrap(), g.forward(&wide_z).unwrap());
            assert_rounded(length, &y, &exact);
            // The type of the output determines the rounding.
            let found = device.zeros([length]).unwrap();
            g.forward_into(&z, &found).unwrap();
            assert_eq!(found.to_vec().unwrap(), exact.to_vec().unwrap());
            let found = device.zeros_of(DTYPE, [length]).unwrap();
            g.forward_into(&wide_z, &found).unwrap();
            assert_rounded(length, &found, &exact);

            let exact = g.backward(&wide_z, &wide_dy).unwrap();
            assert_rounded(length, &g.backward(&z, &dy).unwrap(), &exact);
            assert_rounded(length, &g.backward(&z, &wide_dy).unwrap(), &exact);
            let found = g.backward(&wide_z, &dy).unwrap();
            assert_eq!(found.to_vec().unwrap(), exact.to_vec().unwrap());
            g.backward_into(&z, &dy, &found).unwrap();
            assert_eq!(found.to_vec().unwrap(), exact.to_vec().unwrap());
            // In place.
            g.backward_into(&z, &dy, &dy).unwrap();
            assert_rounded(length, &dy, &exact);
            g.forward_into(&z, &z).unwrap();
            assert_rounded(length, &z, &g.forward(&wide_z).unwrap());
        }
    }

    fn rows_are_those_of_f32_rounded(device) {
        let long = [[40, 1000], [3, 20_004]];
        for shape in [[3, 8], [2, 64], [5, 7], [3, 1], [2, 1026], [0, 4], [7, 12]].into_iter().chain(long) {
            let count: usize = shape.iter().product();
            let mut values = normal(count, 3.0, 7);
            if let Some(value) = values.get_mut(1) {
                *value = f32::NEG_INFINITY;
            }
            let (z, v) = (upload(device, &values, &shape), upload(device, &normal(count, 1.0, 8), &shape));
            let (wide_z, wide_v) = (wide(&z), wide(&v));
            let mask: Vec<f32> = (0..shape[1]).map(|i| f32::from(u8::from(i % 3 != 1))).collect();
            let mask = upload(device, &mask, &shape[1..]);
            for g in Activation::all().filter(Activation::is_rowwise) {
                let what = |name: &str| format!("{g} {name} of {shape:?} on {device:?}");
                let plain = Rowwise::new(g).unwrap();
                let masked = plain.clone().temperature(1.7).mask(&mask);
                let exact_masked = plain.clone().temperature(1.7).mask(&wide(&mask));
                let across = plain.clone().axis(0);
                for (rows, exact) in [(&plain, &plain), (&masked, &exact_masked), (&across, &across)] {
                    let y = rows.forward(&z).unwrap();
                    assert_rounded(what("forward"), &y, &exact.forward(&wide_z).unwrap());
                    let found = rows.backward(&z, &v).unwrap();
                    assert_rounded(what("backward"), &found, &exact.backward(&wide_z, &wide_v).unwrap());
                    let found = rows.jvp(&z, &v).unwrap();
                    assert_rounded(what("jvp"), &found, &exact.jvp(&wide_z, &wide_v).unwrap());
                    let found = rows.backward_from_output(&y, &v).unwrap();
                    let exact_dz = exact.backward_from_output(&wide(&y), &wide_v).unwrap();
                    assert_rounded(what("backward from output"), &found, &exact_dz);
                    if count < 200 {
                        let found = rows.jacobian(&z).unwrap();
                        assert_rounded(what("jacobian"), &found, &exact.jacobian(&wide_z).unwrap());
                    }
                    let place = z.to_dtype(DType::F32).unwrap().to_dtype(DTYPE).unwrap();
                    rows.forward_into(&place, &place).unwrap();
                    assert_rounded(what("forward in place"), &place, &exact.forward(&wide_z).unwrap());
                }
                let into = device.zeros(shape).unwrap();
                plain.forward_into(&z, &into).unwrap();
                let exact = plain.forward(&wide_z).unwrap();
                assert_eq!(into.to_halves().unwrap().len(), count);
                assert_eq!(
                    bits(&into.to_halves().unwrap()), bits(&exact.to_halves().unwrap()),
                );
            }
        }
    }

    fn gated_units_and_prelu_are_those_of_f32_rounded(device) {
        let x = upload(device, &normal(5 * 14, 2.0, 1), &[5, 14]);
        let dy = upload(device, &normal(5 * 7, 1.0, 2), &[5, 7]);
        let (wide_x, wide_dy) = (wide(&x), wide(&dy));
        for unit in Gated::all() {
            let y = unit.forward(&x).unwrap();
            assert_rounded(unit, &y, &unit.forward(&wide_x).unwrap());
            let dx = unit.backward(&x, &dy).unwrap();
            assert_rounded(unit, &dx, &unit.backward(&wide_x, &wide_dy).unwrap());
            unit.backward_into(&x, &wide_dy, &dx).unwrap();
            assert_rounded(unit, &dx, &unit.backward(&wide_x, &wide_dy).unwrap());
        }
        let weight = upload(device, &normal(14, 0.5, 3), &[14]);
        let dy = upload(device, &normal(5 * 14, 1.0, 4), &[5, 14]);
        let wide_weight = wide(&weight);
        let prelu = Prelu::new();
        let y = prelu.forward(&x, &weight).unwrap();
        assert_rounded("prelu", &y, &prelu.forward(&wide_x, &wide_weight).unwrap());
        let found = prelu.backward(&x, &weight, &dy).unwrap();
        let exact = prelu.backward(&wide_x, &wide_weight, &wide(&dy)).unwrap();
        assert_rounded("dz", &found.dz, &exact.dz);
        assert_rounded("dweight", &found.dweight, &exact.dweight);
        let found = prelu.backward(&x, &wide_weight, &dy).unwrap();
        assert_rounded("dz", &found.dz, &exact.dz);
        assert_eq!(found.dweight.to_vec().unwrap(), exact.dweight.to_vec().unwrap());
    }

    fn losses_are_f32_and_their_gradients_rounded(device) {
        let shape = [6, 5];
        let y = upload(device, &normal(30, 1.0, 1).iter().map(|v| 0.02 + v.abs() / 8.0).collect::<Vec<_>>(), &shape);
        let t = upload(device, &normal(30, 1.0, 2).iter().map(|v| v.abs() / 8.0).collect::<Vec<_>>(), &shape);
        let rows = upload(device, &[1.0, 2.0, 0.5, 0.0, 1.0, 3.0], &[6]);
        let (wide_y, wide_t, wide_rows) = (wide(&y), wide(&t), wide(&rows));
        let labels = device.labels(&random_labels(6, 5, 3)).unwrap();
        for loss in Loss::all() {
            let mut targets = [Targets::from(&t).weights(&rows), Targets::from(&wide_t).weights(&wide_rows)];
            if loss.name() == "gaussian_nll" {
                targets = [targets[0].clone().variance(&y), targets[1].clone().variance(&wide_y)];
            }
            if loss.name() == "nll" || loss.name() == "multi_margin" {
                targets = [Targets::from(&labels).weights(&rows), Targets::from(&labels).weights(&wide_rows)];
            }
            for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
                let what = format!("{loss}, {reduction} on {device:?}");
                let found = loss.forward(&y, &targets[0], reduction).unwrap();
                let exact = loss.forward(&wide_y, &targets[1], reduction).unwrap();
                assert_eq!(found.dtype(), DType::F32);
                assert_eq!(found.to_vec().unwrap(), exact.to_vec().unwrap(), "{what}");
                let found = loss.gradient(&y, &targets[0], reduction).unwrap();
                let exact = loss.gradient(&wide_y, &targets[1], reduction).unwrap();
                assert_rounded(what, &found, &exact);
            }
        }
        // The host knows the values that it wrote.
        let outside = upload(device, &[0.5, 1.5], &[1, 2]);
        let two = upload(device, &[0.5, 0.5], &[1, 2]);
        let error = Loss::bce().forward(&two, &outside, Reduction::Mean).unwrap_err();
        assert!(matches!(error, Error::InvalidTarget { column: 1, value: 1.5, .. }), "{error}");
    }

    fn output_layers_are_those_of_f32_rounded(device) {
        let (batch, inputs, outputs) = (9, 11, 6);
        let x = upload(device, &normal(batch * inputs, 1.0, 1), &[batch, inputs]);
        let w = upload(device, &normal(inputs * outputs, 0.3, 2), &[inputs, outputs]);
        let b = upload(device, &normal(outputs, 1.0, 3), &[outputs]);
        let labels = device.labels(&random_labels(batch, outputs, 4)).unwrap();
        let dense = upload(device, &vec![0.25; batch * outputs], &[batch, outputs]);
        let wide_dense = wide(&dense);
        let [wide_x, wide_w, wide_b] = [&x, &w, &b].map(wide);
        let layers = [
            (Activation::Softmax, Loss::cross_entropy()),
            (Activation::Sigmoid, Loss::bce()),
            (Activation::Gelu, Loss::mse()),
            (Activation::Softmax, Loss::mse()),
        ];
        for (activation, loss) in layers {
            let layer = OutputLayer::new(activation, loss);
            let what = |part: &str| format!("{part} of {layer:?} on {device:?}");
            let y = layer.forward(&x, &w, Some(&b)).unwrap();
            assert_rounded(what("y"), &y, &layer.forward(&wide_x, &wide_w, Some(&wide_b)).unwrap());
            let targets = match loss.name() {
                "cross_entropy" => [Targets::from(&labels), Targets::from(&labels)],
                _ => [Targets::from(&dense), Targets::from(&wide_dense)],
            };
            let [half_targets, targets] = &targets;
            let found = layer.gradients(&x, &w, Some(&b), half_targets).unwrap();
            let exact = layer.gradients(&wide_x, &wide_w, Some(&wide_b), targets).unwrap();
            assert_eq!(found.loss.dtype(), DType::F32);
            assert_eq!(found.loss.item().unwrap(), exact.loss.item().unwrap());
            let both = [
                ("y", &found.y, &exact.y),
                ("dz", &found.dz, &exact.dz),
                ("dw", &found.dw, &exact.dw),
                ("db", &found.db, &exact.db),
                ("dx", &found.dx, &exact.dx),
            ];
            for (part, found, exact) in both {
                assert_rounded(what(part), found, exact);
            }
            // Each gradient has the type of its operand.
            let mixed = layer.gradients(&x, &wide_w, Some(&wide_b), half_targets).unwrap();
            assert_rounded(what("dx"), &mixed.dx, &exact.dx);
            assert_eq!(mixed.dw.to_vec().unwrap(), exact.dw.to_vec().unwrap());
            assert_eq!((mixed.db.dtype(), mixed.y.dtype()), (DType::F32, DTYPE));

            let before = [wide(&found.dw), wide(&found.db)].map(|sum| sum.to_vec().unwrap());
            let sums = layer.accumulate_gradients(&x, &w, Some(&b), half_targets, &found).unwrap();
            for (sum, kept, before, exact) in [
                (&sums.dw, &found.dw, &before[0], &exact.dw),
                (&sums.db, &found.db, &before[1], &exact.db),
            ] {
                let exact = exact.to_vec().unwrap();
                let exact: Vec<f32> = exact.iter().zip(before).map(|(a, b)| a + b).collect();
                assert_eq!(kept.to_vec().unwrap(), sum.to_vec().unwrap());
                for (found, exact) in sum.to_vec().unwrap().iter().zip(&exact) {
                    assert!((found - exact).abs() <= H::EPSILON.to_f32() * exact.abs() + 1e-6);
                }
            }
        }
    }

    fn products_read_halves_however_they_lie(device) {
        for ([batch, inputs, outputs], transposed) in
            [([64, 96, 80], false), ([64, 96, 80], true), ([33, 101, 83], false), ([33, 101, 83], true)]
        {
            let shape = if transposed { [outputs, inputs] } else { [inputs, outputs] };
            let x = upload(device, &normal(batch * inputs, 1.0, 1), &[batch, inputs]);
            let w = upload(device, &normal(inputs * outputs, 0.1, 2), &shape);
            let labels = device.labels(&random_labels(batch, outputs, 4)).unwrap();
            let (wide_x, wide_w) = (wide(&x), wide(&w));
            let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
                .transposed_weights(transposed);
            let tiled = layer.outputs(Outputs::LOSS | Outputs::DW | Outputs::DX).tile_bytes(8 << 10);
            for layer in [layer, tiled] {
                let found = layer.gradients(&x, &w, None, &labels).unwrap();
                let exact = layer.gradients(&wide_x, &wide_w, None, &labels).unwrap();
                let what = format!("{layer:?} of {batch}, {inputs}, {outputs} on {device:?}");
                assert_eq!(found.loss.item().unwrap(), exact.loss.item().unwrap(), "{what}");
                assert_rounded(&what, &found.dw, &exact.dw);
                assert_rounded(&what, &found.dx, &exact.dx);
            }
        }
    }

    fn plans_take_halves(device) {
        let x = upload(device, &normal(6 * 5, 1.0, 1), &[6, 5]);
        let w = upload(device, &normal(5 * 3, 1.0, 2), &[5, 3]);
        let targets = upload(device, &[0.25; 18], &[6, 3]);
        let layer = OutputLayer::new(Activation::Sigmoid, Loss::bce());
        let plan = device.record(|| layer.gradients(&x, &w, None, &targets)).unwrap();
        for seed in 3..6 {
            x.write(&normal(6 * 5, 1.0, seed)).unwrap();
            targets.write_halves(&[H::from_f32(0.125 * seed as f32); 18]).unwrap();
            plan.run().unwrap();
            let found = plan.outputs();
            let exact = layer.gradients(&wide(&x), &wide(&w), None, &wide(&targets)).unwrap();
            assert_eq!(found.loss.item().unwrap(), exact.loss.item().unwrap());
            assert_rounded("dw", &found.dw, &exact.dw);
            assert_rounded("dx", &found.dx, &exact.dx);
        }
        targets.write(&[1.5; 18]).unwrap();
        assert!(matches!(plan.run(), Err(Error::InvalidTarget { value: 1.5, .. })));
    }

    fn dense_layers_are_those_of_f32_rounded(device) {
        let (batch, inputs, outputs) = (9, 11, 6);
        let x = upload(device, &normal(batch * inputs, 1.0, 1), &[batch, inputs]);
        let w = upload(device, &normal(inputs * outputs, 0.3, 2), &[inputs, outputs]);
        let b = upload(device, &normal(outputs, 1.0, 3), &[outputs]);
        let dy = upload(device, &normal(batch * outputs, 1.0, 4), &[batch, outputs]);
        let [wide_x, wide_w, wide_b, wide_dy] = [&x, &w, &b, &dy].map(wide);
        for activation in [Activation::Relu, Activation::Tanh, Activation::Identity, Activation::Softmax, Activation::Gelu] {
            let layer = Dense::new(activation);
            let forward = layer.forward(&x, &w, Some(&b)).unwrap();
            let exact = layer.forward(&wide_x, &wide_w, Some(&wide_b)).unwrap();
            assert_rounded(activation, &forward.y, &exact.y);
            // The values from which the derivative is computed are not rounded to halves.
            let found = layer.backward(&x, &w, &forward, &dy).unwrap();
            let exact = layer.backward(&wide_x, &wide_w, &exact, &wide_dy).unwrap();
            assert_rounded(activation, &found.dx, &exact.dx);
            assert_rounded(activation, &found.dw, &exact.dw);
            assert_rounded(activation, &found.db, &exact.db);
            let before = found.dw.to_vec().unwrap();
            let sum = layer.accumulate_backward(&x, &w, &forward, &dy, &found).unwrap();
            assert_rounded(activation, &sum.dx, &exact.dx);
            for (sum, one) in sum.dw.to_vec().unwrap().iter().zip(&before) {
                assert!((sum - 2.0 * one).abs() <= 2e-3 * one.abs() + 1e-6);
            }
        }
    }

    fn optimizers_without_master_weights_round_after_each_step(device) {
        for length in [1, 6, 1027] {
            let w = upload(device, &normal(length, 1.0, 1), &[length]);
            let dw = upload(device, &normal(length, 1.0, 2), &[length]);
            let mut exact = wide(&w);
            let wide_dw = wide(&dw);
            let new = || Sgd::new(0.1).momentum(0.9).master_weights(false);
            let (mut sgd, mut exact_sgd) = (new(), new());
            for _ in 0..3 {
                sgd.step(&[(&w, &dw)]).unwrap();
                exact_sgd.step(&[(&exact, &wide_dw)]).unwrap();
                assert_rounded("sgd", &w, &exact);
                exact.write(&w.to_vec().unwrap()).unwrap();
            }
            exact = wide(&w);
            Adam::new(0.1).step(&[(&w, &wide_dw)]).unwrap();
            Adam::new(0.1).step(&[(&exact, &wide_dw)]).unwrap();
            assert_rounded("adam", &w, &exact);

            let norm = clip_gradient_norm(&[&dw, &wide_dw], 0.5).unwrap();
            assert_eq!(norm.dtype(), DType::F32);
            assert_rounded("clip", &dw, &wide_dw);
            clip_gradient_value(&[&dw, &wide_dw], 1e-3).unwrap();
            assert_rounded("clip", &dw, &wide_dw);
        }
    }
}

fn adopt(device: &Device, bytes: &[u8]) -> wgpu::Buffer {
    let (gpu, queue) = device.wgpu().unwrap();
    let buffer = gpu.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes.len() as u64,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    queue.write_buffer(&buffer, 0, bytes);
    buffer
}

#[test]
fn buffers_of_the_callers_hold_packed_halves_and_are_not_written_beyond_them() {
    for device in common::adapters() {
        for length in [1, 2, 3, 4, 5, 7, 8, 15] {
            let values = rounded(&normal(16, 1.0, 1));
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let buffer = adopt(device, &bytes);
            let tensor = device.tensor_from_buffer_of(DTYPE, buffer.clone(), [length]).unwrap();
            assert_eq!(tensor.to_halves().unwrap(), values[..length]);
            let whole = device.tensor_from_buffer_of(DTYPE, buffer, [16]).unwrap();
            Activation::Sigmoid.forward_into(&tensor, &tensor).unwrap();
            let exact = device.tensor_of_halves(&values, [16]).unwrap();
            let exact = Activation::Sigmoid.forward(&exact).unwrap().to_halves().unwrap();
            let found = whole.to_halves().unwrap();
            assert_eq!(found[length..], values[length..], "{length}");
            assert_eq!(found[..length], exact[..length], "{length}");
            tensor.write_halves(&values[..length]).unwrap();
            assert_eq!(whole.to_halves().unwrap(), values, "{length}");
            Activation::Softmax.forward_into(&tensor, &tensor).unwrap();
            assert_eq!(whole.to_halves().unwrap()[length..], values[length..], "{length}");
        }
        let error = device.tensor_from_buffer_of(DTYPE, adopt(device, &[0; 4]), [3]);
        assert!(matches!(error, Err(Error::ShapeMismatch { .. })));
    }
}

#[test]
fn work_in_windows_covers_all_halves() {
    let device = common::narrow();
    let length = (1 << 20) + 12_345;
    let z = upload(&device, &normal(length, 2.0, 1), &[length]);
    let exact = Activation::Tanh.forward(&wide(&z)).unwrap();
    assert_rounded("windows", &Activation::Tanh.forward(&z).unwrap(), &exact);
    let z = upload(&device, &normal(1100 * 1004, 2.0, 1), &[1100, 1004]);
    let exact = Activation::Softmax.forward(&wide(&z)).unwrap();
    assert_rounded("rows", &Activation::Softmax.forward(&z).unwrap(), &exact);
}

#[test]
fn large_matrices_of_halves_are_multiplied_piece_by_piece() {
    // More than 2^19 elements, split along each of the three dimensions.
    let device = common::cpu();
    for [batch, inputs, outputs] in [[5, 700, 760], [760, 700, 5], [3, 200_000, 3], [3, 3, 200_000]]
    {
        let x = upload(device, &normal(batch * inputs, 1.0, 1), &[batch, inputs]);
        let deviation = 1.0 / (inputs as f32).sqrt();
        let w = upload(device, &normal(inputs * outputs, deviation, 2), &[inputs, outputs]);
        let swapped = upload(device, &normal(inputs * outputs, deviation, 3), &[outputs, inputs]);
        let b = device.tensor(&normal(outputs, 1.0, 4), [outputs]).unwrap();
        let dy = device.tensor(&normal(batch * outputs, 1.0, 5), [batch, outputs]).unwrap();
        for (w, transposed) in [(&w, false), (&swapped, true)] {
            let layer = Dense::new(Activation::Tanh).transposed_weights(transposed);
            let (wide_x, wide_w) = (wide(&x), wide(w));
            let near = |part: &str, found: &Tensor, exact: &Tensor| {
                let (found, exact) = (found.to_vec().unwrap(), exact.to_vec().unwrap());
                let size = exact.iter().fold(0.0f32, |size, value| size.max(value.abs()));
                for (found, exact) in found.iter().zip(&exact) {
                    let what = format!("{part} of {batch}, {inputs}, {outputs}, {transposed}");
                    assert!((found - exact).abs() <= 1.1 * H::EPSILON.to_f32() * size, "{what}: {found} for {exact}");
                }
            };
            let forward = layer.forward(&x, w, Some(&b)).unwrap();
            let exact_forward = layer.forward(&wide_x, &wide_w, Some(&b)).unwrap();
            near("y", &forward.y, &exact_forward.y);
            let found = layer.backward(&x, w, &forward, &dy).unwrap();
            let exact = layer.backward(&wide_x, &wide_w, &exact_forward, &dy).unwrap();
            near("dx", &found.dx, &exact.dx);
            near("dw", &found.dw, &exact.dw);
            let found = layer.accumulate_backward(&x, w, &forward, &dy, &found).unwrap();
            let exact = layer.accumulate_backward(&wide_x, &wide_w, &exact_forward, &dy, &exact);
            near("the sum of dw", &found.dw, &exact.unwrap().dw);
        }
    }
}

#[test]
fn halves_take_half_the_memory() {
    let device = Device::cpu();
    let before = device.memory().tensors.current_bytes;
    let _tensor = device.tensor_of_halves(&vec![H::ONE; 1 << 20], [1 << 20]).unwrap();
    assert_eq!(device.memory().tensors.current_bytes - before, 2 << 20);
}
