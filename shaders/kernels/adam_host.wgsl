// The factors of a step of Adam that the host has computed.

struct Parameters {
    vectors: u32,
    zero: u32,
    weight_decay: f32,
    decoupled_decay: f32,
    // 1 - decoupled_decay
    kept: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    root_scale: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

fn factors() -> Factors {
    return Factors(
        parameters.weight_decay,
        parameters.decoupled_decay,
        parameters.kept,
        parameters.beta1,
        parameters.one_minus_beta1,
        parameters.beta2,
        parameters.one_minus_beta2,
        parameters.step_size,
        parameters.root_scale,
        parameters.epsilon,
    );
}
