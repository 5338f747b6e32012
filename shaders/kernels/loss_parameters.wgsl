// Shared by the loss kernels: their parameters, and the outputs y that they compare with the targets.

struct Parameters {
    rows: u32,
    width: u32,
    // Elements in all; the last row may be shorter than the others.
    elements: u32,
    zero: u32,
    // What the reduction divides by, inverted.
    scale: f32,
    smoothing: f32,
    ignores: u32,
    ignore_index: i32,
    y_base: u32,
    targets_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> y: array<f32>;
// Binding 2: the targets.
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
