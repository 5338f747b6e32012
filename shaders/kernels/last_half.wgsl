// Copies the low half of a word. The high half stays as it is.

struct Parameters {
    input_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;

@compute @workgroup_size(1)
fn main() {
    let half = input[parameters.input_base] & 0xffffu;
    let beside = output[parameters.output_base] & 0xffff0000u;
    output[parameters.output_base] = beside | half;
}
