// Shared by the kernels of row-wise activations: rows along any axis of a tensor, with a mask and a
// temperature T.
//
// Seen from the axis a tensor is [outer, width, inner]; each row has width elements that are inner
// apart.

struct Parameters {
    rows: u32,
    width: u32,
    inner: u32,
    zero: u32,
    // Where the window of each tensor begins in its binding: z or y, the vector of a product, the output.
    input_base: u32,
    vector_base: u32,
    output_base: u32,
    // The row of the input that the output's first belongs to.
    first_row: u32,
    // Element i of the window has the mask's element (mask_first + i) % mask_period.
    mask_base: u32,
    mask_first: u32,
    mask_period: u32,
    // Taken times this, arguments have differences that do not overflow.
    prescale: f32,
    // 1 / (T * prescale), rounded, and what the rounding took.
    inverse: f32,
    inverse_lost: f32,
    // 1 / T
    slope: f32,
}

// Whether there is a mask; without one its binding is not read. Whether T is not 1.
override MASKED: bool = false;
override SCALED: bool = false;

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> mask: array<f32>;

// The index of a row's first element in the window.
fn row_start(row: u32) -> u32 {
    return row / parameters.inner * (parameters.width * parameters.inner) + row % parameters.inner;
}

// The indices of element i of the row and of the three after it; for those beyond its end the last one's.
fn indices(row: u32, i: u32, width: u32) -> vec4<u32> {
    let places = min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(width - 1u));
    return row + places * parameters.inner;
}

// Whether the mask keeps this element of the window.
fn kept(index: u32) -> bool {
    if (!MASKED) {
        return true;
    }
    let at = (parameters.mask_first + index) % parameters.mask_period;
    // By bits: some drivers take subnormal numbers for zero.
    return (bitcast<u32>(mask[parameters.mask_base + at]) & 0x7fffffffu) != 0u;
}
