//! Activations, losses and layers as data, with the feature `serde`.

use serde_json::{Value, from_str, from_value, json, to_value};
use wgrad::{Activation, Dense, Gated, Logits, Loss, OutputLayer, Outputs, Prelu, Reduction};

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
}
