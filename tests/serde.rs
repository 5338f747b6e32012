//! Activations, losses and layers as data, with the feature `serde`.

use serde_json::{Value, from_str, from_value, json, to_value};
use wgrad::{
    Activation, Adam, AdamW, Dense, Device, Gated, Logits, Loss, OutputLayer, Outputs, Prelu,
    Reduction, Sgd,
};

/// That a value comes back from its data, which is returned.
fn round_trip<T>(value: &T) -> Value
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let data = to_value(value).unwrap();
    // Through a text, as a file holds it.
    assert_eq!(&from_str::<T>(&data.to_string()).unwrap(), value);
    data
}

#[test]
fn activations_losses_and_gated_units_are_their_text() {
    for activation in Activation::all() {
        assert_eq!(round_trip(&activation), activation.to_string());
    }
    for loss in Loss::all() {
        assert_eq!(round_trip(&loss), loss.to_string());
    }
    for unit in Gated::all().chain([Gated::new(Activation::Tanh).unwrap().gate_first()]) {
        assert_eq!(round_trip(&unit), unit.to_string());
    }
    let third = Activation::leaky_relu();
    assert_eq!(round_trip(&third), "leaky_relu(slope=0.01)");
    let odd = Activation::LeakyRelu { slope: 1.0 / 3.0 };
    round_trip(&odd);

    let swoosh = Activation::from_formula("z * sigmoid(beta * z)", &[("beta", 1.702)]).unwrap();
    let swoosh = swoosh.named("swoosh").unwrap();
    let text = r#"formula("z * sigmoid(beta * z)", beta=1.702, name=swoosh)"#;
    assert_eq!(round_trip(&swoosh), text);
    round_trip(&Loss::from_formula("(y - t)^2 / s", &[("s", 0.1)]).unwrap());
}

#[test]
fn reductions_and_outputs_are_their_text() {
    for (reduction, text) in [
        (Reduction::None, "none"),
        (Reduction::Sum, "sum"),
        (Reduction::Mean, "mean"),
        (Reduction::BatchMean, "batch_mean"),
    ] {
        assert_eq!(round_trip(&reduction), text);
    }
    assert_eq!(round_trip(&(Outputs::LOSS | Outputs::DW)), "LOSS | DW");
}

#[test]
fn layers_are_records() {
    let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
        .reduction(Reduction::Sum)
        .outputs(Outputs::LOSS | Outputs::DX)
        .z_loss(1e-4)
        .transposed_weights(true)
        .logits(Logits::Tiled)
        .tile_bytes(1 << 20);
    let data = round_trip(&layer);
    assert_eq!(data["activation"], "softmax");
    assert_eq!(data["reduction"], "sum");
    assert_eq!(data["logits"], "tiled");
    assert_eq!(data["outputs"], "LOSS | DX");

    let dense = Dense::new(Activation::Gelu).transposed_weights(true);
    assert_eq!(round_trip(&dense), json!({"activation": "gelu", "transposed_weights": true}));
    round_trip(&Prelu::new().axis(0));
}

#[test]
fn optimizers_are_records_of_their_settings() {
    let mut sgd = Sgd::new(0.1).momentum(0.9);
    sgd.set_learning_rate(0.5);
    let data = json!({"learning_rate": 0.5, "momentum": 0.9f32, "weight_decay": 0.0});
    assert_eq!(to_value(&sgd).unwrap(), data);
    let adam = Adam::new(0.25).betas(0.5, 0.75).eps(0.125).weight_decay(0.0625);
    let data =
        json!({"learning_rate": 0.25, "betas": [0.5, 0.75], "eps": 0.125, "weight_decay": 0.0625});
    assert_eq!(to_value(&adam).unwrap(), data);
    let read: Adam = from_str(&data.to_string()).unwrap();
    assert_eq!(to_value(&read).unwrap(), data);
    // What is left out is as PyTorch has it, and an optimizer does the same after the journey.
    let read: Sgd = from_value(json!({"learning_rate": 1.0})).unwrap();
    assert_eq!(to_value(&read).unwrap(), to_value(Sgd::new(1.0)).unwrap());
    let read: Adam = from_value(json!({"learning_rate": 1.0})).unwrap();
    assert_eq!(to_value(&read).unwrap(), to_value(Adam::new(1.0)).unwrap());
    let mut read: AdamW = from_value(json!({"learning_rate": 0.1})).unwrap();
    assert_eq!(to_value(&read).unwrap()["weight_decay"], json!(0.01f32));
    let tensor = |values| Device::cpu().tensor(values, [2]).unwrap();
    let (w, dw) = (tensor(&[1.0, 2.0]), tensor(&[0.5, -0.5]).to_vec().unwrap());
    let dw = w.device().tensor(&dw, [2]).unwrap();
    let own = w.device().tensor(&[1.0, 2.0], [2]).unwrap();
    read.step(&[(&w, &dw)]).unwrap();
    AdamW::new(0.1).step(&[(&own, &dw)]).unwrap();
    assert_eq!(w.to_vec().unwrap(), own.to_vec().unwrap());
}

#[test]
fn what_a_record_leaves_out_is_as_usual() {
    let layer: OutputLayer = from_value(json!({"activation": "Sigmoid", "loss": "mse"})).unwrap();
    assert_eq!(layer, OutputLayer::new(Activation::Sigmoid, Loss::Mse));
    let dense: Dense = from_value(json!({"activation": "relu"})).unwrap();
    assert_eq!(dense, Dense::new(Activation::Relu));
}

#[test]
fn mistakes_are_errors_that_name_them() {
    let activation = |value: Value| from_value::<Activation>(value).unwrap_err().to_string();
    assert!(activation(json!("sigmod")).contains("sigmoid"));
    assert!(activation(json!("leaky_relu(slope=inf)")).contains("must be finite"));
    assert!(activation(json!(r#"formula("z +")"#)).contains("column 4"));
    assert!(activation(json!(3)).contains("expected activation"));
    let layer = from_value::<Dense>(json!({"activation": "relu", "transposed": true}));
    assert!(layer.unwrap_err().to_string().contains("unknown field `transposed`"));
    let layer = from_value::<OutputLayer>(json!({"activation": "relu"}));
    assert!(layer.unwrap_err().to_string().contains("missing field `loss`"));
    assert!(from_value::<Outputs>(json!("LOSS | W")).is_err());
    let text = |value: Value| from_value::<AdamW>(value).unwrap_err().to_string();
    let found = text(json!({"learning_rate": -1.0}));
    assert!(found.contains("learning_rate") && found.contains("not negative"), "{found}");
    assert!(text(json!({"learning_rate": 0.1, "betas": [0.9, 1.0]})).contains("beta2"));
    assert!(text(json!({"learning_rate": 0.1, "beta1": 0.9})).contains("unknown field `beta1`"));
    assert!(text(json!({"eps": 0.1})).contains("missing field `learning_rate`"));
    let found = from_value::<Sgd>(json!({"learning_rate": 0.1, "momentum": -0.5})).unwrap_err();
    assert!(found.to_string().contains("momentum"), "{found}");
}
