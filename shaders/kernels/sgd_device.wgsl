// The factors of a step of gradient descent that the device keeps, for plans.

struct Parameters {
    vectors: u32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

fn factors() -> Factors {
    return Factors(settings[0], settings[1], settings[2]);
}
