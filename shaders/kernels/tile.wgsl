// Shared by the kernels that work on a tile of logits: some rows, and of them some columns. The tile is
// where dE/dz goes; the states of its rows take the place of y.

// What is known of a row of logits from the tiles so far.
struct State {
    maximum: f32,
    // sum_k e^(z_k - maximum) - 1, so -1 for none.
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

// What the targets of a row add up to.
fn row_mass(row: u32, state: State) -> f32 {
    if (!has(HAS_CLASS_WEIGHTS)) {
        return 1.0;
    }
    let share = parameters.smoothing / f32(parameters.classes);
    return (1.0 - parameters.smoothing) * label_weight(row) + share * state.mass;
}
