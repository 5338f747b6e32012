// Shared by the kernels that work on a tile of logits: some columns of some rows. dE/dz overwrites the tile,
// and the states of its rows are bound in place of y.

// What the tiles so far say about a row of logits.
struct State {
    maximum: f32,
    // sum_k e^(z_k - maximum) - 1; -1 if there has been no logit.
    rest: f32,
    // The logit of the label.
    label_logit: f32,
    // For label smoothing: sum_k w_k (maximum - z_k) and sum_k w_k, with the weights of the classes.
    spread: f32,
    mass: f32,
}

fn load_state(row: u32) -> State {
    let start = parameters.y_base + row * 5u;
    return State(y[start], y[start + 1u], y[start + 2u], y[start + 3u], y[start + 4u]);
}

fn store_state(row: u32, state: State) {
    let start = parameters.y_base + row * 5u;
    y[start] = state.maximum;
    y[start + 1u] = state.rest;
    y[start + 2u] = state.label_logit;
    y[start + 3u] = state.spread;
    y[start + 4u] = state.mass;
}

// The sum of the targets of a row.
fn row_mass(row: u32, state: State) -> f32 {
    if (!has(HAS_CLASS_WEIGHTS)) {
        return 1.0;
    }
    let share = parameters.smoothing / f32(parameters.classes);
    return (1.0 - parameters.smoothing) * label_weight(row) + share * state.mass;
}
