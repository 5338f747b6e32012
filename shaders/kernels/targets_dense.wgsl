// For the loss kernels: targets with a number for each output.

@group(0) @binding(2) var<storage, read> targets: array<Numbers>;

// Whether the targets of each row add up to one, apart from class weights.
const TARGETS_ADD_UP_TO_ONE: bool = false;

fn row_counts(row: u32) -> bool {
    return true;
}

fn targets_are_single() -> bool {
    return false;
}

// The smoothed target, times the weight of its class.
fn target_at(row: u32, column: u32) -> f32 {
    let at = parameters.targets_base + row * parameters.width + column;
    let t = part(targets[at / TOGETHER], at % TOGETHER);
    if (parameters.smoothing == 0.0) {
        return weighted_target(t, column);
    }
    let value = (1.0 - parameters.smoothing) * t + parameters.smoothing / f32(parameters.classes);
    return weighted_target(value, column);
}

// Whether an element has no part in the loss of its row, whatever the row's weight is.
fn is_left_out(row: u32, column: u32) -> bool {
    return false;
}

// Dense targets have no label.
fn label_of(row: u32) -> u32 {
    return 0u;
}

fn label_weight(row: u32) -> f32 {
    return 1.0;
}
