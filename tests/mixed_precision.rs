//! Weights of f16 and bf16 that learn, and sums of their gradients.

mod common;

use common::{normal, random_labels};
use wgrad::{
    Activation, Adam, AdamW, DType, Dense, Device, Loss, OutputLayer, Prelu, Reduction, Sgd, Tensor,
};

const HALVES: [DType; 2] = [DType::F16, DType::BF16];

fn upload(device: &Device, dtype: DType, values: &[f32], shape: &[usize]) -> Tensor {
    device.tensor(values, shape).unwrap().to_dtype(dtype).unwrap()
}

/// The distance from 1 to the next number of this type.
fn epsilon(dtype: DType) -> f32 {
    if dtype == DType::F16 { 1.0 / 1024.0 } else { 1.0 / 128.0 }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec().unwrap().iter().map(|value| value.to_bits()).collect()
}

/// That weights of halves hold the rounded numbers of weights of f32.
#[track_caller]
fn assert_rounded(what: &str, found: &Tensor, exact: &Tensor) {
    assert_eq!(bits(found), bits(&exact.to_dtype(found.dtype()).unwrap()), "{what} on {found:?}");
}

on_every_device! {
    fn a_hundred_small_steps_move_a_weight_of_halves(device) {
        for dtype in HALVES {
            for length in [1, 7, 2050] {
                let w = upload(device, dtype, &vec![1.0; length], &[length]);
                let dw = upload(device, dtype, &vec![1.0; length], &[length]);
                let mut adam = Adam::new(1e-4);
                for _ in 0..100 {
                    adam.step(&[(&w, &dw)]).unwrap();
                }
                let found = w.to_vec().unwrap();
                assert!(found.iter().all(|w| (w - 0.99).abs() <= epsilon(dtype) / 2.0), "{found:?}");

                let stuck = upload(device, dtype, &[1.0], &[1]);
                let mut adam = Adam::new(1e-4).master_weights(false);
                for _ in 0..100 {
                    adam.step(&[(&stuck, &dw.rows(..1).unwrap())]).unwrap();
                }
                assert_eq!(stuck.item().unwrap(), 1.0);
            }
        }
    }

    fn steps_of_halves_are_those_of_f32_rounded_once(device) {
        for dtype in HALVES {
            let values = normal(300, 1.0, 1);
            let w = upload(device, dtype, &values, &[300]);
            let dw = upload(device, dtype, &normal(300, 1.0, 2), &[300]);
            let exact_dw = dw.to_dtype(DType::F32).unwrap();
            let again = || w.to_dtype(DType::F32).unwrap();
            let (mut sgd, mut plain, mut adamw) = (Sgd::new(1e-4).momentum(0.9), Sgd::new(1e-4), AdamW::new(1e-4));
            for step in 0..3 {
                let copies = [again(), again(), again()];
                let halves = copies.each_ref().map(|copy| copy.to_dtype(dtype).unwrap());
                let (mut exact_sgd, mut exact_plain, mut exact_adamw) =
                    (Sgd::new(1e-4).momentum(0.9), Sgd::new(1e-4), AdamW::new(1e-4));
                for _ in 0..20 {
                    sgd.step(&[(&halves[0], &dw)]).unwrap();
                    exact_sgd.step(&[(&copies[0], &exact_dw)]).unwrap();
                    plain.step(&[(&halves[1], &exact_dw)]).unwrap();
                    exact_plain.step(&[(&copies[1], &exact_dw)]).unwrap();
                    adamw.step(&[(&halves[2], &dw)]).unwrap();
                    exact_adamw.step(&[(&copies[2], &exact_dw)]).unwrap();
                    for (half, copy) in halves.iter().zip(&copies) {
                        assert_rounded(&format!("step {step}"), half, copy);
                    }
                }
                // What is written meanwhile is what the next step begins with.
                w.write(&normal(300, 1.0, 3 + step)).unwrap();
            }
        }
    }

    fn what_is_written_between_two_steps_counts(device) {
        for dtype in HALVES {
            let w = upload(device, dtype, &[1.0, 1.0, 1.0], &[3]);
            let dw = upload(device, dtype, &[1.0; 3], &[3]);
            let mut sgd = Sgd::new(1e-5);
            sgd.step(&[(&w, &dw)]).unwrap();
            w.write(&[1.0, 2.0, -0.5]).unwrap();
            let mut large = Sgd::new(0.25);
            large.step(&[(&w, &dw)]).unwrap();
            assert_eq!(w.to_vec().unwrap(), [0.75, 1.75, -0.75]);
            // The first one goes on with what the small step left: 1 - 1e-5.
            let state = large.state(&[("w", &w)]);
            let exact = state["w.master"].to_vec().unwrap();
            assert!((exact[0] - 0.749_99).abs() < 1e-6 && exact[1..] == [1.75, -0.75], "{exact:?}");
        }
    }

    fn parts_of_gradients_are_summed_in_f32(device) {
        for dtype in HALVES {
            // dE/dw of each part is x · dE/dz = 1.
            let (x, w) = (upload(device, dtype, &[1.0], &[1, 1]), upload(device, dtype, &[1.0], &[1, 1]));
            let target = device.tensor(&[0.0], [1, 1]).unwrap();
            let layer = OutputLayer::new(Activation::Identity, Loss::HalfSquaredError).reduction(Reduction::Sum);
            let dense = Dense::new(Activation::Identity);
            let forward = dense.forward(&x, &w, None).unwrap();
            let dy = upload(device, dtype, &[1.0], &[1, 1]);
            let mut sums = layer.gradients(&x, &w, None, &target).unwrap();
            let mut dense_sums = dense.backward(&x, &w, &forward, &dy).unwrap();
            // Without f32, sums of bf16 stay at 256, those of f16 at 2048.
            let parts = if dtype == DType::F16 { 4096 } else { 512 };
            for _ in 1..parts {
                sums = layer.accumulate_gradients(&x, &w, None, &target, &sums).unwrap();
                dense_sums = dense.accumulate_backward(&x, &w, &forward, &dy, &dense_sums).unwrap();
            }
            for sum in [&sums.dw, &sums.db, &dense_sums.dw, &dense_sums.db] {
                assert_eq!((sum.dtype(), sum.item().unwrap()), (dtype, parts as f32), "{device:?}");
            }
            // Sums that are set to 0 begin anew.
            sums.dw.write(&[0.0]).unwrap();
            let sums = layer.accumulate_gradients(&x, &w, None, &target, &sums).unwrap();
            assert_eq!(sums.dw.item().unwrap(), 1.0);
        }
    }

    fn gradients_of_halves_may_be_of_f32(device) {
        for dtype in HALVES {
            let x = upload(device, dtype, &normal(6 * 5, 1.0, 1), &[6, 5]);
            let w = upload(device, dtype, &normal(5 * 3, 1.0, 2), &[5, 3]);
            let b = upload(device, dtype, &normal(3, 1.0, 3), &[3]);
            let [wide_x, wide_w, wide_b] = [&x, &w, &b].map(|it| it.to_dtype(DType::F32).unwrap());
            let labels = device.labels(&random_labels(6, 3, 4)).unwrap();
            let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
            let found = layer.gradient_dtype(DType::F32).gradients(&x, &w, Some(&b), &labels).unwrap();
            let exact = layer.gradients(&wide_x, &wide_w, Some(&wide_b), &labels).unwrap();
            for (found, exact) in [(&found.dw, &exact.dw), (&found.db, &exact.db)] {
                assert_eq!(found.dtype(), DType::F32);
                assert_eq!(bits(found), bits(exact));
            }
            assert_eq!(found.dx.dtype(), dtype);
            let other = layer.gradient_dtype(DType::F16).gradients(&wide_x, &wide_w, None, &labels).unwrap();
            assert_eq!((other.dw.dtype(), other.db.dtype()), (DType::F16, DType::F16));

            let dense = Dense::new(Activation::Gelu).gradient_dtype(DType::F32);
            let forward = dense.forward(&x, &w, Some(&b)).unwrap();
            let dy = upload(device, dtype, &normal(18, 1.0, 5), &[6, 3]);
            let found = dense.backward(&x, &w, &forward, &dy).unwrap();
            assert_eq!((found.dw.dtype(), found.db.dtype(), found.dx.dtype()), (DType::F32, DType::F32, dtype));
            let rounded = Dense::new(Activation::Gelu).backward(&x, &w, &forward, &dy).unwrap();
            assert_rounded("dw", &rounded.dw, &found.dw);

            let weight = upload(device, dtype, &[0.25], &[1]);
            let found = Prelu::new().gradient_dtype(DType::F32).backward(&x, &weight, &x).unwrap();
            let rounded = Prelu::new().backward(&x, &weight, &x).unwrap();
            assert_eq!((found.dweight.dtype(), found.dz.dtype()), (DType::F32, dtype));
            assert_rounded("dweight", &rounded.dweight, &found.dweight);
        }
    }

    fn plans_and_states_keep_what_rounding_loses(device) {
        for dtype in HALVES {
            let values = normal(9, 1.0, 1);
            let dw = upload(device, dtype, &normal(9, 1.0, 2), &[9]);
            let new = || (upload(device, dtype, &values, &[9]), AdamW::new(1e-4));
            let ((called, mut first), (planned, mut second)) = (new(), new());
            first.step(&[(&called, &dw)]).unwrap();
            let plan = device.record(|| second.step(&[(&planned, &dw)])).unwrap();
            for _ in 0..50 {
                first.step(&[(&called, &dw)]).unwrap();
                plan.run().unwrap();
            }
            assert_eq!(bits(&planned), bits(&called), "{device:?}");
            assert_ne!(bits(&called), bits(&new().0));

            // A run that is stopped and goes on.
            let state = first.state(&[("w", &called)]).unwrap();
            let state = state.iter().map(|(name, it)| (name.clone(), device.tensor(&it.to_vec().unwrap(), it.shape()).unwrap()));
            let state = state.collect();
            let resumed = upload(device, dtype, &called.to_vec().unwrap(), &[9]);
            let mut third = AdamW::new(1e-4);
            third.set_state(&[("w", &resumed)], &state).unwrap();
            for _ in 0..50 {
                first.step(&[(&called, &dw)]).unwrap();
                third.step(&[(&resumed, &dw)]).unwrap();
            }
            assert_eq!(bits(&resumed), bits(&called), "{device:?}");
        }
    }
}
