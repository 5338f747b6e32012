// Shared by the kernels of row-wise activations: rows along any axis of a tensor, with a mask and a
// temperature T.
//
// As seen from the axis, a tensor has the shape [outer, width, inner]. Each row has width elements, and each
// of these is inner elements after the one before.

struct Parameters {
    rows: u32,
    width: u32,
    inner: u32,
    zero: u32,
    // Where the window of each tensor begins in its binding: of z or y, of a product's vector, of the output.
    input_base: u32,
    vector_base: u32,
    output_base: u32,
    // The row of the input to which the output's first row belongs.
    first_row: u32,
    // Element i of the window has the element (mask_first + i) % mask_period of the mask.
    mask_base: u32,
    mask_first: u32,
    mask_period: u32,
    // Times this factor, arguments have differences that do not overflow.
    prescale: f32,
    // 1 / (T * prescale), rounded, and the rounding error.
    inverse: f32,
    inverse_lost: f32,
    // 1 / T
    slope: f32,
}

// Whether there is a mask (without one its binding is not read), and whether T is not 1.
override MASKED: bool = false;
override SCALED: bool = false;

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> mask: array<f32>;

// The index of a row's first element in the window.
fn row_start(row: u32) -> u32 {
    return row / parameters.inner * (parameters.width * parameters.inner) + row % parameters.inner;
}

// The indices of element i of the row and of the next three. Elements beyond the end are the last element.
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
    // Compares bits, as some drivers treat subnormal numbers as zero.
    return (bitcast<u32>(mask[parameters.mask_base + at]) & 0x7fffffffu) != 0u;
}
