// Shared by the loss kernels: their parameters and inputs, and the weights that go with the targets.

struct Parameters {
    rows: u32,
    width: u32,
    // The number of elements in all; the last row may be shorter than the others.
    elements: u32,
    zero: u32,
    // The factor of the reduction.
    scale: f32,
    smoothing: f32,
    ignores: u32,
    ignore_index: i32,
    z_loss: f32,
    // Where the window of each tensor begins in its binding.
    z_base: u32,
    targets_base: u32,
    losses_base: u32,
    y_base: u32,
    dz_base: u32,
    // The number for row r and column c lies at base + r * row + c * column.
    weights_base: u32,
    weights_row: u32,
    weights_column: u32,
    extra_base: u32,
    extra_row: u32,
    extra_column: u32,
    // For a tile: its first column, and the number of classes of a whole row.
    first_column: u32,
    classes: u32,
}

// Which outputs are wanted; the buffers of the others are not touched. Terms are written in place of y.
override WANT_LOSS: bool = true;
override WANT_TERMS: bool = false;
override WANT_Y: bool = true;
override WANT_DZ: bool = true;

// Which inputs are present, as bits; the buffers of the others are not read. Class weights are bound as extra.
override INPUTS: u32 = 0u;
const HAS_WEIGHTS: u32 = 1u;
const HAS_CLASS_WEIGHTS: u32 = 2u;
const HAS_EXTRA: u32 = 4u;
const HAS_DIVISOR: u32 = 8u;

@group(0) @binding(0) var<uniform> parameters: Parameters;
// loss_scalars.wgsl or loss_vectors.wgsl declares bindings 1, 7 and 8. Binding 2 has the targets.
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> extra: array<f32>;
@group(0) @binding(5) var<storage, read> divisor: array<f32>;
@group(0) @binding(6) var<storage, read_write> losses: array<f32>;

fn has(input: u32) -> bool {
    return (INPUTS & input) != 0u;
}

// The weight of an element. The weight of a row is that of its column 0.
fn weight_at(row: u32, column: u32) -> f32 {
    if (!has(HAS_WEIGHTS)) {
        return 1.0;
    }
    let index = row * parameters.weights_row + column * parameters.weights_column;
    return weights[parameters.weights_base + index];
}

fn extra_at(row: u32, column: u32) -> f32 {
    if (!has(HAS_EXTRA)) {
        return 1.0;
    }
    return extra[parameters.extra_base + row * parameters.extra_row + column * parameters.extra_column];
}

fn class_weight(k: u32) -> f32 {
    if (!has(HAS_CLASS_WEIGHTS)) {
        return 1.0;
    }
    return extra[parameters.extra_base + k * parameters.extra_column];
}

// A target times the weight of its class: 0 if the target is 0, whatever the weight is.
fn weighted_target(t: f32, k: u32) -> f32 {
    return select(t * class_weight(k), 0.0, t == 0.0);
}

// The scale of the reduction.
fn reduction_scale() -> f32 {
    if (!has(HAS_DIVISOR)) {
        return parameters.scale;
    }
    // A mean over no weight is undefined, whatever there is to add up.
    let total = divisor[0];
    return nan_where(total == 0.0, math_divide(parameters.scale, total));
}

// The loss of a row times its scale. A weight of 0 turns an infinite loss into 0; a mean over an infinite
// weight does not.
fn scaled_loss(scale: f32, loss: f32) -> f32 {
    return select(weighted(scale, loss), scale * loss, reduction_scale() == 0.0);
}

// A term times its weight: 0 if the weight is 0, even for an infinite term. NaN stays NaN.
fn weighted(weight: f32, value: f32) -> f32 {
    return select(weight * value, 0.0, weight == 0.0 && is_infinite(value));
}
