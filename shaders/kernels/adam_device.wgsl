// The factors of a step of Adam that the device keeps, for plans: advance.wgsl has computed the last two.

struct Parameters {
    vectors: u32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(5) var<storage, read> settings: array<f32>;
@group(0) @binding(6) var<storage, read> progress: array<u32>;

fn factors() -> Factors {
    return Factors(
        settings[1],
        settings[2],
        settings[3],
        settings[4],
        settings[5],
        settings[6],
        settings[7],
        bitcast<f32>(progress[1]),
        bitcast<f32>(progress[2]),
        settings[8],
    );
}
