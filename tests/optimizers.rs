//! Optimizers against the formulas that PyTorch documents, in f64.

mod common;

use common::{EXTREMES, Within, assert_all, normal, wide};
use wgrad::{
    Adam, AdamW, DType, Device, Error, Result, Sgd, Tensor, clip_gradient_norm,
    clip_gradient_value, wgpu,
};

fn tensor(device: &Device, values: &[f32]) -> Tensor {
    device.tensor(values, [values.len()]).unwrap()
}

/// Either form of Adam.
enum Either {
    Adam(Adam),
    AdamW(AdamW),
}

impl Either {
    fn step(&mut self, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
        match self {
            Self::Adam(adam) => adam.step(pairs),
            Self::AdamW(adamw) => adamw.step(pairs),
        }
    }

    fn set_learning_rate(&mut self, learning_rate: f32) {
        match self {
            Self::Adam(adam) => adam.set_learning_rate(learning_rate),
            Self::AdamW(adamw) => adamw.set_learning_rate(learning_rate),
        }
    }
}

/// The parameters that PyTorch's documentation calls γ, β, ε and λ.
#[derive(Clone, Copy)]
struct Rule {
    gamma: f32,
    betas: [f32; 2],
    epsilon: f32,
    lambda: f32,
    decoupled: bool,
}

impl Rule {
    const ADAM: Self =
        Self { gamma: 0.01, betas: [0.9, 0.999], epsilon: 1e-8, lambda: 0.0, decoupled: false };
    const ADAMW: Self = Self { lambda: 0.01, decoupled: true, ..Self::ADAM };

    fn optimizer(self) -> Either {
        let Self { gamma, betas: [beta1, beta2], epsilon, lambda, decoupled } = self;
        if decoupled {
            let adamw = AdamW::new(gamma).betas(beta1, beta2);
            return Either::AdamW(adamw.eps(epsilon).weight_decay(lambda));
        }
        let adam = Adam::new(gamma).betas(beta1, beta2);
        Either::Adam(adam.eps(epsilon).weight_decay(lambda))
    }
}

/// One weight and its moments.
#[derive(Clone, Copy)]
struct Exact {
    theta: f64,
    m: f64,
    v: f64,
    t: i32,
}

impl Exact {
    fn all(weights: &[f32]) -> Vec<Self> {
        weights.iter().map(|&theta| Self { theta: theta.into(), m: 0.0, v: 0.0, t: 0 }).collect()
    }

    /// The algorithm of torch.optim.Adam and AdamW, line by line.
    fn step(&mut self, rule: Rule, gradient: f32) {
        let [beta1, beta2] = rule.betas.map(f64::from);
        let (gamma, lambda) = (f64::from(rule.gamma), f64::from(rule.lambda));
        let mut g = f64::from(gradient);
        if rule.decoupled {
            self.theta *= 1.0 - gamma * lambda;
        } else if lambda != 0.0 {
            g += lambda * self.theta;
        }
        self.t += 1;
        self.m = beta1 * self.m + (1.0 - beta1) * g;
        self.v = beta2 * self.v + (1.0 - beta2) * g * g;
        // The moments are f32.
        self.v = if self.v > f32::MAX.into() { f64::INFINITY } else { self.v };
        let m_hat = self.m / (1.0 - beta1.powi(self.t));
        let v_hat = self.v / (1.0 - beta2.powi(self.t));
        self.theta -= gamma * m_hat / (v_hat.sqrt() + f64::from(rule.epsilon));
    }
}

fn thetas(exact: &[Exact]) -> Vec<f64> {
    exact.iter().map(|exact| exact.theta).collect()
}

/// A buffer that the caller owns, if the device is a GPU.
fn host_buffer(device: &Device, values: &[f32]) -> Option<wgpu::Buffer> {
    let (device, queue) = device.wgpu()?;
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let size = 4 * values.len() as u64;
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let buffer = device.create_buffer(&descriptor);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    queue.write_buffer(&buffer, 0, &bytes);
    Some(buffer)
}

/// The norm of all elements, in f64.
fn norm_of(gradients: &[Vec<f32>]) -> f64 {
    gradients.iter().flatten().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt()
}

/// Clips gradients and compares the norm and every element with the formula.
fn check_clipping(device: &Device, values: &[Vec<f32>], max_norm: f32) {
    let tensors: Vec<Tensor> = values.iter().map(|values| tensor(device, values)).collect();
    let norm = clip_gradient_norm(&tensors.iter().collect::<Vec<_>>(), max_norm).unwrap();
    assert!(norm.shape().is_empty() && norm.device() == device);
    let exact = norm_of(values);
    let what = |part: &str| format!("{part} for {max_norm:e} of {exact:e} on {device:?}");
    assert_all(what("norm"), &norm.to_vec().unwrap(), &[exact], Within::Ulps(1.5));
    let factor = (f64::from(max_norm) / (exact + 1e-6)).min(1.0);
    for (tensor, values) in tensors.iter().zip(values) {
        let found = tensor.to_vec().unwrap();
        if factor == 1.0 {
            assert!(found.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        let exact: Vec<f64> = values.iter().map(|&g| factor * f64::from(g)).collect();
        assert_all(what("gradient"), &found, &exact, Within::Ulps(4.0));
    }
}

on_every_device! {
    fn sgd_is_pytorchs_formula(device) {
        let (w, dw) = (normal(1021, 1.0, 1), normal(1021, 1.0, 2));
        let (learning_rate, momentum, decay) = (0.05f32, 0.8f32, 0.01f32);
        let weights = device.tensor(&w, [1021]).unwrap();
        let gradient = device.tensor(&dw, [1021]).unwrap();
        let mut sgd = Sgd::new(learning_rate).momentum(momentum).weight_decay(decay);
        let (mut exact, mut velocity) = (wide(&w), vec![0.0; 1021]);
        for step in 0..5 {
            if step == 3 {
                sgd.set_learning_rate(0.5 * learning_rate);
            }
            let rate = f64::from(learning_rate) * if step >= 3 { 0.5 } else { 1.0 };
            sgd.step(&[(&weights, &gradient)]).unwrap();
            for (i, w) in exact.iter_mut().enumerate() {
                let g = f64::from(dw[i]) + f64::from(decay) * *w;
                velocity[i] = f64::from(momentum) * velocity[i] + g;
                *w -= rate * velocity[i];
            }
        }
        let within = Within::Approx { relative: 1e-5, absolute: 1e-6 };
        assert_all("weights", &weights.to_vec().unwrap(), &exact, within);
    }

    fn sgd_without_momentum_has_no_memory(device) {
        for dtype in [DType::F32, DType::F16] {
            let [w, dw] = [&[1.0; 5], &[f32::INFINITY; 5]].map(|it| tensor(device, it).to_dtype(dtype).unwrap());
            let mut sgd = Sgd::new(0.5);
            sgd.step(&[(&w, &dw)]).unwrap();
            assert_eq!(w.to_vec().unwrap(), [f32::NEG_INFINITY; 5]);
            w.write(&[1.0; 5]).unwrap();
            dw.write(&[0.5; 5]).unwrap();
            sgd.step(&[(&w, &dw)]).unwrap();
            assert_eq!(w.to_vec().unwrap(), [0.75; 5]);
            // A separate device, because other tests use memory too.
            let own = Device::open(device.info()).unwrap();
            let [w, dw] = [&[1.0; 5000], &[0.5; 5000]].map(|it| tensor(&own, it).to_dtype(dtype).unwrap());
            let used = own.memory().in_use_bytes;
            let mut plain = Sgd::new(0.5).master_weights(false);
            plain.step(&[(&w, &dw)]).unwrap();
            assert_eq!(own.memory().in_use_bytes, used);
        }
    }

    fn momentum_may_change_between_steps(device) {
        let (w, dw) = (tensor(device, &[1.0; 6]), tensor(device, &[1.0; 6]));
        let (other, slope) = (tensor(device, &[1.0; 3]), tensor(device, &[1.0; 3]));
        let mut sgd = Sgd::new(0.25).momentum(0.5);
        sgd.step(&[(&w, &dw), (&other, &slope)]).unwrap();
        sgd.step(&[(&w, &dw), (&other, &slope)]).unwrap();
        assert_eq!(w.to_vec().unwrap(), [0.375; 6]);
        // Without momentum, the velocity of these weights is dropped.
        let mut sgd = sgd.momentum(0.0);
        sgd.step(&[(&w, &dw)]).unwrap();
        assert_eq!(w.to_vec().unwrap(), [0.125; 6]);
        let mut sgd = sgd.momentum(0.5);
        sgd.step(&[(&w, &dw), (&other, &slope)]).unwrap();
        assert_eq!(w.to_vec().unwrap(), [-0.125; 6]);
        assert_eq!(other.to_vec().unwrap(), [0.375 - 0.25 * 1.75; 3]);
    }

    fn factors_of_zero_are_none_also_of_infinity(device) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let start = [-inf, inf, 1.0, -2.0, 1.0];
        let check = |what: &str, dtype, exact: [f32; 5], step: &mut dyn FnMut(&Tensor)| {
            let w = tensor(device, &start).to_dtype(dtype).unwrap();
            step(&w);
            let exact = tensor(device, &exact).to_dtype(dtype).unwrap().to_vec().unwrap();
            let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
            assert_all(format!("{what} {dtype} on {device:?}"), &w.to_vec().unwrap(), &wide(&exact), within);
        };
        for dtype in [DType::F32, DType::F16] {
            let dw = tensor(device, &[0.0, 0.0, 0.5, inf, nan]).to_dtype(dtype).unwrap();
            let zero = tensor(device, &[0.0; 5]).to_dtype(dtype).unwrap();
            for momentum in [0.0, 0.5] {
                check("sgd", dtype, [-inf, inf, 0.95, -inf, nan], &mut |w| {
                    Sgd::new(0.1).momentum(momentum).step(&[(w, &dw)]).unwrap();
                });
                // A learning rate of 0 changes nothing.
                check("sgd at rest", dtype, start, &mut |w| {
                    Sgd::new(0.0).momentum(momentum).step(&[(w, &dw)]).unwrap();
                });
            }
            check("adam", dtype, [-inf, inf, 0.9, nan, nan], &mut |w| {
                Adam::new(0.1).step(&[(w, &dw)]).unwrap();
            });
            for rule in [Rule::ADAM, Rule::ADAMW] {
                check("adam at rest", dtype, start, &mut |w| {
                    Rule { gamma: 0.0, epsilon: 0.0, ..rule }.optimizer().step(&[(w, &dw)]).unwrap();
                });
            }
            // With β = 0 the moments keep nothing of an infinite gradient.
            check("adam without memory", dtype, [-0.1, -0.1, -0.1, -0.1, -0.1], &mut |w| {
                let rule = Rule { gamma: 0.1, betas: [0.0, 0.0], ..Rule::ADAM };
                let mut adam = rule.optimizer();
                adam.step(&[(w, &dw)]).unwrap();
                w.write(&[0.0; 5]).unwrap();
                adam.step(&[(w, &tensor(device, &[0.5; 5]))]).unwrap();
            });
            check("adamw", dtype, [-inf, inf, 0.999, -1.998, 0.999], &mut |w| {
                AdamW::new(0.1).step(&[(w, &zero)]).unwrap();
            });
            check("adamw without decay", dtype, start, &mut |w| {
                AdamW::new(0.1).weight_decay(0.0).step(&[(w, &zero)]).unwrap();
            });
            // As in PyTorch: all of a weight decays.
            check("adamw with all decay", dtype, [nan, nan, 0.0, 0.0, 0.0], &mut |w| {
                AdamW::new(0.5).weight_decay(2.0).step(&[(w, &zero)]).unwrap();
            });
        }
    }

    fn adamw_multiplies_the_weight_by_what_is_kept(device) {
        let start = [3e38, -3e38, 1.0, -0.3, 0.0, 1e-30];
        for (gamma, lambda) in
            [(0.1, 0.01), (0.5, 4.0), (1.0, 2.0), (0.999, 1.0), (0.99999, 1.0), (2.0, 0.25), (3.0, 1e-3)]
        {
            let w = tensor(device, &start);
            let rule = Rule { gamma, lambda, ..Rule::ADAMW };
            rule.optimizer().step(&[(&w, &tensor(device, &[0.0; 6]))]).unwrap();
            let exact: Vec<f64> =
                start.iter().map(|&w| (1.0 - f64::from(gamma) * f64::from(lambda)) * f64::from(w)).collect();
            assert_all(format!("{gamma} {lambda}"), &w.to_vec().unwrap(), &exact, Within::Ulps(1.5));
        }
    }

    fn sgd_keeps_a_velocity_for_each_weight_and_refuses_what_does_not_fit(device) {
        let a = device.tensor(&[1.0], [1]).unwrap();
        let b = device.tensor(&[1.0, 2.0], [2]).unwrap();
        let (da, db) = (device.tensor(&[1.0], [1]).unwrap(), device.tensor(&[1.0, 1.0], [2]).unwrap());
        let mut sgd = Sgd::new(0.25).momentum(0.5);
        sgd.step(&[(&a, &da), (&b, &db)]).unwrap();
        sgd.step(&[(&b, &db), (&a, &da)]).unwrap();
        assert_eq!(a.to_vec().unwrap(), [1.0 - 0.25 - 0.375]);
        assert_eq!(b.to_vec().unwrap(), [1.0 - 0.25 - 0.375, 2.0 - 0.25 - 0.375]);
        // The first pair fits, the second does not: nothing changes.
        let error = sgd.step(&[(&a, &da), (&b, &da)]).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { op: "sgd step", .. }), "{error}");
        assert_eq!(a.to_vec().unwrap(), [0.375]);
        for mut broken in [Sgd::new(-0.1), Sgd::new(0.1).momentum(f32::NAN), Sgd::new(0.1).weight_decay(-1.0)] {
            let error = broken.step(&[(&a, &da)]).unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
        }
        // The gradient may be the weight itself.
        Sgd::new(0.5).step(&[(&b, &b)]).unwrap();
        assert_eq!(b.to_vec().unwrap(), [0.1875, 0.6875]);
    }

    fn the_first_two_steps_of_adam_by_hand(device) {
        // m = 0.05 and 0.02; v = 0.00025 and 0.00031225, over 1 - 0.999^t: 0.25 and 0.15620310.
        let steps = [1.0 - 0.1, 1.0 - 0.1 - 0.1 * 0.10526316 / 0.39522538];
        let w = tensor(device, &[1.0]);
        let mut adam = Adam::new(0.1);
        for (gradient, exact) in [0.5, -0.25].into_iter().zip(steps) {
            adam.step(&[(&w, &tensor(device, &[gradient]))]).unwrap();
            assert_all("adam", &w.to_vec().unwrap(), &[exact], Within::Ulps(8.0));
        }
        // Each weight loses a thousandth before its step.
        let first = 0.999 - 0.1;
        let steps = [first, 0.999 * first - 0.1 * 0.10526316 / 0.39522538];
        let w = tensor(device, &[1.0]);
        let mut adamw = AdamW::new(0.1);
        for (gradient, exact) in [0.5, -0.25].into_iter().zip(steps) {
            adamw.step(&[(&w, &tensor(device, &[gradient]))]).unwrap();
            assert_all("adamw", &w.to_vec().unwrap(), &[exact], Within::Ulps(8.0));
        }
    }

    fn adam_is_pytorchs_formula(device) {
        let rules = [
            Rule::ADAM,
            Rule::ADAMW,
            Rule { lambda: 0.5, ..Rule::ADAM },
            Rule { lambda: 0.5, ..Rule::ADAMW },
            Rule { betas: [0.3, 0.9], epsilon: 0.5, ..Rule::ADAM },
            Rule { betas: [0.0, 0.0], lambda: 0.0, ..Rule::ADAMW },
        ];
        for rule in rules {
            let lengths = [1, 3, 0, 257, 100_003];
            let starts = lengths.map(|length| normal(length, 1.0, length as u64));
            let weights = starts.each_ref().map(|start| tensor(device, start));
            let mut exact = starts.each_ref().map(|start| Exact::all(start));
            let mut optimizer = rule.optimizer();
            for step in 0..12 {
                let gamma = if step < 8 { rule.gamma } else { 0.3 * rule.gamma };
                optimizer.set_learning_rate(gamma);
                let values = lengths.map(|length| normal(length, 0.1, 100 * step + length as u64));
                let gradients = values.each_ref().map(|values| tensor(device, values));
                let pairs: Vec<_> = weights.iter().zip(&gradients).collect();
                optimizer.step(&pairs).unwrap();
                for (exact, gradient) in exact.iter_mut().zip(&values) {
                    let pairs = exact.iter_mut().zip(gradient);
                    pairs.for_each(|(exact, &g)| exact.step(Rule { gamma, ..rule }, g));
                }
            }
            for (weights, exact) in weights.iter().zip(&exact) {
                // A step of 0.01 to seven digits, and the rounding of weights around 1.
                let within = Within::Approx { relative: 5e-7, absolute: 1e-7 };
                assert_all("weights", &weights.to_vec().unwrap(), &thetas(exact), within);
            }
        }
    }

    fn a_step_of_adam_is_accurate_to_the_last_digits(device) {
        // From weights of 0, so that rounding does not hide the step; gradients over 30 orders of magnitude.
        let gradients: Vec<f32> =
            normal(1000, 1.0, 1).iter().zip(0..).map(|(g, i)| g * 10f32.powi(i % 30 - 13)).collect();
        for rule in [Rule::ADAM, Rule { betas: [0.99, 0.9999], epsilon: 1e-3, ..Rule::ADAMW }] {
            let weights = tensor(device, &[0.0; 1000]);
            let mut exact = Exact::all(&[0.0; 1000]);
            rule.optimizer().step(&[(&weights, &tensor(device, &gradients))]).unwrap();
            exact.iter_mut().zip(&gradients).for_each(|(exact, &g)| exact.step(rule, g));
            assert_all("step", &weights.to_vec().unwrap(), &thetas(&exact), Within::Ulps(4.0));
        }
    }

    fn extreme_gradients_leave_no_other_weight_behind(device) {
        for rule in [Rule::ADAM, Rule::ADAMW, Rule { epsilon: 1e-3, ..Rule::ADAM }] {
            let start = vec![0.5; EXTREMES.len()];
            let weights = tensor(device, &start);
            let mut exact = Exact::all(&start);
            let mut optimizer = rule.optimizer();
            for _ in 0..3 {
                optimizer.step(&[(&weights, &tensor(device, &EXTREMES))]).unwrap();
                exact.iter_mut().zip(EXTREMES).for_each(|(exact, g)| exact.step(rule, g));
            }
            let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
            let found = weights.to_vec().unwrap();
            assert_all("weights", &found, &thetas(&exact), within);
            // Infinite gradients and NaN give NaN; weights whose squared gradients overflow do not move.
            assert!(found[41..].iter().all(|weight| weight.is_nan()));
            assert!(rule.decoupled || found[39..41] == [0.5, 0.5]);
        }
    }

    fn extreme_weights_move_as_others_do(device) {
        for rule in [Rule::ADAM, Rule::ADAMW, Rule { lambda: 0.0, ..Rule::ADAMW }] {
            let weights = tensor(device, &EXTREMES);
            let gradient = vec![0.25; EXTREMES.len()];
            let mut exact = Exact::all(&EXTREMES);
            rule.optimizer().step(&[(&weights, &tensor(device, &gradient))]).unwrap();
            exact.iter_mut().zip(gradient).for_each(|(exact, g)| exact.step(rule, g));
            let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
            assert_all("weights", &weights.to_vec().unwrap(), &thetas(&exact), within);
        }
    }

    fn a_gradient_of_zero_moves_nothing(device) {
        let start = normal(101, 1.0, 1);
        let gradient = tensor(device, &[0.0; 101]);
        // A driver may take 1e-40 for 0.
        for epsilon in [1e-8, 1.0, 1e-40, 0.0] {
            let weights = tensor(device, &start);
            let mut adam = Adam::new(0.1).eps(epsilon);
            for _ in 0..3 {
                adam.step(&[(&weights, &gradient)]).unwrap();
            }
            assert_eq!(weights.to_vec().unwrap(), start);
        }
        // The square of the gradient is subnormal or 0.
        for tiny in [1e-18, 1e-20, 1e-30, 1e-38, 1e-40, 1e-45] {
            let weights = tensor(device, &start);
            let gradient = tensor(device, &[tiny; 101]);
            let mut adam = Adam::new(0.1);
            for _ in 0..3 {
                adam.step(&[(&weights, &gradient)]).unwrap();
            }
            let within = Within::Approx { relative: 1e-7, absolute: 1e-9 };
            assert_all(tiny, &weights.to_vec().unwrap(), &wide(&start), within);
        }
    }

    fn adam_counts_the_steps_of_each_weight(device) {
        let [a, b] = [tensor(device, &[0.0; 5]), tensor(device, &[0.0; 6])];
        let [da, db] = [tensor(device, &[2.0; 5]), tensor(device, &[2.0; 6])];
        let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
        let mut adam = Adam::new(0.25).betas(0.5, 0.75);
        let mut exact = Exact::all(&[0.0, 0.0]);
        let rule = Rule { gamma: 0.25, betas: [0.5, 0.75], ..Rule::ADAM };
        adam.step(&[(&a, &da)]).unwrap();
        exact[0].step(rule, 2.0);
        // Listed twice, a weight takes two steps, one after the other.
        adam.step(&[(&b, &db), (&a, &a), (&b, &b)]).unwrap();
        exact[1].step(rule, 2.0);
        for exact in &mut exact {
            exact.step(rule, exact.theta as f32);
        }
        assert_all("a", &a.to_vec().unwrap(), &[exact[0].theta; 5], within);
        assert_all("b", &b.to_vec().unwrap(), &[exact[1].theta; 6], within);
        // The same elements in another shape are the same weights.
        adam.step(&[(&a.reshape([5, 1]).unwrap(), &da.reshape([5, 1]).unwrap())]).unwrap();
        exact[0].step(rule, 2.0);
        assert_all("a", &a.to_vec().unwrap(), &[exact[0].theta; 5], within);
    }

    fn adam_refuses_what_does_not_fit(device) {
        let (a, b) = (tensor(device, &[1.0, 2.0]), tensor(device, &[3.0]));
        let (da, db) = (tensor(device, &[1.0, 1.0]), tensor(device, &[1.0]));
        let mut adam = Adam::new(0.5);
        let error = adam.step(&[(&b, &db), (&a, &db)]).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { op: "adam step", .. }), "{error}");
        let elsewhere = tensor(&Device::cpu(), &[1.0, 1.0]);
        let error = AdamW::new(0.5).step(&[(&b, &db), (&a, &elsewhere)]).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { op: "adamw step", .. }), "{error}");
        let broken = [
            Rule { gamma: -0.1, ..Rule::ADAM },
            Rule { gamma: f32::NAN, ..Rule::ADAM },
            Rule { gamma: f32::INFINITY, ..Rule::ADAMW },
            Rule { betas: [1.0, 0.9], ..Rule::ADAM },
            Rule { betas: [0.9, 1.0], ..Rule::ADAMW },
            Rule { betas: [-0.1, 0.9], ..Rule::ADAM },
            Rule { betas: [0.9, f32::NAN], ..Rule::ADAM },
            Rule { epsilon: -1e-8, ..Rule::ADAM },
            Rule { epsilon: f32::INFINITY, ..Rule::ADAM },
            Rule { lambda: -1.0, ..Rule::ADAM },
            Rule { lambda: f32::NAN, ..Rule::ADAMW },
        ];
        for rule in broken {
            let error = rule.optimizer().step(&[(&a, &da)]).unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
        }
        adam.set_learning_rate(-1.0);
        assert!(adam.step(&[]).is_err());
        assert_eq!((a.to_vec().unwrap(), b.to_vec().unwrap()), (vec![1.0, 2.0], vec![3.0]));
        adam.set_learning_rate(0.5);
        adam.step(&[]).unwrap();
        // A rejected call does not count as a step.
        adam.step(&[(&b, &db)]).unwrap();
        assert_all("b", &b.to_vec().unwrap(), &[2.5], Within::Ulps(4.0));
    }

    fn norms_are_clipped_as_pytorch_does(device) {
        // Below, at and above the limit; at the limit, the 10^-6 in the divisor makes the difference.
        for max_norm in [10.0, 5.000_001, 5.0, 4.999_999, 1.0, 1e-3, 1e-20, 0.0, f32::INFINITY, f32::MAX] {
            check_clipping(device, &[vec![3.0, -4.0]], max_norm);
            check_clipping(device, &[vec![3.0], vec![], vec![-4.0, 0.0]], max_norm);
        }
        for lengths in [[1, 0, 0], [3, 1, 5], [257, 4096, 100_003], [4097, 1023, 1_000_001]] {
            let values = lengths.map(|length| normal(length, 1.0, length as u64));
            for max_norm in [0.5, 100.0, 1e6] {
                check_clipping(device, &values, max_norm);
            }
        }
        check_clipping(device, &[vec![], vec![]], 1.0);
        check_clipping(device, &[vec![0.0; 300], vec![-0.0]], 1.0);
    }

    fn norms_of_extremes_neither_overflow_nor_vanish(device) {
        let cases = [
            vec![vec![1e25; 10_000]],
            vec![vec![1e-30; 10_000]],
            vec![vec![1e-30; 5], vec![3e25; 4099], vec![7.0]],
            vec![normal(5000, 1e15, 1), normal(5000, 1e-15, 2), normal(5000, 1e16, 3)],
            vec![vec![f32::MAX]],
            vec![vec![0.5 * f32::MAX; 3], vec![f32::MIN_POSITIVE]],
            vec![vec![f32::MIN_POSITIVE; 9]],
            // The sum of the squares of the small elements matters.
            vec![vec![1.0], vec![1e-4; 1_000_000]],
            vec![vec![1e30], vec![1e26; 100_000]],
            vec![vec![f32::MIN_POSITIVE], vec![-0.9 * f32::MIN_POSITIVE; 5000]],
            // Subnormal elements whose norm is not subnormal.
            vec![vec![1e-40; 1_000_000]],
            vec![vec![1e-45]],
            vec![(-150..128).map(|e| 2f64.powi(e) as f32).collect()],
        ];
        for values in &cases {
            for max_norm in [f32::INFINITY, 1e30, 1.0, 1e-6] {
                check_clipping(device, values, max_norm);
            }
        }
    }

    fn factors_out_of_range_are_right_down_to_the_last_results(device) {
        let limits = [1e-5, 1e-10, 1e-20, 7.3e-27, 1e-32, 1.1e-37, 1e-38, 1e-40, 1e-44, 0.0];
        for values in [[3e30, 4e30], [3e38, 1e38], [1.0, 3e37], [3e-3, 4e-3], [f32::MAX, 0.0], [2.5e20, 1e-3]] {
            limits.into_iter().for_each(|limit| check_clipping(device, &[values.to_vec()], limit));
        }
        // Every power of two.
        let values = [(-126..127).map(|e| 1.7 * 2f64.powi(e) as f32).collect()];
        for e in -149..127 {
            check_clipping(device, &values, 1.3 * 2f64.powi(e) as f32);
        }
    }

    fn each_element_is_clipped_once(device) {
        for dtype in [DType::F32, DType::F16] {
            let gradient = |values: &[f32]| tensor(device, values).to_dtype(dtype).unwrap();
            let (one, other) = (gradient(&[3.0, 0.0, 0.0, 0.0]), gradient(&[4.0]));
            let (same, shaped) = (one.clone(), one.reshape([2, 2]).unwrap());
            let all = [&one, &other, &one, &same, &shaped, &other];
            let norm = clip_gradient_norm(&all, 0.625).unwrap();
            assert_eq!(norm.item().unwrap(), 5.0, "{dtype} on {device:?}");
            let within = Within::Approx { relative: if dtype == DType::F16 { 1e-3 } else { 1e-6 }, absolute: 0.0 };
            assert_all("one", &one.to_vec().unwrap(), &[0.375, 0.0, 0.0, 0.0], within);
            assert_all("other", &other.to_vec().unwrap(), &[0.5], within);
            clip_gradient_value(&all, 0.25).unwrap();
            assert_eq!(one.to_vec().unwrap(), [0.25, 0.0, 0.0, 0.0]);
            assert_eq!(other.to_vec().unwrap(), [0.25]);
            // Equal numbers in another tensor count separately.
            let twin = gradient(&other.to_vec().unwrap());
            assert_all("twins", &clip_gradient_norm(&[&other, &twin], 1.0).unwrap().to_vec().unwrap(), &[0.125f64.sqrt()], within);
        }
        // Several tensors of one buffer of the caller: the longest contains the others.
        let Some(buffer) = host_buffer(device, &[3.0, 4.0, 12.0]) else { return };
        let adopt = |length: usize| device.tensor_from_buffer(buffer.clone(), [length]).unwrap();
        let (short, long, again) = (adopt(2), adopt(3), adopt(2));
        let norm = clip_gradient_norm(&[&short, &again, &long, &short], 1.3).unwrap();
        assert_eq!(norm.item().unwrap(), 13.0);
        let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
        assert_all("long", &long.to_vec().unwrap(), &[0.3, 0.4, 1.2], within);
        let norm = clip_gradient_norm(&[&short, &again], 1.0).unwrap();
        assert_all("norm", &norm.to_vec().unwrap(), &[0.5], within);
        clip_gradient_value(&[&short, &again], 0.125).unwrap();
        assert_all("short", &long.to_vec().unwrap(), &[0.125, 0.125, 1.2], within);
    }

    fn norms_out_of_range_follow_pytorchs_formula(device) {
        let clipped = |values: &[&[f32]], max_norm: f32| {
            let tensors: Vec<Tensor> = values.iter().map(|values| tensor(device, values)).collect();
            let norm = clip_gradient_norm(&tensors.iter().collect::<Vec<_>>(), max_norm).unwrap();
            let values: Vec<f32> = tensors.iter().flat_map(|tensor| tensor.to_vec().unwrap()).collect();
            (norm.item().unwrap(), values)
        };
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        for huge in [&[inf, 1.0][..], &[1.0, -inf]] {
            let (norm, values) = clipped(&[&[2.0, -3.0], huge], 1.0);
            assert_eq!(norm, inf);
            let zero = |i: usize| values[i] == 0.0;
            assert!(zero(0) && zero(1), "{values:?}");
            assert!(huge.iter().zip(2..).all(|(g, i)| if g.is_infinite() { values[i].is_nan() } else { zero(i) }));
            // Infinity over infinity.
            assert!(clipped(&[&[2.0, -3.0], huge], inf).1.iter().all(|value| value.is_nan()));
        }
        // A norm that overflows f32.
        let (norm, values) = clipped(&[&[f32::MAX; 3], &[1.0]], 1.0);
        assert_eq!((norm, values), (inf, vec![0.0; 4]));
        for broken in [&[nan, 1.0][..], &[nan, inf], &[-nan, 1e-45]] {
            for max_norm in [0.0, 1.0, inf] {
                let (norm, values) = clipped(&[&[2.0], broken, &[-inf, 1e38]], max_norm);
                assert!(norm.is_nan() && values.iter().all(|value| value.is_nan()), "{values:?}");
            }
        }
    }

    fn the_same_gradients_have_the_same_norm(device) {
        let values = normal(1_234_567, 1.0, 1);
        let norm = || clip_gradient_norm(&[&tensor(device, &values)], 1.0).unwrap().item().unwrap();
        let first = norm();
        assert!((0..5).all(|_| norm().to_bits() == first.to_bits()));
    }

    fn limits_that_are_none_are_refused(device) {
        let gradient = tensor(device, &[3.0, 4.0]);
        for limit in [-1.0, -1e-45, f32::NEG_INFINITY, f32::NAN] {
            let error = clip_gradient_norm(&[&gradient], limit).unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
            let error = clip_gradient_value(&[&gradient], limit).unwrap_err();
            assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
        }
        assert_eq!(gradient.to_vec().unwrap(), [3.0, 4.0]);
        // -0 is 0.
        clip_gradient_value(&[&gradient], -0.0).unwrap();
        assert_eq!(gradient.to_vec().unwrap(), [0.0, 0.0]);
    }

    fn values_are_kept_within_their_limit(device) {
        for limit in [0.0, 1e-45, 1e-5, 0.9, 40.0, f32::MAX, f32::INFINITY] {
            let others = normal(100_003, 2.0 * limit.min(1e9), 1);
            let values = [&EXTREMES[..], &[], &others, &[2.0]].map(<[f32]>::to_vec);
            let gradients = values.each_ref().map(|values| tensor(device, values));
            clip_gradient_value(&gradients.each_ref(), limit).unwrap();
            for (gradient, values) in gradients.iter().zip(&values) {
                for (found, g) in gradient.to_vec().unwrap().iter().zip(values) {
                    let exact = g.clamp(-limit, limit);
                    let fits = *found == exact || (found.is_nan() && g.is_nan());
                    assert!(fits, "{g} within {limit} became {found} on {device:?}");
                }
            }
        }
    }

    fn gradients_of_the_callers_keep_their_neighbours(device) {
        let values = normal(10, 1.0, 1);
        let Some(buffer) = host_buffer(device, &values) else { return };
        let part = device.tensor_from_buffer(buffer.clone(), [6]).unwrap();
        let all = device.tensor_from_buffer(buffer, [10]).unwrap();
        let norm = clip_gradient_norm(&[&part], 0.5).unwrap();
        let exact = norm_of(&[values[..6].to_vec()]);
        assert_all("norm", &norm.to_vec().unwrap(), &[exact], Within::Ulps(1.5));
        assert!((norm_of(&[part.to_vec().unwrap()]) - 0.5).abs() < 1e-5);
        assert_eq!(all.to_vec().unwrap()[6..], values[6..]);
        clip_gradient_value(&[&part], 1e-3).unwrap();
        assert!(part.to_vec().unwrap().iter().all(|g| g.abs() <= 1e-3));
        assert_eq!(all.to_vec().unwrap()[6..], values[6..]);
    }

    fn weights_of_the_callers_keep_their_neighbours(device) {
        let values = normal(10, 1.0, 1);
        let (rule, sgd) = (Rule { lambda: 0.1, ..Rule::ADAM }, || Sgd::new(0.5).momentum(0.5));
        let own = tensor(device, &values[..6]);
        let gradient = tensor(device, &normal(6, 1.0, 2));
        let Some(buffer) = host_buffer(device, &values) else { return };
        let weights = device.tensor_from_buffer(buffer.clone(), [6]).unwrap();
        let all = device.tensor_from_buffer(buffer, [10]).unwrap();

        let (mut ours, mut theirs) = (rule.optimizer(), rule.optimizer());
        let (mut our_sgd, mut their_sgd) = (sgd(), sgd());
        for _ in 0..3 {
            ours.step(&[(&own, &gradient)]).unwrap();
            theirs.step(&[(&weights, &gradient)]).unwrap();
            our_sgd.step(&[(&own, &gradient)]).unwrap();
            their_sgd.step(&[(&weights, &gradient)]).unwrap();
        }
        // With the weights as their own gradient.
        ours.step(&[(&own, &own)]).unwrap();
        theirs.step(&[(&weights, &weights)]).unwrap();
        assert_eq!(weights.to_vec().unwrap(), own.to_vec().unwrap());
        assert_eq!(all.to_vec().unwrap()[6..], values[6..]);
        // The whole buffer counts as separate weights.
        let gradient = tensor(device, &[1.0; 10]);
        let before = wide(&all.to_vec().unwrap());
        their_sgd.step(&[(&all, &gradient)]).unwrap();
        let exact: Vec<f64> = before.iter().map(|w| w - 0.5).collect();
        let within = Within::Approx { relative: 1e-6, absolute: 1e-7 };
        assert_all("all", &all.to_vec().unwrap(), &exact, within);
    }
}

#[test]
fn gradients_larger_than_a_binding_are_clipped_whole() {
    let device = common::narrow();
    let values = [normal(600_001, 1.0, 1), normal(5, 1.0, 2), normal(262_145, 1.0, 3)];
    check_clipping(&device, &values, 1.0);
    check_clipping(&device, &values, 1e4);
    let gradient = tensor(&device, &values[0]);
    clip_gradient_value(&[&gradient], 0.5).unwrap();
    let exact: Vec<f32> = values[0].iter().map(|g| g.clamp(-0.5, 0.5)).collect();
    assert_eq!(gradient.to_vec().unwrap(), exact);
}

#[test]
fn clipping_and_the_step_are_one_submission() {
    for shared in common::adapters() {
        // A separate device, because other tests submit too.
        let device = Device::open(shared.info()).unwrap();
        let weights = tensor(&device, &[0.0; 5000]);
        let gradient = tensor(&device, &[2.0; 5000]);
        let mut sgd = Sgd::new(1.0);
        device.synchronize().unwrap();
        let before = device.counters();
        let norm = clip_gradient_norm(&[&gradient, &tensor(&device, &[1.0])], 1.0).unwrap();
        sgd.step(&[(&weights, &gradient)]).unwrap();
        device.flush().unwrap();
        assert_eq!(device.counters().submissions - before.submissions, 1, "{device:?}");
        let exact = 20001f64.sqrt();
        assert_all("norm", &[norm.item().unwrap()], &[exact], Within::Ulps(1.5));
        let within = Within::Approx { relative: 1e-6, absolute: 0.0 };
        assert_all("weights", &weights.to_vec().unwrap(), &[-2.0 / exact; 5000], within);
    }
}

#[test]
fn gradients_of_two_devices_have_no_norm() {
    let [one, other] = [Device::cpu(), Device::cpu()].map(|device| tensor(&device, &[2.0]));
    let error = clip_gradient_norm(&[&one, &other], 1.0).unwrap_err();
    assert!(matches!(error, Error::DeviceMismatch { op: "clip_gradient_norm", .. }), "{error}");
    let error = clip_gradient_value(&[&one, &other], 1.0).unwrap_err();
    assert!(matches!(error, Error::DeviceMismatch { op: "clip_gradient_value", .. }), "{error}");
    assert_eq!((one.item().unwrap(), other.item().unwrap()), (2.0, 2.0));
    // An empty list of gradients has a norm, but no device.
    assert_eq!(clip_gradient_norm(&[], 1.0).unwrap().item().unwrap(), 0.0);
    assert!(clip_gradient_norm(&[], f32::NAN).is_err());
    clip_gradient_value(&[], 1.0).unwrap();
}

#[test]
fn velocities_go_with_their_weights() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        let device = Device::open(shared.info()).unwrap();
        let mut sgd = Sgd::new(0.1).momentum(0.9);
        let mut in_use = Vec::new();
        for _ in 0..20 {
            let weights = device.tensor(&[1.0; 300], [300]).unwrap();
            let gradient = device.tensor(&[1.0; 300], [300]).unwrap();
            sgd.step(&[(&weights, &gradient)]).unwrap();
            // The first step does not use the velocity of earlier weights in the same memory.
            assert_eq!(weights.to_vec().unwrap(), [0.9; 300]);
            in_use.push(device.memory().in_use_bytes);
        }
        assert_eq!(in_use[2], in_use[19], "{device:?}");
    }
}

#[test]
fn weights_larger_than_a_binding_are_stepped_whole() {
    let device = common::narrow();
    let length = 600_001;
    let start = normal(length, 1.0, 1);
    let gradients = normal(length, 1.0, 2);
    let weights = tensor(&device, &start);
    let mut exact = Exact::all(&start);
    let mut optimizer = Rule::ADAMW.optimizer();
    for _ in 0..2 {
        optimizer.step(&[(&weights, &tensor(&device, &gradients))]).unwrap();
        exact.iter_mut().zip(&gradients).for_each(|(exact, &g)| exact.step(Rule::ADAMW, g));
    }
    let within = Within::Approx { relative: 2e-7, absolute: 1e-8 };
    assert_all("weights", &weights.to_vec().unwrap(), &thetas(&exact), within);
}

#[test]
fn steps_take_no_more_memory_than_the_first_and_are_one_submission() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        // A separate device, because other tests use memory and submit too.
        let device = Device::open(shared.info()).unwrap();
        let mut adam = Adam::new(0.1);
        let kept: Vec<Tensor> =
            [5000, 70, 5000].iter().map(|&length| device.zeros([length]).unwrap()).collect();
        let mut memory = Vec::new();
        for _ in 0..20 {
            let passing = device.zeros([5000]).unwrap();
            let gradients: Vec<Tensor> =
                kept.iter().chain([&passing]).map(|w| device.zeros(w.shape()).unwrap()).collect();
            device.synchronize().unwrap();
            let before = device.counters();
            let pairs: Vec<_> = kept.iter().chain([&passing]).zip(&gradients).collect();
            adam.step(&pairs).unwrap();
            device.flush().unwrap();
            let after = device.counters();
            assert_eq!(after.dispatches - before.dispatches, 4, "{device:?}");
            let submissions = u64::from(device.info().kind.is_gpu());
            assert_eq!(after.submissions - before.submissions, submissions, "{device:?}");
            memory.push(common::held(&device));
        }
        assert_eq!(memory[2], memory[19], "{device:?}");
    }
}
