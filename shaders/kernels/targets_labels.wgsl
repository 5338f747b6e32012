// Targets that are the index of a class, one a row, for the loss kernels.

@group(0) @binding(2) var<storage, read> targets: array<i32>;

// Whether the targets of each row add up to one, but for the weights of classes.
const TARGETS_ADD_UP_TO_ONE: bool = true;

fn row_counts(row: u32) -> bool {
    let ignored = parameters.ignores == 1u
        && targets[parameters.targets_base + row] == parameters.ignore_index;
    return !ignored;
}

// The first of a row's columns that may have a target other than 0, and the one behind the last.
fn targets_of(row: u32, width: u32) -> vec2<u32> {
    if (width == 0u || !targets_are_single()) {
        return vec2<u32>(0u, width);
    }
    let label = u32(targets[parameters.targets_base + row]);
    return vec2<u32>(label, label + 1u) * u32(label < width);
}

// Whether a row has only the target of its label.
fn targets_are_single() -> bool {
    return parameters.smoothing == 0.0;
}

// The smoothed target, times the weight of its class.
fn target_at(row: u32, column: u32) -> f32 {
    let hit = targets[parameters.targets_base + row] == i32(column);
    let share = parameters.smoothing / f32(parameters.classes);
    let value = share + select(0.0, 1.0 - parameters.smoothing, hit);
    return value * class_weight(column);
}

// The weight of the row's label, where the row counts.
fn label_weight(row: u32) -> f32 {
    return class_weight(u32(targets[parameters.targets_base + row]));
}
