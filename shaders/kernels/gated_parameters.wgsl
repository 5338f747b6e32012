// Shared by the kernels of gated units. A row of x has 2 * width numbers: one half holds values, and the
// other goes through the activation. A row of outputs has width numbers.

struct Parameters {
    // The number of elements of the forward pass's output.
    elements: u32,
    width: u32,
    zero: u32,
    // Where the two halves begin in a row: 0 and width, or the other way round.
    value_offset: u32,
    gate_offset: u32,
    x_base: u32,
    y_base: u32,
    dx_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;

// The index of the row's first number in x, plus the index of the element in its half.
fn place_in_x(index: u32) -> u32 {
    return index / parameters.width * (2u * parameters.width) + index % parameters.width;
}
