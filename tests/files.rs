//! Tensors and the state of optimizers in files.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::normal;
use half::f16;
use wgrad::{
    Activation, Adam, AdamW, DType, Dense, Device, Error, Loss, OutputLayer, Sgd, Tensor, half,
    load, load_into, save,
};

/// A folder of its own, which goes away at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wgrad-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec().unwrap().iter().map(|value| value.to_bits()).collect()
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/python.safetensors")
}

on_every_device! {
    fn what_is_saved_is_loaded(device) {
        let folder = Folder::new(if device.info().kind.is_gpu() { "gpu" } else { "cpu" });
        let path = folder.file("model.safetensors");
        let values = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-42, f32::MAX, 0.1, f32::NAN];
        // As the device has computed it.
        let w = Activation::Identity.forward(&device.tensor(&values, [2, 4]).unwrap()).unwrap();
        let h = device.tensor_f16(&[1.5, -6e-8, 65504.0].map(f16::from_f32), [3]).unwrap();
        let scalar = device.tensor(&[7.0], []).unwrap();
        let empty = device.zeros([0, 3]).unwrap();
        save(&path, &[("w", &w), ("a.h", &h), ("scalar", &scalar), ("empty", &empty)]).unwrap();
        let found = load(device, &path).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a.h", "empty", "scalar", "w"]);
        for (name, tensor) in [("w", &w), ("a.h", &h), ("scalar", &scalar), ("empty", &empty)] {
            let found = &found[name];
            assert_eq!((found.shape(), found.dtype(), bits(found)), (tensor.shape(), tensor.dtype(), bits(tensor)), "{name}");
        }
        w.write(&[1.0; 8]).unwrap();
        h.write(&[1.0; 3]).unwrap();
        load_into(&path, &[("a.h", &h), ("w", &w)]).unwrap();
        assert_eq!(bits(&w), bits(&found["w"]));
        assert_eq!(bits(&h), bits(&found["a.h"]));
        // A file that is there is replaced as a whole, and nothing else is left.
        save(&path, &[("w", &scalar)]).unwrap();
        assert_eq!(load(device, &path).unwrap().len(), 1);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    fn files_of_python_are_read(device) {
        let names = [("layer.weight", &[2, 3][..]), ("layer.scale", &[]), ("half", &[3])];
        let tensors = names.map(|(name, shape)| {
            let dtype = if name == "half" { DType::F16 } else { DType::F32 };
            (name, device.zeros_of(dtype, shape).unwrap())
        });
        load_into(python(), &tensors.each_ref().map(|(name, tensor)| (*name, tensor))).unwrap();
        let [(_, weight), (_, scale), (_, half)] = &tensors;
        let found = weight.to_vec().unwrap();
        assert_eq!(found[..3], [1.5, -2.0, f32::INFINITY]);
        assert!(found[3].is_nan());
        assert_eq!(found[4..].iter().map(|it| it.to_bits()).collect::<Vec<_>>(), [1e-42_f32.to_bits(), 1 << 31]);
        assert_eq!(Activation::Relu.forward(scale).unwrap().item().unwrap(), 0.25);
        assert_eq!(half.to_vec().unwrap(), [1.0, 65504.0, 5.960_464_5e-8]);
        let error = load(device, python()).unwrap_err().to_string();
        assert!(error.contains("\"labels\" is of I64; F32, F16 and BF16 can be loaded"), "{error}");
    }

    fn what_is_wrong_leaves_everything_as_it_was(device) {
        let folder = Folder::new(if device.info().kind.is_gpu() { "wrong gpu" } else { "wrong cpu" });
        let path = folder.file("model.safetensors");
        let [a, b] = [1.0, 2.0].map(|value| {
            Activation::Relu.forward(&device.tensor(&[value; 6], [2, 3]).unwrap()).unwrap()
        });
        save(&path, &[("a", &a), ("b", &b)]).unwrap();
        let whole = fs::read(&path).unwrap();
        let (target, flat) = (device.zeros([2, 3]).unwrap(), device.zeros([6]).unwrap());
        let half = device.zeros_of(DType::F16, [2, 3]).unwrap();
        let cut = folder.file("cut.safetensors");
        let text = folder.file("text.safetensors");
        let header = folder.file("header.safetensors");
        fs::write(&text, "not a file of tensors").unwrap();
        fs::write(&header, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
        let missing = folder.file("missing.safetensors");
        let cases: Vec<(wgrad::Result<()>, &str)> = vec![
            (load_into(&missing, &[("a", &target)]), "cannot be read"),
            (load_into(&text, &[("a", &target)]), "not a whole file"),
            (load_into(&header, &[("a", &target)]), "not a whole file"),
            (load_into(&path, &[("a", &target), ("c", &flat)]), "has no tensor \"c\"; it has: \"a\", \"b\""),
            (load_into(&path, &[("a", &target), ("b", &flat)]), "\"b\" has the shape [2, 3] there, not [6]"),
            (load_into(&path, &[("a", &target), ("b", &half)]), "\"b\" is of F32 there, not of f16"),
            (save(folder.file("none/model"), &[("a", &a)]), "cannot be written"),
            (save(&path, &[("a", &a), ("a", &b)]), "given twice"),
        ];
        for (place, (result, part)) in cases.into_iter().enumerate() {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{place}: {error}");
            assert!(error.to_string().contains(part), "{place}: {error}");
        }
        for length in (0..whole.len()).step_by(7) {
            fs::write(&cut, &whole[..length]).unwrap();
            assert!(matches!(load(device, &cut), Err(Error::File { .. })), "{length}");
            assert!(load_into(&cut, &[("a", &target)]).is_err(), "{length}");
        }
        assert_eq!(target.to_vec().unwrap(), [0.0; 6]);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    fn training_goes_on_with_the_same_bits(device) {
        let folder = Folder::new(if device.info().kind.is_gpu() { "resume gpu" } else { "resume cpu" });
        for kind in 0..3 {
            let path = folder.file("checkpoint.safetensors");
            let mut first = Training::new(device, kind);
            for number in 0..7 {
                first.step(number);
            }
            first.save(&path);
            for number in 7..12 {
                first.step(number);
            }
            // Another run, by calls and then as a plan.
            for planned in [false, true] {
                let mut second = Training::new(device, kind);
                second.step(3);
                second.load(device, &path);
                if planned {
                    second.write(7);
                    let plan = device.record(|| second.advance()).unwrap();
                    for number in 8..10 {
                        second.write(number);
                        plan.run().unwrap();
                    }
                    // The steps that the device has counted are saved too.
                    let again = folder.file("again.safetensors");
                    second.save(&again);
                    let mut third = Training::new(device, kind);
                    third.load(device, &again);
                    third.step(10);
                    third.step(11);
                    assert_eq!(third.bits(), first.bits(), "{kind}");
                    // A state that is set holds for the plan.
                    second.load(device, &path);
                    for number in 7..12 {
                        second.write(number);
                        plan.run().unwrap();
                    }
                } else {
                    for number in 7..12 {
                        second.step(number);
                    }
                }
                assert_eq!(second.bits(), first.bits(), "{kind} {planned}");
            }
        }
    }

    fn states_that_do_not_fit_are_errors(device) {
        let w = device.tensor(&[1.0, 2.0], [2]).unwrap();
        let mut adam = Adam::new(0.1);
        assert!(adam.state(&[("w", &w)]).unwrap().is_empty());
        adam.step(&[(&w, &w)]).unwrap();
        let state = adam.state(&[("w", &w)]).unwrap();
        assert_eq!(state.keys().collect::<Vec<_>>(), ["w.exp_avg", "w.exp_avg_sq", "w.step"]);
        assert_eq!(state["w.step"].item().unwrap(), 1.0);
        let changed = |name: &str, tensor: Option<Tensor>| {
            let mut state = state.clone();
            match tensor {
                Some(tensor) => state.insert(name.to_owned(), tensor),
                None => state.remove(name),
            };
            state
        };
        for (state, part) in [
            (changed("w.exp_avg", None), "there is no \"w.exp_avg\""),
            (changed("w.exp_avg", Some(device.zeros([3]).unwrap())), "w.exp_avg"),
            (changed("w.step", Some(device.tensor(&[1.5], []).unwrap())), "whole number"),
            (changed("w.step", Some(device.tensor(&[-1.0], []).unwrap())), "whole number"),
        ] {
            let error = adam.set_state(&[("w", &w)], &state).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(adam.state(&[("w", &w)]).unwrap()["w.step"].item().unwrap(), 1.0);
        adam.set_state(&[("w", &w)], &BTreeMap::new()).unwrap();
        assert!(adam.state(&[("w", &w)]).unwrap().is_empty());
    }
}

enum Optimizer {
    Sgd(Sgd),
    Adam(Adam),
    AdamW(AdamW),
}

const NAMES: [&str; 4] = ["hidden.weight", "hidden.bias", "top.weight", "top.bias"];

struct Training {
    x: Tensor,
    labels: wgrad::Labels,
    weights: Vec<Tensor>,
    optimizer: Optimizer,
}

impl Training {
    fn new(device: &Device, kind: usize) -> Self {
        let shapes = [&[5, 4][..], &[4], &[4, 3], &[3]];
        let tensor = |(shape, seed): (&[usize], u64)| {
            device.tensor(&normal(shape.iter().product(), 0.5, seed), shape).unwrap()
        };
        Self {
            x: device.zeros([8, 5]).unwrap(),
            labels: device.labels(&[0, 1, 2, 0, 1, 2, 0, 1]).unwrap(),
            weights: shapes.into_iter().zip(1..).map(tensor).collect(),
            optimizer: match kind {
                0 => Optimizer::Sgd(Sgd::new(0.1).momentum(0.9)),
                1 => Optimizer::Adam(Adam::new(0.01)),
                _ => Optimizer::AdamW(AdamW::new(0.01)),
            },
        }
    }

    fn write(&self, number: u64) {
        self.x.write(&normal(40, 1.0, 50 + number)).unwrap();
    }

    fn advance(&mut self) -> wgrad::Result<()> {
        let [w1, b1, w2, b2] = &self.weights[..] else { unreachable!() };
        let layer = Dense::new(Activation::Tanh);
        let top = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let hidden = layer.forward(&self.x, w1, Some(b1))?;
        let end = top.gradients(&hidden.y, w2, Some(b2), &self.labels)?;
        let start = layer.backward(&self.x, w1, &hidden, &end.dx)?;
        let pairs = [(w1, &start.dw), (b1, &start.db), (w2, &end.dw), (b2, &end.db)];
        match &mut self.optimizer {
            Optimizer::Sgd(it) => it.step(&pairs),
            Optimizer::Adam(it) => it.step(&pairs),
            Optimizer::AdamW(it) => it.step(&pairs),
        }
    }

    fn step(&mut self, number: u64) {
        self.write(number);
        self.advance().unwrap();
    }

    fn named(&self) -> Vec<(&'static str, &Tensor)> {
        NAMES.into_iter().zip(&self.weights).collect()
    }

    fn save(&self, path: &Path) {
        let named = self.named();
        let state = match &self.optimizer {
            Optimizer::Sgd(it) => it.state(&named),
            Optimizer::Adam(it) => it.state(&named).unwrap(),
            Optimizer::AdamW(it) => it.state(&named).unwrap(),
        };
        let state = state.iter().map(|(name, tensor)| (name.as_str(), tensor));
        save(path, &named.iter().copied().chain(state).collect::<Vec<_>>()).unwrap();
    }

    fn load(&mut self, device: &Device, path: &Path) {
        load_into(path, &self.named()).unwrap();
        let state = load(device, path).unwrap();
        let named: Vec<_> = NAMES.into_iter().zip(&self.weights).collect();
        match &mut self.optimizer {
            Optimizer::Sgd(it) => it.set_state(&named, &state),
            Optimizer::Adam(it) => it.set_state(&named, &state),
            Optimizer::AdamW(it) => it.set_state(&named, &state),
        }
        .unwrap();
    }

    fn bits(&self) -> Vec<Vec<u32>> {
        self.weights.iter().map(bits).collect()
    }
}
