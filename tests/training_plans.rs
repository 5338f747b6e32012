//! Whole training steps as plans: gradients, clipping and optimizers.

mod common;

use common::{normal, random_labels};
use wgrad::{
    Activation, Adam, AdamW, DType, Dense, Device, Error, Loss, OutputLayer, Plan, Sgd, Tensor,
    clip_gradient_norm,
};

/// An optimizer of any kind.
enum Optimizer {
    Sgd(Sgd),
    Adam(Adam),
    AdamW(AdamW),
}

impl Optimizer {
    fn step(&mut self, pairs: &[(&Tensor, &Tensor)]) -> wgrad::Result<()> {
        match self {
            Self::Sgd(it) => it.step(pairs),
            Self::Adam(it) => it.step(pairs),
            Self::AdamW(it) => it.step(pairs),
        }
    }

    fn set_learning_rate(&mut self, rate: f32) {
        match self {
            Self::Sgd(it) => it.set_learning_rate(rate),
            Self::Adam(it) => it.set_learning_rate(rate),
            Self::AdamW(it) => it.set_learning_rate(rate),
        }
    }

    fn all() -> [(&'static str, Self); 5] {
        [
            ("sgd", Self::Sgd(Sgd::new(0.1))),
            ("momentum", Self::Sgd(Sgd::new(0.05).momentum(0.9).weight_decay(1e-3))),
            ("adam", Self::Adam(Adam::new(0.01).weight_decay(1e-3))),
            ("adamw", Self::AdamW(AdamW::new(0.01))),
            ("fast adamw", Self::AdamW(AdamW::new(0.01).betas(0.5, 0.6))),
        ]
    }
}

const INPUTS: usize = 6;
const HIDDEN: usize = 5;
const CLASSES: usize = 3;
const BATCH: usize = 8;

/// A network with the tensors of its step.
struct Network {
    device: Device,
    x: Tensor,
    labels: wgrad::Labels,
    weights: Vec<Tensor>,
}

impl Network {
    fn new(device: &Device) -> Self {
        let tensor = |shape: &[usize], seed| {
            device.tensor(&normal(shape.iter().product(), 0.5, seed), shape).unwrap()
        };
        let shapes = [&[INPUTS, HIDDEN][..], &[HIDDEN], &[HIDDEN, CLASSES], &[CLASSES]];
        Self {
            device: device.clone(),
            x: tensor(&[BATCH, INPUTS], 9),
            labels: device.labels(&[0; BATCH]).unwrap(),
            weights: shapes.into_iter().zip(1..).map(|(shape, seed)| tensor(shape, seed)).collect(),
        }
    }

    /// One step of training; returns the loss and the norm of the gradients.
    fn step(&self, optimizer: &mut Optimizer) -> wgrad::Result<[Tensor; 2]> {
        let [w1, b1, w2, b2] = &self.weights[..] else { unreachable!() };
        let layer = Dense::new(Activation::Gelu);
        let loss = Loss::CrossEntropy { label_smoothing: 0.0, ignore_index: Some(-1) };
        let top = OutputLayer::new(Activation::Softmax, loss);
        let hidden = layer.forward(&self.x, w1, Some(b1))?;
        let end = top.gradients(&hidden.y, w2, Some(b2), &self.labels)?;
        let start = layer.backward(&self.x, w1, &hidden, &end.dx)?;
        let norm = clip_gradient_norm(&[&start.dw, &start.db, &end.dw, &end.db], 0.5)?;
        optimizer.step(&[(w1, &start.dw), (b1, &start.db), (w2, &end.dw), (b2, &end.db)])?;
        Ok([end.loss, norm])
    }

    /// Writes a batch, of which some labels are ignored.
    fn write(&self, number: u64) {
        self.x.write(&normal(BATCH * INPUTS, 1.0, 100 + number)).unwrap();
        let mut labels = random_labels(BATCH, CLASSES, 200 + number);
        labels[..(number as usize * 3) % BATCH].fill(-1);
        self.labels.write(&labels).unwrap();
    }

    fn values(&self) -> Vec<Vec<f32>> {
        self.weights.iter().map(|it| it.to_vec().unwrap()).collect()
    }
}

on_every_device! {
    fn a_plan_takes_the_steps_that_the_calls_take(device) {
        let count = if device.info().kind.is_gpu() { 60 } else { 1000 };
        for ((name, mut first), (_, mut second)) in Optimizer::all().into_iter().zip(Optimizer::all()) {
            let (called, planned) = (Network::new(device), Network::new(device));
            called.write(0);
            called.step(&mut first).unwrap();
            planned.write(0);
            let plan = planned.device.record(|| planned.step(&mut second)).unwrap();
            for number in 1..count {
                if number % 7 == 0 {
                    let rate = 0.05 / (1.0 + number as f32 * 0.01);
                    first.set_learning_rate(rate);
                    second.set_learning_rate(rate);
                }
                called.write(number);
                let [loss, norm] = called.step(&mut first).unwrap();
                planned.write(number);
                plan.run().unwrap();
                if number < 20 {
                    let [planned_loss, planned_norm] = plan.outputs();
                    assert_eq!(planned_loss.item().unwrap().to_bits(), loss.item().unwrap().to_bits(), "{name}, {number}");
                    assert_eq!(planned_norm.item().unwrap(), norm.item().unwrap(), "{name}, {number}");
                }
            }
            assert_eq!(planned.values(), called.values(), "{name} on {}", device.info());
            // Steps without the plan go on from there.
            for number in 0..3 {
                called.write(number);
                called.step(&mut first).unwrap();
                planned.write(number);
                planned.step(&mut second).unwrap();
                called.write(number + 10);
                called.step(&mut first).unwrap();
                planned.write(number + 10);
                plan.run().unwrap();
            }
            assert_eq!(planned.values(), called.values(), "{name}, mixed, on {}", device.info());
        }
    }

    fn a_plan_begins_after_steps_that_it_does_not_have(device) {
        let (mut first, mut second) = (AdamW::new(0.01), AdamW::new(0.01));
        let [one, other] = [0, 1].map(|_| device.tensor(&[1.0, -2.0, 3.0], [3]).unwrap());
        let gradient = device.tensor(&[0.3, -0.1, 0.7], [3]).unwrap();
        for _ in 0..5 {
            first.step(&[(&one, &gradient)]).unwrap();
            second.step(&[(&other, &gradient)]).unwrap();
        }
        let plan = device.record(|| second.step(&[(&other, &gradient)])).unwrap();
        first.step(&[(&one, &gradient)]).unwrap();
        for step in 0..4 {
            first.set_weight_decay(0.1 * step as f32);
            second.set_weight_decay(0.1 * step as f32);
            plan.run().unwrap();
            first.step(&[(&one, &gradient)]).unwrap();
        }
        assert_eq!(other.to_vec().unwrap(), one.to_vec().unwrap());
        // Other βs are those of later steps; the plan keeps its own.
        let mut second = second.betas(0.8, 0.9);
        let mut first = first.betas(0.8, 0.9);
        first.step(&[(&one, &gradient)]).unwrap();
        second.step(&[(&other, &gradient)]).unwrap();
        assert_eq!(other.to_vec().unwrap(), one.to_vec().unwrap());
    }

    fn two_plans_share_an_optimizer(device) {
        let mut adam = Adam::new(0.1);
        let mut sgd = Sgd::new(0.1).momentum(0.5);
        let [w, v, expected_w, expected_v] = [0; 4].map(|_| device.tensor(&[1.0, 2.0], [2]).unwrap());
        let gradient = device.tensor(&[0.5, -0.25], [2]).unwrap();
        // Halves too, and a tensor that is listed twice.
        let half = device.tensor(&[1.0, 2.0], [2]).unwrap().to_dtype(DType::F16).unwrap();
        let expected_half = device.tensor(&[1.0, 2.0], [2]).unwrap().to_dtype(DType::F16).unwrap();
        let large = device.record(|| {
            adam.step(&[(&w, &gradient), (&half, &gradient), (&w, &gradient)])?;
            sgd.step(&[(&v, &gradient)])
        }).unwrap();
        let small = device.record(|| adam.step(&[(&w, &gradient)])).unwrap();
        large.run().unwrap();
        small.run().unwrap();
        let (mut adam, mut sgd) = (Adam::new(0.1), Sgd::new(0.1).momentum(0.5));
        // Each plan is done when it is recorded, too: large, small, large, small.
        for _ in 0..2 {
            adam.step(&[(&expected_w, &gradient), (&expected_half, &gradient), (&expected_w, &gradient)]).unwrap();
            sgd.step(&[(&expected_v, &gradient)]).unwrap();
            adam.step(&[(&expected_w, &gradient)]).unwrap();
        }
        for (found, expected) in [(&w, &expected_w), (&v, &expected_v), (&half, &expected_half)] {
            assert_eq!(found.to_vec().unwrap(), expected.to_vec().unwrap());
        }
    }

    fn the_device_counts_for_all_weights_at_once(device) {
        // A device of its own: other tests dispatch, too.
        Activation::Relu.forward(&device.zeros([1]).unwrap()).unwrap();
        let device = &Device::open(device.info()).unwrap();
        let weights: Vec<Tensor> = (1..=6).map(|i| device.zeros([i]).unwrap()).collect();
        let gradient: Vec<Tensor> =
            (1..=6).map(|i| device.tensor(&vec![0.5; i], [i]).unwrap()).collect();
        let pairs: Vec<_> = weights.iter().zip(&gradient).collect();
        let mut adam = AdamW::new(0.1);
        let all = device.record(|| adam.step(&pairs)).unwrap();
        let some = device.record(|| adam.step(&[pairs[4], pairs[1], pairs[2]])).unwrap();
        let count = |plan: &Plan<'_, ()>| {
            let before = device.counters().dispatches;
            plan.run().unwrap();
            device.counters().dispatches - before
        };
        assert_eq!(count(&all), 1 + 6);
        // The weights 1 and 2 lie side by side; on the CPU a part of the counts is copied and copied back.
        let copies = if device.info().kind.is_gpu() { 0 } else { 4 };
        assert_eq!(count(&some), 2 + copies + 3);
        let state = adam.state(&[("1", &weights[1]), ("3", &weights[3])]).unwrap();
        assert_eq!((state["1.step"].item().unwrap(), state["3.step"].item().unwrap()), (4.0, 2.0));
    }

    fn what_is_wrong_stops_a_run_before_it_begins(device) {
        let w = device.tensor(&[1.0], [1]).unwrap();
        let gradient = device.tensor(&[0.5], [1]).unwrap();
        let mut adam = Adam::new(0.1);
        let plan = device.record(|| adam.step(&[(&w, &gradient)])).unwrap();
        let before = w.to_vec().unwrap();
        adam.set_learning_rate(f32::NAN);
        let error = plan.run().unwrap_err();
        assert!(error.to_string().contains("learning_rate"), "{error}");
        assert_eq!(w.to_vec().unwrap(), before);
        adam.set_learning_rate(0.1);
        plan.run().unwrap();
        assert_ne!(w.to_vec().unwrap(), before);
        let mut slow = Adam::new(0.1).betas(0.9, 0.999_999_9);
        let error = device.record(|| slow.step(&[(&w, &gradient)])).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        slow.step(&[(&w, &gradient)]).unwrap();
    }

    fn runs_take_no_memory_and_compile_nothing(device) {
        // The shared device takes a step, as every test has to; the rest is on a device of its own, as other tests use
        // memory.
        Network::new(device).step(&mut Optimizer::Sgd(Sgd::new(0.1))).unwrap();
        let device = &Device::open(device.info()).unwrap();
        let network = Network::new(device);
        let mut optimizer = Optimizer::AdamW(AdamW::new(1e-3));
        network.write(1);
        let plan = device.record(|| network.step(&mut optimizer)).unwrap();
        for _ in 0..50 {
            plan.run().unwrap();
        }
        device.synchronize().unwrap();
        let (memory, counters) = (device.memory(), device.counters());
        for _ in 0..if device.info().kind.is_gpu() { 500 } else { 10_000 } {
            plan.run().unwrap();
        }
        device.synchronize().unwrap();
        assert_eq!(device.memory().tensors, memory.tensors);
        assert_eq!(device.counters().pipelines, counters.pipelines);
    }
}

/// A plan beside what it uses, in another thread.
struct Trainer {
    weights: Tensor,
    gradient: Tensor,
    adam: Adam,
    plan: Option<Plan<'static, ()>>,
}

#[test]
fn a_plan_is_kept_beside_what_it_uses() {
    let device = common::cpu();
    let mut trainer = Trainer {
        weights: device.tensor(&[1.0], [1]).unwrap(),
        gradient: device.tensor(&[0.5], [1]).unwrap(),
        adam: Adam::new(0.1),
        plan: None,
    };
    let Trainer { weights, gradient, adam, plan } = &mut trainer;
    *plan = Some(device.record(|| adam.step(&[(weights, gradient)])).unwrap());
    let mut trainer = std::thread::spawn(move || {
        trainer.plan.as_ref().unwrap().run().unwrap();
        trainer
    })
    .join()
    .unwrap();
    trainer.adam.set_learning_rate(0.0);
    trainer.plan.as_ref().unwrap().run().unwrap();
    let found = trainer.weights.item().unwrap();
    assert!((found - 0.8).abs() < 1e-5, "{found}");
}
