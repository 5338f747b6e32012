// For the loss kernels: targets that are the index of a class, one for each row.

@group(0) @binding(2) var<storage, read> targets: array<i32>;

// Whether the targets of each row add up to one, apart from class weights.
const TARGETS_ADD_UP_TO_ONE: bool = true;

fn row_counts(row: u32) -> bool {
    let ignored = parameters.ignores == 1u
        && targets[parameters.targets_base + row] == parameters.ignore_index;
    return !ignored;
}

// The row's label. A label to ignore does not have to be a column.
fn label_of(row: u32) -> u32 {
    return u32(targets[parameters.targets_base + row]);
}

// Whether the only target of a row is its label.
fn targets_are_single() -> bool {
    return parameters.smoothing == 0.0;
}

// The smoothed target, times the weight of its class.
fn target_at(row: u32, column: u32) -> f32 {
    let hit = targets[parameters.targets_base + row] == i32(column);
    let share = parameters.smoothing / f32(parameters.classes);
    let value = share + select(0.0, 1.0 - parameters.smoothing, hit);
    return weighted_target(value, column);
}

// Whether an element has no part in the loss of its row, whatever the row's weight is.
fn is_left_out(row: u32, column: u32) -> bool {
    return targets_are_single() && label_of(row) != column;
}

// The weight of the row's label, if the row counts.
fn label_weight(row: u32) -> f32 {
    return class_weight(label_of(row));
}
