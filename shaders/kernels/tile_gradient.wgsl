// dE/dz of a tile of logits, in place, from the states of its rows.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + local;
    if (index >= parameters.elements) {
        return;
    }
    let row = index / parameters.width;
    let at = parameters.dz_base + index;
    if (!row_counts(row)) {
        dz[at] = 0.0;
        return;
    }
    let state = load_state(row);
    let scale = reduction_scale() * weight_at(row, 0u);
    let mass = row_mass(row, state);
    let sum = 1.0 + state.rest;
    let p = math_exp_difference(math_difference(dz[at], state.maximum)) / sum;
    let t = target_at(row, parameters.first_column + index % parameters.width);
    // 1 - p of an element that dominates its row, without the cancellation.
    var error = select(p * mass - t, (mass - t) - mass * (state.rest / sum), p > 0.5);
    if (parameters.z_loss != 0.0) {
        let normalizer = state.maximum + math_log1p(state.rest);
        error = error + 2.0 * parameters.z_loss * label_weight(row) * normalizer * p;
    }
    let undefined = is_nan(state.maximum) || is_infinite(state.maximum) || is_nan(mass);
    dz[at] = nan_where(undefined, scale * error);
}
