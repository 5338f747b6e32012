// The factors of a step of gradient descent that the host has passed.

struct Parameters {
    vectors: u32,
    zero: u32,
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

fn factors() -> Factors {
    return Factors(parameters.learning_rate, parameters.momentum, parameters.weight_decay);
}
