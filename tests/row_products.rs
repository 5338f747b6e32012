//! Products with the Jacobians of row-wise activations, for rows in which one output outweighs all others,
//! against sums of differences that do not compute 1 − p from p.

mod common;

use common::{assert_all, normal, wide};
use wgrad::half::f16;
use wgrad::reference::Row;
use wgrad::{Activation, DType, Device, DeviceKind, Rowwise, Tensor};

const ROWWISE: [Activation; 4] =
    [Activation::Softmax, Activation::LogSoftmax, Activation::Softmin, Activation::Sparsemax];

/// The results for one row, each with the sum of the magnitudes of its terms.
#[derive(Default)]
struct Exact {
    backward: Vec<(f64, f64)>,
    jvp: Vec<(f64, f64)>,
    jacobian: Vec<(f64, f64)>,
    /// The largest magnitude of the vector; `of_subnormal` is the same if a probability is subnormal.
    largest: f64,
    of_subnormal: f64,
    /// The magnitudes of the terms of p·(v − Σ p·v) for each element, in rows in which no output outweighs all
    /// others.
    plain: Vec<f64>,
}

impl Exact {
    /// The same, but allowing the errors of that formula in rows for which `plain` is known.
    fn or_plain(mut self, activation: Activation) -> Self {
        // The gradient of log_softmax is always held to the magnitudes of its own terms.
        let backward = (activation != Activation::LogSoftmax).then_some(&mut self.backward);
        for results in backward.into_iter().chain([&mut self.jvp]) {
            results.iter_mut().zip(&self.plain).for_each(|((_, size), plain)| *size += plain);
        }
        self
    }
}

/// The results by their definitions, summed over pairs of elements.
fn exact(activation: Activation, z: &[f64], v: &[f64]) -> Exact {
    let n = z.len();
    let sign = if activation == Activation::Softmin { -1.0 } else { 1.0 };
    let p = match activation {
        Activation::Sparsemax => Row::new(activation).forward(z),
        _ => {
            let z: Vec<f64> = z.iter().map(|z| sign * z).collect();
            let greatest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let e: Vec<f64> = z.iter().map(|z| (z - greatest).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.iter().map(|e| e / sum).collect()
        }
    };
    let others = |i: usize| -> f64 { (0..n).filter(|&j| j != i).map(|j| p[j]).sum() };
    let support = p.iter().filter(|&&p| p > 0.0).count() as f64;
    let add = |terms: &mut dyn Iterator<Item = f64>| {
        terms.fold((0.0, 0.0), |(sum, size): (f64, f64), term| (sum + term, size + term.abs()))
    };
    let mut exact = Exact::default();
    let is_subnormal = |p: &f64| (1e-60..1.2e-38).contains(p);
    exact.largest = v.iter().fold(0.0, |most, v| v.abs().max(most));
    exact.of_subnormal = if p.iter().any(is_subnormal) { exact.largest } else { 0.0 };
    // A projection takes the vector relative to its mean anyway.
    if activation != Activation::Sparsemax && p.iter().all(|&p| p <= 0.5) {
        let sum: f64 = (0..n).map(|j| p[j] * v[j].abs()).sum();
        let weight = |i: usize| if activation == Activation::LogSoftmax { 1.0 } else { p[i] };
        exact.plain = (0..n).map(|i| weight(i) * (v[i].abs() + sum)).collect();
    }
    for i in 0..n {
        let differences =
            |weight: &dyn Fn(usize) -> f64| add(&mut (0..n).map(|j| weight(j) * (v[i] - v[j])));
        let product = match activation {
            Activation::Sparsemax if p[i] > 0.0 => {
                differences(&|j| if p[j] > 0.0 { 1.0 / support } else { 0.0 })
            }
            Activation::Sparsemax => (0.0, 0.0),
            Activation::LogSoftmax => differences(&|j| p[j]),
            _ => differences(&|j| sign * p[i] * p[j]),
        };
        exact.jvp.push(product);
        exact.backward.push(match activation {
            Activation::LogSoftmax => {
                let rest = (0..n).filter(|&j| j != i).map(|j| -p[i] * v[j]);
                add(&mut rest.chain([v[i] * others(i)]))
            }
            _ => product,
        });
        for j in 0..n {
            let value = match (activation, i == j) {
                (Activation::Sparsemax, _) if p[i] == 0.0 || p[j] == 0.0 => 0.0,
                (Activation::Sparsemax, true) => 1.0 - 1.0 / support,
                (Activation::Sparsemax, false) => -1.0 / support,
                (Activation::LogSoftmax, true) => others(i),
                (Activation::LogSoftmax, false) => -p[j],
                (_, true) => sign * p[i] * others(i),
                (_, false) => -sign * p[i] * p[j],
            };
            exact.jacobian.push((value, value.abs()));
        }
    }
    exact
}

/// Logits of which one exceeds the others by the gap.
fn logits(width: usize, gap: f32, place: usize, sign: f32) -> Vec<f32> {
    let mut z = normal(width, 0.25, width as u64);
    z.iter_mut().for_each(|z| *z = z.clamp(-0.5, 0.5));
    z[place] = if gap == 0.0 { z[place] } else { gap + 0.5 };
    z.iter().map(|z| sign * z).collect()
}

/// Vectors to multiply by.
fn vectors(activation: Activation, width: usize, place: usize) -> Vec<Vec<f32>> {
    // The gradients of log_softmax and sparsemax contain the sum of all elements.
    let takes_sum = matches!(activation, Activation::LogSoftmax | Activation::Sparsemax);
    let large = if takes_sum { 3e35 } else { 3e38 };
    let one_at = |at: usize| (0..width).map(|i| if i == at { 1.0 } else { 0.0 }).collect();
    let of = |f: &dyn Fn(usize) -> f32| (0..width).map(f).collect();
    vec![
        one_at(place),
        one_at((place + 1) % width),
        of(&|_| 3.0),
        of(&|i| if i % 2 == 0 { 1.0 } else { -1.0 }),
        of(&|i| 1e4 + i as f32),
        of(&|i| if i % 3 == 0 { large } else { -large }),
        of(&|i| 1e-20 * (i as f32 - 1.5)),
        normal(width, 1.0, 7),
    ]
}

const GAPS: [f32; 13] = [0.0, 0.7, 2.0, 5.0, 8.0, 12.0, 16.0, 17.0, 20.0, 30.0, 50.0, 80.0, 100.0];

/// The largest error of each product, relative to the magnitudes of its terms.
fn largest_errors(device: &Device, activation: Activation, widths: &[usize]) -> [f64; 3] {
    let mut worst = [0.0f64; 3];
    let sign = if activation == Activation::Softmin { -1.0 } else { 1.0 };
    for &width in widths {
        let places = if width == 1 { vec![0] } else { vec![0, width / 2, width - 1] };
        let (mut z, mut v, mut rows) = (vec![], vec![], vec![]);
        for gap in GAPS {
            // The support of sparsemax ends at a gap of 1.
            let gap = if activation == Activation::Sparsemax { gap / 12.0 } else { gap };
            for &place in &places {
                let line = logits(width, gap, place, sign);
                for vector in vectors(activation, width, place) {
                    let row = exact(activation, &wide(&line), &wide(&vector));
                    // GPUs subtract from every row a number near its sum.
                    let is_plain = device.info().kind == DeviceKind::Cpu;
                    rows.push(if is_plain { row.or_plain(activation) } else { row });
                    z.extend_from_slice(&line);
                    v.extend(vector);
                }
            }
        }
        let shape = [rows.len(), width];
        let z = device.tensor(&z, shape).unwrap();
        let v = device.tensor(&v, shape).unwrap();
        let rowwise = Rowwise::new(activation).unwrap();
        let mut judge = |k: usize, found: Tensor, of: &dyn Fn(&Exact) -> &[(f64, f64)]| {
            let with_lost = |row: &Exact| {
                // If all differences are 0, so are their sums, except for the square of the rounding error.
                let lost = row.of_subnormal.max(1.0) * f64::from(f32::MIN_POSITIVE);
                let lost = lost + row.largest * 1e-13;
                of(row).iter().map(|&(exact, size)| (exact, size, lost)).collect::<Vec<_>>()
            };
            let exact = rows.iter().flat_map(with_lost);
            for (found, (exact, size, lost)) in found.to_vec().unwrap().iter().zip(exact) {
                // The error of subnormal numbers is at most the least normal number.
                let error = (f64::from(*found) - exact).abs() - lost;
                let error = if error.is_nan() { f64::INFINITY } else { error };
                if error > 0.0 {
                    worst[k] = worst[k].max(error / size);
                }
            }
        };
        judge(0, rowwise.backward(&z, &v).unwrap(), &|row| &row.backward);
        judge(1, rowwise.jvp(&z, &v).unwrap(), &|row| &row.jvp);
        if width <= 17 {
            judge(2, rowwise.jacobian(&z).unwrap(), &|row| &row.jacobian);
        }
    }
    println!(
        "{activation} on {}: backward, jvp, jacobian {:.1e} {:.1e} {:.1e}",
        device.info(),
        worst[0],
        worst[1],
        worst[2]
    );
    worst
}

on_every_device! {
    fn no_digit_is_lost_where_one_output_outweighs_all_others(device) {
        for activation in ROWWISE {
            let worst = largest_errors(device, activation, &[1, 2, 3, 5, 16, 17, 40, 130, 300]);
            // The logarithm of a probability has an error, by which its exponential is multiplied. The errors
            // of sparsemax's outputs are relative to 1 and do not count here.
            let bound = if activation == Activation::LogSoftmax { 1e-5 } else { 1e-6 };
            assert!(worst.iter().all(|&error| error < bound), "{activation} on {device:?}: {worst:?}");
        }
    }

    fn along_any_axis_with_a_temperature_and_a_mask(device) {
        let (outer, width, inner) = (3, 9, 5);
        let shape = [outer, width, inner];
        let mut z = normal(outer * width * inner, 0.2, 3);
        let place = |o: usize, n: usize| (o * width + (o + n) % width) * inner + n;
        for o in 0..outer {
            for n in 0..inner {
                z[place(o, n)] = 9.0;
            }
        }
        // Every fourth element is masked out, except for the greatest, whatever it holds.
        let mut mask: Vec<f32> = (0..z.len()).map(|i| if i % 4 == 1 { 0.0 } else { 1.0 }).collect();
        (0..outer).for_each(|o| (0..inner).for_each(|n| mask[place(o, n)] = 1.0));
        let v: Vec<f32> = normal(z.len(), 1.0, 4).iter().zip(&mask)
            .map(|(v, mask)| if *mask == 0.0 { f32::INFINITY } else { *v }).collect();
        let upload = |values: &[f32]| device.tensor(values, shape).unwrap();
        for activation in [Activation::Softmax, Activation::LogSoftmax] {
            let rowwise = Rowwise::new(activation).unwrap().axis(1).temperature(0.5).mask(&upload(&mask));
            let found = rowwise.backward(&upload(&z), &upload(&v)).unwrap().to_vec().unwrap();
            let jvp = rowwise.jvp(&upload(&z), &upload(&v)).unwrap().to_vec().unwrap();
            for o in 0..outer {
                for n in 0..inner {
                    let at = |i: usize| (o * width + i) * inner + n;
                    let kept: Vec<usize> = (0..width).map(at).filter(|&i| mask[i] != 0.0).collect();
                    let pick = |values: &[f32], scale: f64| -> Vec<f64> {
                        kept.iter().map(|&i| scale * f64::from(values[i])).collect()
                    };
                    let exact = exact(activation, &pick(&z, 2.0), &pick(&v, 1.0));
                    for (k, &i) in kept.iter().enumerate() {
                        for (found, (exact, size)) in [(found[i], exact.backward[k]), (jvp[i], exact.jvp[k])] {
                            let error = (f64::from(found) - 2.0 * exact).abs();
                            assert!(error <= 1e-5 * size, "{activation}: {found:e}, {exact:e} on {device:?}");
                        }
                    }
                    let excluded = (0..width).map(at).filter(|&i| mask[i] == 0.0);
                    excluded.for_each(|i| assert_eq!((found[i], jvp[i]), (0.0, 0.0)));
                }
            }
        }
    }

    fn the_same_for_halves(device) {
        let half = |values: &[f32]| values.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>();
        let z = device.tensor_f16(&half(&[16.0, 0.0, 16.0, 0.0]), [2, 2]).unwrap();
        let dy = device.tensor_f16(&half(&[1000.0, 0.0, 0.0, 500.0]), [2, 2]).unwrap();
        let p = 1.0 / (1.0 + 16.0f64.exp());
        for (activation, exact) in [
            (Activation::Softmax, [1000.0, -1000.0, -500.0, 500.0].map(|v| v * p * (1.0 - p))),
            (Activation::LogSoftmax, [1000.0 * p, -1000.0 * p, 500.0 * (p - 1.0), 500.0 * (1.0 - p)]),
        ] {
            let dz = activation.backward(&z, &dy).unwrap();
            assert_eq!(dz.dtype(), DType::F16);
            for (found, exact) in dz.to_vec_f16().unwrap().iter().zip(exact) {
                let error = (f64::from(*found) - exact).abs();
                assert!(error <= 1e-3 * exact.abs(), "{activation}: {found:e}, {exact:e} on {device:?}");
            }
        }
    }

    fn rows_do_not_depend_on_those_beside_them(device) {
        for activation in ROWWISE {
            for width in [2, 5, 17, 40, 130, 300] {
                let count = 70;
                let mut z = normal(count * width, 0.25, 5);
                let v = normal(count * width, 1.0, 6);
                let results = |z: &[f32], v: &[f32]| {
                    let upload = |values: &[f32]| device.tensor(values, [values.len() / width, width]).unwrap();
                    let (z, v, rowwise) = (upload(z), upload(v), Rowwise::new(activation).unwrap());
                    [rowwise.backward(&z, &v), rowwise.jvp(&z, &v)].map(|found| found.unwrap().to_vec().unwrap())
                };
                let alone = results(&z, &v);
                // Every third row has an output that outweighs all others.
                let sign = if activation == Activation::Softmin { -1.0 } else { 1.0 };
                (0..count).step_by(3).for_each(|row| z[row * width + row % width] = sign * 20.0);
                for (found, alone) in results(&z, &v).iter().zip(alone) {
                    let rows = found.chunks(width).zip(alone.chunks(width));
                    for (row, (found, alone)) in rows.enumerate().filter(|(row, _)| row % 3 != 0) {
                        let is_same = found.iter().zip(alone).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(is_same, "{activation}, row {row} of {width} on {device:?}");
                    }
                }
            }
        }
    }

    fn a_row_of_two(device) {
        let z = device.tensor(&[20.0, 0.0], [1, 2]).unwrap();
        let dy = device.tensor(&[1.0, 0.0], [1, 2]).unwrap();
        let dz = Activation::Softmax.backward(&z, &dy).unwrap().to_vec().unwrap();
        let p = (-20.0f64).exp() / (1.0 + (-20.0f64).exp()).powi(2);
        assert_all("softmax", &dz, &[p, -p], common::Within::Ulps(4.0));
    }

    fn what_is_infinite_stays_so(device) {
        let inf = f32::INFINITY;
        let y = device.tensor(&[0.75, 0.25, 0.0, 0.75, 0.25, 0.0], [2, 3]).unwrap();
        let dy = device.tensor(&[1.0, inf, 2.0, inf, 1.0, 2.0], [2, 3]).unwrap();
        let dz = Activation::Softmax.backward_from_output(&y, &dy).unwrap().to_vec().unwrap();
        assert_eq!((dz[0], dz[4]), (-inf, -inf), "{dz:?}");
        assert!(dz[1].is_nan() && dz[3].is_nan(), "{dz:?}");
        // Intermediate overflow does not make the result infinite.
        let dy = device.tensor(&[3.4e38, -3.4e38, 0.0, -3.4e38, 3.4e38, 3.4e38], [2, 3]).unwrap();
        let dz = Activation::Softmax.backward_from_output(&y, &dy).unwrap().to_vec().unwrap();
        let exact = [1.275e38, -1.275e38, 0.0, -1.275e38, 1.275e38, 0.0];
        assert_all("large", &dz, &exact, common::Within::Approx { relative: 1e-6, absolute: 0.0 });
    }
}

#[test]
fn the_reference_is_exact_too() {
    for activation in ROWWISE {
        let sign = if activation == Activation::Softmin { -1.0 } else { 1.0 };
        for gap in GAPS {
            let gap = if activation == Activation::Sparsemax { gap / 12.0 } else { gap };
            for width in [1, 2, 7, 40] {
                for place in [0, width - 1] {
                    let z = wide(&logits(width, gap, place, sign));
                    for v in vectors(activation, width, place) {
                        let (v, row) = (wide(&v), Row::new(activation));
                        let exact = exact(activation, &z, &v);
                        let lost = 1e-29 * exact.largest;
                        for (found, exact) in [
                            (row.backward(&z, &v), exact.backward),
                            (row.jvp(&z, &v), exact.jvp),
                            (row.jacobian(&z), exact.jacobian),
                        ] {
                            for (found, (exact, size)) in found.into_iter().zip(exact) {
                                let error = (found - exact).abs();
                                let what =
                                    format!("{activation}, {gap}, {width}: {found:e}, {exact:e}");
                                assert!(error <= 1e-13 * size + lost, "{what}");
                            }
                        }
                    }
                }
            }
        }
    }
}
